/* SPDX-License-Identifier: MIT
 * mlp.h - the plain feed-forward block: second(act(first x)).
 */
#ifndef TARE_BLOCKS_FEED_FORWARD_MLP_H
#define TARE_BLOCKS_FEED_FORWARD_MLP_H

#include "blocks/activation.h"
#include "blocks/decoder.h"

struct tare_mlp_desc {
    const char *name;        /* "mlp" */
    const char *first_name;  /* "c_fc": (hidden, dim) */
    const char *second_name; /* "c_proj": (dim, hidden) */
    int64_t dim;
    int64_t hidden;
    bool bias;                       /* of both projections */
    enum tare_activation activation; /* TARE_XIELU declares its numbers below act_fn */
};
void tare_mlp(struct tare_layer *layer, struct tare_at at, const struct tare_mlp_desc *desc);

#endif
