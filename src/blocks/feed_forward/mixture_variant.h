/* SPDX-License-Identifier: MIT
 * mixture_variant.h - what one or two models do differently with routed experts. Readers of other models need none of
 * it: a field that is left out is off.
 */
#ifndef TARE_BLOCKS_FEED_FORWARD_MIXTURE_VARIANT_H
#define TARE_BLOCKS_FEED_FORWARD_MIXTURE_VARIANT_H

#include "blocks/feed_forward/mixture.h"

/* Experts at a width of their own: y = up(norm(sum of experts(down_norm(down x)))) (kimi_k3, nemotron_h, muse_spark).
 */
struct tare_latent {
    int64_t width;         /* below 1: experts work at the width of the model */
    const char *down;      /* a linear (width, dim) */
    const char *up;        /* a linear (dim, width) */
    bool bias;             /* of both */
    const char *norm;      /* an RMS norm of the sum; NULL: none */
    const char *down_norm; /* an RMS norm of what `down` gives; NULL: none */
    double eps;            /* of both norms */
    const char *each_norm; /* an RMS_BEFORE norm, declared below the experts, of what each expert gives; NULL: none */
    double each_eps;
};

/* The router and the experts each have a norm of the residual stream of their own (gemma4). */
struct tare_apart {
    const char *gate;    /* a parameter (dim), the weight of the router's RMS norm; NULL: x goes to both */
    const char *experts; /* an RMS norm of what the experts take */
    const char *gain;    /* a parameter (n): the weight of a chosen expert is multiplied by its number */
    double logit_scale;  /* 0 stands for 1 */
    double eps;
};

struct tare_mixture_variant {
    const char *parts[3];     /* "gate_proj", "up_proj", "down_proj" (dbrx, phixtral, nemotron_h) */
    bool ungated;             /* each expert, the shared one too, is down(act(up x)) (phixtral, nemotron_h) */
    bool one_by_one;          /* experts are parameters of their own, experts.0.gate_proj .., not stacked (dbrx) */
    bool correction_optional; /* files may lack the correction (ernie4_5_moe) */
    bool weigh_input;         /* expert(weight x) takes the place of weight expert(x) (llama4) */
    int64_t idle;             /* the last of the router's experts that give back what they get (longcat) */
    struct tare_latent latent;
    struct tare_apart apart;    /* a shared expert takes x itself */
    const char *shared_gate_up; /* the shared expert's rows of gate, then of up, in one linear (granitemoehybrid) */
    const char *shared_down;    /* and its other linear; NULL: down_proj */
    const char *mix; /* a linear (2, dim) with a bias, whose softmax weighs experts and shared expert (Klear) */
};

#endif
