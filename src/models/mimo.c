/* SPDX-License-Identifier: MIT
 * mimo.c - MiMo 7B (mlx-lm: models/mimo.py): Qwen2 with layers that predict further tokens, which are left out. */
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, max_position_embeddings, 32768)                                                                           \
    ARG(REAL, rope_theta, 10000.0)                                                                                     \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_LLAMA(a),
                   .attention.bias = true,
                   .interleaved = a->rope_traditional,
               });
}

static void sanitize(struct tare_weights *w, const void *args)
{
    tare_dense_drop_rotary(w, args);
    tare_drop(w, "model.mtp_layers", "predicts further tokens; only the next one is used");
}

const struct tare_arch tare_arch_mimo = {
    .name = "mimo",
    .args = &args_info,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
