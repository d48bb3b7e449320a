/* SPDX-License-Identifier: MIT
 * mixture_self.h - what the files of the routed experts share: mixture.c declares and routes, expert_waves.c computes
 * the experts, shared_expert.c the one that all tokens share.
 */
#ifndef TARE_BLOCKS_FEED_FORWARD_MIXTURE_SELF_H
#define TARE_BLOCKS_FEED_FORWARD_MIXTURE_SELF_H

#include "blocks/feed_forward/mixture_variant.h"
#include "blocks/pass.h"
#include "blocks/scratch.h"

enum { TARE_EXPERT_GATE, TARE_EXPERT_UP, TARE_EXPERT_DOWN, TARE_EXPERT_PARTS };

/* The shared expert. */
struct tare_shared {
    struct tare_linear
        part[TARE_EXPERT_PARTS]; /* the gate's rows may be followed by those of up, whose weight is NULL */
    struct tare_linear gate;     /* (1, dim); its weight is NULL: none */
    struct tare_linear mix;      /* (2, dim); its weight is NULL: none */
    int64_t hidden;              /* 0: no shared expert */
    struct tare_limit limit;
};

struct tare_mixture {
    struct tare_router router;
    struct tare_linear gate;                       /* its weight is NULL where `bare` takes its place */
    const struct tare_parameter *bare;             /* (n, dim) */
    const struct tare_parameter *correction;       /* (n); NULL: none */
    struct tare_linear stacked[TARE_EXPERT_PARTS]; /* all experts in one weight, (working, out, in) */
    struct tare_linear *each[TARE_EXPERT_PARTS];   /* (working) linears in their place; NULL: stacked */
    struct tare_shared shared;
    struct tare_linear narrow, widen;  /* of the latent width; their weights are NULL: none */
    struct tare_norm narrow_norm;      /* of the sum of the experts */
    struct tare_norm down_norm;        /* of what `narrow` gives */
    struct tare_norm each_norm;        /* of what each expert gives */
    struct tare_norm gate_norm;        /* of x for the gate; kind NONE: both take x itself */
    struct tare_norm experts_norm;     /* of x for the experts */
    const struct tare_parameter *gain; /* (n), of the weights; NULL: none */
    float logit_scale;
    bool ungated;
    bool weigh_input;
    int64_t dim, hidden;
    int64_t working; /* experts with weights: those from here on are idle */
    int64_t width;   /* of what goes into the experts and comes out */
    enum tare_activation activation;
    struct tare_limit limit;
};

/*
 * The work memory of a pass. Tokens are grouped by expert, so that each expert's weights are read once a pass. A "slot"
 * is one token at one of its experts; slots are sorted by expert, and a wave of them goes through the three projections
 * at once.
 */
struct tare_mixture_job {
    const struct tare_mixture *b;
    const struct tare_pass *pass;
    const float *x;                /* (tokens, dim) */
    float *y;                      /* (tokens, dim) */
    const float *in;               /* (tokens, width): what the experts take, x itself or a work memory below */
    float *sum;                    /* (tokens, width): the sum of what they give, y itself or a work memory below */
    struct tare_product *products; /* (2 n): of a wave */
    float *logits;                 /* (tokens, n) */
    float *choice;                 /* (tokens, n + groups) */
    float *weight;                 /* (tokens, top) */
    int32_t *chosen;               /* (tokens, top): experts */
    int32_t *slot;                 /* (tokens, top): the slot of that pair of token and expert */
    int32_t *pair;                 /* (tokens * top): the pair in a slot */
    int32_t *begin;                /* (n + 1): the first slot of each expert */
    float *units;                  /* (wave, 2, hidden) */
    float *rows;                   /* (wave, width): what goes into the experts, then what comes out */
    float *shared;                 /* (tokens, 2, shared hidden) */
    float *shared_y;               /* (tokens, dim) */
    float *coefficient;            /* (tokens, 2): logits that weigh the shared expert */
    float *narrow;                 /* (tokens, 2, width) */
    float *normed;                 /* (tokens, dim): the experts' own norm of x */
    int64_t first, last;           /* slots of the wave */
};

/* The most slots of a wave of a pass. All slots of one expert are in one wave. */
int64_t tare_experts_wave(const struct tare_mixture *b, int64_t tokens);
/* The experts of the chosen pairs: job->sum = sum over the token's experts of weight * expert(in). */
void tare_experts_run(struct tare_mixture_job *job);
/* The act of one row of gate and up, (2, hidden), into its first half. */
void tare_experts_activate(const struct tare_mixture_job *job, const struct tare_limit *limit, float *row,
                           int64_t hidden);

void tare_shared_declare(struct tare_mixture *b, struct tare_at at, const struct tare_routed_desc *desc);
void tare_shared_run(const struct tare_mixture_job *job); /* y += shared(x), by its weight */

#endif
