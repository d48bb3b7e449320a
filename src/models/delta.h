/* SPDX-License-Identifier: MIT
 * delta.h - token mixers that keep a state by the gated delta rule: queries, keys and values go through a short
 * convolution; each head has a decay and a learning rate. Declared only: no block runs them yet. */
#ifndef TARE_MODELS_DELTA_H
#define TARE_MODELS_DELTA_H

#include "names/rewrite.h"
#include "tree/tree.h"

/* Kimi's and OLMo's spelling: queries, keys and values each with a projection. */
struct tare_delta {
    int64_t dim, heads; /* heads of values */
    int64_t key, value; /* width of all keys together, and of all queries; of all values */
    int64_t head;       /* of one value: what is normed, and the rank of what is low-rank */
    int64_t kernel;     /* of the convolutions */
    double eps;
    enum {
        TARE_CONV_EACH,
        TARE_CONV_NESTED,
        TARE_CONV_FUSED
    } conv; /* q_conv1d; q_conv.conv; qkv_conv.conv, qkv_proj */
    /* The decay: a_proj, one a head; f_proj, one an element of a key; the same by f_a_proj and f_b_proj. */
    enum { TARE_DECAY_HEAD, TARE_DECAY_ELEMENT, TARE_DECAY_LOW_RANK } decay;
    bool gate_low_rank; /* of the output: g_a_proj and g_b_proj instead of g_proj */
    bool four_axes;     /* A_log is (1, 1, heads, 1) */
};
/* Below `at` ("model.layers.0.self_attn"). */
void tare_delta(struct tare_at at, const struct tare_delta *delta);

/* Qwen's spelling, below "linear_attn": one convolution for queries, keys and values; projections in two (in_proj_qkvz,
 * in_proj_ba; Qwen3-Next) or in four (in_proj_qkv, _z, _b, _a; Qwen3.5). */
struct tare_delta_qwen {
    int64_t dim, key_heads, value_heads, key_head, value_head, kernel;
    double eps;
    bool in_two;
};
void tare_delta_qwen(struct tare_at at, const struct tare_delta_qwen *delta);
/* Refuses what cannot be: heads that do not divide, widths beyond any model's. */
enum tare_code tare_delta_qwen_check(const struct tare_delta_qwen *delta, const char *place, struct tare_error *err);

/* Qwen's attention, its q_proj giving queries and their gates: {q, k, v, o}_proj, q_norm, k_norm of a head. head below
 * 1: dim / heads. */
void tare_gated_attention(struct tare_at at, int64_t dim, int64_t heads, int64_t kv_heads, int64_t head, bool bias,
                          double eps);

/* Qwen's published layout -> mlx's: convolutions turned, norms + 1. What mlx-lm wrote is known by its convolutions, and
 * stays. */
void tare_delta_qwen_rewrite(struct tare_weights *w);

#endif
