/* SPDX-License-Identifier: MIT
 * loaded.h - the weights of a plan in the layout of the kernels. The first session of a model makes them, and all its
 * sessions share them.
 *
 * Packed weights go from their own layout into that of kernels.h and stay packed. Dense ones are used where they lie,
 * if they lie row by row in the file, and are copied in their own dtype otherwise. Vectors (norms, biases) become
 * float32. weight_plan.h decides.
 */
#ifndef TARE_RUN_WEIGHTS_LOADED_H
#define TARE_RUN_WEIGHTS_LOADED_H

#include "base/pool.h"
#include "blocks/weights.h"
#include "plan/plan.h"
#include "run/weights/head8.h"

/* Loads every parameter that has something to be loaded from. The caller owns *loaded. TARE_E_CANCELLED when *cancel
 * becomes other than 0; cancel may be NULL. */
enum tare_code tare_loaded_open(struct tare_loaded **loaded, struct tare_model *model, struct tare_pool *pool,
                                const volatile int *cancel, struct tare_error *err);
/* Says that the file's pages of a parameter are not needed for now (tare_tensor_give_back()). */
void tare_loaded_give_back(struct tare_model *model, const struct tare_parameter *p);
void tare_loaded_free(void *loaded); /* struct tare_loaded; NULL is fine */

#endif
