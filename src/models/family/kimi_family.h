/* SPDX-License-Identifier: MIT
 * kimi_family.h - what Kimi Linear and Kimi K3 share: which layers have delta attention, which have experts, and names.
 */
#ifndef TARE_MODELS_FAMILY_KIMI_FAMILY_H
#define TARE_MODELS_FAMILY_KIMI_FAMILY_H

#include "blocks/recurrent/delta_rule.h"
#include "models/model.h"

/* Fails with TARE_E_CONFIG unless linear_attn_config has num_heads, head_dim and kda_layers, a list of the layers with
 * delta attention, which are counted from 1. */
enum tare_code tare_kimi_check(const json_t *linear_attn_config, int64_t moe_layer_freq, const char *place,
                               struct tare_error *err);

/* Fills in heads, widths and kernel of delta attention. Returns false when layer i has another kind of attention. */
bool tare_kimi_delta(struct tare_delta_desc *delta, const json_t *linear_attn_config, int64_t layer);

struct tare_kimi {
    int64_t dim, hidden;       /* hidden: of a feed-forward block without experts */
    struct tare_router router; /* n below 1: no experts */
    int64_t expert_hidden;
    int64_t first_dense, every; /* layers from first_dense on whose number `every` divides have experts */
    int64_t shared;             /* number of shared experts; below 1: none */
    int64_t latent;             /* the width at which experts work; below 1: dim */
    bool latent_norm;
    struct tare_limit limit; /* of all feed-forward blocks */
    double eps;
};
/* Declares the norms and the feed-forward block of layer i. */
void tare_kimi_layer(struct tare_layer *l, struct tare_at at, const struct tare_kimi *kimi, int64_t i);

/* Renames block_sparse_moe to mlp and the biases of routers, stacks experts, turns convolutions to channels last, and
 * gives dt_bias one axis. */
void tare_kimi_rewrite(struct tare_weights *w, int64_t n_experts);

#endif
