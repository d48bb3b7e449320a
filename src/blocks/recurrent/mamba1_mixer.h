/* SPDX-License-Identifier: MIT
 * mamba1_mixer.h - the mixer of Mamba: a gated selective state space whose channels decay each by itself (Gu & Dao
 * 2023). */
#ifndef TARE_BLOCKS_RECURRENT_MAMBA1_MIXER_H
#define TARE_BLOCKS_RECURRENT_MAMBA1_MIXER_H

#include "blocks/decoder.h"

struct tare_mamba1_desc {
    const char *name;     /* "mixer" */
    int64_t dim, inner;   /* of the model; of the mixer (expand * dim) */
    int64_t state, width; /* of the state, a channel; of the convolution */
    int64_t rank;         /* of the time step */
    bool bias, conv_bias; /* of in_proj and out_proj; of conv1d */
    enum {
        TARE_MAMBA_NO_NORM,
        TARE_MAMBA_NORM_BARE, /* time step, B and C by RMS, without weights (falcon_mamba) */
        TARE_MAMBA_NORM       /* the same with weights: dt_layernorm, b_layernorm, c_layernorm (jamba) */
    } norm;
    double eps; /* of the norms */
};
/* in_proj, conv1d, x_proj, dt_proj, A_log, D, out_proj below <name>, and the norms. */
void tare_mamba1(struct tare_layer *layer, struct tare_at at, const struct tare_mamba1_desc *desc);

#endif
