/* SPDX-License-Identifier: MIT
 * conv_mixer.h - a mixer that looks at the last few tokens only (Gear): o(sigmoid(norm(q) * conv(norm(k))) * conv(v)),
 * element by element, key and value heads shared by groups of query heads. */
#ifndef TARE_BLOCKS_RECURRENT_CONV_MIXER_H
#define TARE_BLOCKS_RECURRENT_CONV_MIXER_H

#include "blocks/decoder.h"

struct tare_conv_mixer_desc {
    const char *name;
    int64_t dim, heads, kv_heads, head_dim;
    int64_t width; /* of key_conv and value_conv */
    bool bias;     /* of all */
    double eps;    /* of q_norm and k_norm, which are RMS_ONE_PLUS, of a head */
};
void tare_conv_mixer(struct tare_layer *layer, struct tare_at at, const struct tare_conv_mixer_desc *desc);

#endif
