/* SPDX-License-Identifier: MIT
 * mixture.h - routed experts: a router chooses a few feed-forward networks for each token.
 */
#ifndef TARE_BLOCKS_FEED_FORWARD_MIXTURE_H
#define TARE_BLOCKS_FEED_FORWARD_MIXTURE_H

#include "blocks/decoder.h"
#include "blocks/feed_forward/activation.h"
#include "blocks/feed_forward/router.h"

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

#endif
