/* SPDX-License-Identifier: MIT
 * afmoe.c - Arcee's AFMoE (mlx-lm: models/afmoe.py): gated attention, four norms, and rotary positions only in
 * layers with a window. */
#include <string.h>

#include "models/family/layer_kinds.h"
#include "models/family/published_experts.h"
#include "models/family/routed_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(JSON, layer_types, REQUIRED)                                                                                   \
    ARG(INT, vocab_size, 200192)                                                                                       \
    ARG(INT, hidden_size, 2048)                                                                                        \
    ARG(INT, intermediate_size, 6144)                                                                                  \
    ARG(INT, moe_intermediate_size, 1024)                                                                              \
    ARG(INT, num_hidden_layers, 32)                                                                                    \
    ARG(INT, num_attention_heads, 32)                                                                                  \
    ARG(INT, num_key_value_heads, 4)                                                                                   \
    ARG(INT, head_dim, 64)                                                                                             \
    ARG(INT, max_position_embeddings, 131072)                                                                          \
    ARG(REAL, rms_norm_eps, 1e-5)                                                                                      \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(INT, num_experts, 128)                                                                                         \
    ARG(INT, num_experts_per_tok, 8)                                                                                   \
    ARG(INT, num_shared_experts, 1)                                                                                    \
    ARG(INT, num_dense_layers, 2)                                                                                      \
    ARG(FLAG, route_norm, true)                                                                                        \
    ARG(REAL, route_scale, 2.826)                                                                                      \
    ARG(TEXT, score_func, sigmoid)                                                                                     \
    ARG(INT, n_group, 1)                                                                                               \
    ARG(INT, topk_group, 1)                                                                                            \
    ARG(INT, sliding_window, 2048)                                                                                     \
    ARG(FLAG, mup_enabled, true)                                                                                       \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

static void vary(struct tare_dense *dense, int64_t i)
{
    const struct args *a = dense->args;
    dense->no_rope = tare_window(1, a->layer_types, 0, i) == 0;
    dense->attention.window = tare_window(a->sliding_window, a->layer_types, 0, i);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_routed_dense(
        root, d,
        &(struct tare_routed_dense){
            .dense = {TARE_DENSE_LLAMA(a),
                      .skeleton.embedding_scale = a->mup_enabled ? sqrt((double)a->hidden_size) : 0,
                      .norms = {"input_layernorm", "post_attention_layernorm", "pre_mlp_layernorm",
                                "post_mlp_layernorm"},
                      .attention.head_dim = a->head_dim, .attention.qk_norm.kind = TARE_QK_NORM_RMS,
                      .attention.gate.kind = TARE_GATE_ELEMENTS, .attention.gate.name = "gate_proj", .args = a,
                      .vary = vary},
            .first = a->num_dense_layers,
            .routed = {.router = {.n = a->num_experts,
                                  .top = a->num_experts_per_tok,
                                  .score = strcmp(a->score_func, "sigmoid") ? TARE_SCORE_SOFTMAX : TARE_SCORE_SIGMOID,
                                  .normalize = a->route_norm && a->num_experts_per_tok > 1,
                                  .scale = a->route_scale,
                                  .groups = a->n_group,
                                  .top_groups = a->topk_group},
                       .hidden = a->moe_intermediate_size,
                       .gate = "router.gate",
                       .correction = "expert_bias",
                       .experts = "experts",
                       .shared.hidden = a->moe_intermediate_size * a->num_shared_experts},
        });
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_drop_containing(w, "rotary_emb.inv_freq", "precomputed rotary frequencies, not a parameter");
    tare_routed_rewrite(w, "model.layers.*.mlp", "experts", a->num_experts, a->hidden_size);
}

const struct tare_arch tare_arch_afmoe = {
    .name = "afmoe",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
