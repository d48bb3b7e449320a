/* SPDX-License-Identifier: MIT
 * mellum.c - Mellum with routed experts (mlx-lm: models/mellum.py): layers with a window have another rotary
 * embedding. */
#include "models/family/layer_kinds.h"
#include "models/family/published_experts.h"
#include "models/family/routed_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_experts, REQUIRED)                                                                                    \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(INT, moe_intermediate_size, REQUIRED)                                                                          \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(FLAG, tie_word_embeddings, REQUIRED)                                                                           \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(FLAG, norm_topk_prob, REQUIRED)                                                                                \
    ARG(INT, sliding_window, ABSENT)                                                                                   \
    ARG(JSON, layer_types, REQUIRED)                                                                                   \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(REAL, rope_theta, 10000)                                                                                       \
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
    const bool local = tare_window(1, a->layer_types, 0, i) == 1;
    const json_t *rope = json_object_get(a->rope_parameters, local ? "sliding_attention" : "full_attention");
    dense->attention.window = tare_window(a->sliding_window, a->layer_types, 0, i);
    dense->scaling = rope;
    dense->theta = tare_json_real(rope, "rope_theta", local ? 10000 : 500000);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_routed_dense(
        root, d,
        &(struct tare_routed_dense){
            .dense = {TARE_DENSE_LLAMA(a), .attention.head_dim = a->head_dim,
                      .attention.qk_norm.kind = TARE_QK_NORM_RMS, .args = a, .vary = vary},
            .routed = {.router = {.n = a->num_experts, .top = a->num_experts_per_tok, .normalize = a->norm_topk_prob},
                       .hidden = a->moe_intermediate_size},
        });
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_routed_rewrite(w, "model.layers.*.mlp", "switch_mlp", a->num_experts, a->hidden_size);
}

const struct tare_arch tare_arch_mellum = {
    .name = "mellum",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
