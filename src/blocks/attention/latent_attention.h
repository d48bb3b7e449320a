/* SPDX-License-Identifier: MIT
 * latent_attention.h - multi-head latent attention (DeepSeek-V2 and after): keys and values come from one low-rank
 * vector, which is all that is kept of a token, beside one rotated key for all heads.
 *
 *     c[j] = norm(kv_a x[j])              (kv_rank)     k[h][j] = K[h] c[j]        K[h]: (nope, kv_rank)
 *     r[j] = rope(the rest of kv_a x[j])  (rope)        v[h][j] = V[h] c[j]        V[h]: (v, kv_rank)
 *     score[h][j] = scale * (q[h] . k[h][j] + p[h] . r[j])        q, p: the parts of a query without and with rope
 *
 * which is computed as  (K[h]^T q[h]) . c[j]  and  V[h] sum_j softmax(score)[j] c[j],  so that keys and values of
 * heads are never made. kv_b_proj (heads * (nope + v), kv_rank) is kept whole, or as mlx keeps it, cut per head:
 * embed_q (heads, kv_rank, nope) = K^T, and unembed_out (heads, v, kv_rank) = V.
 */
#ifndef TARE_BLOCKS_ATTENTION_LATENT_ATTENTION_H
#define TARE_BLOCKS_ATTENTION_LATENT_ATTENTION_H

#include "blocks/attention/key_index.h"
#include "blocks/decoder.h"
#include "blocks/rope.h"

struct tare_mla_desc {
    const char *name; /* NULL: "self_attn" */
    int64_t dim;      /* of the model */
    int64_t heads;
    int64_t q_rank;     /* below 1: q_proj instead of q_a_proj, q_a_layernorm, q_b_proj */
    int64_t kv_rank;    /* kv_lora_rank */
    int64_t nope;       /* dimensions of a head that do not rotate */
    int64_t rope;       /* dimensions of a head that rotate */
    int64_t v;          /* dimensions of a value */
    bool bias;          /* attention_bias: of q_a_proj, kv_a_proj_with_mqa, o_proj */
    bool kv_b_whole;    /* keep kv_b_proj as one linear (deepseek_v2, minicpm3) */
    const char *o_name; /* NULL: "o_proj" */
    const char *gate;   /* a linear (heads * v, dim), whose sigmoid multiplies the input of o; NULL: none */
    bool gate_heads;    /* the gate gives one number for each head: (heads, dim) */
    double eps;
    double scale;        /* 0: 1 / sqrt(nope + rope) */
    double query_scale;  /* multiplies queries; 0: 1 (longcat) */
    double latent_scale; /* multiplies c after its norm; 0: 1 (longcat) */
    /* Queries are multiplied by 1 + beta * log(1 + floor(position / length)) (mistral4); beta 0: they are not. */
    double query_beta;
    double query_length;
    struct tare_rope rotary;      /* of `rope` dimensions; kind NONE: they do not rotate (kimi) */
    struct tare_index_desc index; /* which chooses the keys that a query sees */
};

/* Attaches ops where such a block can run: heads and sizes of at least 1, pairs to rotate. With an index
 * TARE_SLICE_CHOSEN must be tare_index_side(top) wide. */
void tare_mla(struct tare_layer *layer, struct tare_at at, const struct tare_mla_desc *desc);

#endif
