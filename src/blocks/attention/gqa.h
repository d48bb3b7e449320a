/* SPDX-License-Identifier: MIT
 * gqa.h - grouped-query attention: several query heads share one head of keys and values (Ainslie et al. 2023). A model
 * fills in the description; a field left out is off, a name that is NULL takes the usual spelling.
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_H
#define TARE_BLOCKS_ATTENTION_GQA_H

#include "blocks/decoder.h"
#include "blocks/rope.h"

/* Of blocks of `size` keys a query sees the best `top`, the last `local` among them, by small heads of their own: the
 * best dot product of an index query, one for so many query heads together, with an index key of the block. */
struct tare_gqa_index_desc {
    int64_t heads, dim, size, top, local; /* heads below 1: no index */
    bool one_plus;                        /* its norms */
    struct tare_rope rope;
};

/* self_attn.{q,k,v,o}_proj, grouped-query attention. */
struct tare_gqa_desc {
    const char *name;                              /* "self_attn" */
    const char *q_name, *k_name, *v_name, *o_name; /* q_proj ... */
    const char *qkv_name; /* one fused projection, rows q then k then v (phi3: qkv_proj, gpt2: c_attn) */
    int64_t dim, heads, kv_heads, head_dim;
    bool bias, o_bias; /* of q, k, v; of o */
    bool ternary;      /* q, k, v, o are tare_ternary (bitnet) */
    double scale;      /* 0: 1 / sqrt(head_dim) */
    int64_t window;    /* keys seen: 0 all, else this many (itself included) */
    double soft_cap;   /* of scores */
    enum {
        TARE_QK_NORM_NONE,
        TARE_QK_NORM_RMS,
        TARE_QK_NORM_RMS_ONE_PLUS,
        TARE_QK_NORM_RMS_BARE,             /* without weights */
        TARE_QK_NORM_RMS_WIDE,             /* over all heads together: (heads * head_dim) */
        TARE_QK_NORM_RMS_ROWS,             /* per head, with weights of its own: (heads, head_dim), named alone */
        TARE_QK_NORM_LAYER_ROWS,           /* layer norms with weights of each head's own: (heads, head_dim) */
        TARE_QK_NORM_LAYER_EACH            /* the same in parameters of their own: q_norm.norms.0.weight */
    } qk_norm;                             /* per head: q_norm, k_norm (head_dim) */
    const char *q_norm_name, *k_norm_name; /* "q_norm", "k_norm" */
    bool norm_last;                        /* after the rotation */
    double eps;                            /* of qk_norm */
    bool grouped; /* rows of qkv_name: a key head's queries, the key head, its value head (internlm2, gpt_neox) */
    bool cycled;  /* query head h has key head h % kv_heads (plamo) */
    /* queries times 1 + beta * log(1 + floor((position + from) / length)) (ministral3; llama4: from 1) */
    double query_beta, query_length, query_from;
    int64_t chunk;         /* keys seen: those of its own chunk of so many positions; 0: by window (llama4) */
    int64_t v_head_dim;    /* of a value; below 1: head_dim (mimo_v2_flash) */
    double v_scale;        /* of values; 0: 1 */
    double clip;           /* q, k (wide norms come first) and v lie within -clip and clip; 0: not (dbrx) */
    const char *sink_name; /* (heads): a logit that takes its share and gives nothing; NULL: none (gpt_oss) */
    bool mixed_head_norm;  /* what each head gives is normed as RMS_BARE (muse_spark) */
    /* What the heads give, after norms, times a gate, sigmoid(..) or softplus(..): of gate_name, a linear, a number a
     * head or an element (afmoe, laguna, step3p5); of the second half of each head's rows in q_proj (qwen3_next); of
     * rows of qkv_name behind the values (muse_spark) */
    enum { TARE_GATE_NONE, TARE_GATE_HEADS, TARE_GATE_ELEMENTS, TARE_GATE_QUERY, TARE_GATE_FUSED } gate;
    const char *gate_name; /* "g_proj" */
    bool gate_bias, gate_softplus;
    bool v_norm;                      /* values as RMS_BARE (gemma4) */
    bool k_is_v;                      /* no v_proj: values are the keys before norm and rotation */
    bool borrows;                     /* no keys and values: those of the layer->borrows before, of the same shape */
    bool lends;                       /* keeps keys and values as they are projected, too, for those who adopt */
    bool adopts;                      /* its own begin as those of the layer->borrows before (hunyuan) */
    struct tare_gqa_index_desc index; /* block-sparse by an index (minimax_m3_vl); not with cycled, borrows */
    struct tare_rope rope;
};
void tare_gqa(struct tare_layer *layer, struct tare_at at, const struct tare_gqa_desc *desc);
/* heads, kv_heads, head_dim, scale, window, soft_cap and rope of a block that tare_gqa() made; false: another one. */
bool tare_gqa_describe(const struct tare_block *block, struct tare_gqa_desc *desc);
/* Make mixer, a tare_gqa, a copy that sees `window` keys of its own, and all of those of the layer->borrows before.
 * What either gives is mixed by a gate a head, sigmoid(weight . query + bias), declared at `at` (iquestloopcoder). */
void tare_gqa_mixing(struct tare_block *mixer, struct tare_at at, int64_t window);

#endif
