/* SPDX-License-Identifier: MIT
 * olmo.c - OLMo as AI2 first published it (mlx-lm: models/olmo.py): norms without weights. */
#include "models/family/decoder_skeleton.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, d_model, REQUIRED)                                                                                        \
    ARG(INT, n_layers, REQUIRED)                                                                                       \
    ARG(INT, mlp_hidden_size, ABSENT)                                                                                  \
    ARG(INT, n_heads, REQUIRED)                                                                                        \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, embedding_size, REQUIRED)                                                                                 \
    ARG(INT, mlp_ratio, 4)                                                                                             \
    ARG(FLAG, weight_tying, false)                                                                                     \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(INT, max_sequence_length, ABSENT)
TARE_ARGS(ARGS);

#define NORM_EPS 1e-5

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (a->mlp_hidden_size > 0 && a->mlp_hidden_size % 2)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "mlp_hidden_size %lld holds two halves and must be even",
                         (long long)a->mlp_hidden_size);
    return TARE_OK;
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->d_model;
    const int64_t hidden = a->mlp_hidden_size > 0 ? a->mlp_hidden_size : tare_mul(at, a->mlp_ratio, dim);
    const int64_t head = tare_div(at, "d_model", dim, "n_heads", a->n_heads);
    (void)i;
    l->pre[0] = l->pre[1] = (struct tare_norm){.kind = TARE_NORM_LAYER, .dim = dim, .eps = NORM_EPS};
    struct tare_rope rope = tare_rope_read(at, head, a->rope_theta, NULL, a->max_sequence_length);
    rope.interleaved = a->rope_traditional;
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.name = "",
                                     .qkv_name = "att_proj",
                                     .o_name = "attn_out",
                                     .dim = dim,
                                     .heads = a->n_heads,
                                     .kv_heads = a->n_heads,
                                     .head_dim = head,
                                     .rope = rope});
    tare_glu(l, at,
             &(struct tare_glu_desc){.name = "",
                                     .gate_up_name = "ff_proj",
                                     .unit = tare_unit_up_first(TARE_SILU),
                                     .down_name = "ff_out",
                                     .dim = dim,
                                     .hidden = hidden / 2});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){.model = "model.transformer",
                                          .embedding = "wte",
                                          .layers = "blocks",
                                          .dim = a->d_model,
                                          .vocabulary = a->embedding_size,
                                          .n_layers = a->n_layers,
                                          .context = a->max_sequence_length,
                                          .norm = TARE_SKELETON_LAYER_BARE,
                                          .eps = NORM_EPS,
                                          .layer = layer,
                                          .head_name = "model.transformer.ff_out",
                                          .head = TARE_HEAD_FLAG,
                                          .tied = a->weight_tying});
}

const struct tare_arch tare_arch_olmo = {
    .name = "olmo",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
