/* SPDX-License-Identifier: MIT
 * olmo.c - OLMo as AI2 first published it (mlx-lm: models/olmo.py): norms without weights, planned only. */
#include "models/skeleton.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, d_model, REQUIRED)                                                                                        \
    ARG(INT, n_layers, REQUIRED)                                                                                       \
    ARG(INT, mlp_hidden_size, ABSENT)                                                                                  \
    ARG(INT, n_heads, REQUIRED)                                                                                        \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, embedding_size, REQUIRED)                                                                                 \
    ARG(INT, mlp_ratio, 4)                                                                                             \
    ARG(FLAG, weight_tying, false)                                                                                     \
    ARG(INT, max_sequence_length, ABSENT)
TARE_ARGS(ARGS);

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->d_model;
    const int64_t hidden = a->mlp_hidden_size > 0 ? a->mlp_hidden_size : tare_mul(at, a->mlp_ratio, dim);
    (void)l;
    (void)i;
    tare_linear(at, "ff_proj", dim, hidden, NO_BIAS); /* up rows, then gate rows */
    tare_linear(at, "ff_out", hidden / 2, dim, NO_BIAS);
    tare_linear(at, "att_proj", dim, tare_mul(at, 3, dim), NO_BIAS);
    tare_linear(at, "attn_out", dim, dim, NO_BIAS);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_div(root, "d_model", a->d_model, "n_heads", a->n_heads);
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){.model = "model.transformer",
                                          .embedding = "wte",
                                          .layers = "blocks",
                                          .dim = a->d_model,
                                          .vocabulary = a->embedding_size,
                                          .n_layers = a->n_layers,
                                          .context = a->max_sequence_length,
                                          .norm = TARE_SKELETON_NO_NORM,
                                          .layer = layer,
                                          .head_name = "model.transformer.ff_out",
                                          .head = TARE_HEAD_FLAG,
                                          .tied = a->weight_tying});
}

const struct tare_arch tare_arch_olmo = {
    .name = "olmo",
    .args = &args_info,
    .declare = declare,
};
