/* SPDX-License-Identifier: MIT
 * lfm2_family.c - what the layers of LFM2 have in common, with and without experts. */
#include "models/family/lfm2_family.h"

#include "blocks/recurrent/gated_conv.h"
#include "models/family/layer_kinds.h"

enum tare_code tare_lfm2_check(const json_t *full_attn_idxs, const json_t *layer_types, int64_t n,
                               const struct tare_derive *d)
{
    const enum tare_code code = tare_numbers_check(full_attn_idxs, "full_attn_idxs", d);
    return code ? code : tare_layer_types_check(layer_types, n, d->place, d->err);
}

static bool attends(const struct tare_lfm2_desc *d, int64_t i)
{
    if (d->full_attn_idxs)
        return tare_numbers_have(d->full_attn_idxs, i);
    return !d->layer_types || tare_word_is(d->layer_types, i, "full_attention");
}

static void attention(struct tare_layer *l, struct tare_at at, const struct tare_lfm2_desc *d)
{
    const int64_t head = tare_div(at, "hidden_size", d->dim, "num_attention_heads", d->heads);
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.o_name = "out_proj",
                                     .dim = d->dim,
                                     .heads = d->heads,
                                     .kv_heads = d->kv_heads,
                                     .head_dim = head,
                                     .qk_norm.kind = TARE_QK_NORM_RMS,
                                     .qk_norm.q_name = "q_layernorm",
                                     .qk_norm.k_name = "k_layernorm",
                                     .qk_norm.eps = d->eps,
                                     .rope = tare_rope_read(at, head, d->theta, d->rope_parameters, d->context)});
}

void tare_lfm2_layer(struct tare_layer *l, struct tare_at at, const struct tare_lfm2_desc *d, int64_t i)
{
    if (attends(d, i))
        attention(l, at, d);
    else
        tare_gated_conv(l, at, &(struct tare_gated_conv_desc){.dim = d->dim, .width = d->width, .bias = d->conv_bias});
    l->pre[0] = tare_rms_norm(at, "operator_norm", d->dim, d->eps);
    l->pre[1] = tare_rms_norm(at, "ffn_norm", d->dim, d->eps);
}

void tare_lfm2_sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_conv_channels_last(w, "model.layers.*.conv.conv.weight");
}
