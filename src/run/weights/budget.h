/* SPDX-License-Identifier: MIT
 * budget.h - what running a model takes of memory, known before anything is loaded. */
#ifndef TARE_RUN_WEIGHTS_BUDGET_H
#define TARE_RUN_WEIGHTS_BUDGET_H

#include "plan/plan.h"

/* Adds up the bytes of the weights: those that loading takes, and those that stay mapped, which should remain in memory
 * too. Fails as loading would where a weight cannot be run. */
enum tare_code tare_budget_weights(struct tare_model *model, uint64_t *bytes, struct tare_error *err);
/* Checks that weights and states fit into `most` bytes (0: what the system has free). Otherwise TARE_E_MEMORY, with the
 * numbers. */
enum tare_code tare_budget_check(struct tare_model *model, uint64_t states, int64_t context, uint64_t most,
                                 struct tare_error *err);

#endif
