/* SPDX-License-Identifier: MIT
 * mamba2.c - Mamba-2 (mlx-lm: models/mamba2.py). */
#include "models/family/decoder_skeleton.h"
#include "models/family/mamba_family.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, num_heads, REQUIRED)                                                                                      \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, state_size, REQUIRED)                                                                                     \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(REAL, layer_norm_epsilon, REQUIRED)                                                                            \
    ARG(INT, conv_kernel, REQUIRED)                                                                                    \
    ARG(INT, n_groups, REQUIRED)                                                                                       \
    ARG(FLAG, use_bias, REQUIRED)                                                                                      \
    ARG(FLAG, use_conv_bias, REQUIRED)                                                                                 \
    ARG(FLAG, tie_word_embeddings, REQUIRED)                                                                           \
    ARG(JSON, time_step_limit, ABSENT)                                                                                 \
    ARG(INT, ssm_state_size, ABSENT)                                                                                   \
    ARG(INT, max_position_embeddings, 2056)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    return tare_mamba_limit_check(a->time_step_limit, d);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    (void)i;
    l->pre[0] = tare_rms_norm(at, "norm", a->hidden_size, a->layer_norm_epsilon);
    tare_nothing(&l->ffn, at, a->hidden_size);
    tare_mamba2(l, at,
                &(struct tare_mamba2_desc){.dim = a->hidden_size,
                                           .heads = a->num_heads,
                                           .head_dim = a->head_dim,
                                           .groups = a->n_groups,
                                           .state = a->ssm_state_size >= 0 ? a->ssm_state_size : a->state_size,
                                           .width = a->conv_kernel,
                                           .bias = a->use_bias,
                                           .out_bias = a->use_bias,
                                           .conv_bias = a->use_conv_bias,
                                           .eps = a->layer_norm_epsilon,
                                           TARE_MAMBA_LIMIT(a->time_step_limit)});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, a, d,
                  &(struct tare_skeleton){TARE_SKELETON_SIZES(a), TARE_BACKBONE, TARE_SKELETON_TIED(a),
                                          .eps = a->layer_norm_epsilon, .layer = layer});
}

const struct tare_arch tare_arch_mamba2 = {
    .name = "mamba2",
    .args = &args_info,
    .derive = derive,
    .runs = true,
    .declare = declare,
    .sanitize = tare_mamba_sanitize,
};
