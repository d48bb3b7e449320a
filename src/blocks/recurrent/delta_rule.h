/* SPDX-License-Identifier: MIT
 * delta_rule.h - token mixers that keep a state by the gated delta rule (Yang et al. 2024; with a decay an element,
 * Kimi Team 2025): queries, keys and values go through a short convolution; each head has a decay and a learning rate.
 *
 *     q, k, v = silu(conv(projections of x));  q = q / |q| / sqrt(key_head);  k = k / |k|
 *     S = g S;  S = S + k (rate (v - S^T k))^T;  o = S^T q             S: (key_head, value_head), a head's
 *     y = out(norm(o) gate(z))                                          norm: of a head
 *     rate = sigmoid(b), twice that when `negative`
 *     g = exp(-exp(A_log) softplus(a + dt_bias)), or with `least` exp(least sigmoid(exp(A_log) (a + dt_bias)))
 *
 * Value head h has key head h / (value_heads / key_heads).
 */
#ifndef TARE_BLOCKS_RECURRENT_DELTA_RULE_H
#define TARE_BLOCKS_RECURRENT_DELTA_RULE_H

#include "blocks/decoder.h"

struct tare_delta_desc {
    const char *name; /* "linear_attn" */
    int64_t dim, key_heads, value_heads, key_head, value_head;
    int64_t kernel; /* of the convolutions */
    double eps;     /* of the norm */
    enum {
        TARE_DELTA_EACH,    /* q_proj, q_conv1d and so on: Kimi's and OLMo's spelling */
        TARE_DELTA_NESTED,  /* the same with q_conv.conv */
        TARE_DELTA_FUSED,   /* qkv_proj, qkv_conv.conv */
        TARE_DELTA_IN_TWO,  /* Qwen3-Next's: in_proj_qkvz, a key head's queries, keys, values and gates together,
                               in_proj_ba likewise, conv1d, norm, out_proj */
        TARE_DELTA_IN_FOUR, /* Qwen3.5's: in_proj_qkv, _z, _b, _a */
    } spelling;
    /* a: a_proj, one a head; f_proj, one an element of a key; the same by f_a_proj and f_b_proj, of rank value_head. */
    enum { TARE_DECAY_HEAD, TARE_DECAY_ELEMENT, TARE_DECAY_LOW_RANK } decay;
    double least;       /* the least logarithm of g; 0: the first formula */
    bool gate_low_rank; /* z: g_a_proj and g_b_proj, of rank value_head, instead of g_proj */
    bool gate_sigmoid;  /* gate: else silu */
    bool negative;
    bool four_axes; /* A_log is (1, 1, heads, 1) */
};
/* What cannot run, such as heads that do not divide, is declared without ops. */
void tare_delta(struct tare_layer *layer, struct tare_at at, const struct tare_delta_desc *desc);

#endif
