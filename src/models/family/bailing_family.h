/* SPDX-License-Identifier: MIT
 * bailing_family.h - what the Bailing (Ling, Ring) models with linear attention share: groups of layers of which the
 * last attends to all, experts, and names. */
#ifndef TARE_MODELS_FAMILY_BAILING_FAMILY_H
#define TARE_MODELS_FAMILY_BAILING_FAMILY_H

#include "models/family/mla_family.h"
#include "models/family/qwen_experts.h"

struct tare_bailing {
    int64_t dim, heads, head;  /* head: of linear attention */
    int64_t n_layers, group;   /* the last layer of each group, and those after the last group, attend to all */
    int64_t first_dense;       /* layers before this one have no experts */
    struct tare_router router; /* n below 1: none have experts */
    int64_t hidden, expert_hidden, shared_hidden; /* shared below 1: no shared experts */
    bool bias, qkv_bias;                          /* use_bias, use_qkv_bias */
    bool qk_norm;
    bool router_plain, router_bias; /* the router is gate.weight, else the linear gate.gate_proj; gate.expert_bias */
    double eps;
};

bool tare_bailing_global(const struct tare_bailing *b, int64_t layer);

/* The norms and the feed-forward block of layer i. */
void tare_bailing_layer(struct tare_layer *l, struct tare_at at, const struct tare_bailing *b, int64_t i);

/* "attention" with a constant decay a head (blocks/recurrent/lightning.h). depth: the layer's, from 0 to 1; those deep
 * down forget the least. groups: of its norm. */
struct tare_bailing_linear {
    double depth;
    int64_t groups;
    struct tare_rope rope;
};
void tare_bailing_linear(struct tare_layer *l, struct tare_at at, const struct tare_bailing *b,
                         const struct tare_bailing_linear *linear);

/* The fields of a struct tare_router but for normalize and floor, from args. */
#define TARE_BAILING_ROUTER(a, word)                                                                                   \
    .n = (a)->num_experts, .top = (a)->num_experts_per_tok,                                                            \
    .score = strcmp(word, "sigmoid") ? TARE_SCORE_SOFTMAX : TARE_SCORE_SIGMOID, .scale = (a)->routed_scaling_factor,   \
    .groups = (a)->n_group, .top_groups = (a)->topk_group

/* The fields of a struct tare_skeleton but for layer, from args. */
#define TARE_BAILING_SKELETON(a) TARE_SKELETON_USUAL(a), .embedding = "word_embeddings", TARE_SKELETON_TIED(a)

/* The fields of a struct tare_mla_desc but for bias, from args. */
#define TARE_BAILING_LATENT(a)                                                                                         \
    .dim = (a)->hidden_size, .heads = (a)->num_attention_heads, .q_rank = (a)->q_lora_rank,                            \
    .kv_rank = (a)->kv_lora_rank, .nope = (a)->qk_nope_head_dim, .rope = (a)->qk_rope_head_dim, .v = (a)->v_head_dim,  \
    .name = "attention", .o_name = "dense", .eps = (a)->rms_norm_eps

/* Experts stacked, routers' names. */
void tare_bailing_rewrite(struct tare_weights *w, const struct tare_bailing *b);

#endif
