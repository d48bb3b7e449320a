/* SPDX-License-Identifier: MIT
 * blocks.h - the blocks a model file may use. Each call declares the block's parameters below `at` and attaches its
 * ops. A field left out is off. Names that are NULL take the usual spelling.
 */
#ifndef TARE_BLOCKS_BLOCKS_H
#define TARE_BLOCKS_BLOCKS_H

#include "blocks/decoder.h"
#include "config/args.h"

enum tare_rope_kind {
    TARE_ROPE_NONE,
    TARE_ROPE_DEFAULT,
    TARE_ROPE_LINEAR,
    TARE_ROPE_LLAMA3,
    TARE_ROPE_YARN,
    TARE_ROPE_LONGROPE,
    TARE_ROPE_DYNAMIC,
    TARE_ROPE_PROPORTIONAL
};
struct tare_rope {
    enum tare_rope_kind kind;
    int64_t dims;                             /* rotated dimensions of a head */
    bool interleaved;                         /* "traditional": pairs (0,1), (2,3); else halves */
    double base, factor;                      /* factor: linear and the scaled kinds */
    double low_freq_factor, high_freq_factor; /* llama3 */
    double original_context, context;         /* llama3, yarn, longrope, dynamic */
    double beta_fast, beta_slow, mscale, mscale_all_dim, attention_factor; /* yarn */
    bool truncate;                                                         /* yarn: the ramp's bounds rounded */
    const json_t *short_factor, *long_factor;                              /* longrope: arrays of dims / 2 numbers */
    double short_mscale, long_mscale;                                      /* longrope: 0, not given */
    double proportion; /* proportional: the share of dims that rotates */
    bool backwards;    /* angles are negative */
};
/*
 * rope_theta and rope_scaling in both spellings (transformers 4: rope_theta, rope_scaling; 5: rope_parameters) -> rope.
 * An unknown rope_type is refused by name through the tree's error. scaling is rope_scaling or rope_parameters and may
 * be NULL, context is max_position_embeddings.
 */
struct tare_rope tare_rope_read(struct tare_at at, int64_t dims, double theta, const json_t *scaling, int64_t context);

/*
 * Fill freq (dims / 2) with the angle a position of each pair, and return the factor on cosine and sine. `total` is the
 * length of the text so far: longrope chooses its factors by it, dynamic its base.
 */
float tare_rope_frequencies(const struct tare_rope *rope, int64_t total, float *freq);
/* Rotate one head (at least dims floats) in place. table: cos (dims / 2), then sin (dims / 2) of the position. */
void tare_rope_table(const struct tare_rope *rope, const float *freq, float factor, int64_t position, float *table);
void tare_rope_rotate(const struct tare_rope *rope, const float *table, float *head);

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
    bool bias, o_bias;      /* of q, k, v; of o */
    bool ternary;           /* q, k, v, o are tare_ternary (bitnet) */
    const char *mixed_norm; /* an RMS norm of what goes into o; NULL: none */
    double scale;           /* 0: 1 / sqrt(head_dim) */
    int64_t window;         /* keys seen: 0 all, else this many (itself included) */
    double soft_cap;        /* of scores */
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
    bool v_norm;  /* values as RMS_BARE (gemma4) */
    bool k_is_v;  /* no v_proj: values are the keys before norm and rotation */
    bool borrows; /* no keys and values: those of the layer->borrows before, of the same shape */
    bool lends;   /* keeps keys and values as they are projected, too, for those who adopt */
    bool adopts;  /* its own begin as those of the layer->borrows before (hunyuan) */
    bool
        convolved; /* keys and values: conv[h][0] times the token before plus conv[h][1] times this one (baichuan_m1) */
    const char *rounded[2]; /* numbers: keys and values are rounded to 8 bits, multiples of them; NULL: not (afm7) */
    int64_t block, near, stride;      /* block-sparse (phi3small): of blocks of so many keys, query head h sees the last
                                         `near` and every stride-th, those b with (b + h + 1) % stride == 0; block 0: all */
    struct tare_gqa_index_desc index; /* block-sparse by an index (minimax_m3_vl); not with block, cycled, borrows */
    const char *gain_name;            /* queries times a number a head: (heads); NULL: not (talkie) */
    struct tare_rope rope;
};
void tare_gqa(struct tare_layer *layer, struct tare_at at, const struct tare_gqa_desc *desc);
/* heads, kv_heads, head_dim, scale, window, soft_cap and rope of a block that tare_gqa() made; false: another one. */
bool tare_gqa_describe(const struct tare_block *block, struct tare_gqa_desc *desc);
/* Make mixer, a tare_gqa, a copy that sees `window` keys of its own, and all of those of the layer->borrows before.
 * What either gives is mixed by a gate a head, sigmoid(weight . query + bias), declared at `at` (iquestloopcoder). */
void tare_gqa_mixing(struct tare_block *mixer, struct tare_at at, int64_t window);

enum tare_activation { TARE_SILU, TARE_GELU, TARE_GELU_TANH, TARE_RELU, TARE_RELU2, TARE_XIELU /* tare_mlp's only */ };
/* "silu", "gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "relu", "relu2", "swish"; another is refused by tree
 * error. */
enum tare_activation tare_activation_read(struct tare_at at, const char *name, enum tare_activation fallback);

/*
 * A gated unit whose parts are kept within limits, m the most:
 *   BEFORE   g = min(gate, m), u = clamp(up, -m, m): g / (1 + e^(-alpha g)) * (u + 1) (gpt_oss)
 *            whatever the activation
 *
 *   INPUT    act(min(gate, m)) * clamp(up, -m, m) (deepseek_v41)
 *
 *   AFTER    min(act(gate), m) * clamp(up, -m, m)
 *
 *   SITU     m tanh(gate / m) / (1 + e^-gate) * u, whatever the activation; u = l tanh(up / l), or up where l is 0
 *            (kimi_k3)
 */
struct tare_limit {
    enum { TARE_LIMIT_NONE, TARE_LIMIT_BEFORE, TARE_LIMIT_INPUT, TARE_LIMIT_AFTER, TARE_LIMIT_SITU } kind;
    double most;
    double alpha;  /* BEFORE: 0 is 1.702 */
    double linear; /* SITU: l */
};

/* down(act(gate x) * up x) */
struct tare_glu_desc {
    const char *name;                            /* "mlp" */
    const char *gate_name, *up_name, *down_name; /* gate_proj up_proj down_proj */
    const char *gate_up_name;                    /* one fused projection: rows gate then up (phi3) */
    bool up_first;                               /* rows of gate_up_name the other way round (olmo) */
    int64_t dim, hidden;
    bool bias;
    enum tare_activation activation;
    struct tare_limit limit;
    bool ternary;            /* all three are tare_ternary (bitnet) */
    const char *hidden_norm; /* an RMS norm of what goes into down; NULL: none */
    double eps;              /* of hidden_norm */
    double sparsity;         /* about this share of the gates is cut off before the activation (gemma3n); 0: none */
    double gegelu_limit;     /* rows of gate_up_name take turns, and both are clamped: gegelu (phi3small); 0: not */
};
void tare_glu(struct tare_layer *layer, struct tare_at at, const struct tare_glu_desc *desc);

/* How experts are chosen for a token from the logits of a gate, and weighed. */
struct tare_router {
    int64_t n, top; /* experts; how many a token takes */
    enum {
        TARE_SCORE_SOFTMAX,       /* over all; normalized, it is that over the chosen ones */
        TARE_SCORE_SIGMOID,       /* of each */
        TARE_SCORE_SQRT_SOFTPLUS, /* sqrt(log(1 + e^x)) of each */
        TARE_SCORE_SPARSE_MIXER   /* one by one, each weighed against those within the jitter (Liu et al. 2023) */
    } score;
    bool normalize;             /* the weights of the chosen ones by their sum ... */
    double floor;               /* ... and this number, so that it is not 0; 0: 1e-20 */
    double scale;               /* of the weights; 0: 1 */
    double factor;              /* of the logits, first of all; 0: 1 */
    double soft_cap;            /* of the logits; 0: none */
    double jitter;              /* of the sparse mixer */
    int64_t groups, top_groups; /* only experts of the best groups are chosen; groups below 2: all */
    bool group_by_best;         /* a group is as good as its best expert; else as its best two together */
};
/*
 * Choose for one token. logits (n) are used up; choice: n + groups floats of work; chosen, weight: (top), the best
 * first. correction is added to the scores for choosing, not for weighing; NULL: none.
 */
void tare_router_choose(const struct tare_router *router, const float *correction, float *logits, float *choice,
                        int32_t *chosen, float *weight);
bool tare_router_fits(const struct tare_router *router); /* top and groups are possible */

/*
 * Routed experts, each down(act(gate x) * up x), and often one that all tokens share:
 *     y = sum_k weight[k] expert[chosen[k]](x) + shared(x)
 */
struct tare_latent { /* experts at a width of their own: up(norm(sum of experts(down x))); width below 1: not so */
    int64_t width;
    const char *down, *up; /* linears (width, dim), (dim, width) */
    bool bias;             /* of both */
    const char *norm;      /* an RMS norm; NULL: none */
    const char *down_norm; /* one of what `down` gives; NULL: none */
    double eps;            /* of both */
    const char *each_norm; /* one of what each expert gives, below the experts, RMS_BEFORE; NULL: none (muse_spark) */
    double each_eps;
};
struct tare_apart {      /* gate and experts norm the block's x each for itself (gemma4); gate NULL: they do not */
    const char *gate;    /* a plain parameter (dim): the weight of the gate's RMS norm */
    const char *experts; /* an RMS norm of what the experts take; not with a shared expert or a latent width */
    const char *gain;    /* a plain parameter (n): the weight of a chosen expert is multiplied by its own number */
    double logit_scale;
    double eps;
};
struct tare_routed_desc {
    const char *name; /* "mlp" */
    struct tare_router router;
    int64_t dim, hidden;    /* the latter: width of one expert */
    const char *gate;       /* "gate": (n, dim) */
    bool gate_bias;         /* the gate is a linear with a bias */
    bool gate_bare;         /* no linear but a parameter of its own: never packed */
    const char *correction; /* of the scores by which experts are chosen: "gate.e_score_correction_bias"; NULL: none */
    bool correction_optional; /* it is tare_optional() */
    const char *experts;      /* "switch_mlp" */
    int64_t idle;             /* the last so many of router.n are none: they give back what they get (longcat) */
    const char *parts[3];     /* gate_proj, up_proj, down_proj */
    bool ungated;             /* each is down(act(up x)), the shared one too: no gate_proj (nemotron_h) */
    struct tare_latent latent;
    struct tare_apart apart;
    bool one_by_one;                          /* experts.0.gate_proj ... instead of experts.gate_proj, stacked */
    bool bias;                                /* of the experts */
    bool weigh_input;                         /* expert(weight x) instead of weight expert(x) */
    const char *shared;                       /* "shared_experts" */
    const char *shared_gate_up, *shared_down; /* its parts, with one projection: rows gate then up (granitemoehybrid);
                                                 NULL: gate_proj, up_proj, down_proj */
    int64_t shared_hidden;                    /* below 1: no shared expert */
    bool shared_bias;
    const char *shared_gate; /* a linear (1, dim): the shared expert times its sigmoid; NULL: none */
    const char *mix;         /* a linear (2, dim) with a bias: experts and shared one times its softmax; NULL: none */
    enum tare_activation activation;
    struct tare_limit limit, shared_limit;
};
/* What no model can run (no experts, more chosen than there are) is refused by tree error or declared only. */
void tare_routed(struct tare_layer *layer, struct tare_at at, const struct tare_routed_desc *desc);

/*
 * Inputs of a layer's own (gemma4). Of each token: inputs[i] = (norm(projection(x) / sqrt(dim))[i] + embedding[id][i] *
 * sqrt(width)) / sqrt(2), for each layer i; after the feed-forward block x += norm(projection(gelu(gate x) *
 * inputs[i])).
 */
struct tare_per_layer_desc {
    int64_t dim, width, layers, vocabulary;
    double eps;
};
void tare_per_layer_inputs(struct tare_decoder *decoder, struct tare_at model, const struct tare_per_layer_desc *desc);
void tare_per_layer(struct tare_layer *layer, struct tare_at at, int64_t i, const struct tare_per_layer_desc *desc);

/* Griffin's recurrent block: out(gelu(y x) * rg_lru(conv(x x))), with gates of heads (recurrent_gemma). */
struct tare_rg_lru_desc {
    const char *name;
    int64_t dim, heads, width; /* width: of the convolution */
};
void tare_rg_lru(struct tare_layer *layer, struct tare_at at, const struct tare_rg_lru_desc *desc);

/* In place of a block: a linear, or nothing at all (nemotron-nas). */
void tare_projection(struct tare_block *block, struct tare_at at, const char *name, int64_t dim, bool bias);
void tare_nothing(struct tare_block *block, struct tare_at at, int64_t dim);

/* second(act(first x)) */
struct tare_mlp_desc {
    const char *name, *first_name, *second_name; /* "mlp", "c_fc", "c_proj" */
    int64_t dim, hidden;
    bool bias;
    enum tare_activation activation;
};
void tare_mlp(struct tare_layer *layer, struct tare_at at, const struct tare_mlp_desc *desc);

#endif
