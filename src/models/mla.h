/* SPDX-License-Identifier: MIT
 * mla.h - multi-head latent attention (DeepSeek-V2 and after): keys and values come from one low-rank vector.
 *
 * kv_b_proj (heads * (nope + v), rank) is kept as mlx keeps it, cut per head: embed_q (heads, rank, nope), which takes
 * queries into the latent space, and unembed_out (heads, v, rank). */
#ifndef TARE_MODELS_MLA_H
#define TARE_MODELS_MLA_H

#include "names/rewrite.h"
#include "tree/tree.h"

struct tare_mla_desc {
    int64_t dim, heads;
    int64_t q_rank;        /* below 1: q_proj instead of q_a_proj, q_a_layernorm, q_b_proj */
    int64_t kv_rank;       /* kv_lora_rank */
    int64_t nope, rope, v; /* dimensions of a head: without and with rotary embedding; of a value */
    bool bias;             /* attention_bias: of q_a_proj, kv_a_proj_with_mqa, o_proj */
    bool kv_b_whole;       /* keep kv_b_proj as one linear (deepseek_v2, minicpm3) */
    const char *o_name;    /* "o_proj" */
    double eps;
};
/* The desc, from args of the usual names. */
#define TARE_MLA(a, norm_eps)                                                                                          \
    {                                                                                                                  \
        .dim = (a)->hidden_size, .heads = (a)->num_attention_heads, .q_rank = (a)->q_lora_rank,                        \
        .kv_rank = (a)->kv_lora_rank, .nope = (a)->qk_nope_head_dim, .rope = (a)->qk_rope_head_dim,                    \
        .v = (a)->v_head_dim, .bias = (a)->attention_bias, .eps = (norm_eps)                                           \
    }

/* Declares the parameters below `at` ("model.layers.0.self_attn"). */
void tare_mla(struct tare_at at, const struct tare_mla_desc *desc);

/* <attention>.kv_b_proj.weight -> embed_q and unembed_out; attention is a pattern: "model.layers.*.self_attn". */
void tare_mla_rewrite(struct tare_weights *w, const char *attention, int64_t heads, int64_t nope, int64_t v);

#endif
