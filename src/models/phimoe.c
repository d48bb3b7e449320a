/* SPDX-License-Identifier: MIT
 * phimoe.c - Phi-3.5-MoE: layer norms, biases everywhere, routed experts in every layer (mlx-lm: models/phimoe.py). */
#include "models/family/decoder_skeleton.h"
#include "models/family/published_experts.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, 32064)                                                                                        \
    ARG(INT, hidden_size, 4096)                                                                                        \
    ARG(INT, intermediate_size, 6400)                                                                                  \
    ARG(INT, num_hidden_layers, 32)                                                                                    \
    ARG(INT, num_attention_heads, 32)                                                                                  \
    ARG(INT, num_key_value_heads, 8)                                                                                   \
    ARG(INT, max_position_embeddings, 131072)                                                                          \
    ARG(INT, original_max_position_embeddings, 4096)                                                                   \
    ARG(REAL, rms_norm_eps, 1e-6)                                                                                      \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(INT, num_local_experts, 16)                                                                                    \
    ARG(INT, num_experts_per_tok, 2)                                                                                   \
    ARG(REAL, rope_theta, 10000.0)                                                                                     \
    ARG(REAL, router_jitter_noise, 0.01)                                                                               \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, attention_bias, true)                                                                                    \
    ARG(FLAG, lm_head_bias, true)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (a->num_experts_per_tok > a->num_local_experts)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "num_experts_per_tok %lld is above num_local_experts %lld",
                         (long long)a->num_experts_per_tok, (long long)a->num_local_experts);
    return TARE_OK;
}

/* original_max_position_embeddings stands beside rope_scaling, or in it. */
static struct tare_rope rope_read(struct tare_at at, const struct args *a, int64_t head)
{
    const json_t *scaling = a->rope_scaling ? a->rope_scaling : a->rope_parameters;
    struct tare_rope rope = tare_rope_read(at, head, tare_json_real(a->rope_parameters, "rope_theta", a->rope_theta),
                                           scaling, a->max_position_embeddings);
    if (rope.kind == TARE_ROPE_LONGROPE)
        rope.original_context =
            (double)tare_json_integer(scaling, "original_max_position_embeddings", a->original_max_position_embeddings);
    return rope;
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    const int64_t head = tare_div(at, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
    (void)i;
    l->pre[0] = tare_layer_norm(at, "input_layernorm", dim, a->rms_norm_eps, BIAS);
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.dim = dim,
                                     .heads = a->num_attention_heads,
                                     .kv_heads = a->num_key_value_heads,
                                     .head_dim = head,
                                     .bias = a->attention_bias,
                                     .o_bias = a->attention_bias,
                                     .rope = rope_read(at, a, head)});
    l->pre[1] = tare_layer_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps, BIAS);
    tare_routed(l, at,
                &(struct tare_routed_desc){.name = "block_sparse_moe",
                                           .dim = dim,
                                           .router = {.n = a->num_local_experts,
                                                      .top = a->num_experts_per_tok,
                                                      .score = TARE_SCORE_SPARSE_MIXER,
                                                      .jitter = a->router_jitter_noise},
                                           .hidden = a->intermediate_size});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .norm = TARE_SKELETON_LAYER, .norm_bias = BIAS,
                                          .layer = layer, .head = TARE_HEAD_OWN, .head_bias = a->lm_head_bias});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_layer_experts_rewrite(w, "block_sparse_moe", a->num_local_experts, a->hidden_size);
}

const struct tare_arch tare_arch_phimoe = {
    .name = "phimoe",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
