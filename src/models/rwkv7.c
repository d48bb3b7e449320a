/* SPDX-License-Identifier: MIT
 * rwkv7.c - RWKV-7: time mixing and channel mixing, no attention (mlx-lm: models/rwkv7.py). */
#include "blocks/recurrent/time_mixing.h"
#include "models/family/decoder_skeleton.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(REAL, norm_eps, REQUIRED)                                                                                      \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, a_low_rank_dim, REQUIRED)                                                                                 \
    ARG(INT, v_low_rank_dim, REQUIRED)                                                                                 \
    ARG(INT, gate_low_rank_dim, REQUIRED)                                                                              \
    ARG(INT, decay_low_rank_dim, REQUIRED)                                                                             \
    ARG(FLAG, tie_word_embeddings, false)
TARE_ARGS(ARGS);

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    l->pre[0] = tare_layer_norm(at, "attn_norm", a->hidden_size, a->norm_eps, BIAS);
    l->pre[1] = tare_layer_norm(at, "ffn_norm", a->hidden_size, a->norm_eps, BIAS);
    tare_time_mixing(l, at,
                     &(struct tare_time_mixing_desc){.dim = a->hidden_size,
                                                     .head = a->head_dim,
                                                     .decay_rank = a->decay_low_rank_dim,
                                                     .value_rank = a->v_low_rank_dim,
                                                     .rate_rank = a->a_low_rank_dim,
                                                     .gate_rank = a->gate_low_rank_dim,
                                                     .first = i == 0});
    tare_channel_mixing(l, at,
                        &(struct tare_channel_mixing_desc){.dim = a->hidden_size, .hidden = a->intermediate_size});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, a, d,
                  &(struct tare_skeleton){TARE_SKELETON_SIZES(a), TARE_SKELETON_TIED(a), .embedding = "embeddings",
                                          .norm = TARE_SKELETON_LAYER, .norm_bias = true, .eps = a->norm_eps,
                                          .layer = layer});
    if (d->n_layers < 1)
        return;
    d->embedding_norm = tare_layer_norm(tare_at(root, "model.layers.0"), "pre_norm", a->hidden_size, a->norm_eps, BIAS);
    tare_slice_declare(d, TARE_SLICE_VALUES, a->hidden_size);
}

static void sanitize(struct tare_weights *w, const void *args)
{
    static const char *const per_head[] = {"model.layers.*.attn.k_k", "model.layers.*.attn.k_a",
                                           "model.layers.*.attn.g_norm.*"};
    const struct args *a = args;
    for (size_t i = 0; i < sizeof per_head / sizeof *per_head; i++)
        tare_reshape(w, per_head[i], 2, (const int64_t[]){-1, a->head_dim});
}

const struct tare_arch tare_arch_rwkv7 = {
    .name = "rwkv7",
    .args = &args_info,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
