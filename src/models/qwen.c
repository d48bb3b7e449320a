/* SPDX-License-Identifier: MIT
 * qwen.c - Qwen 1 (mlx-lm: models/qwen.py). */
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 2048)                                                                                        \
    ARG(INT, num_attention_heads, 16)                                                                                  \
    ARG(INT, num_hidden_layers, 24)                                                                                    \
    ARG(INT, kv_channels, 128)                                                                                         \
    ARG(INT, max_position_embeddings, 8192)                                                                            \
    ARG(REAL, layer_norm_epsilon, 1e-6)                                                                                \
    ARG(INT, intermediate_size, 11008)                                                                                 \
    ARG(FLAG, no_bias, true)                                                                                           \
    ARG(INT, vocab_size, 151936)                                                                                       \
    ARG(REAL, rotary_emb_base, 10000)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (a->kv_channels * a->num_attention_heads == a->hidden_size)
        return TARE_OK;
    return tare_fail(d->err, TARE_E_CONFIG, d->place, "hidden_size must be kv_channels times num_attention_heads");
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   .skeleton = {.model = "transformer",
                                .embedding = "wte",
                                .layers = "h",
                                .norm_name = "ln_f",
                                .dim = a->hidden_size,
                                .vocabulary = a->vocab_size,
                                .n_layers = a->num_hidden_layers,
                                .context = a->max_position_embeddings,
                                .eps = a->layer_norm_epsilon,
                                .head = TARE_HEAD_OWN,
                                .head_bias = !a->no_bias},
                   .norms = {"ln_1", NULL, "ln_2"},
                   .attention = {.name = "attn",
                                 .qkv_name = "c_attn",
                                 .o_name = "c_proj",
                                 .heads = a->num_attention_heads,
                                 .head_dim = a->kv_channels,
                                 .bias = true,
                                 .o_bias = !a->no_bias},
                   .ffn = {.gate_name = "w2",
                           .up_name = "w1",
                           .down_name = "c_proj",
                           .hidden = a->intermediate_size / 2,
                           .bias = !a->no_bias},
                   .theta = a->rotary_emb_base,
               });
}

const struct tare_arch tare_arch_qwen = {
    .name = "qwen",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
