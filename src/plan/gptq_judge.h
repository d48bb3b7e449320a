/* SPDX-License-Identifier: MIT
 * gptq_judge.h - questions of GPTQ's checkpoints, which the stages group and rewrite ask. */
#ifndef TARE_PLAN_GPTQ_JUDGE_H
#define TARE_PLAN_GPTQ_JUDGE_H

#include "packing/gptq/gptq.h"
#include "plan/plan.h"

/* Is it a module of GPTQ without a fault? */
bool tare_gptq_sound(const struct tare_module *module);
/* Asked by group: rules for single modules (dynamic), the order of columns (g_idx), the meaning of zeros. With no_data
 * only the rules are applied. */
enum tare_code tare_gptq_judge(struct tare_model *model, struct tare_error *err);
/* Do the stored zeros mean what checkpoint_format says? Evidence and verdict become findings; options.zeros decides,
 * where it is given. */
enum tare_code tare_gptq_zeros(struct tare_model *model, struct tare_error *err);
/* Asked by rewrite: biases of zeros are set aside. Halves of a fused matrix are joined, in any checkpoint. */
enum tare_code tare_gptq_settle(struct tare_model *model, struct tare_error *err);

#endif
