/* SPDX-License-Identifier: MIT
 * plamo3.c - PLaMo 3 (mlx-lm: models/plamo3.py). Its norms multiply by offset + weight. */
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 4096)                                                                                        \
    ARG(INT, num_hidden_layers, 32)                                                                                    \
    ARG(REAL, rms_norm_eps, 1e-6)                                                                                      \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(INT, num_attention_heads, 32)                                                                                  \
    ARG(INT, num_key_value_heads, 4)                                                                                   \
    ARG(INT, head_dim, 128)                                                                                            \
    ARG(INT, max_position_embeddings, 2048)                                                                            \
    ARG(INT, window_size, 2048)                                                                                        \
    ARG(INT, sliding_window, ABSENT)                                                                                   \
    ARG(INT, sliding_window_pattern, 8)                                                                                \
    ARG(REAL, rope_theta, 1000000)                                                                                     \
    ARG(REAL, rope_local_theta, 10000)                                                                                 \
    ARG(INT, intermediate_size, 13312)                                                                                 \
    ARG(INT, vocab_size, 32000)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->sliding_window_pattern < 1 || a->num_key_value_heads < 1 || a->num_attention_heads % a->num_key_value_heads)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "sliding_window_pattern and num_key_value_heads must be above 0, "
                         "and num_attention_heads a multiple of the latter");
    if (a->sliding_window >= 0)
        a->window_size = a->sliding_window;
    return TARE_OK;
}

static void vary(struct tare_dense *dense, int64_t i)
{
    const struct args *a = dense->args;
    const bool full = (i + 1) % a->sliding_window_pattern == 0;
    dense->attention.window = full ? 0 : a->window_size + 1;
    dense->theta = full ? a->rope_theta : a->rope_local_theta;
}

static void offsets(struct tare_layer *l, struct tare_at at, const struct tare_dense *dense)
{
    (void)at, (void)dense;
    l->post[0].offset = 1.0 / 5;
    l->post[1].offset = 1 / pow(5, 1.5);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   .skeleton.dim = a->hidden_size,
                   .skeleton.vocabulary = a->vocab_size,
                   .skeleton.n_layers = a->num_hidden_layers,
                   .skeleton.context = a->max_position_embeddings,
                   .skeleton.layers = "layers.layers",
                   .skeleton.norm_offset = 1,
                   .skeleton.eps = a->rms_norm_eps,
                   .skeleton.head = TARE_HEAD_FLAG,
                   .skeleton.tied = a->tie_word_embeddings,
                   .norms = {"pre_mixer_norm", "post_mixer_norm", "pre_mlp_norm", "post_mlp_norm"},
                   .attention = {.name = "mixer",
                                 .qkv_name = "qkv_proj",
                                 .heads = a->num_attention_heads,
                                 .kv_heads = a->num_key_value_heads,
                                 .head_dim = a->head_dim,
                                 .qk_norm.kind = TARE_QK_NORM_RMS_ONE_PLUS},
                   .ffn = {.gate_up_name = "gate_up_proj", .hidden = a->intermediate_size},
                   .args = a,
                   .vary = vary,
                   .more = offsets,
               });
}

const struct tare_arch tare_arch_plamo3 = {
    .name = "plamo3",
    .transformers_tied = true, /* not known there: a head that differs is refused */
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
