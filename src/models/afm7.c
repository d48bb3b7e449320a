/* SPDX-License-Identifier: MIT
 * afm7.c - Apple's foundation model: the last layers reuse the keys and values of the last layer before them (mlx-lm:
 * models/afm7.py). */
#include "models/experts.h"
#include "models/skeleton.h"

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

/* A layer of either kind but for its queries, keys and values. */
static int64_t common(struct tare_at at, const struct args *a)
{
    const int64_t dim = a->hidden_dim;
    const int64_t head = tare_div(at, "hidden_dim", dim, "num_heads", a->num_heads);
    tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    tare_rms_norm(at, "self_attn.q_norm", head, 1e-5);
    tare_linear(at, "self_attn.out_proj", dim, dim, NO_BIAS);
    tare_dense_glu(at, "mlp", dim, (int64_t)((double)dim * a->hidden_dim_scale_factor));
    return head;
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t head = common(at, a);
    (void)l, (void)i; /* keys and values are rounded to 8 bits: no block does that */
    tare_linear(at, "self_attn.qkv_proj", a->hidden_dim, tare_mul(at, a->num_heads + 2 * a->num_kv_heads, head),
                NO_BIAS);
    tare_rms_norm(at, "self_attn.k_norm", head, 1e-5);
    tare_plain(at, "self_attn.quant_key_scale", 0);
    tare_plain(at, "self_attn.quant_value_scale", 0);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){.embedding = "embedding",
                                          .norm_name = "output_norm",
                                          .dim = a->hidden_dim,
                                          .vocabulary = a->vocab_size,
                                          .n_layers = a->num_layers - a->num_kv_reuse_layers,
                                          .eps = a->rms_norm_eps,
                                          .layer = layer,
                                          .head = TARE_HEAD_NONE});
    for (int64_t i = 0; i < a->num_kv_reuse_layers && !root.tree->error.code; i++) {
        const struct tare_at at = tare_at(root, "model.kv_reuse_layers.%lld", (long long)i);
        common(at, a);
        tare_linear(at, "self_attn.q_proj", a->hidden_dim, a->hidden_dim, NO_BIAS);
    }
}

const struct tare_arch tare_arch_afm7 = {
    .name = "afm7",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
};
