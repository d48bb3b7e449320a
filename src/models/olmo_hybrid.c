/* SPDX-License-Identifier: MIT
 * olmo_hybrid.c - OLMo Hybrid: layers of gated delta rule, normed before, and of attention, normed after (mlx-lm:
 * models/olmo_hybrid.py, which cannot read the published names). */
#include <math.h>

#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"
#include "models/family/qwen_delta.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, linear_num_key_heads, REQUIRED)                                                                           \
    ARG(INT, linear_num_value_heads, REQUIRED)                                                                         \
    ARG(INT, linear_key_head_dim, REQUIRED)                                                                            \
    ARG(INT, linear_value_head_dim, REQUIRED)                                                                          \
    ARG(INT, linear_conv_kernel_dim, REQUIRED)                                                                         \
    ARG(FLAG, linear_allow_neg_eigval, true)                                                                           \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(REAL, layer_norm_epsilon, 1e-5)                                                                                \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(REAL, rope_theta, 10000)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->num_key_value_heads < 1)
        a->num_key_value_heads = a->num_attention_heads;
    if (a->head_dim < 1)
        a->head_dim = a->hidden_size / a->num_attention_heads;
    const json_t *fragment = json_is_object(a->rope_parameters) ? a->rope_parameters : d->config;
    a->rope_theta = tare_json_real(a->rope_parameters, "rope_theta", a->rope_theta);
    if (json_is_null(json_object_get(fragment, "rope_theta")))
        a->rope_theta = NAN; /* nothing rotates */
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

static bool linear(const struct args *a, int64_t i)
{
    return a->layer_types ? tare_word_is(a->layer_types, i, "linear_attention") : i % 4 != 3;
}

static void delta_layer(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    l->pre[0] = tare_rms_norm(at, "input_layernorm", a->hidden_size, a->rms_norm_eps);
    tare_delta(l, at,
               &(struct tare_delta_desc){TARE_DELTA_QWEN(a), .spelling = TARE_DELTA_EACH, .decay = TARE_DECAY_HEAD,
                                         .negative = a->linear_allow_neg_eigval, .eps = a->layer_norm_epsilon});
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", a->hidden_size, a->rms_norm_eps);
}

static void attention_layer(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    struct tare_rope rope = {.kind = TARE_ROPE_NONE};
    if (!isnan(a->rope_theta))
        rope = tare_rope_read(at, a->head_dim, a->rope_theta, a->rope_parameters, a->max_position_embeddings);
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.dim = a->hidden_size,
                                     .heads = a->num_attention_heads,
                                     .kv_heads = a->num_key_value_heads,
                                     .head_dim = a->head_dim,
                                     .bias = a->attention_bias,
                                     .o_bias = a->attention_bias,
                                     .qk_norm.kind = TARE_QK_NORM_RMS_WIDE,
                                     .qk_norm.eps = a->rms_norm_eps,
                                     .rope = rope});
    l->post[0] = tare_rms_norm(at, "post_attention_layernorm", a->hidden_size, a->rms_norm_eps);
    l->post[1] = tare_rms_norm(at, "post_feedforward_layernorm", a->hidden_size, a->rms_norm_eps);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    if (linear(a, i))
        delta_layer(l, at, a);
    else
        attention_layer(l, at, a);
    tare_glu(l, at, &(struct tare_glu_desc){.dim = a->hidden_size, .hidden = a->intermediate_size});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .layer = layer, TARE_SKELETON_TIED(a)});
}

/* transformers 5 saves one convolution in three equal parts, whatever the widths: join them, and cut rightly. */
static void cut_convolutions(struct tare_weights *w, const struct args *a)
{
    static const char *const parts[] = {"model.layers.*.linear_attn.q_conv1d.weight",
                                        "model.layers.*.linear_attn.k_conv1d.weight",
                                        "model.layers.*.linear_attn.v_conv1d.weight"};
    const int64_t key = a->linear_num_key_heads * a->linear_key_head_dim;
    const int64_t value = a->linear_num_value_heads * a->linear_value_head_dim;
    const struct tare_entry *query = tare_find(w, parts[0]);
    if (query && query->recipe->rank > 0 && query->recipe->shape[0] != key)
        tare_join(w, parts, 3, 0, "model.layers.*.linear_attn.conv1d.weight");
    tare_split_sizes(w, "model.layers.*.linear_attn.conv1d.weight", 0, parts, (const int64_t[]){key, key, value}, 3);
}

static void sanitize(struct tare_weights *w, const void *args)
{
    tare_rename(w, "model.layers.*.attention_layer_norm.weight", "model.layers.*.input_layernorm.weight");
    tare_rename(w, "model.layers.*.feedforward_layer_norm.weight", "model.layers.*.post_attention_layernorm.weight");
    cut_convolutions(w, args);
    tare_conv_channels_last(w, "**.*conv1d.weight");
}

const struct tare_arch tare_arch_olmo_hybrid = {
    .name = "olmo_hybrid",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
