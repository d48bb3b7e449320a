/* SPDX-License-Identifier: MIT
 * weights.h - the loaded weights of a model, as blocks read them. run/weights/loaded.c makes and owns them. */
#ifndef TARE_BLOCKS_WEIGHTS_H
#define TARE_BLOCKS_WEIGHTS_H

#include "kernels/kernels.h"
#include "tree/tree.h"

struct tare_head8;

struct tare_loaded {
    struct tare_matrix
        *matrices;   /* by parameter index; rows 0: not a matrix. Experts: leading axes flattened into rows */
    float **vectors; /* by parameter index; NULL: not a vector, or an optional one that is not there */
    void **owned;    /* heap blocks */
    size_t n_owned, owned_room;
    size_t n;                 /* parameters */
    struct tare_head8 *head8; /* a dense head once more, in 8 bits: made by the first session that wants it; atomic */
};

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
