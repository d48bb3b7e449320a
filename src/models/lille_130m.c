/* SPDX-License-Identifier: MIT
 * lille_130m.c - Lille 130M (mlx-lm: models/lille-130m.py): the names of the norms are below those of the blocks. */
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, block_size, REQUIRED)                                                                                     \
    ARG(REAL, layer_norm_eps, REQUIRED)                                                                                \
    ARG(INT, n_embd, REQUIRED)                                                                                         \
    ARG(INT, n_head, REQUIRED)                                                                                         \
    ARG(INT, n_kv_heads, REQUIRED)                                                                                     \
    ARG(INT, n_layer, REQUIRED)                                                                                        \
    ARG(REAL, rope_theta, REQUIRED)                                                                                    \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(FLAG, tie_word_embeddings, true)
TARE_ARGS(ARGS);

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const int64_t hidden = 8 * a->n_embd / 3;
    const double blocks = nearbyint((double)hidden / 256); /* half to even, as Python rounds */
    tare_dense(root, d,
               &(struct tare_dense){
                   .skeleton = {.model = "transformer",
                                .embedding = "tok_embeddings",
                                .dim = a->n_embd,
                                .vocabulary = a->vocab_size,
                                .n_layers = a->n_layer,
                                .context = a->block_size,
                                .eps = a->layer_norm_eps,
                                .head = TARE_HEAD_NONE},
                   .norms = {"attention.norm", NULL, "feed_forward.norm"},
                   .attention = {.name = "attention",
                                 .qkv_name = "qkv_proj",
                                 .o_name = "out_proj",
                                 .heads = a->n_head,
                                 .head_dim = tare_div(root, "n_embd", a->n_embd, "n_head", a->n_head),
                                 .kv_heads = a->n_kv_heads},
                   .ffn = {.name = "feed_forward", .hidden = tare_mul(root, 256, (int64_t)blocks)},
                   .theta = a->rope_theta,
                   .interleaved = true,
               });
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop_containing(w, "rotary_emb", "precomputed rotary frequencies, not a parameter");
}

const struct tare_arch tare_arch_lille_130m = {
    .name = "lille-130m",
    .transformers_tied = true, /* not known there: a head that differs is refused */
    .args = &args_info,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
