/* SPDX-License-Identifier: MIT
 * plamo2.c - PLaMo 2: its own Mamba mixer, every second layer attention (mlx-lm: models/plamo2.py). */
#include "models/mamba_mixer.h"
#include "models/skeleton.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 4096)                                                                                        \
    ARG(INT, num_hidden_layers, 32)                                                                                    \
    ARG(REAL, rms_norm_eps, 1e-6)                                                                                      \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(INT, num_attention_heads, 32)                                                                                  \
    ARG(INT, num_key_value_heads, 4)                                                                                   \
    ARG(INT, hidden_size_per_head, 128)                                                                                \
    ARG(INT, max_position_embeddings, 2048)                                                                            \
    ARG(INT, attention_window_size, 2048)                                                                              \
    ARG(JSON, full_attention_idx, ABSENT)                                                                              \
    ARG(INT, mamba_d_state, 64)                                                                                        \
    ARG(INT, mamba_d_conv, 4)                                                                                          \
    ARG(INT, mamba_num_heads, 64)                                                                                      \
    ARG(INT, mamba_step, 2)                                                                                            \
    ARG(FLAG, mamba_enabled, true)                                                                                     \
    ARG(INT, intermediate_size, 13312)                                                                                 \
    ARG(INT, vocab_size, 32000)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (a->mamba_enabled && a->mamba_step < 2)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "mamba_step is %lld; expected at least 2",
                         (long long)a->mamba_step);
    return TARE_OK;
}

static bool recurrent(const struct args *a, int64_t i)
{
    if (!a->mamba_enabled)
        return false;
    if (a->num_hidden_layers <= a->mamba_step / 2)
        return i != a->num_hidden_layers - 1; /* the last one attends */
    return i % a->mamba_step != a->mamba_step / 2;
}

static void mamba(struct tare_at at, const struct args *a)
{
    const int64_t dim = a->hidden_size, heads = a->mamba_num_heads, state = a->mamba_d_state;
    const int64_t inner = tare_mul(at, heads, a->hidden_size_per_head), steps = dim / 16 > 64 ? dim / 16 : 64;
    tare_linear(at, "in_proj", dim, tare_mul(at, 2, inner), NO_BIAS);
    tare_conv1d(at, "conv1d", inner, a->mamba_d_conv, 1, NO_BIAS);
    tare_linear(at, "bcdt_proj", inner, steps + 2 * state, NO_BIAS);
    tare_linear(at, "dt_proj", steps, heads, NO_BIAS);
    tare_plain(at, "dt_bias", 1, heads);
    tare_plain(at, "A_log", 1, heads);
    tare_plain(at, "D", 1, heads);
    tare_plain(at, "dt_norm_weight", 1, steps);
    tare_plain(at, "B_norm_weight", 1, state);
    tare_plain(at, "C_norm_weight", 1, state);
    tare_linear(at, "out_proj", inner, dim, NO_BIAS);
}

static void attention(struct tare_at at, const struct args *a)
{
    const int64_t dim = a->hidden_size, heads = a->num_attention_heads, kv = a->num_key_value_heads;
    const int64_t head = a->hidden_size_per_head, q = tare_mul(at, heads, head);
    tare_div(at, "num_attention_heads", heads, "num_key_value_heads", kv);
    tare_linear(at, "qkv_proj", dim, q + 2 * tare_mul(at, kv, head), NO_BIAS);
    tare_linear(at, "o_proj", q, dim, NO_BIAS);
    tare_plain(at, "q_weight", 2, heads, head);
    tare_plain(at, "k_weight", 2, kv, head);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    if (recurrent(a, i))
        mamba(tare_at(at, "mixer"), a);
    else
        attention(tare_at(at, "mixer"), a);
    tare_glu(l, at,
             &(struct tare_glu_desc){.gate_up_name = "gate_up_proj", .dim = dim, .hidden = a->intermediate_size});
    l->pre[0] = tare_rms_norm_one_plus(at, "pre_mixer_norm", dim, a->rms_norm_eps);
    l->pre[1] = tare_rms_norm_one_plus(at, "pre_mlp_norm", dim, a->rms_norm_eps);
    tare_plain(at, "post_mixer_norm.weight", 1, dim); /* times weight + 1/5: no norm of tree.h */
    tare_plain(at, "post_mlp_norm.weight", 1, dim);   /* times weight + 1/5^1.5 */
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, a, d,
                  &(struct tare_skeleton){TARE_SKELETON_SIZES(a), TARE_SKELETON_TIED(a), .layers = "layers.layers",
                                          .context = a->max_position_embeddings, .norm = TARE_SKELETON_RMS_ONE_PLUS,
                                          .eps = a->rms_norm_eps, .layer = layer});
}

const struct tare_arch tare_arch_plamo2 = {
    .name = "plamo2",
    .transformers_tied = true, /* not known there: a head that differs is refused */
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = tare_mamba_sanitize,
};
