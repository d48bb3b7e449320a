/* SPDX-License-Identifier: MIT
 * bailing_family.h - what the Bailing models (Ling, Ring) with linear attention share: groups of layers of which only
 * the last one attends to all tokens, experts, and names. */
#ifndef TARE_MODELS_FAMILY_BAILING_FAMILY_H
#define TARE_MODELS_FAMILY_BAILING_FAMILY_H

#include "models/family/mla_family.h"
#include "models/family/qwen_experts.h"

struct tare_bailing {
    int64_t dim, heads;
    int64_t head; /* width of a head in linear attention */
    /* The last layer of each group of that many, and the layers after the last whole group, attend to all tokens. */
    int64_t n_layers, group;
    int64_t first_dense;       /* layers before this one have no experts */
    struct tare_router router; /* n below 1: no layer has experts */
    int64_t hidden, expert_hidden;
    int64_t shared_hidden; /* below 1: there are no shared experts */
    bool bias, qkv_bias;   /* use_bias, use_qkv_bias */
    bool qk_norm;
    bool router_plain; /* the router is gate.weight; otherwise it is the linear gate.gate_proj */
    bool router_bias;  /* gate.expert_bias is added to the scores */
    double eps;
};

/* Tells whether a layer attends to all tokens. */
bool tare_bailing_global(const struct tare_bailing *b, int64_t layer);

/* Declares the norms and the feed-forward block of layer i. */
void tare_bailing_layer(struct tare_layer *l, struct tare_at at, const struct tare_bailing *b, int64_t i);

/* Declares "attention" with a constant decay for each head (blocks/recurrent/lightning.h). */
struct tare_bailing_linear {
    double depth;   /* where the layer stands, from 0 to 1; the deepest layers forget the least */
    int64_t groups; /* of heads, in the norm of its output */
    struct tare_rope rope;
};
void tare_bailing_linear(struct tare_layer *l, struct tare_at at, const struct tare_bailing *b,
                         const struct tare_bailing_linear *linear);

/* The fields of a struct tare_router, except normalize and floor, from args. */
#define TARE_BAILING_ROUTER(a, word)                                                                                   \
    .n = (a)->num_experts, .top = (a)->num_experts_per_tok,                                                            \
    .score = strcmp(word, "sigmoid") ? TARE_SCORE_SOFTMAX : TARE_SCORE_SIGMOID, .scale = (a)->routed_scaling_factor,   \
    .groups = (a)->n_group, .top_groups = (a)->topk_group

/* The fields of a struct tare_skeleton, except layer, from args. */
#define TARE_BAILING_SKELETON(a) TARE_SKELETON_USUAL(a), .embedding = "word_embeddings", TARE_SKELETON_TIED(a)

/* The fields of a struct tare_mla_desc, except bias, from args. */
#define TARE_BAILING_LATENT(a)                                                                                         \
    .dim = (a)->hidden_size, .heads = (a)->num_attention_heads, .q_rank = (a)->q_lora_rank,                            \
    .kv_rank = (a)->kv_lora_rank, .nope = (a)->qk_nope_head_dim, .rope = (a)->qk_rope_head_dim, .v = (a)->v_head_dim,  \
    .name = "attention", .o_name = "dense", .eps = (a)->rms_norm_eps

/* Stacks experts and renames routers. */
void tare_bailing_rewrite(struct tare_weights *w, const struct tare_bailing *b);

#endif
