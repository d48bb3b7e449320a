/* SPDX-License-Identifier: MIT
 * delta.c - token mixers by the gated delta rule. */
#include "models/delta.h"

/* Queries, keys and values of the model, each through its convolution. */
static void inputs(struct tare_at at, const struct tare_delta *d)
{
    static const char *const linear[] = {"q_proj", "k_proj", "v_proj"};
    static const char *const convolution[][3] = {{"q_conv1d", "k_conv1d", "v_conv1d"},
                                                 {"q_conv.conv", "k_conv.conv", "v_conv.conv"}};
    if (d->conv == TARE_CONV_FUSED) {
        const int64_t width = tare_mul(at, 3, d->key); /* values are as wide as keys here */
        tare_linear(at, "qkv_proj", d->dim, width, NO_BIAS);
        tare_conv1d(at, "qkv_conv.conv", width, d->kernel, 1, NO_BIAS);
        return;
    }
    for (int i = 0; i < 3; i++) {
        const int64_t width = i < 2 ? d->key : d->value;
        tare_linear(at, linear[i], d->dim, width, NO_BIAS);
        tare_conv1d(at, convolution[d->conv == TARE_CONV_NESTED][i], width, d->kernel, 1, NO_BIAS);
    }
}

static void decay(struct tare_at at, const struct tare_delta *d)
{
    if (d->decay == TARE_DECAY_HEAD) {
        tare_linear(at, "a_proj", d->dim, d->heads, NO_BIAS);
    } else if (d->decay == TARE_DECAY_ELEMENT) {
        tare_linear(at, "f_proj", d->dim, d->key, NO_BIAS);
    } else {
        tare_linear(at, "f_a_proj", d->dim, d->head, NO_BIAS);
        tare_linear(at, "f_b_proj", d->head, d->key, NO_BIAS);
    }
    tare_plain(at, "dt_bias", 1, d->decay == TARE_DECAY_HEAD ? d->heads : d->key);
    if (d->four_axes)
        tare_plain(at, "A_log", 4, (int64_t)1, (int64_t)1, d->heads, (int64_t)1);
    else
        tare_plain(at, "A_log", 1, d->heads);
}

void tare_delta(struct tare_at at, const struct tare_delta *d)
{
    inputs(at, d);
    decay(at, d);
    tare_linear(at, "b_proj", d->dim, d->heads, NO_BIAS);
    if (d->gate_low_rank) {
        tare_linear(at, "g_a_proj", d->dim, d->head, NO_BIAS);
        tare_linear(at, "g_b_proj", d->head, d->value, NO_BIAS);
    } else {
        tare_linear(at, "g_proj", d->dim, d->value, NO_BIAS);
    }
    tare_rms_norm(at, "o_norm", d->head, d->eps);
    tare_linear(at, "o_proj", d->value, d->dim, NO_BIAS);
}

enum tare_code tare_delta_qwen_check(const struct tare_delta_qwen *d, const char *place, struct tare_error *err)
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

void tare_delta_qwen(struct tare_at at, const struct tare_delta_qwen *d)
{
    const int64_t key = d->key_heads * d->key_head, value = d->value_heads * d->value_head;
    tare_conv1d(at, "conv1d", 2 * key + value, d->kernel, 1, NO_BIAS);
    if (d->in_two) {
        tare_linear(at, "in_proj_qkvz", d->dim, 2 * key + 2 * value, NO_BIAS);
        tare_linear(at, "in_proj_ba", d->dim, 2 * d->value_heads, NO_BIAS);
    } else {
        tare_linear(at, "in_proj_qkv", d->dim, 2 * key + value, NO_BIAS);
        tare_linear(at, "in_proj_z", d->dim, value, NO_BIAS);
        tare_linear(at, "in_proj_b", d->dim, d->value_heads, NO_BIAS);
        tare_linear(at, "in_proj_a", d->dim, d->value_heads, NO_BIAS);
    }
    tare_plain(at, "dt_bias", 1, d->value_heads);
    tare_plain(at, "A_log", 1, d->value_heads);
    tare_rms_norm(at, "norm", d->value_head, d->eps);
    tare_linear(at, "out_proj", value, d->dim, NO_BIAS);
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
