/* SPDX-License-Identifier: MIT
 * gqa.h - grouped-query attention: several query heads share one head of keys and values (Ainslie et al. 2023). A model
 * fills in the description; a field left out is off, a name that is NULL takes the usual spelling.
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_H
#define TARE_BLOCKS_ATTENTION_GQA_H

#include "blocks/decoder.h"
#include "blocks/rope.h"

/* Norms of queries and keys, before or after the rotation. Their weights are q_norm.weight and k_norm.weight, of
 * (head_dim) numbers that all heads share, unless a kind says otherwise. */
struct tare_qk_norm {
    enum {
        TARE_QK_NORM_NONE,
        TARE_QK_NORM_RMS,
        TARE_QK_NORM_RMS_ONE_PLUS, /* multiplies by 1 + weight */
        TARE_QK_NORM_RMS_BARE,     /* has no weights */
        TARE_QK_NORM_RMS_WIDE,     /* norms all heads together: (heads * head_dim) */
        TARE_QK_NORM_RMS_ROWS,     /* each head has weights of its own: (heads, head_dim), named without ".weight" */
        TARE_QK_NORM_LAYER_ROWS,   /* layer norms, each head with weights of its own: (heads, head_dim) */
        TARE_QK_NORM_LAYER_EACH    /* the same, as one parameter for each head: q_norm.norms.0.weight */
    } kind;
    const char *q_name; /* NULL: "q_norm" */
    const char *k_name; /* NULL: "k_norm" */
    bool last;          /* the norms follow the rotation */
    double eps;
};

/* A gate on what the heads give: y *= sigmoid(gate) or softplus(gate), before the output projection. */
struct tare_gqa_gate {
    enum {
        TARE_GATE_NONE,
        TARE_GATE_HEADS,    /* a linear gives one number for each head (laguna, spark2_5) */
        TARE_GATE_ELEMENTS, /* a linear gives one number for each element of a head (afmoe, laguna) */
        TARE_GATE_QUERY,    /* the second half of each head's rows of q_proj (qwen3_next) */
        TARE_GATE_FUSED     /* the rows of qkv_name that follow the values (muse_spark) */
    } kind;
    const char *name; /* of the linear; NULL: "g_proj" */
    bool bias;        /* of the linear */
    bool softplus;
};

/* Where keys and values come from. What another layer has kept is that of the layer layer->borrows before this one. */
enum tare_kv {
    TARE_KV_OWN,       /* they are projected and kept */
    TARE_KV_KEYS_ONLY, /* there is no v_proj: values are the keys before norm and rotation (gemma4) */
    TARE_KV_BORROWED,  /* the layer attends to what another layer has kept (gemma3n, gemma4, afm7) */
    TARE_KV_LENT,      /* own ones, which are also kept as they were projected, for layers that adopt them (hunyuan) */
    TARE_KV_ADOPTED    /* they begin as what another layer has lent; norm and rotation are the layer's own (hunyuan) */
};

/* The parameters are self_attn.{q,k,v,o}_proj and those that a field names. */
struct tare_gqa_desc {
    /* The place of all parameters; NULL: "self_attn". */
    const char *name;
    /* The projections; NULL: "q_proj", "k_proj", "v_proj", "o_proj". */
    const char *q_name;
    const char *k_name;
    const char *v_name;
    const char *o_name;
    /* One projection in place of three, its rows those of q, then k, then v (phi3: qkv_proj, gpt2: c_attn). */
    const char *qkv_name;
    /* The rows of qkv_name alternate: the queries of a key head, the key head, its value head (internlm2, gpt_neox). */
    bool grouped;
    /* The width of the model. */
    int64_t dim;
    int64_t heads;
    /* Divides heads. */
    int64_t kv_heads;
    /* The width of a query and of a key. */
    int64_t head_dim;
    /* The width of a value; below 1: head_dim (mimo_v2_flash). */
    int64_t v_head_dim;
    /* Whether q, k and v have a bias. */
    bool bias;
    bool o_bias;
    /* The weights of q, k, v and o are -1, 0 or 1, see tare_ternary() (bitnet). */
    bool ternary;
    enum tare_kv kv;
    struct tare_qk_norm qk_norm;
    struct tare_rope rope;
    /* Multiplies scores; 0: 1 / sqrt(head_dim). */
    double scale;
    /* Scores become cap * tanh(score / cap); 0: they stay. */
    double soft_cap;
    /* A query sees this many keys, its own token's included; 0: all. */
    int64_t window;
    /* A parameter (heads), a score that takes its share of the softmax and has no value; NULL: none (gpt_oss). */
    const char *sink_name;
    struct tare_gqa_gate gate;
};
/* Declares the parameters below at.name, and makes layer->mixer this block unless it cannot be run. */
void tare_gqa(struct tare_layer *layer, struct tare_at at, const struct tare_gqa_desc *desc);
/* Fills in heads, kv_heads, head_dim, scale, window, soft_cap and rope of a block that tare_gqa() made. False when the
 * block is another one, or does more than these fields say. */
bool tare_gqa_describe(const struct tare_block *block, struct tare_gqa_desc *desc);

#endif
