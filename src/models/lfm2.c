/* SPDX-License-Identifier: MIT
 * lfm2.c - LFM2 (mlx-lm: models/lfm2.py). */
#include "models/family/lfm2_family.h"

#include "models/family/decoder_skeleton.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(REAL, norm_eps, REQUIRED)                                                                                      \
    ARG(FLAG, conv_bias, REQUIRED)                                                                                     \
    ARG(INT, conv_L_cache, REQUIRED)                                                                                   \
    ARG(INT, block_dim, ABSENT)                                                                                        \
    ARG(INT, block_multiple_of, REQUIRED)                                                                              \
    ARG(REAL, block_ffn_dim_multiplier, ABSENT)                                                                        \
    ARG(FLAG, block_auto_adjust_ff_dim, REQUIRED)                                                                      \
    ARG(INT, block_ff_dim, ABSENT)                                                                                     \
    ARG(INT, intermediate_size, ABSENT)                                                                                \
    ARG(REAL, rope_theta, 1000000.0)                                                                                   \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(JSON, full_attn_idxs, ABSENT)                                                                                  \
    ARG(JSON, layer_types, ABSENT)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    a->rope_theta = tare_json_real(a->rope_parameters, "rope_theta", a->rope_theta);
    if (a->num_key_value_heads < 0)
        a->num_key_value_heads = a->num_attention_heads;
    if (a->block_dim < 0)
        a->block_dim = a->hidden_size;
    if (a->block_ff_dim < 0)
        a->block_ff_dim = a->intermediate_size;
    if (a->block_ff_dim < 1 || a->block_ff_dim > INT32_MAX)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "block_ff_dim or intermediate_size must say how wide a network is");
    if (a->block_auto_adjust_ff_dim) {
        const double multiplier = isnan(a->block_ffn_dim_multiplier) ? 1 : a->block_ffn_dim_multiplier;
        const int64_t multiple = a->block_multiple_of, two_thirds = 2 * a->block_ff_dim / 3;
        const double width = floor(multiplier * (double)two_thirds);
        if (!(width >= 1 && width <= INT32_MAX))
            return tare_fail(d->err, TARE_E_CONFIG, d->place,
                             "block_ffn_dim_multiplier is %g; the network would be %g wide", multiplier, width);
        a->block_ff_dim = ((int64_t)width + multiple - 1) / multiple * multiple;
    }
    return tare_lfm2_check(a->full_attn_idxs, a->layer_types, a->num_hidden_layers, d);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    tare_lfm2_layer(l, at, &(struct tare_lfm2_desc){TARE_LFM2(a)}, i);
    tare_glu(l, at,
             &(struct tare_glu_desc){.name = "feed_forward",
                                     .gate_name = "w1",
                                     .up_name = "w3",
                                     .down_name = "w2",
                                     .dim = a->block_dim,
                                     .hidden = a->block_ff_dim});
    if (a->block_dim != a->hidden_size) /* such a config declares what nothing can compute */
        l->ffn = (struct tare_block){0};
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, a, d,
                  &(struct tare_skeleton){TARE_SKELETON_SIZES(a), .norm_name = "embedding_norm",
                                          .context = a->max_position_embeddings, .eps = a->norm_eps, .layer = layer,
                                          .head = TARE_HEAD_NONE, .tied = true});
}

const struct tare_arch tare_arch_lfm2 = {
    .name = "lfm2",
    .runs = true,
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = tare_lfm2_sanitize,
    .transformers_tied = true,
};
