/* SPDX-License-Identifier: MIT
 * exaone_moe.c - K-EXAONE (mlx-lm: models/exaone_moe.py): when some layers have a window, only those have
 * rotary positions. */
#include <string.h>

#include "models/family/config_words.h"
#include "models/family/layer_kinds.h"
#include "models/family/published_experts.h"
#include "models/family/routed_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, moe_intermediate_size, REQUIRED)                                                                          \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(INT, num_experts, REQUIRED)                                                                                    \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(INT, num_shared_experts, ABSENT)                                                                               \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, sliding_window, ABSENT)                                                                                   \
    ARG(JSON, layer_types, REQUIRED)                                                                                   \
    ARG(JSON, is_moe_layer, ABSENT)                                                                                    \
    ARG(INT, n_group, 1)                                                                                               \
    ARG(INT, topk_group, 1)                                                                                            \
    ARG(REAL, routed_scaling_factor, 2.5)                                                                              \
    ARG(FLAG, norm_topk_prob, true)                                                                                    \
    ARG(TEXT, scoring_func, sigmoid)                                                                                   \
    ARG(TEXT, topk_method, noaux_tc)                                                                                   \
    ARG(REAL, rope_theta, 1000000.0)                                                                                   \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(JSON, mlp_layer_types, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static bool routed(const void *args, int64_t layer)
{
    const struct args *a = args;
    const json_t *own = json_array_get(a->is_moe_layer, (size_t)layer);
    const char *type = json_string_value(json_array_get(a->mlp_layer_types, (size_t)layer)); /* transformers' */
    return a->is_moe_layer ? json_is_true(own) || json_integer_value(own) != 0 : type && !strcmp(type, "sparse");
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    const json_t *flags = a->is_moe_layer ? a->is_moe_layer : a->mlp_layer_types;
    if (json_array_size(flags) != (size_t)a->num_hidden_layers)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "is_moe_layer must be a list of %lld flags, one a layer",
                         (long long)a->num_hidden_layers);
    if (tare_topk_method_check(a->topk_method, d->place, d->err))
        return d->err->code;
    a->rope_theta = tare_json_real(a->rope_parameters, "rope_theta", a->rope_theta);
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

static void vary(struct tare_dense *dense, int64_t i)
{
    const struct args *a = dense->args;
    bool windows = false;
    for (int64_t k = 0; k < a->num_hidden_layers; k++)
        windows |= tare_window(1, a->layer_types, 0, k) != 0;
    dense->no_rope = windows && tare_window(1, a->layer_types, 0, i) == 0;
    dense->attention.window = tare_window(a->sliding_window, a->layer_types, 0, i);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_routed_dense(root, d,
                      &(struct tare_routed_dense){
                          .dense = {TARE_DENSE_LLAMA(a), .attention.head_dim = a->head_dim,
                                    .attention.qk_norm.kind = TARE_QK_NORM_RMS, .args = a, .vary = vary},
                          .is_routed = routed,
                          .routed = {.router = {.n = a->num_experts,
                                                .top = a->num_experts_per_tok,
                                                .score = TARE_SCORE_SIGMOID,
                                                .normalize = a->norm_topk_prob,
                                                .scale = a->routed_scaling_factor,
                                                .groups = a->n_group,
                                                .top_groups = a->topk_group},
                                     .hidden = a->moe_intermediate_size,
                                     .gate_kind = TARE_ROUTER_PARAMETER,
                                     .correction = "gate.e_score_correction_bias",
                                     .shared.hidden = a->moe_intermediate_size * a->num_shared_experts},
                      });
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_drop(w, "mtp", "predicts further tokens; not part of the decoder");
    tare_rename(w, "model.layers.*.mlp.e_score_correction_bias", "model.layers.*.mlp.gate.e_score_correction_bias");
    tare_routed_rewrite(w, "model.layers.*.mlp", "switch_mlp", a->num_experts, a->hidden_size);
}

const struct tare_arch tare_arch_exaone_moe = {
    .name = "exaone_moe",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
