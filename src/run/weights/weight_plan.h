/* SPDX-License-Identifier: MIT
 * weight_plan.h - what a parameter becomes in memory: its form, and how many bytes that takes. Decided in one place;
 * loading (loaded.c) carries it out, and the memory budget (budget.c) adds up its bytes before anything is loaded.
 */
#ifndef TARE_RUN_WEIGHTS_WEIGHT_PLAN_H
#define TARE_RUN_WEIGHTS_WEIGHT_PLAN_H

#include "kernels/kernels.h"
#include "plan/plan.h"

enum tare_weight_form {
    TARE_WEIGHT_VECTOR,  /* norms and biases: an array of float32 */
    TARE_WEIGHT_MAPPED,  /* a dense matrix, used where it lies in the file */
    TARE_WEIGHT_DENSE,   /* a dense matrix, copied or expanded */
    TARE_WEIGHT_TERNARY, /* bytes of four rows each, made into rows of 4 bits */
    TARE_WEIGHT_ROWS,    /* packed by rows (Q4, Q8, E4M3) */
    TARE_WEIGHT_TILES    /* packed by tiles (T4, T8) */
};

struct tare_weight_plan {
    enum tare_weight_form form;
    /* How the parameter is made of modules; in the arena of tare_weight_decide(). */
    struct tare_flat flat;
    /* VECTOR, MAPPED, DENSE: what the elements are stored in. */
    enum tare_dtype dtype;
    /* All but vectors: the matrix without its data, scales and offsets. Its order of columns and
     * its levels lie in the arena. */
    struct tare_matrix matrix;
    /* Bytes of memory that it takes, or of the file that are mapped; UINT64_MAX when they cannot be counted. */
    uint64_t bytes;
};

/* What the parameter is loaded from; NULL: nothing. */
static inline const struct tare_entry *tare_weight_entry(const struct tare_parameter *p)
{
    return p->active ? p->entry : p->aside;
}
/* Decides it for a parameter that has an entry. Reads no weights; of a module in act-order, its g_idx. */
enum tare_code tare_weight_decide(struct tare_checkpoint *checkpoint, const struct tare_parameter *p,
                                  struct tare_arena *work, struct tare_weight_plan *plan, struct tare_error *err);

#endif
