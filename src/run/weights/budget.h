/* SPDX-License-Identifier: MIT
 * budget.h - what running a model takes of memory, known before anything is loaded. */
#ifndef TARE_RUN_WEIGHTS_BUDGET_H
#define TARE_RUN_WEIGHTS_BUDGET_H

#include "plan/plan.h"

/* Bytes of the weights: those taken in the kernels' layout and those mapped, which should stay in memory too. */
uint64_t tare_budget_weights(const struct tare_model *model);
/* Do weights and states fit into `most` bytes (0: what the system has)? Otherwise TARE_E_MEMORY, with the numbers. */
enum tare_code tare_budget_check(const struct tare_model *model, uint64_t states, int64_t context, uint64_t most,
                                 struct tare_error *err);

#endif
