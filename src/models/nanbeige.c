/* SPDX-License-Identifier: MIT
 * nanbeige.c - Nanbeige (mlx-lm: models/nanbeige.py): Llama, but each token goes through the layers several times. */
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(REAL, rope_theta, 10000.0)                                                                                     \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(INT, num_loops, 1)                                                                                             \
    ARG(JSON, loop_loss_weights, ABSENT)                                                                               \
    ARG(FLAG, skip_loop_final_norm, false)                                                                             \
    ARG(FLAG, enable_double_loop_split, false)                                                                         \
    ARG(FLAG, loop_share_kv, false)                                                                                    \
    ARG(FLAG, enable_depth_attention, false)                                                                           \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->enable_double_loop_split || a->loop_share_kv || a->enable_depth_attention)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "enable_double_loop_split, loop_share_kv and enable_depth_attention are not supported");
    if (json_array_size(a->loop_loss_weights) > 0) /* one weight a loop after the first */
        a->num_loops = (int64_t)json_array_size(a->loop_loss_weights) + 1;
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
    const struct tare_norm none = {0};
    tare_layers_loop(d, a->num_loops, a->skip_loop_final_norm ? none : d->norm);
}

const struct tare_arch tare_arch_nanbeige = {
    .name = "nanbeige",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = tare_dense_drop_rotary,
    .runs = true,
};
