/* SPDX-License-Identifier: MIT
 * weights.h - the loaded weights of a model, as blocks read them. run/weights/loaded.c makes and owns them. */
#ifndef TARE_BLOCKS_WEIGHTS_H
#define TARE_BLOCKS_WEIGHTS_H

#include "kernels/kernels.h"
#include "tree/tree.h"

struct tare_head8;

struct tare_loaded {
    /* By parameter index; rows are 0 where a parameter is no matrix. Stacked experts are one matrix, whose rows are
     * those of all experts. */
    struct tare_matrix *matrices;
    float **vectors; /* by parameter index; NULL: not a vector, or an optional one that the file lacks */
    void **owned;    /* heap blocks that are freed with this */
    size_t n_owned;
    size_t owned_room;
    size_t n; /* parameters */
    /* A dense head once more, in 8 bits, made by the first session that wants it; atomic. */
    struct tare_head8 *head8;
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
