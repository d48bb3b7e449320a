/* SPDX-License-Identifier: MIT
 * qwen_delta.c - what Qwen3-Next and Qwen3.5 share around the gated delta rule. */
#include "models/family/qwen_delta.h"

enum tare_code tare_delta_qwen_check(const struct tare_delta_desc *d, const char *place, struct tare_error *err)
{
    const int64_t most = (int64_t)1 << 40; /* so that sums and small multiples of widths fit int64_t */
    if (d->key_heads < 1 || d->value_heads % d->key_heads)
        return tare_fail(err, TARE_E_CONFIG, place,
                         "linear_num_value_heads %lld is not a multiple of linear_num_key_heads %lld",
                         (long long)d->value_heads, (long long)d->key_heads);
    if (d->key_heads * d->key_head > most || d->value_heads * d->value_head > most)
        return tare_fail(err, TARE_E_CONFIG, place,
                         "linear_key_head_dim or linear_value_head_dim is out of all proportion");
    return TARE_OK;
}

void tare_gated_attention(struct tare_layer *l, struct tare_at at, const struct tare_gated_attention *a)
{
    const int64_t head = a->head > 0 ? a->head : tare_div(at, "hidden_size", a->dim, "num_attention_heads", a->heads);
    const double rotated = (double)head * a->rotated;
    const int64_t dims = rotated >= 0 && rotated <= (double)head ? (int64_t)rotated : -1; /* -1: cannot run */
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.dim = a->dim,
                                     .heads = a->heads,
                                     .kv_heads = a->kv_heads,
                                     .head_dim = head,
                                     .bias = a->bias,
                                     .o_bias = a->bias,
                                     .qk_norm.kind = TARE_QK_NORM_RMS,
                                     .qk_norm.eps = a->eps,
                                     .gate.kind = TARE_GATE_QUERY,
                                     .rope = tare_rope_read(at, dims, a->theta, a->scaling, a->context)});
}

/* Tells whether a convolution still has its published layout (channels, 1, width). */
static bool published(const struct tare_weights *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct tare_entry *e = &w->entries[i];
        if (!e->rule && !e->absorbed && tare_name_matches("**.*conv1d.weight", e->name) && e->recipe->rank > 0 &&
            e->recipe->shape[e->recipe->rank - 1] != 1)
            return true;
    }
    return false;
}

void tare_delta_qwen_rewrite(struct tare_weights *w)
{
    static const char *const norms[] = {"**.input_layernorm.weight", "**.post_attention_layernorm.weight",
                                        "**.model.norm.weight", "**.q_norm.weight", "**.k_norm.weight"};
    const bool add_one = published(w);
    tare_drop_containing(w, "mtp.", "predicts further tokens at once; not used in running");
    tare_conv_channels_last(w, "**.*conv1d.weight");
    for (size_t i = 0; add_one && i < sizeof norms / sizeof *norms; i++)
        tare_add(w, norms[i], 1.0);
}
