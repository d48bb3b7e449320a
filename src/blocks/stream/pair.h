/* SPDX-License-Identifier: MIT
 * pair.h - two blocks side by side in place of one: y = post[0](part[0](pre[0] x)) + post[1](part[1](pre[1] x)). */
#ifndef TARE_BLOCKS_STREAM_PAIR_H
#define TARE_BLOCKS_STREAM_PAIR_H

#include "blocks/decoder.h"

struct tare_pair {
    struct tare_block part[2]; /* the second without a state */
    struct tare_norm pre[2], post[2];
    int64_t dim;
};
/* Where a part does not run, the whole does not. */
void tare_pair(struct tare_block *block, struct tare_at at, const struct tare_pair *pair);

#endif
