/* SPDX-License-Identifier: MIT
 * qwen2_moe.c - Qwen2 with routed experts beside a shared one (mlx-lm: models/qwen2_moe.py, which knows neither
 * dense layers nor a window). */
#include "models/family/dense_decoder.h"
#include "models/family/layer_kinds.h"
#include "models/family/published_experts.h"
#include "models/family/qwen_experts.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(INT, num_experts, REQUIRED)                                                                                    \
    ARG(INT, moe_intermediate_size, REQUIRED)                                                                          \
    ARG(INT, shared_expert_intermediate_size, REQUIRED)                                                                \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(REAL, rope_theta, 1000000)                                                                                     \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(FLAG, qkv_bias, true)                                                                                          \
    ARG(FLAG, norm_topk_prob, false)                                                                                   \
    ARG(INT, decoder_sparse_step, 1)                                                                                   \
    ARG(JSON, mlp_only_layers, ABSENT)                                                                                 \
    ARG(FLAG, use_sliding_window, false)                                                                               \
    ARG(INT, sliding_window, 4096)                                                                                     \
    ARG(INT, max_window_layers, 28)                                                                                    \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (!a->use_sliding_window)
        a->sliding_window = 0;
    a->rope_theta = tare_json_real(a->rope_parameters, "rope_theta", a->rope_theta);
    return tare_sparse_check(a->mlp_only_layers, a->decoder_sparse_step, d->place, d->err);
}

/* A routed layer has no feed-forward block of its own. */
static void vary(struct tare_dense *layer, int64_t i)
{
    const struct args *a = layer->args;
    layer->attention.window = tare_window(a->sliding_window, NULL, a->max_window_layers, i);
    layer->no_ffn = tare_sparse_layer(a->mlp_only_layers, a->decoder_sparse_step, i);
}

static void experts(struct tare_layer *l, struct tare_at at, const struct tare_dense *layer)
{
    const struct args *a = layer->args;
    if (layer->no_ffn)
        tare_shared_experts(l, at,
                            &(struct tare_shared_experts){.dim = a->hidden_size,
                                                          .n = a->num_experts,
                                                          .top = a->num_experts_per_tok,
                                                          .hidden = a->moe_intermediate_size,
                                                          .shared_hidden = a->shared_expert_intermediate_size,
                                                          .normalize = a->norm_topk_prob,
                                                          .hidden_act = a->hidden_act});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){TARE_DENSE_USUAL(a), .skeleton.eps = a->rms_norm_eps,
                                    .skeleton.head = TARE_HEAD_OWN, .attention.bias = a->qkv_bias,
                                    .interleaved = a->rope_traditional, .args = a, .vary = vary, .more = experts});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_layer_experts_rewrite(w, "mlp", a->num_experts, a->hidden_size);
}

const struct tare_arch tare_arch_qwen2_moe = {
    .name = "qwen2_moe",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
