/* SPDX-License-Identifier: MIT
 * gear.c - Gear: layers of attention, and layers whose mixer convolves keys and values (mlx-lm: models/gear.py). */
#include "blocks/recurrent/conv_mixer.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(TEXT, hidden_activation, gelu_pytorch_tanh)                                                                    \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(REAL, query_pre_attn_scalar, ABSENT)                                                                           \
    ARG(INT, sliding_window, 512)                                                                                      \
    ARG(INT, conv_L_cache, 3)                                                                                          \
    ARG(REAL, rope_theta, 1000000)                                                                                     \
    ARG(REAL, rope_local_base_freq, 10000)                                                                             \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(REAL, final_logit_softcapping, 0)                                                                              \
    ARG(REAL, attn_logit_softcapping, 0)                                                                               \
    ARG(FLAG, use_bidirectional_attention, false)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->num_key_value_heads < 1)
        a->num_key_value_heads = a->num_attention_heads;
    if (isnan(a->query_pre_attn_scalar))
        a->query_pre_attn_scalar = (double)a->head_dim;
    if (!(a->query_pre_attn_scalar > 0))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "query_pre_attn_scalar must be above 0");
    if (a->use_bidirectional_attention)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "use_bidirectional_attention is true; expected false");
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

static void attention(struct tare_layer *l, struct tare_at at, const struct args *a, bool local)
{
    const struct tare_rope rope = tare_rope_read(at, a->head_dim, local ? a->rope_local_base_freq : a->rope_theta,
                                                 local ? NULL : a->rope_scaling, a->max_position_embeddings);
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.dim = a->hidden_size,
                                     .heads = a->num_attention_heads,
                                     .kv_heads = a->num_key_value_heads,
                                     .head_dim = a->head_dim,
                                     .bias = a->attention_bias,
                                     .o_bias = a->attention_bias,
                                     .scale = 1 / sqrt(a->query_pre_attn_scalar),
                                     .window = local ? a->sliding_window : 0,
                                     .soft_cap = a->attn_logit_softcapping,
                                     .qk_norm.kind = TARE_QK_NORM_RMS_ONE_PLUS,
                                     .qk_norm.eps = a->rms_norm_eps,
                                     .rope = rope});
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    l->pre[0] = tare_rms_norm_one_plus(at, "input_layernorm", a->hidden_size, a->rms_norm_eps);
    l->post[0] = tare_rms_norm_one_plus(at, "post_attention_layernorm", a->hidden_size, a->rms_norm_eps);
    if (tare_word_is(a->layer_types, i, "conv_mixer"))
        tare_conv_mixer(l, at,
                        &(struct tare_conv_mixer_desc){.name = "local_mixer",
                                                       .dim = a->hidden_size,
                                                       .heads = a->num_attention_heads,
                                                       .kv_heads = a->num_key_value_heads,
                                                       .head_dim = a->head_dim,
                                                       .width = a->conv_L_cache,
                                                       .bias = a->attention_bias,
                                                       .eps = a->rms_norm_eps});
    else
        attention(l, at, a, tare_word_is(a->layer_types, i, "sliding_attention"));
    l->pre[1] = tare_rms_norm_one_plus(at, "pre_feedforward_layernorm", a->hidden_size, a->rms_norm_eps);
    l->post[1] = tare_rms_norm_one_plus(at, "post_feedforward_layernorm", a->hidden_size, a->rms_norm_eps);
    tare_glu(l, at,
             &(struct tare_glu_desc){.dim = a->hidden_size,
                                     .hidden = a->intermediate_size,
                                     .activation = tare_activation_read(at, a->hidden_activation, TARE_GELU_TANH)});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .norm = TARE_SKELETON_RMS_ONE_PLUS,
                                          .embedding_scale = sqrt((double)a->hidden_size),
                                          .logit_soft_cap = a->final_logit_softcapping, .layer = layer,
                                          TARE_SKELETON_TIED(a)});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop_containing(w, "rotary_emb.inv_freq", "precomputed rotary frequencies, not a parameter");
    tare_drop_exact(w, "**.*embed_scale", "the root of the hidden size, not a parameter");
    tare_conv_channels_last(w, "**.*key_conv.weight");
    tare_conv_channels_last(w, "**.*value_conv.weight");
}

const struct tare_arch tare_arch_gear = {
    .name = "gear",
    .transformers_tied = true, /* not known there: a head that differs is refused */
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
