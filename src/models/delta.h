/* SPDX-License-Identifier: MIT
 * delta.h - what Qwen3-Next and Qwen3.5 say of their layers of gated delta rule (run/delta.h) and of attention between
 * them. */
#ifndef TARE_MODELS_DELTA_H
#define TARE_MODELS_DELTA_H

#include "names/rewrite.h"
#include "run/delta.h"

/* The sizes of a desc, from args of the usual names. */
#define TARE_DELTA_QWEN(a)                                                                                             \
    .dim = (a)->hidden_size, .key_heads = (a)->linear_num_key_heads, .value_heads = (a)->linear_num_value_heads,       \
    .key_head = (a)->linear_key_head_dim, .value_head = (a)->linear_value_head_dim,                                    \
    .kernel = (a)->linear_conv_kernel_dim

/* Refuses what cannot be: heads that do not divide, widths beyond any model's. */
enum tare_code tare_delta_qwen_check(const struct tare_delta_desc *delta, const char *place, struct tare_error *err);

/* Qwen's attention, its q_proj giving queries and their gates: {q, k, v, o}_proj, q_norm, k_norm of a head. head below
 * 1: dim / heads. */
void tare_gated_attention(struct tare_at at, int64_t dim, int64_t heads, int64_t kv_heads, int64_t head, bool bias,
                          double eps);

/* Qwen's published layout -> mlx's: convolutions turned, norms + 1. What mlx-lm wrote is known by its convolutions, and
 * stays. */
void tare_delta_qwen_rewrite(struct tare_weights *w);

#endif
