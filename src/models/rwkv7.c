/* SPDX-License-Identifier: MIT
 * rwkv7.c - RWKV-7: time mixing and channel mixing, no attention (mlx-lm: models/rwkv7.py). */
#include "models/skeleton.h"

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

/* Two linears with an activation, lora.1, between them. */
static void low_rank(struct tare_at at, const char *name, int64_t dim, int64_t rank, bool bias)
{
    const struct tare_at lora = tare_at(at, "%s.lora", name);
    tare_linear(lora, "0", dim, rank, NO_BIAS);
    tare_linear(lora, "2", rank, dim, bias);
}

static void time_mixing(struct tare_at at, const struct args *a, int64_t i)
{
    static const char *const shifts[] = {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"};
    static const char *const per_head[] = {"k_k", "k_a", "r_k", "g_norm.weight", "g_norm.bias"};
    static const char *const projections[] = {"r_proj", "k_proj", "v_proj", "o_proj"};
    const int64_t dim = a->hidden_size, heads = tare_div(at, "hidden_size", dim, "head_dim", a->head_dim);
    for (size_t k = 0; k < sizeof shifts / sizeof *shifts; k++)
        tare_plain(at, shifts[k], 3, (int64_t)1, (int64_t)1, dim);
    for (size_t k = 0; k < sizeof per_head / sizeof *per_head; k++)
        tare_plain(at, per_head[k], 2, heads, a->head_dim);
    for (size_t k = 0; k < sizeof projections / sizeof *projections; k++)
        tare_linear(at, projections[k], dim, dim, NO_BIAS);
    low_rank(at, "w_lora", dim, a->decay_low_rank_dim, BIAS);
    if (i > 0) /* the first layer's values are what the others mix in */
        low_rank(at, "v_lora", dim, a->v_low_rank_dim, BIAS);
    low_rank(at, "a_lora", dim, a->a_low_rank_dim, BIAS);
    low_rank(at, "g_lora", dim, a->gate_low_rank_dim, NO_BIAS);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const struct tare_at ffn = tare_at(at, "ffn");
    const int64_t dim = a->hidden_size;
    if (i == 0)
        tare_layer_norm(at, "pre_norm", dim, a->norm_eps, BIAS);
    time_mixing(tare_at(at, "attn"), a, i);
    tare_linear(ffn, "key", dim, a->intermediate_size, NO_BIAS);
    tare_linear(ffn, "value", a->intermediate_size, dim, NO_BIAS);
    tare_plain(ffn, "x_k", 1, dim);
    l->pre[0] = tare_layer_norm(at, "attn_norm", dim, a->norm_eps, BIAS);
    l->pre[1] = tare_layer_norm(at, "ffn_norm", dim, a->norm_eps, BIAS);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, a, d,
                  &(struct tare_skeleton){TARE_SKELETON_SIZES(a), TARE_SKELETON_TIED(a), .embedding = "embeddings",
                                          .norm = TARE_SKELETON_LAYER, .norm_bias = true, .eps = a->norm_eps,
                                          .layer = layer});
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
};
