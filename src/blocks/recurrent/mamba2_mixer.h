/* SPDX-License-Identifier: MIT
 * mamba2_mixer.h - the mixer of Mamba-2: heads that decay alike, a gated norm (Dao & Gu 2024). */
#ifndef TARE_BLOCKS_RECURRENT_MAMBA2_MIXER_H
#define TARE_BLOCKS_RECURRENT_MAMBA2_MIXER_H

#include "blocks/decoder.h"

struct tare_mamba2_desc {
    const char *name; /* "mixer" */
    int64_t dim, heads, head_dim;
    int64_t inner; /* 0: heads * head_dim */
    int64_t groups, state, width;
    bool bias, out_bias, conv_bias; /* of in_proj; of out_proj; of conv1d */
    bool no_norm;                   /* without the gated norm before out_proj */
    bool norm_first;                /* norm(y) * silu(gate) instead of norm(y * silu(gate)) */
    double eps;
    double least, most; /* of the time steps; most 0: no limit */
};
/* in_proj (rows: gate, convolved, time steps), conv1d, dt_bias, A_log, D, norm, out_proj below <name>. The norm is of
 * each group, as the authors have it. */
void tare_mamba2(struct tare_layer *layer, struct tare_at at, const struct tare_mamba2_desc *desc);

#endif
