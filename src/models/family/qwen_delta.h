/* SPDX-License-Identifier: MIT
 * qwen_delta.h - the layers of Qwen3-Next and Qwen3.5: the gated delta rule (blocks/recurrent/delta_rule.h), and gated
 * attention between them. */
#ifndef TARE_MODELS_FAMILY_QWEN_DELTA_H
#define TARE_MODELS_FAMILY_QWEN_DELTA_H

#include "blocks/recurrent/delta_rule.h"
#include "models/blocks.h"
#include "names/rewrite.h"

/* The sizes of a struct tare_delta_desc, from args of the usual names. */
#define TARE_DELTA_QWEN(a)                                                                                             \
    .dim = (a)->hidden_size, .key_heads = (a)->linear_num_key_heads, .value_heads = (a)->linear_num_value_heads,       \
    .key_head = (a)->linear_key_head_dim, .value_head = (a)->linear_value_head_dim,                                    \
    .kernel = (a)->linear_conv_kernel_dim

/* Refuses value heads that are no multiple of the key heads, and widths far beyond those of any model. */
enum tare_code tare_delta_qwen_check(const struct tare_delta_desc *delta, const char *place, struct tare_error *err);

/* Declares Qwen's gated attention, "self_attn": {q, k, v, o}_proj, where q_proj gives queries and their gates, and
 * q_norm and k_norm over each head. */
struct tare_gated_attention {
    int64_t dim, heads, kv_heads;
    int64_t head; /* below 1: dim / heads */
    bool bias;
    double eps;
    double theta, rotated; /* rotated: the share of a head */
    const json_t *scaling;
    int64_t context;
};
/* The sizes, from args of the usual names. */
#define TARE_GATED_ATTENTION(a)                                                                                        \
    .dim = (a)->hidden_size, .heads = (a)->num_attention_heads, .kv_heads = (a)->num_key_value_heads,                  \
    .head = (a)->head_dim, .bias = (a)->attention_bias, .eps = (a)->rms_norm_eps,                                      \
    .context = (a)->max_position_embeddings
void tare_gated_attention(struct tare_layer *l, struct tare_at at, const struct tare_gated_attention *attention);

/* Turns Qwen's published layout into mlx's: channels of convolutions come last, and norms get 1 added. A checkpoint
 * that mlx-lm wrote is recognized by its convolutions, and keeps its norms. */
void tare_delta_qwen_rewrite(struct tare_weights *w);

#endif
