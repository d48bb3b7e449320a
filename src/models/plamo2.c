/* SPDX-License-Identifier: MIT
 * plamo2.c - PLaMo 2: its own Mamba mixer, every second layer attention (mlx-lm: models/plamo2.py). */
#include "blocks/recurrent/plamo_mixer.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/mamba_family.h"

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

static void mamba(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    const int64_t dim = a->hidden_size;
    tare_plamo_mixer(l, at,
                     &(struct tare_plamo_mixer_desc){.dim = dim,
                                                     .heads = a->mamba_num_heads,
                                                     .head_dim = a->hidden_size_per_head,
                                                     .state = a->mamba_d_state,
                                                     .width = a->mamba_d_conv,
                                                     .rank = dim / 16 > 64 ? dim / 16 : 64,
                                                     .eps = a->rms_norm_eps});
}

/* All keys are seen, as in mlx-lm: attention_window_size and full_attention_idx are not looked at. */
static void attention(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    const int64_t heads = a->num_attention_heads, kv = a->num_key_value_heads, head = a->hidden_size_per_head;
    tare_div(at, "num_attention_heads", heads, "num_key_value_heads", kv);
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.name = "mixer",
                                     .qkv_name = "qkv_proj",
                                     .dim = a->hidden_size,
                                     .heads = heads,
                                     .kv_heads = kv,
                                     .head_dim = head,
                                     .qk_norm.kind = TARE_QK_NORM_RMS_ROWS,
                                     .qk_norm.q_name = "q_weight",
                                     .qk_norm.k_name = "k_weight",
                                     .qk_norm.eps = 1e-6,
                                     .rope = tare_rope_read(at, head, 10000, NULL, a->max_position_embeddings)});
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    if (recurrent(a, i))
        mamba(l, at, a);
    else
        attention(l, at, a);
    tare_glu(l, at,
             &(struct tare_glu_desc){.gate_up_name = "gate_up_proj", .dim = dim, .hidden = a->intermediate_size});
    l->pre[0] = tare_rms_norm_one_plus(at, "pre_mixer_norm", dim, a->rms_norm_eps);
    l->pre[1] = tare_rms_norm_one_plus(at, "pre_mlp_norm", dim, a->rms_norm_eps);
    l->post[0] = tare_rms_norm(at, "post_mixer_norm", dim, a->rms_norm_eps);
    l->post[0].offset = 1.0 / 5;
    l->post[1] = tare_rms_norm(at, "post_mlp_norm", dim, a->rms_norm_eps);
    l->post[1].offset = 1 / pow(5, 1.5);
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
    .runs = true,
    .derive = derive,
    .declare = declare,
    .sanitize = tare_mamba_sanitize,
};
