/* SPDX-License-Identifier: MIT
 * plamo_mixer.h - PLaMo 2's mixer: Mamba-2's recurrence with Mamba's projections (Preferred Networks 2025). */
#ifndef TARE_BLOCKS_RECURRENT_PLAMO_MIXER_H
#define TARE_BLOCKS_RECURRENT_PLAMO_MIXER_H

#include "blocks/decoder.h"

struct tare_plamo_mixer_desc {
    const char *name; /* "mixer" */
    int64_t dim, heads, head_dim, state, width;
    int64_t rank; /* of the time steps */
    double eps;
};
/* in_proj (rows: of each head its gate, then x), conv1d, bcdt_proj (rows: B, C, time steps), dt_proj, dt_bias, A_log,
 * D, {dt, B, C}_norm_weight, out_proj below <name>. */
void tare_plamo_mixer(struct tare_layer *layer, struct tare_at at, const struct tare_plamo_mixer_desc *desc);

#endif
