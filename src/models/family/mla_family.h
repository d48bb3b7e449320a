/* SPDX-License-Identifier: MIT
 * mla_family.h - what models say of multi-head latent attention (blocks/attention/latent_attention.h): args, scaled
 * rotary embeddings, published names.
 */
#ifndef TARE_MODELS_FAMILY_MLA_FAMILY_H
#define TARE_MODELS_FAMILY_MLA_FAMILY_H

#include "blocks/attention/latent_attention.h"
#include "names/rewrite.h"

/* The desc, from args of the usual names. */
#define TARE_MLA(a, norm_eps)                                                                                          \
    {                                                                                                                  \
        .dim = (a)->hidden_size, .heads = (a)->num_attention_heads, .q_rank = (a)->q_lora_rank,                        \
        .kv_rank = (a)->kv_lora_rank, .nope = (a)->qk_nope_head_dim, .rope = (a)->qk_rope_head_dim,                    \
        .v = (a)->v_head_dim, .bias = (a)->attention_bias, .eps = (norm_eps)                                           \
    }

/* Fill rotary from rope_theta and rope_scaling, and scale, into which YaRN's mscale_all_dim goes twice, for queries and
 * for keys (DeepSeek-V2's code). halves: dimensions rotate by halves, not by pairs. */
struct tare_mla_rotary {
    double theta;
    const json_t *scaling; /* rope_scaling or rope_parameters, may be NULL */
    int64_t context;
    bool halves;
};
void tare_mla_turn(struct tare_mla_desc *desc, struct tare_at at, const struct tare_mla_rotary *rotary);

/* <attention>.kv_b_proj.weight -> embed_q and unembed_out; attention is a pattern: "model.layers.*.self_attn". */
void tare_mla_rewrite(struct tare_weights *w, const char *attention, int64_t heads, int64_t nope, int64_t v);

#endif
