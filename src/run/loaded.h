/* SPDX-License-Identifier: MIT
 * loaded.h - the weights of a plan in the layout of the kernels. Made once a model, by its first session, and shared by
 * all.
 *
 * Packed weights go from their own layout into that of kernels.h and stay packed. Dense ones are used in place where
 * they lie row by row in the file, else copied in their own dtype. Vectors (norms, biases) become float32.
 */
#ifndef TARE_RUN_LOADED_H
#define TARE_RUN_LOADED_H

#include "base/pool.h"
#include "kernels/kernels.h"
#include "plan/plan.h"
#include "run/head.h"

struct tare_loaded {
    struct tare_matrix
        *matrices;   /* by parameter index; rows 0: not a matrix. Experts: leading axes flattened into rows */
    float **vectors; /* by parameter index; NULL: not a vector, or an optional one that is not there */
    void **owned;    /* heap blocks */
    size_t n_owned, owned_room;
    size_t n;                 /* parameters */
    struct tare_head8 *head8; /* a dense head once more, in 8 bits: made by the first session that wants it; atomic */
    uint64_t bytes;           /* of memory taken, mapped weights not counted */
};

/* Load every bound parameter. *loaded is owned by the caller. */
enum tare_code tare_loaded_open(struct tare_loaded **loaded, struct tare_model *model, struct tare_pool *pool,
                                struct tare_error *err);
/* The file's pages of a parameter are not needed for now (tare_tensor_give_back()). */
void tare_loaded_give_back(struct tare_model *model, const struct tare_parameter *p);
void tare_loaded_free(void *loaded); /* struct tare_loaded; NULL is fine */

static inline const struct tare_matrix *tare_loaded_matrix(const struct tare_loaded *loaded,
                                                           const struct tare_parameter *p)
{
    return &loaded->matrices[p->index];
}
static inline const float *tare_loaded_vector(const struct tare_loaded *loaded, const struct tare_parameter *p)
{
    return loaded->vectors[p->index];
}

#endif
