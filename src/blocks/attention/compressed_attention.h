/* SPDX-License-Identifier: MIT
 * compressed_attention.h - attention over a window and over a compressed past, of which an index chooses
 * (DeepSeek-V4.1, mlx-lm: models/deepseek_v41.py). One vector a token is key and value of all heads.
 *
 *     kv = rope(norm(kv_proj x)), rounded to 8 bits                           of the last `window` tokens
 *     c[g] = sum_i softmax_i(gate_proj x)[i] * kv_proj x[i]                   i: the `ratio` tokens of group g
 *     past[g] = rope(norm(c[g])), rounded to 4 bits, at its first position    kept by some layers for those after them
 *     score[g] = sum_h w[h] max(0, q[h] . key[g]),  key = rope(norm(k_proj norm(c)))  the best `top` groups that have
 *                                                   ended are chosen, by some layers for those after them
 *     y = o_b(o_a(rope back(attend(q, window and chosen), with sinks)))       o_a: by groups of heads
 *
 * Only the last `rope` dimensions rotate. Where index layers are many, one of them may choose blocks of groups to which
 * those after it keep.
 */
#ifndef TARE_BLOCKS_ATTENTION_COMPRESSED_ATTENTION_H
#define TARE_BLOCKS_ATTENTION_COMPRESSED_ATTENTION_H

#include "blocks/decoder.h"
#include "blocks/rope.h"

enum { TARE_COMPRESSED_NONE = -1 };

struct tare_compressed_desc {
    int64_t dim, heads, head_dim, q_rank;
    int64_t rope; /* dimensions that rotate */
    struct tare_rope rotary;
    int64_t o_groups, o_rank;
    int64_t window;
    double eps;
    int64_t ratio;      /* tokens of a group; below 1: the layer has the window only */
    bool compresses;    /* it has a compressor */
    int64_t past_layer; /* whose compressed past it sees: itself or one before; NONE */
    bool chooses;       /* it has an index */
    int64_t keys_layer; /* whose index keys it has: itself or one before; NONE: it chooses nothing */
    int64_t index_heads, index_dim, top;
    enum { TARE_CANDIDATES_NONE, TARE_CANDIDATES_FIND, TARE_CANDIDATES_KEEP } candidates;
    int64_t candidate_blocks, candidate_size; /* how many blocks are candidates, and groups of a block; 0: all */
    bool runs;                                /* false: declare only */
};
void tare_compressed(struct tare_layer *layer, struct tare_at at, const struct tare_compressed_desc *desc);

/* Floats a token of TARE_SLICE_CHOSEN for the choices of all layers. */
int64_t tare_compressed_side(int64_t top, int64_t candidate_blocks);

#endif
