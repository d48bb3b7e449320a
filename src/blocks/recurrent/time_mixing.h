/* SPDX-License-Identifier: MIT
 * time_mixing.h - RWKV-7's two blocks (Peng et al. 2025): time mixing, a delta rule whose keys to forget and to write
 * differ, and channel mixing. u_c is x mixed with the token before by x_c, see token_shift.h.
 *
 *     r = r_proj u_r;  k = k_proj u_k;  v = v_proj u_v;  a = sigmoid(a_lora u_a);  g = g_lora u_g
 *     w = exp(-e^(-1/2) sigmoid(w_lora u_w));  v += sigmoid(v_lora u_v) (v of the first layer - v), but in the first
 *     p = k k_k / |k k_k|, a head's;  k = k (1 + (a - 1) k_a)
 *     S = w S + k v^T - (p a) (S^T p)^T;  o = norm(S^T r) + (sum r k r_k) v          S: (head, head), a head's
 *     y = o_proj(o g)
 *
 *     y = value(relu(key u_k)^2)
 */
#ifndef TARE_BLOCKS_RECURRENT_TIME_MIXING_H
#define TARE_BLOCKS_RECURRENT_TIME_MIXING_H

#include "blocks/decoder.h"

struct tare_time_mixing_desc {
    const char *name; /* "attn" */
    int64_t dim, head;
    int64_t decay_rank, value_rank, rate_rank, gate_rank; /* of w_lora, v_lora, a_lora, g_lora */
    bool first; /* the first layer leaves its values in TARE_SLICE_VALUES, which must be dim wide, for the others */
};
void tare_time_mixing(struct tare_layer *layer, struct tare_at at, const struct tare_time_mixing_desc *desc);

struct tare_channel_mixing_desc {
    const char *name; /* "ffn" */
    int64_t dim, hidden;
};
void tare_channel_mixing(struct tare_layer *layer, struct tare_at at, const struct tare_channel_mixing_desc *desc);

#endif
