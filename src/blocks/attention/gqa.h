/* SPDX-License-Identifier: MIT
 * gqa.h - grouped-query attention: several query heads share one head of keys and values (Ainslie et al. 2023). A model
 * fills in the description; a field left out is off, a name that is NULL takes the usual spelling.
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_H
#define TARE_BLOCKS_ATTENTION_GQA_H

#include "blocks/decoder.h"
#include "blocks/rope.h"

/* The parameters are self_attn.{q,k,v,o}_proj and those that a field names. */
struct tare_gqa_desc {
    const char *name; /* the place of all parameters; NULL: "self_attn" */
    /* The projections; NULL: "q_proj", "k_proj", "v_proj", "o_proj". */
    const char *q_name;
    const char *k_name;
    const char *v_name;
    const char *o_name;
    /* One projection in place of three, its rows those of q, then k, then v (phi3: qkv_proj, gpt2: c_attn). */
    const char *qkv_name;
    /* The rows of qkv_name alternate: the queries of a key head, the key head, its value head (internlm2, gpt_neox). */
    bool grouped;
    int64_t dim; /* of the model */
    int64_t heads;
    int64_t kv_heads;   /* divides heads */
    int64_t head_dim;   /* of a query and of a key */
    int64_t v_head_dim; /* of a value; below 1: head_dim (mimo_v2_flash) */
    bool bias;          /* q, k and v have one */
    bool o_bias;
    bool ternary;          /* q, k, v and o are tare_ternary() (bitnet) */
    double scale;          /* of scores; 0: 1 / sqrt(head_dim) */
    int64_t window;        /* a query sees this many keys, its own token's included; 0: all */
    double soft_cap;       /* scores become cap * tanh(score / cap); 0: not */
    const char *sink_name; /* (heads): a score that takes its share and has no value; NULL: none (gpt_oss) */
    /* Norms of queries and keys, each head by itself with q_norm and k_norm (head_dim), unless a kind says more. */
    enum {
        TARE_QK_NORM_NONE,
        TARE_QK_NORM_RMS,
        TARE_QK_NORM_RMS_ONE_PLUS, /* times 1 + weight */
        TARE_QK_NORM_RMS_BARE,     /* without weights */
        TARE_QK_NORM_RMS_WIDE,     /* of all heads together: (heads * head_dim) */
        TARE_QK_NORM_RMS_ROWS,     /* each head has weights of its own: (heads, head_dim), named without ".weight" */
        TARE_QK_NORM_LAYER_ROWS,   /* layer norms, each head with weights of its own: (heads, head_dim) */
        TARE_QK_NORM_LAYER_EACH    /* the same as parameters of their own: q_norm.norms.0.weight */
    } qk_norm;
    const char *q_norm_name; /* NULL: "q_norm" */
    const char *k_norm_name; /* NULL: "k_norm" */
    bool norm_last;          /* these norms follow the rotation */
    double eps;              /* of every norm of this block */
    /* A gate on what the heads give, sigmoid(..) or softplus(..), after the norms. */
    enum {
        TARE_GATE_NONE,
        TARE_GATE_HEADS,    /* a linear, gate_name, gives one number a head (laguna, spark2_5) */
        TARE_GATE_ELEMENTS, /* a linear, gate_name, gives one number an element (afmoe, laguna) */
        TARE_GATE_QUERY,    /* the second half of each head's rows of q_proj (qwen3_next) */
        TARE_GATE_FUSED     /* the rows of qkv_name that follow the values (muse_spark) */
    } gate;
    const char *gate_name; /* NULL: "g_proj" */
    bool gate_bias;
    bool gate_softplus;
    bool k_is_v;  /* there is no v_proj: values are the keys before norm and rotation (gemma4) */
    bool borrows; /* the layer has no keys and values and reads those of the layer layer->borrows before it */
    bool lends;   /* keys and values are kept as they were projected, too, for later layers that adopt them (hunyuan) */
    bool adopts;  /* keys and values begin as what the layer layer->borrows before it has lent (hunyuan) */
    struct tare_rope rope;
};
/* Declares the parameters below at.name, and makes layer->mixer this block unless it cannot be run. */
void tare_gqa(struct tare_layer *layer, struct tare_at at, const struct tare_gqa_desc *desc);
/* Fills in heads, kv_heads, head_dim, scale, window, soft_cap and rope of a block that tare_gqa() made. False when the
 * block is another one, or does more than these fields say. */
bool tare_gqa_describe(const struct tare_block *block, struct tare_gqa_desc *desc);

#endif
