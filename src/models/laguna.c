/* SPDX-License-Identifier: MIT
 * laguna.c - Laguna (mlx-lm: models/laguna.py): gated attention, in which layers differ in heads and rotation. */
#include <string.h>

#include "models/family/config_words.h"
#include "models/family/layer_kinds.h"
#include "models/family/published_experts.h"
#include "models/family/routed_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, 100352)                                                                                       \
    ARG(INT, hidden_size, 2048)                                                                                        \
    ARG(INT, intermediate_size, 8192)                                                                                  \
    ARG(INT, num_hidden_layers, 40)                                                                                    \
    ARG(INT, num_attention_heads, 48)                                                                                  \
    ARG(INT, num_key_value_heads, 8)                                                                                   \
    ARG(INT, head_dim, 128)                                                                                            \
    ARG(INT, max_position_embeddings, 262144)                                                                          \
    ARG(REAL, rms_norm_eps, 1e-6)                                                                                      \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, qkv_bias, false)                                                                                         \
    ARG(JSON, gating, ABSENT)                                                                                          \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(INT, sliding_window, 512)                                                                                      \
    ARG(REAL, partial_rotary_factor, ABSENT)                                                                           \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(JSON, num_attention_heads_per_layer, ABSENT)                                                                   \
    ARG(JSON, mlp_layer_types, ABSENT)                                                                                 \
    ARG(INT, num_experts, 256)                                                                                         \
    ARG(INT, num_experts_per_tok, 8)                                                                                   \
    ARG(INT, moe_intermediate_size, 512)                                                                               \
    ARG(INT, shared_expert_intermediate_size, 512)                                                                     \
    ARG(REAL, moe_routed_scaling_factor, 1.0)                                                                          \
    ARG(REAL, moe_router_logit_softcapping, 0.0)                                                                       \
    ARG(TEXT, moe_router_score_func, sigmoid)                                                                          \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static const json_t *rope(const struct args *a, bool local)
{
    return json_object_get(a->rope_parameters, local ? "sliding_attention" : "full_attention");
}

static double rotated(const struct args *a, bool local)
{
    const double usual = isnan(a->partial_rotary_factor) ? 1 : a->partial_rotary_factor;
    return tare_json_real(rope(a, local), "partial_rotary_factor", usual);
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    const json_t *heads = a->num_attention_heads_per_layer, *gating = json_object_get(d->config, "gating");
    const size_t n = (size_t)a->num_hidden_layers;
    bool fits = !heads || json_array_size(heads) == n;
    for (size_t i = 0; fits && i < json_array_size(heads); i++) {
        const json_int_t number = json_integer_value(json_array_get(heads, i)); /* 0 when it is no integer */
        fits = number > 0 && number <= INT32_MAX;
    }
    if (!fits)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "num_attention_heads_per_layer must be a list of %zu numbers, one a layer", n);
    if (gating && !json_is_boolean(gating) && !json_is_string(gating) && !json_is_null(gating))
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "gating must be true, false, \"per-head\" or \"per-element\"");
    if (json_is_null(gating)) /* absent is true */
        a->gating = json_false();
    for (int local = 0; local < 2; local++)
        if (tare_partial_check(rotated(a, local), d->place, d->err))
            return d->err->code;
    if (tare_layer_types_check(a->mlp_layer_types, a->num_hidden_layers, d->place, d->err))
        return d->err->code;
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

static bool routed(const void *args, int64_t layer)
{
    const struct args *a = args;
    const char *type = json_string_value(json_array_get(a->mlp_layer_types, (size_t)layer));
    return a->mlp_layer_types ? type && !strcmp(type, "sparse") : layer > 0;
}

static void vary(struct tare_dense *dense, int64_t i)
{
    const struct args *a = dense->args;
    const bool local = tare_window(1, a->layer_types, INT64_MAX, i) == 1;
    const json_t *heads = json_array_get(a->num_attention_heads_per_layer, (size_t)i);
    const char *kind = json_string_value(a->gating);
    if (heads)
        dense->attention.heads = json_integer_value(heads);
    if (!json_is_false(a->gating))
        dense->attention.gate.kind = kind && !strcmp(kind, "per-element") ? TARE_GATE_ELEMENTS : TARE_GATE_HEADS;
    dense->attention.window = tare_window(a->sliding_window, a->layer_types, INT64_MAX, i);
    dense->scaling = rope(a, local);
    dense->theta = tare_json_real(rope(a, local), "rope_theta", 10000);
    dense->rotated = rotated(a, local);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_routed_dense(
        root, d,
        &(struct tare_routed_dense){
            .dense = {TARE_DENSE_LLAMA(a), .attention.head_dim = a->head_dim, .attention.bias = a->qkv_bias,
                      .attention.o_bias = a->attention_bias, .attention.qk_norm.kind = TARE_QK_NORM_RMS, .args = a,
                      .attention.gate.softplus = true, .vary = vary},
            .is_routed = routed,
            .routed = {.router = {.n = a->num_experts,
                                  .top = a->num_experts_per_tok,
                                  .score = strcmp(a->moe_router_score_func, "sqrtsoftplus") ? TARE_SCORE_SIGMOID
                                                                                            : TARE_SCORE_SQRT_SOFTPLUS,
                                  .normalize = true,
                                  .scale = a->moe_routed_scaling_factor,
                                  .soft_cap = a->moe_router_logit_softcapping},
                       .hidden = a->moe_intermediate_size,
                       .gate = "gate.proj",
                       .correction = "gate.e_score_correction_bias",
                       .shared.name = "shared_expert",
                       .shared.hidden = a->shared_expert_intermediate_size},
        });
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_rename(w, "language_model.**", "**");
    tare_rename(w, "model.layers.*.mlp.gate.weight", "model.layers.*.mlp.gate.proj.weight");
    tare_rename(w, "model.layers.*.mlp.experts.e_score_correction_bias",
                "model.layers.*.mlp.gate.e_score_correction_bias");
    tare_replace(w, ".mlp.shared_experts.", ".mlp.shared_expert."); /* transformers 5, in memory */
    tare_routed_rewrite(w, "model.layers.*.mlp", "switch_mlp", a->num_experts, a->hidden_size);
}

const struct tare_arch tare_arch_laguna = {
    .name = "laguna",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
