/* SPDX-License-Identifier: MIT
 * mla_family.h - what models with multi-head latent attention (blocks/attention/latent_attention.h) share: their args,
 * their scaled rotary embeddings, and published names.
 */
#ifndef TARE_MODELS_FAMILY_MLA_FAMILY_H
#define TARE_MODELS_FAMILY_MLA_FAMILY_H

#include "blocks/attention/latent_attention.h"
#include "names/rewrite.h"

/* A struct tare_mla_desc from args of the usual names. */
#define TARE_MLA(a, norm_eps)                                                                                          \
    {                                                                                                                  \
        .dim = (a)->hidden_size, .heads = (a)->num_attention_heads, .q_rank = (a)->q_lora_rank,                        \
        .kv_rank = (a)->kv_lora_rank, .nope = (a)->qk_nope_head_dim, .rope = (a)->qk_rope_head_dim,                    \
        .v = (a)->v_head_dim, .bias = (a)->attention_bias, .eps = (norm_eps)                                           \
    }

/* Fills in rotary, and scale = m * m / sqrt(nope + rope). The factor m = 0.1 mscale_all_dim ln(factor) + 1 is YaRN's,
 * and counts once for queries and once for keys, as in DeepSeek-V2's code. */
struct tare_mla_rotary {
    double theta;
    const json_t *scaling; /* rope_scaling or rope_parameters, may be NULL */
    int64_t context;
    bool halves; /* dimensions rotate by halves, not by pairs */
};
void tare_mla_turn(struct tare_mla_desc *desc, struct tare_at at, const struct tare_mla_rotary *rotary);

/* Cuts <attention>.kv_b_proj.weight by heads into embed_q, which is transposed, and unembed_out. attention is a
 * pattern: "model.layers.*.self_attn". */
void tare_mla_rewrite(struct tare_weights *w, const char *attention, int64_t heads, int64_t nope, int64_t v);

#endif
