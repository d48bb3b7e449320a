/* SPDX-License-Identifier: MIT
 * declare.h - stage 3, declare: model_type -> record, args, parameter tree; stage 5, rewrite: its sanitize. */
#ifndef TARE_PLAN_DECLARE_H
#define TARE_PLAN_DECLARE_H

#include "plan/plan.h"

enum tare_code tare_model_declare(struct tare_model *model, struct tare_error *err);
enum tare_code tare_names_rewrite(struct tare_model *model, struct tare_error *err);
/* The levels at which tying may be answered, from the owner of the head outwards. */
enum tare_code tare_tie_levels(const struct tare_model *model, struct tare_arena *arena, struct tare_tie_level **levels,
                               size_t *n, struct tare_error *err);

#endif
