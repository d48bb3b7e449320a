/* SPDX-License-Identifier: MIT
 * gpt_bigcode.c - StarCoder and SantaCoder (mlx-lm: models/gpt_bigcode.py): GPT-2 with one key and value head. */
#include "models/family/mlp_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, n_embd, REQUIRED)                                                                                         \
    ARG(INT, n_layer, REQUIRED)                                                                                        \
    ARG(INT, n_inner, ABSENT)                                                                                          \
    ARG(INT, n_head, REQUIRED)                                                                                         \
    ARG(INT, n_positions, REQUIRED)                                                                                    \
    ARG(REAL, layer_norm_epsilon, REQUIRED)                                                                            \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(FLAG, multi_query, true)                                                                                       \
    ARG(FLAG, attention_bias, true)                                                                                    \
    ARG(FLAG, mlp_bias, true)                                                                                          \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(TEXT, activation_function, gelu_pytorch_tanh)
TARE_ARGS(ARGS);

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense_mlp(root, d,
                   &(struct tare_dense){
                       .skeleton = {.model = "transformer",
                                    .embedding = "wte",
                                    .layers = "h",
                                    .norm_name = "ln_f",
                                    .dim = a->n_embd,
                                    .vocabulary = a->vocab_size,
                                    .n_layers = a->n_layer,
                                    .context = a->n_positions,
                                    .norm = TARE_SKELETON_LAYER,
                                    .norm_bias = true,
                                    .eps = a->layer_norm_epsilon,
                                    .head = TARE_HEAD_FLAG,
                                    .tied = a->tie_word_embeddings},
                       .norms = {"ln_1", NULL, "ln_2"},
                       .attention = {.name = "attn",
                                     .qkv_name = "c_attn",
                                     .o_name = "c_proj",
                                     .heads = a->n_head,
                                     .head_dim = tare_div(root, "n_embd", a->n_embd, "n_head", a->n_head),
                                     .kv_heads = a->multi_query ? 1 : a->n_head,
                                     .grouped = !a->multi_query,
                                     .bias = a->attention_bias,
                                     .o_bias = a->attention_bias},
                       .ffn.hidden = a->n_inner > 0 ? a->n_inner : tare_mul(root, 4, a->n_embd),
                       .hidden_act = a->activation_function,
                       .no_rope = true,
                   },
                   &(struct tare_mlp_desc){.first_name = "c_fc", .second_name = "c_proj", .bias = a->mlp_bias});
    d->positions = tare_embedding(root, "transformer.wpe", a->n_positions, a->n_embd);
}

const struct tare_arch tare_arch_gpt_bigcode = {
    .name = "gpt_bigcode",
    .args = &args_info,
    .declare = declare,
    .runs = true,
    .transformers_tied = true,
};
