/* SPDX-License-Identifier: MIT
 * rg_lru.h - Griffin's recurrent block (recurrent_gemma; De et al. 2024): out(gelu(y x) * rg_lru(conv(x x))), where the
 * gates of the recurrence are computed by heads.
 */
#ifndef TARE_BLOCKS_RECURRENT_RG_LRU_H
#define TARE_BLOCKS_RECURRENT_RG_LRU_H

#include "blocks/decoder.h"

struct tare_rg_lru_desc {
    const char *name;
    int64_t dim;
    int64_t heads;
    int64_t width; /* taps of the convolution */
};
void tare_rg_lru(struct tare_layer *layer, struct tare_at at, const struct tare_rg_lru_desc *desc);

#endif
