/* SPDX-License-Identifier: MIT
 * exaone.c - EXAONE 3 and 3.5 (mlx-lm: models/exaone.py): Llama under GPT-2's names. */
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_layers, REQUIRED)                                                                                     \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(REAL, layer_norm_epsilon, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, activation_function, silu)
TARE_ARGS(ARGS);

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   .skeleton.model = "transformer",
                   .skeleton.embedding = "wte",
                   .skeleton.layers = "h",
                   .skeleton.norm_name = "ln_f",
                   .skeleton.dim = a->hidden_size,
                   .skeleton.vocabulary = a->vocab_size,
                   .skeleton.n_layers = a->num_layers,
                   .skeleton.context = a->max_position_embeddings,
                   .skeleton.eps = a->layer_norm_epsilon,
                   .skeleton.head = TARE_HEAD_FLAG,
                   .skeleton.tied = a->tie_word_embeddings,
                   .norms = {"ln_1", NULL, "ln_2", NULL},
                   .attention.name = "attn.attention",
                   .attention.o_name = "out_proj",
                   .attention.heads = a->num_attention_heads,
                   .attention.kv_heads = a->num_key_value_heads,
                   .attention.head_dim = a->head_dim,
                   .attention.bias = a->attention_bias,
                   .attention.o_bias = a->attention_bias,
                   .theta = a->rope_theta,
                   .scaling = a->rope_scaling ? a->rope_scaling : a->rope_parameters,
                   .interleaved = a->rope_traditional,
                   .ffn.gate_name = "c_fc_0",
                   .ffn.up_name = "c_fc_1",
                   .ffn.down_name = "c_proj",
                   .ffn.hidden = a->intermediate_size,
                   .ffn.bias = a->mlp_bias,
                   .hidden_act = a->activation_function,
               });
}

const struct tare_arch tare_arch_exaone = {
    .name = "exaone",
    .transformers_tied = true, /* not known there: a head that differs is refused */
    .args = &args_info,
    .declare = declare,
    .runs = true,
};
