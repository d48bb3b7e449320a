/* SPDX-License-Identifier: MIT
 * talkie.c - Talkie (mlx-lm: models/talkie.py): norms without weights, gains on heads and blocks; planned only. */
#include "models/skeleton.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 5120)                                                                                        \
    ARG(INT, num_hidden_layers, 40)                                                                                    \
    ARG(INT, num_attention_heads, 40)                                                                                  \
    ARG(INT, head_dim, 128)                                                                                            \
    ARG(INT, intermediate_size, 13696)                                                                                 \
    ARG(INT, vocab_size, 65540)                                                                                        \
    ARG(INT, max_position_embeddings, 2048)
TARE_ARGS(ARGS);

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size, hidden = a->intermediate_size;
    const int64_t rows = tare_mul(at, a->num_attention_heads, a->head_dim);
    (void)l;
    (void)i;
    tare_linear(at, "attn.attn_query", dim, rows, NO_BIAS);
    tare_linear(at, "attn.attn_key", dim, rows, NO_BIAS);
    tare_linear(at, "attn.attn_value", dim, rows, NO_BIAS);
    tare_linear(at, "attn.attn_resid", rows, dim, NO_BIAS);
    tare_plain(at, "attn.head_gain.head_g", 1, a->num_attention_heads);
    tare_plain(at, "attn_gain.a_g", 1, (int64_t)1);
    tare_linear(at, "mlp.mlp_gate", dim, hidden, NO_BIAS);
    tare_linear(at, "mlp.mlp_linear", dim, hidden, NO_BIAS);
    tare_linear(at, "mlp.mlp_resid", hidden, dim, NO_BIAS);
    tare_plain(at, "mlp_gain.a_g", 1, (int64_t)1);
    tare_plain(at, "embed_skip.a_g", 1, (int64_t)1);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){.dim = a->hidden_size,
                                          .vocabulary = a->vocab_size,
                                          .n_layers = a->num_hidden_layers,
                                          .context = a->max_position_embeddings,
                                          .embedding = "embed",
                                          .layers = "blocks",
                                          .norm = TARE_SKELETON_NO_NORM,
                                          .layer = layer,
                                          .head = TARE_HEAD_NONE});
    /* A head of its own, but not called "lm_head.weight", never packed, and times a gain. */
    tare_plain(root, "lm_head", 2, a->vocab_size, a->hidden_size);
    tare_plain(root, "lm_head_gain.w_g", 1, (int64_t)1);
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop_containing(w, "rotary", "precomputed rotary tables, not a parameter");
    tare_drop_exact(w, "**.*cos", "precomputed rotary tables, not a parameter");
    tare_drop_exact(w, "**.*sin", "precomputed rotary tables, not a parameter");
}

const struct tare_arch tare_arch_talkie = {
    .name = "talkie",
    .args = &args_info,
    .declare = declare,
    .sanitize = sanitize,
};
