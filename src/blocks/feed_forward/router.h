/* SPDX-License-Identifier: MIT
 * router.h - how experts are chosen for a token from the logits of a gate, and how they are weighed.
 */
#ifndef TARE_BLOCKS_FEED_FORWARD_ROUTER_H
#define TARE_BLOCKS_FEED_FORWARD_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

struct tare_router {
    int64_t n;   /* experts */
    int64_t top; /* experts that a token takes */
    enum {
        TARE_SCORE_SOFTMAX,       /* over all experts; with `normalize` it is the softmax over the chosen ones */
        TARE_SCORE_SIGMOID,       /* of each logit by itself */
        TARE_SCORE_SQRT_SOFTPLUS, /* sqrt(log(1 + e^x)) of each logit x */
        TARE_SCORE_SPARSE_MIXER   /* chosen one by one, each weighed against those within the jitter (phimoe) */
    } score;
    bool normalize;     /* divides the weights of the chosen experts by their sum plus `floor` */
    double floor;       /* keeps that sum from being 0; 0 stands for 1e-20 */
    double scale;       /* multiplies the weights; 0 stands for 1 */
    double factor;      /* multiplies the logits before anything else; 0 stands for 1 */
    double soft_cap;    /* c makes logits c tanh(logit / c); 0: none */
    double jitter;      /* of the sparse mixer */
    int64_t groups;     /* experts fall into that many groups of equal size; below 2: no groups */
    int64_t top_groups; /* only experts of that many groups, the best ones, may be chosen */
    bool group_by_best; /* a group counts by its best expert; otherwise by the sum of its best two */
};

/*
 * Chooses the experts of one token.
 *
 *   correction   (n), added to the scores for choosing but not for weighing; NULL: none
 *   logits       (n), used up
 *   choice       n + groups floats of work memory
 *   chosen       (top), receives the experts, the best first
 *   weight       (top), receives their weights
 */
void tare_router_choose(const struct tare_router *router, const float *correction, float *logits, float *choice,
                        int32_t *chosen, float *weight);
bool tare_router_fits(const struct tare_router *router); /* whether top and groups are possible */

#endif
