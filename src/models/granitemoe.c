/* SPDX-License-Identifier: MIT
 * granitemoe.c - Granite 3 with routed experts (mlx-lm: models/granitemoe.py). */
#include "models/family/published_experts.h"
#include "models/family/routed_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(REAL, logits_scaling, REQUIRED)                                                                                \
    ARG(REAL, attention_multiplier, REQUIRED)                                                                          \
    ARG(REAL, embedding_multiplier, REQUIRED)                                                                          \
    ARG(REAL, residual_multiplier, REQUIRED)                                                                           \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(FLAG, attention_bias, REQUIRED)                                                                                \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(INT, num_local_experts, REQUIRED)                                                                              \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (a->logits_scaling != 0)
        return TARE_OK;
    return tare_fail(d->err, TARE_E_CONFIG, d->place, "logits_scaling is 0; logits cannot be divided by that");
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_routed_dense(
        root, d,
        &(struct tare_routed_dense){
            .dense = {TARE_DENSE_LLAMA(a), .skeleton.embedding_scale = a->embedding_multiplier,
                      .skeleton.logit_scale = 1 / a->logits_scaling, .residual_scale = a->residual_multiplier,
                      .attention.scale = a->attention_multiplier, .attention.bias = a->attention_bias,
                      .attention.o_bias = a->attention_bias},
            .routed = {.name = "block_sparse_moe",
                       .router = {.n = a->num_local_experts, .top = a->num_experts_per_tok, .normalize = true},
                       .hidden = a->intermediate_size,
                       .gate = "router.layer"},
        });
}

static void sanitize(struct tare_weights *w, const void *args)
{
    static const char *const parts[] = {"model.layers.*.block_sparse_moe.switch_mlp.gate_proj.weight",
                                        "model.layers.*.block_sparse_moe.switch_mlp.up_proj.weight"};
    const struct args *a = args;
    tare_split(w, "model.layers.*.block_sparse_moe.input_linear.weight", -2, parts, 2);
    tare_rename(w, "model.layers.*.block_sparse_moe.output_linear.weight",
                "model.layers.*.block_sparse_moe.switch_mlp.down_proj.weight");
    /* transformers 5, in memory */
    tare_rename(w, "model.layers.*.block_sparse_moe.router.weight",
                "model.layers.*.block_sparse_moe.router.layer.weight");
    tare_routed_rewrite(w, "model.layers.*.block_sparse_moe", "switch_mlp", a->num_local_experts, a->hidden_size);
}

const struct tare_arch tare_arch_granitemoe = {
    .name = "granitemoe",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
