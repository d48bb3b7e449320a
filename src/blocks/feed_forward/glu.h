/* SPDX-License-Identifier: MIT
 * glu.h - the gated feed-forward block: down(act(gate x) * up x).
 */
#ifndef TARE_BLOCKS_FEED_FORWARD_GLU_H
#define TARE_BLOCKS_FEED_FORWARD_GLU_H

#include "blocks/activation.h"
#include "blocks/decoder.h"
#include "blocks/feed_forward/glu_unit.h"

struct tare_glu_desc {
    const char *name;         /* "mlp" */
    const char *gate_name;    /* "gate_proj": (hidden, dim) */
    const char *up_name;      /* "up_proj": (hidden, dim) */
    const char *down_name;    /* "down_proj": (dim, hidden) */
    const char *gate_up_name; /* one linear (2 hidden, dim) in place of both: the rows of gate, then of up (phi3) */
    int64_t dim;
    int64_t hidden;
    bool bias; /* of all linears */
    enum tare_activation activation;
    struct tare_limit limit;
    struct tare_glu_unit unit; /* takes the place of activation and limit; left out: they hold */
    /* Declares each linear; NULL: tare_linear(). bitnet takes tare_ternary(). */
    struct tare_linear (*linear)(struct tare_at at, const char *name, int64_t in, int64_t out, bool bias);
};
void tare_glu(struct tare_layer *layer, struct tare_at at, const struct tare_glu_desc *desc);

#endif
