/* SPDX-License-Identifier: MIT
 * gated_conv.h - LFM2's operator: out(C * conv(B * x)), where B, C and x are rows of one projection. */
#ifndef TARE_BLOCKS_RECURRENT_GATED_CONV_H
#define TARE_BLOCKS_RECURRENT_GATED_CONV_H

#include "blocks/decoder.h"

struct tare_gated_conv_desc {
    const char *name; /* "conv" */
    int64_t dim, width;
    bool bias; /* of the convolution and of both linears */
};
/* <name>.conv (dim, width, 1), <name>.in_proj (3 dim, dim), <name>.out_proj (dim, dim). */
void tare_gated_conv(struct tare_layer *layer, struct tare_at at, const struct tare_gated_conv_desc *desc);

#endif
