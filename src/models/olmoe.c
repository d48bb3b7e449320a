/* SPDX-License-Identifier: MIT
 * olmoe.c - OLMoE: routed experts in every layer, norms over all queries and all keys (mlx-lm: models/olmoe.py). */
#include "blocks/attention/gqa_clipped.h"
#include "models/family/config_words.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/published_experts.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_experts, REQUIRED)                                                                                    \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(FLAG, norm_topk_prob, false)                                                                                   \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(REAL, clip_qkv, ABSENT)                                                                                        \
    ARG(FLAG, tie_word_embeddings, true)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    (void)d;
    if (a->num_key_value_heads < 0)
        a->num_key_value_heads = a->num_attention_heads;
    return TARE_OK;
}

/* The authors clip queries and keys after their norms, and values; mlx-lm does not read clip_qkv. */
static void attention(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    const int64_t head = tare_head_dim(at, a->head_dim, a->hidden_size, a->num_attention_heads);
    const json_t *scaling = a->rope_scaling ? a->rope_scaling : a->rope_parameters;
    struct tare_rope rope = tare_rope_read(at, head, a->rope_theta, scaling, a->max_position_embeddings);
    rope.interleaved = a->rope_traditional;
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.dim = a->hidden_size,
                                     .heads = a->num_attention_heads,
                                     .kv_heads = a->num_key_value_heads,
                                     .head_dim = head,
                                     .bias = a->attention_bias,
                                     .o_bias = a->attention_bias,
                                     .qk_norm.kind = TARE_QK_NORM_RMS_WIDE,
                                     .qk_norm.eps = a->rms_norm_eps,
                                     .rope = rope});
    tare_gqa_clipped(l, tare_at(at, "self_attn"), a->clip_qkv);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    (void)i;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    attention(l, at, a);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    tare_routed(l, at,
                &(struct tare_routed_desc){
                    .dim = dim,
                    .router = {.n = a->num_experts, .top = a->num_experts_per_tok, .normalize = a->norm_topk_prob},
                    .hidden = a->intermediate_size,
                    .bias = a->mlp_bias});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .layer = layer, .head = TARE_HEAD_FLAG,
                                          .tied = a->tie_word_embeddings});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_stack(w, "model.layers.*.mlp.experts.#.*.bias", "model.layers.*.mlp.switch_mlp.*.bias", a->num_experts);
    tare_layer_experts_rewrite(w, "mlp", a->num_experts, a->hidden_size);
}

const struct tare_arch tare_arch_olmoe = {
    .name = "olmoe",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
