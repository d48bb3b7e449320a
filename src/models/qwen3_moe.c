/* SPDX-License-Identifier: MIT
 * qwen3_moe.c - Qwen3 with routed experts (mlx-lm: models/qwen3_moe.py). */
#include "models/family/config_words.h"
#include "models/family/dense_decoder.h"
#include "models/family/layer_kinds.h"
#include "models/family/published_experts.h"
#include "models/family/qwen_experts.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_experts, ABSENT)                                                                                      \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(INT, decoder_sparse_step, REQUIRED)                                                                            \
    ARG(JSON, mlp_only_layers, REQUIRED)                                                                               \
    ARG(INT, moe_intermediate_size, REQUIRED)                                                                          \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(FLAG, tie_word_embeddings, REQUIRED)                                                                           \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(FLAG, norm_topk_prob, REQUIRED)                                                                                \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, use_sliding_window, false)                                                                               \
    ARG(INT, sliding_window, 4096)                                                                                     \
    ARG(INT, max_window_layers, 28)                                                                                    \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->num_experts < 0) /* 0 is a model without experts, so it cannot be REQUIRED */
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "num_experts is missing; a model of this type needs it");
    if (!a->use_sliding_window)
        a->sliding_window = 0;
    const enum tare_code code = tare_sparse_check(a->mlp_only_layers, a->decoder_sparse_step, d->place, d->err);
    return code ? code : tare_theta_read(&a->rope_theta, "rope_theta", a->rope_parameters, d->place, d->err);
}

/* A routed layer has no feed-forward block of its own. */
static void vary(struct tare_dense *layer, int64_t i)
{
    const struct args *a = layer->args;
    layer->attention.window = tare_window(a->sliding_window, NULL, a->max_window_layers, i);
    layer->no_ffn = a->num_experts > 0 && tare_sparse_layer(a->mlp_only_layers, a->decoder_sparse_step, i);
}

static void experts(struct tare_layer *l, struct tare_at at, const struct tare_dense *layer)
{
    const struct args *a = layer->args;
    if (layer->no_ffn)
        tare_routed(l, at,
                    &(struct tare_routed_desc){
                        .dim = a->hidden_size,
                        .router = {.n = a->num_experts, .top = a->num_experts_per_tok, .normalize = a->norm_topk_prob},
                        .hidden = a->moe_intermediate_size,
                        .activation = tare_activation_read(at, a->hidden_act, TARE_SILU)});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){TARE_DENSE_LLAMA(a), .attention.head_dim = a->head_dim,
                                    .attention.qk_norm.kind = TARE_QK_NORM_RMS, .args = a, .vary = vary,
                                    .more = experts});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_layer_experts_rewrite(w, "mlp", a->num_experts, a->hidden_size);
}

const struct tare_arch tare_arch_qwen3_moe = {
    .name = "qwen3_moe",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
