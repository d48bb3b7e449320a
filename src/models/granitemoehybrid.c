/* SPDX-License-Identifier: MIT
 * granitemoehybrid.c - Granite 4: layers of Mamba-2 and of attention, with dense networks or routed experts (mlx-lm:
 * models/granitemoehybrid.py). */
#include "blocks/feed_forward/mixture_variant.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"
#include "models/family/mamba_family.h"

#include <string.h>

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(FLAG, attention_bias, REQUIRED)                                                                                \
    ARG(REAL, embedding_multiplier, REQUIRED)                                                                          \
    ARG(REAL, attention_multiplier, REQUIRED)                                                                          \
    ARG(REAL, logits_scaling, REQUIRED)                                                                                \
    ARG(REAL, residual_multiplier, REQUIRED)                                                                           \
    ARG(JSON, layer_types, REQUIRED)                                                                                   \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, num_local_experts, ABSENT)                                                                                \
    ARG(INT, num_experts_per_tok, ABSENT)                                                                              \
    ARG(INT, shared_intermediate_size, ABSENT)                                                                         \
    ARG(INT, mamba_n_heads, ABSENT)                                                                                    \
    ARG(INT, mamba_d_head, ABSENT)                                                                                     \
    ARG(FLAG, mamba_proj_bias, ABSENT)                                                                                 \
    ARG(INT, mamba_d_state, ABSENT)                                                                                    \
    ARG(INT, mamba_d_conv, ABSENT)                                                                                     \
    ARG(INT, mamba_n_groups, ABSENT)                                                                                   \
    ARG(FLAG, mamba_conv_bias, ABSENT)                                                                                 \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(TEXT, position_embedding_type, rope)                                                                           \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(JSON, time_step_limit, ABSENT)                                                                                 \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(JSON, rope_parameters, ABSENT)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    a->rope_theta = tare_json_real(a->rope_parameters, "rope_theta", a->rope_theta);
    if (!(a->logits_scaling != 0))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "logits_scaling is 0; expected another number");
    const enum tare_code code = tare_mamba_limit_check(a->time_step_limit, d);
    return code ? code
                : tare_words_check(a->layer_types, "layer_types", a->num_hidden_layers,
                                   "mamba attention linear_attention full_attention", d);
}

static void attention(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    const int64_t dim = a->hidden_size;
    const int64_t head = tare_div(at, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
    const bool turned = strcmp(a->position_embedding_type, "nope") != 0;
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.dim = dim,
                                     .heads = a->num_attention_heads,
                                     .kv_heads = a->num_key_value_heads,
                                     .head_dim = head,
                                     .bias = a->attention_bias,
                                     .o_bias = a->attention_bias,
                                     .scale = a->attention_multiplier,
                                     .rope = turned ? tare_rope_read(at, head, a->rope_theta, a->rope_parameters,
                                                                     a->max_position_embeddings)
                                                    : (struct tare_rope){.kind = TARE_ROPE_NONE}});
}

static void routed(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    tare_mul(at, 1, a->shared_intermediate_size); /* absent is an error */
    tare_routed(
        l, at,
        &(struct tare_routed_desc){
            .name = "",
            .router = {.n = a->num_local_experts, .top = a->num_experts_per_tok, .normalize = true},
            .dim = a->hidden_size,
            .hidden = a->intermediate_size,
            .gate = "block_sparse_moe.router.layer",
            .experts = "block_sparse_moe.switch_mlp",
            .shared.name = "shared_mlp",
            .variant = &(struct tare_mixture_variant){.shared_gate_up = "input_linear", .shared_down = "output_linear"},
            .shared.hidden = a->shared_intermediate_size});
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    l->residual_scale = a->residual_multiplier;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    if (tare_word_is(a->layer_types, i, "attention") || tare_word_is(a->layer_types, i, "full_attention"))
        attention(l, at, a);
    else
        tare_mamba2(l, at,
                    &(struct tare_mamba2_desc){.name = "mamba",
                                               .dim = dim,
                                               .heads = a->mamba_n_heads,
                                               .head_dim = a->mamba_d_head,
                                               .groups = a->mamba_n_groups,
                                               .state = a->mamba_d_state,
                                               .width = a->mamba_d_conv,
                                               .bias = a->mamba_proj_bias,
                                               .out_bias = a->mamba_proj_bias,
                                               .conv_bias = a->mamba_conv_bias,
                                               .eps = a->rms_norm_eps,
                                               TARE_MAMBA_LIMIT(a->time_step_limit)});
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    if (a->num_local_experts > 0)
        routed(l, at, a);
    else
        tare_glu(l, at, &(struct tare_glu_desc){.dim = dim, .hidden = a->intermediate_size, .bias = a->mlp_bias});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, a, d,
                  &(struct tare_skeleton){TARE_SKELETON_SIZES(a), TARE_SKELETON_TIED(a),
                                          .context = a->max_position_embeddings, .eps = a->rms_norm_eps,
                                          .embedding_scale = a->embedding_multiplier,
                                          .logit_scale = 1 / a->logits_scaling, .layer = layer});
}

/* input_linear is gate rows, then up rows: of the experts, or of the dense network, whose name mlx-lm changes. */
static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    const bool moe = a->num_local_experts > 0;
    const char *const experts[] = {"model.layers.*.block_sparse_moe.switch_mlp.gate_proj.weight",
                                   "model.layers.*.block_sparse_moe.switch_mlp.up_proj.weight"};
    const char *const dense[] = {"model.layers.*.mlp.gate_proj.weight", "model.layers.*.mlp.up_proj.weight"};
    tare_mamba_sanitize(w, a);
    tare_split(w,
               moe ? "model.layers.*.block_sparse_moe.input_linear.weight"
                   : "model.layers.*.shared_mlp.input_linear.weight",
               -2, moe ? experts : dense, 2);
    if (moe)
        tare_rename(w, "model.layers.*.block_sparse_moe.output_linear.weight",
                    "model.layers.*.block_sparse_moe.switch_mlp.down_proj.weight");
    else
        tare_rename(w, "model.layers.*.shared_mlp.output_linear.weight", "model.layers.*.mlp.down_proj.weight");
}

const struct tare_arch tare_arch_granitemoehybrid = {
    .name = "granitemoehybrid",
    .args = &args_info,
    .runs = true,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
};
