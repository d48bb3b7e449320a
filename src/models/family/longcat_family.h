/* SPDX-License-Identifier: MIT
 * longcat_family.h - LongCat-Flash: each layer has two latent attentions, two dense networks and, beside them, routed
 * experts, some of which do nothing. The experts read the input of the first dense network, and their output is added
 * at the end of the layer. */
#ifndef TARE_MODELS_FAMILY_LONGCAT_FAMILY_H
#define TARE_MODELS_FAMILY_LONGCAT_FAMILY_H

#include <string.h>

#include "models/family/config_words.h"
#include "models/family/mla_family.h"
#include "models/model.h"

struct tare_longcat_desc {
    int64_t dim, vocabulary, n_layers, context;
    int64_t hidden; /* of a dense network */
    double eps;
    struct tare_mla_desc attention;
    int64_t experts, expert_hidden;
    int64_t zero_experts;      /* experts without parameters, to which the router may send a token too */
    struct tare_router router; /* without n */
    bool router_bias;
    bool runs; /* the experts without parameters are of a known type */
    double theta;
    const json_t *scaling;
    const char *embedding;
};

/* Returns the factor that makes up for a low rank, sqrt(dim / rank), where the config asks for it; else 1. */
double tare_longcat_scale(bool asked, int64_t dim, int64_t rank);

/* The fields, from args of mlx-lm's names. The eps of attention's norms is that of transformers; mlx-lm has 1e-5. */
#define TARE_LONGCAT(a)                                                                                                \
    .dim = (a)->hidden_size, .vocabulary = (a)->vocab_size, .n_layers = (a)->num_layers,                               \
    .context = (a)->max_position_embeddings, .hidden = (a)->ffn_hidden_size, .eps = (a)->rms_norm_eps,                 \
    .attention = TARE_MLA(a, 1e-6), .experts = (a)->n_routed_experts, .expert_hidden = (a)->expert_ffn_hidden_size,    \
    .zero_experts = (a)->zero_expert_num, .router_bias = (a)->router_bias,                                             \
    .router = {.top = (a)->moe_topk, .normalize = (a)->norm_topk_prob, .scale = (a)->routed_scaling_factor},           \
    .runs = !strcmp((a)->zero_expert_type, "identity"), .theta = (a)->rope_theta,                                      \
    .scaling = (a)->rope_scaling ? (a)->rope_scaling : (a)->rope_parameters,                                           \
    .attention.query_scale = tare_longcat_scale((a)->mla_scale_q_lora, (a)->hidden_size, (a)->q_lora_rank),            \
    .attention.latent_scale = tare_longcat_scale((a)->mla_scale_kv_lora, (a)->hidden_size, (a)->kv_lora_rank)

/* The args of both models. q_lora_rank may be null: queries then have no low rank. */
#define TARE_LONGCAT_ARGS(ARG)                                                                                         \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, ffn_hidden_size, REQUIRED)                                                                                \
    ARG(INT, moe_topk, REQUIRED)                                                                                       \
    ARG(INT, expert_ffn_hidden_size, REQUIRED)                                                                         \
    ARG(INT, n_routed_experts, REQUIRED)                                                                               \
    ARG(INT, zero_expert_num, 0)                                                                                       \
    ARG(INT, num_layers, REQUIRED)                                                                                     \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, kv_lora_rank, REQUIRED)                                                                                   \
    ARG(INT, q_lora_rank, ABSENT)                                                                                      \
    ARG(INT, qk_rope_head_dim, REQUIRED)                                                                               \
    ARG(INT, qk_nope_head_dim, REQUIRED)                                                                               \
    ARG(INT, v_head_dim, REQUIRED)                                                                                     \
    ARG(REAL, routed_scaling_factor, REQUIRED)                                                                         \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(REAL, rope_theta, REQUIRED)                                                                                    \
    ARG(FLAG, mla_scale_q_lora, REQUIRED)                                                                              \
    ARG(FLAG, mla_scale_kv_lora, REQUIRED)                                                                             \
    ARG(TEXT, zero_expert_type, identity)                                                                              \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, norm_topk_prob, false)                                                                                   \
    ARG(FLAG, router_bias, false)                                                                                      \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)

void tare_longcat(struct tare_at root, struct tare_decoder *d, const struct tare_longcat_desc *desc);
void tare_longcat_rewrite(struct tare_weights *w, const struct tare_longcat_desc *desc);

#endif
