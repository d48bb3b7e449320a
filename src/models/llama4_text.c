/* SPDX-License-Identifier: MIT
 * llama4_text.c - small dense models with Llama 4's layers, such as MobileLLM-R1 (mlx-lm: models/llama4_text.py, where
 * the head is called "output"). */
#include "models/family/config_words.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, intermediate_size_mlp, REQUIRED)                                                                          \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(FLAG, tie_word_embeddings, REQUIRED)                                                                           \
    ARG(JSON, no_rope_layers, REQUIRED)                                                                                \
    ARG(FLAG, use_qk_norm, REQUIRED)                                                                                   \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(INT, max_position_embeddings, ABSENT)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    const enum tare_code code =
        tare_layer_numbers_check(a->no_rope_layers, a->num_hidden_layers, "no_rope_layers", d->place, d->err);
    return code ? code : tare_theta_read(&a->rope_theta, "rope_theta", a->rope_parameters, d->place, d->err);
}

/* no_rope_layers says 1 of those that rotate. */
static void attention(struct tare_layer *l, struct tare_at at, const struct args *a, int64_t i)
{
    struct tare_rope rope = {.kind = TARE_ROPE_NONE};
    if (json_integer_value(json_array_get(a->no_rope_layers, (size_t)i)))
        rope = tare_rope_read(at, a->head_dim, a->rope_theta, a->rope_parameters, a->max_position_embeddings);
    rope.interleaved = true;
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.dim = a->hidden_size,
                                     .heads = a->num_attention_heads,
                                     .kv_heads = a->num_key_value_heads,
                                     .head_dim = a->head_dim,
                                     .qk_norm.kind = a->use_qk_norm ? TARE_QK_NORM_RMS_BARE : TARE_QK_NORM_NONE,
                                     .qk_norm.eps = a->rms_norm_eps,
                                     .rope = rope});
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", a->hidden_size, a->rms_norm_eps);
    attention(l, at, a, i);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", a->hidden_size, a->rms_norm_eps);
    tare_glu(
        l, at,
        &(struct tare_glu_desc){.name = "feed_forward", .dim = a->hidden_size, .hidden = a->intermediate_size_mlp});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .layer = layer, .head_name = "output",
                                          .head = TARE_HEAD_FLAG, .tied = a->tie_word_embeddings});
}

const struct tare_arch tare_arch_llama4_text = {
    .name = "llama4_text",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
