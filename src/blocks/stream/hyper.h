/* SPDX-License-Identifier: MIT
 * hyper.h - manifold-constrained hyper-connections (DeepSeek-V4, after Xie et al. 2025): the residual stream is n
 * streams. A block sees a mix of them, and what it says goes to each by its share, while the streams mix by a matrix
 * whose rows and columns add up to 1.
 *
 *     m = scale * (fn . norm(streams)) + base      of 2 n + n^2 numbers: before, after, between
 *     x = sum_a before[a] s[a],  before = sigmoid(m) + eps       used for the block after the one m was made for
 *     s'[b] = after[b] block(x) + sum_a between[a][b] s[a],      after = 2 sigmoid(m)
 *     between = softmax over b (m) + eps, then columns and rows divided by their sums in turn
 */
#ifndef TARE_BLOCKS_STREAM_HYPER_H
#define TARE_BLOCKS_STREAM_HYPER_H

#include "blocks/decoder.h"

struct tare_hyper_desc {
    int64_t dim, n;     /* n: streams */
    int64_t iterations; /* of making sums 1 */
    double eps, norm_eps;
};
/* Declares layers.<i>.{attn_hc,ffn_hc}.{fn,base,scale} below model for all layers of the decoder, and takes its
 * stream. Streams beyond 16 or none, or very many iterations, are declared only. */
void tare_hyper(struct tare_decoder *decoder, struct tare_at model, const struct tare_hyper_desc *desc);

#endif
