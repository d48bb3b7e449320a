/* SPDX-License-Identifier: MIT
 * iquestloopcoder.c - IQuest-Coder (mlx-lm: models/iquestloopcoder.py): each token goes twice through the layers; in
 * the second pass a gate mixes attention to the keys of the first pass with that to its own. */
#include "blocks/attention/gqa_mixing.h"
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, max_position_embeddings, 131072)                                                                          \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(REAL, rope_theta, 500000.0)                                                                                    \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(INT, loop_window_size, 64)                                                                                     \
    ARG(INT, loop_num, 2)                                                                                              \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (a->loop_num != 2)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "loop_num is %lld; only 2 is supported",
                         (long long)a->loop_num);
    return TARE_OK;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_LLAMA(a),
                   TARE_DENSE_BIASED(a),
               });
    const int64_t n = d->n_layers;
    tare_layers_loop(d, 2, (struct tare_norm){0});
    for (int64_t i = 0; i < n && 2 * n == d->n_layers && !root.tree->error.code; i++) {
        d->layers[n + i].borrows = n;
        tare_gqa_mixing(&d->layers[n + i], tare_at(root, "model.gate_projections.%lld", (long long)i),
                        a->loop_window_size);
    }
}

const struct tare_arch tare_arch_iquestloopcoder = {
    .name = "iquestloopcoder",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
