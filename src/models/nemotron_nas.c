/* SPDX-License-Identifier: MIT
 * nemotron_nas.c - Llama-Nemotron (mlx-lm: models/nemotron-nas.py): Llama, changed by a search that left some blocks
 * out, replaced some by a linear, and chose the width of each. */
#include "models/family/decoder_skeleton.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 8192)                                                                                        \
    ARG(INT, num_hidden_layers, 80)                                                                                    \
    ARG(INT, num_attention_heads, 64)                                                                                  \
    ARG(REAL, rms_norm_eps, 1e-5)                                                                                      \
    ARG(INT, vocab_size, 128256)                                                                                       \
    ARG(JSON, block_configs, ABSENT)                                                                                   \
    ARG(TEXT, hidden_act, silu)                                                                                        \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(REAL, rope_theta, 500000.0)                                                                                    \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(INT, max_position_embeddings, 131072)                                                                          \
    ARG(FLAG, tie_word_embeddings, false)
TARE_ARGS(ARGS);

/* What a layer's "attention" or "ffn" says. */
enum role { ACTIVE, LINEAR, NO_OP };

static const json_t *part(const struct args *a, int64_t layer, const char *name)
{
    return json_object_get(json_array_get(a->block_configs, (size_t)layer), name);
}

static enum role role_of(const json_t *part)
{
    return json_is_true(json_object_get(part, "no_op"))                 ? NO_OP
           : json_is_true(json_object_get(part, "replace_with_linear")) ? LINEAR
                                                                        : ACTIVE;
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (json_array_size(a->block_configs) != (size_t)a->num_hidden_layers)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "block_configs must be a list of %lld blocks, one a layer",
                         (long long)a->num_hidden_layers);
    for (int64_t i = 0; i < a->num_hidden_layers; i++) {
        const json_t *attention = part(a, i, "attention"), *ffn = part(a, i, "ffn");
        const int64_t group = tare_json_integer(attention, "n_heads_in_group", 0);
        const double mult = tare_json_real(ffn, "ffn_mult", 0);
        if (role_of(attention) == ACTIVE && (group < 1 || a->num_attention_heads % group != 0))
            return tare_fail(d->err, TARE_E_CONFIG, d->place,
                             "block_configs[%lld].attention.n_heads_in_group must divide num_attention_heads",
                             (long long)i);
        if (role_of(ffn) == ACTIVE && !(mult > 0 && mult < 1 << 20))
            return tare_fail(d->err, TARE_E_CONFIG, d->place,
                             "block_configs[%lld].ffn.ffn_mult must be a number above 0", (long long)i);
    }
    return TARE_OK;
}

/* int(2 * mult * dim / 3), up to a multiple of 256; mult counts to six places. */
static int64_t width(double mult, int64_t dim)
{
    const double rounded = nearbyint(mult * 1e6) / 1e6;
    return (tare_share(1, 2 * rounded * (double)dim / 3) + 255) / 256 * 256;
}

static void attention(struct tare_layer *l, struct tare_at at, const struct args *a, int64_t group)
{
    const int64_t head = tare_div(at, "hidden_size", a->hidden_size, "num_attention_heads", a->num_attention_heads);
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.dim = a->hidden_size,
                                     .heads = a->num_attention_heads,
                                     .kv_heads = a->num_attention_heads / group,
                                     .head_dim = head,
                                     .bias = a->attention_bias,
                                     .o_bias = a->attention_bias,
                                     .rope = tare_rope_read(at, head, a->rope_theta,
                                                            a->rope_scaling ? a->rope_scaling : a->rope_parameters,
                                                            a->max_position_embeddings)});
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const json_t *first = part(a, i, "attention"), *second = part(a, i, "ffn");
    if (role_of(first) != NO_OP)
        l->pre[0] = tare_rms_norm(at, "input_layernorm", a->hidden_size, a->rms_norm_eps);
    if (role_of(first) == NO_OP)
        tare_nothing(&l->mixer, at, a->hidden_size);
    if (role_of(first) == LINEAR)
        tare_projection(&l->mixer, at, "self_attn.linear", a->hidden_size, a->attention_bias);
    if (role_of(first) == ACTIVE)
        attention(l, at, a, tare_json_integer(first, "n_heads_in_group", 1));
    if (role_of(second) != NO_OP)
        l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", a->hidden_size, a->rms_norm_eps);
    if (role_of(second) == NO_OP)
        tare_nothing(&l->ffn, at, a->hidden_size);
    if (role_of(second) == LINEAR)
        tare_projection(&l->ffn, at, "mlp.linear", a->hidden_size, a->mlp_bias);
    if (role_of(second) == ACTIVE)
        tare_glu(l, at,
                 &(struct tare_glu_desc){.dim = a->hidden_size,
                                         .hidden = width(tare_json_real(second, "ffn_mult", 1), a->hidden_size),
                                         .bias = a->mlp_bias,
                                         .activation = tare_activation_read(at, a->hidden_act, TARE_SILU)});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){.dim = a->hidden_size,
                                          .vocabulary = a->vocab_size,
                                          .n_layers = a->num_hidden_layers,
                                          .context = a->max_position_embeddings,
                                          .eps = a->rms_norm_eps,
                                          .layer = layer,
                                          .head = TARE_HEAD_FLAG,
                                          .tied = a->tie_word_embeddings});
}

const struct tare_arch tare_arch_nemotron_nas = {
    .name = "nemotron-nas",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
