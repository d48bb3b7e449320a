/* SPDX-License-Identifier: MIT
 * residual_attention.h - what a block sees is no longer the sum of all before it, but attends to sums of blocks of
 * layers (Kimi K3's attention residuals, Moonshot 2026).
 *
 *     r[0 .. n - 1]: the sums of the finished blocks of `size` layers, r[n]: the sum of the running block
 *     x = sum_k softmax_k(proj . norm(r[k])) r[k]        proj and norm of their own for every mixer, feed-forward
 * block, and the end
 */
#ifndef TARE_BLOCKS_STREAM_RESIDUAL_ATTENTION_H
#define TARE_BLOCKS_STREAM_RESIDUAL_ATTENTION_H

#include "blocks/decoder.h"

struct tare_residual_attention_desc {
    int64_t dim, size; /* size: layers of a block */
    double eps;
};
/* Declares layers.<i>.{self_attention,mlp}_res_{proj,norm} and output_attn_res_{proj,norm} below model for all layers
 * of the decoder, whose stream it takes. A size below 1 is declared only. */
void tare_residual_attention(struct tare_decoder *decoder, struct tare_at model,
                             const struct tare_residual_attention_desc *desc);

#endif
