/* SPDX-License-Identifier: MIT
 * mixture.h - routed experts: a router chooses a few feed-forward networks for each token, and often one more network,
 * the shared expert, sees every token:
 *
 *     y = sum_k weight[k] expert[chosen[k]](x) + shared(x),    expert(x) = down(act(gate x) * up x)
 */
#ifndef TARE_BLOCKS_FEED_FORWARD_MIXTURE_H
#define TARE_BLOCKS_FEED_FORWARD_MIXTURE_H

#include "blocks/activation.h"
#include "blocks/decoder.h"
#include "blocks/feed_forward/router.h"

struct tare_mixture_variant; /* blocks/feed_forward/mixture_variant.h */

struct tare_shared_desc {
    const char *name; /* "shared_experts" */
    int64_t hidden;   /* below 1: there is no shared expert */
    bool bias;
    const char *gate; /* a linear (1, dim): the shared expert is multiplied by its sigmoid; NULL: none */
    struct tare_limit limit;
};

struct tare_routed_desc {
    const char *name; /* "mlp" */
    struct tare_router router;
    int64_t dim;
    int64_t hidden;   /* width of one expert */
    const char *gate; /* "gate": (n, dim), gives the logits of the router */
    enum {
        TARE_ROUTER_LINEAR,
        TARE_ROUTER_LINEAR_BIAS,
        TARE_ROUTER_PARAMETER /* a parameter that is no linear, and so is never packed */
    } gate_kind;
    const char *correction; /* (n), added to the scores by which experts are chosen; NULL: none */
    const char *experts;    /* "switch_mlp" */
    bool bias;              /* of the experts */
    struct tare_shared_desc shared;
    enum tare_activation activation;            /* of experts and shared expert */
    struct tare_limit limit;                    /* of the experts */
    const struct tare_mixture_variant *variant; /* what one or two models do differently; NULL for all others */
};
/* What no model can run (no experts, more chosen than there are) sets the error of the tree or is declared only. */
void tare_routed(struct tare_layer *layer, struct tare_at at, const struct tare_routed_desc *desc);

#endif
