/* SPDX-License-Identifier: MIT
 * mamba.c - Mamba and Falcon-Mamba (mlx-lm: models/mamba.py; "falcon_mamba" is an alias). */
#include "models/family/decoder_skeleton.h"
#include "models/family/mamba_family.h"

#include <string.h>

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, state_size, REQUIRED)                                                                                     \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, conv_kernel, REQUIRED)                                                                                    \
    ARG(FLAG, use_bias, REQUIRED)                                                                                      \
    ARG(FLAG, use_conv_bias, REQUIRED)                                                                                 \
    ARG(JSON, time_step_rank, REQUIRED)                                                                                \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(REAL, layer_norm_epsilon, 1e-5)                                                                                \
    ARG(FLAG, use_bcdt_rms, false)                                                                                     \
    ARG(REAL, mixer_rms_eps, 1e-6)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (!strcmp(tare_json_text(d->config, "model_type", ""), "falcon_mamba"))
        a->use_bcdt_rms = true;
    return TARE_OK;
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    (void)i;
    l->pre[0] = tare_rms_norm(at, "norm", a->hidden_size, a->layer_norm_epsilon);
    tare_nothing(&l->ffn, at, a->hidden_size);
    tare_mamba1(
        l, at,
        &(struct tare_mamba1_desc){.dim = a->hidden_size,
                                   .inner = a->intermediate_size,
                                   .state = a->state_size,
                                   .width = a->conv_kernel,
                                   .rank = tare_mamba_rank(at, "time_step_rank", a->time_step_rank, a->hidden_size),
                                   .bias = a->use_bias,
                                   .conv_bias = a->use_conv_bias,
                                   .norm = a->use_bcdt_rms ? TARE_MAMBA_NORM_BARE : TARE_MAMBA_NO_NORM,
                                   .eps = a->mixer_rms_eps});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, a, d,
                  &(struct tare_skeleton){TARE_SKELETON_SIZES(a), TARE_BACKBONE, TARE_SKELETON_TIED(a),
                                          .eps = a->layer_norm_epsilon, .layer = layer});
}

const struct tare_arch tare_arch_mamba = {
    .name = "mamba",
    .args = &args_info,
    .derive = derive,
    .runs = true,
    .declare = declare,
    .sanitize = tare_mamba_sanitize,
    .transformers_tied = true,
};
