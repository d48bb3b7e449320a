/* SPDX-License-Identifier: MIT
 * blocks.h - the blocks a model file may use. Each call declares the block's parameters below `at` and attaches its
 * ops. A field left out is off. Names that are NULL take the usual spelling.
 */
#ifndef TARE_BLOCKS_BLOCKS_H
#define TARE_BLOCKS_BLOCKS_H

#include "blocks/attention/gqa.h"
#include "blocks/decoder.h"
#include "blocks/rope.h"
#include "config/args.h"

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
