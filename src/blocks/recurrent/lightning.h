/* SPDX-License-Identifier: MIT
 * lightning.h - linear attention whose heads forget at a constant rate (Qin et al. 2024: Lightning Attention-2).
 *
 *     q, k, v = query_key_value x;  q and k normed and rotated
 *     S[h] = e^(-rate[h]) S[h] + k v^T          o = S[h]^T q / sqrt(head)          S: (head, head)
 *     y = dense(norm(o) sigmoid(g_proj x))      norm: RMS over each of `groups` parts, weight (heads * head)
 *     rate[h] = strength * 2^(-8 (h + 1) / heads)      heads a power of two; else those of the power below, then every
 *                                                      other one of twice that power (ALiBi's slopes: Press et al.
 * 2022)
 */
#ifndef TARE_BLOCKS_RECURRENT_LIGHTNING_H
#define TARE_BLOCKS_RECURRENT_LIGHTNING_H

#include "blocks/decoder.h"
#include "blocks/rope.h"

struct tare_lightning_desc {
    const char *name; /* "attention" */
    int64_t dim, heads, head, groups;
    bool qkv_bias, bias; /* bias: of dense */
    bool qk_norm;        /* query_layernorm, key_layernorm of a head */
    double eps;
    double strength;
    struct tare_rope rope;
};
/* What cannot run, such as groups that do not divide, is declared without ops. */
void tare_lightning(struct tare_layer *layer, struct tare_at at, const struct tare_lightning_desc *desc);

#endif
