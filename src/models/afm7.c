/* SPDX-License-Identifier: MIT
 * afm7.c - Apple's foundation model (mlx-lm: models/afm7.py): the last layers have no keys and values of their own, and
 * reuse those of the layer before them. */
#include "blocks/attention/gqa_rounded.h"
#include "models/family/decoder_skeleton.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_dim, REQUIRED)                                                                                     \
    ARG(INT, num_layers, REQUIRED)                                                                                     \
    ARG(INT, num_kv_reuse_layers, 0)                                                                                   \
    ARG(INT, num_heads, REQUIRED)                                                                                      \
    ARG(INT, num_kv_heads, REQUIRED)                                                                                   \
    ARG(REAL, hidden_dim_scale_factor, 3.25)                                                                           \
    ARG(REAL, rope_theta, 50000)                                                                                       \
    ARG(REAL, rms_norm_eps, 1e-5)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (!(a->hidden_dim_scale_factor > 0) || a->hidden_dim_scale_factor > 1e6)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "hidden_dim_scale_factor is %g; expected a number above 0",
                         a->hidden_dim_scale_factor);
    if (a->num_kv_reuse_layers >= a->num_layers)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "num_kv_reuse_layers %lld leaves none of %lld layers",
                         (long long)a->num_kv_reuse_layers, (long long)a->num_layers);
    return TARE_OK;
}

/* Layers from a->num_layers - a->num_kv_reuse_layers on borrow the keys and values of the last one before. */
static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_dim, own = a->num_layers - a->num_kv_reuse_layers;
    const int64_t head = tare_div(at, "hidden_dim", dim, "num_heads", a->num_heads);
    struct tare_gqa_desc attention = {.o_name = "out_proj",
                                      .dim = dim,
                                      .heads = a->num_heads,
                                      .kv_heads = a->num_kv_heads,
                                      .head_dim = head,
                                      .qk_norm.kind = TARE_QK_NORM_RMS,
                                      .qk_norm.last = true,
                                      .qk_norm.eps = 1e-5,
                                      .kv = i < own ? TARE_KV_OWN : TARE_KV_BORROWED,
                                      .rope = tare_rope_read(at, head, a->rope_theta, NULL, 0)};
    attention.rope.interleaved = true;
    if (i < own)
        attention.qkv_name = "qkv_proj";
    l->borrows = i < own ? 0 : i - own + 1;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    tare_gqa(l, at, &attention);
    if (i < own)
        tare_gqa_rounded(l, tare_at(at, "self_attn"), "quant_key_scale", "quant_value_scale");
    tare_glu(l, at, &(struct tare_glu_desc){.dim = dim, .hidden = tare_share(dim, a->hidden_dim_scale_factor)});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const int64_t own = a->num_layers - a->num_kv_reuse_layers;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){.embedding = "embedding",
                                          .norm_name = "output_norm",
                                          .dim = a->hidden_dim,
                                          .vocabulary = a->vocab_size,
                                          .n_layers = own,
                                          .eps = a->rms_norm_eps,
                                          .layer = layer,
                                          .head = TARE_HEAD_NONE});
    if (a->num_kv_reuse_layers < 1 || d->n_layers < own)
        return;
    struct tare_layer *l = tare_layers_more(d, a->num_kv_reuse_layers);
    for (int64_t i = 0; l && i < a->num_kv_reuse_layers && !root.tree->error.code; i++)
        layer(l + i, tare_at(root, "model.kv_reuse_layers.%lld", (long long)i), args, own + i);
}

const struct tare_arch tare_arch_afm7 = {
    .name = "afm7",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
