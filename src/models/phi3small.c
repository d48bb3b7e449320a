/* SPDX-License-Identifier: MIT
 * phi3small.c - Phi 3 small (mlx-lm: models/phi3small.py): attention in blocks, GEGELU; planned only. */
#include "models/dense.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, dense_attention_every_n_layers, REQUIRED)                                                                 \
    ARG(INT, ff_intermediate_size, REQUIRED)                                                                           \
    ARG(REAL, gegelu_limit, REQUIRED)                                                                                  \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, layer_norm_epsilon, REQUIRED)                                                                            \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, blocksparse_block_size, 64)                                                                               \
    ARG(INT, max_position_embeddings, ABSENT)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (a->blocksparse_block_size == 32 || a->blocksparse_block_size == 64)
        return TARE_OK;
    return tare_fail(d->err, TARE_E_CONFIG, d->place, "blocksparse_block_size is %lld; expected 32 or 64",
                     (long long)a->blocksparse_block_size);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    const int64_t head = tare_div(at, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
    const int64_t rows = tare_mul(at, a->num_attention_heads + 2 * a->num_key_value_heads, head);
    (void)i;
    l->pre[0] = tare_layer_norm(at, "input_layernorm", dim, a->layer_norm_epsilon, BIAS);
    tare_linear(at, "self_attn.query_key_value", dim, rows, BIAS);
    tare_linear(at, "self_attn.dense", dim, dim, BIAS);
    l->pre[1] = tare_layer_norm(at, "post_attention_layernorm", dim, a->layer_norm_epsilon, BIAS);
    tare_linear(at, "mlp.up_proj", dim, tare_mul(at, 2, a->ff_intermediate_size),
                BIAS); /* gate and up rows take turns */
    tare_linear(at, "mlp.down_proj", a->ff_intermediate_size, dim, BIAS);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){.dim = a->hidden_size,
                                          .vocabulary = a->vocab_size,
                                          .n_layers = a->num_hidden_layers,
                                          .context = a->max_position_embeddings,
                                          .norm_name = "final_layernorm",
                                          .norm = TARE_SKELETON_LAYER,
                                          .norm_bias = true,
                                          .eps = a->layer_norm_epsilon,
                                          .layer = layer,
                                          .head = TARE_HEAD_NONE});
}

const struct tare_arch tare_arch_phi3small = {
    .name = "phi3small",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = tare_dense_drop_rotary,
};
