/* SPDX-License-Identifier: MIT
 * delta.c - what Qwen3-Next and Qwen3.5 share around the gated delta rule. */
#include "models/delta.h"

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

void tare_gated_attention(struct tare_at at, int64_t dim, int64_t heads, int64_t kv_heads, int64_t head, bool bias,
                          double eps)
{
    if (head < 1)
        head = tare_div(at, "hidden_size", dim, "num_attention_heads", heads);
    const int64_t q = tare_mul(at, heads, head), kv = tare_mul(at, kv_heads, head);
    tare_linear(at, "q_proj", dim, tare_mul(at, 2, q), bias);
    tare_linear(at, "k_proj", dim, kv, bias);
    tare_linear(at, "v_proj", dim, kv, bias);
    tare_linear(at, "o_proj", q, dim, bias);
    tare_rms_norm(at, "q_norm", head, eps);
    tare_rms_norm(at, "k_norm", head, eps);
}

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
