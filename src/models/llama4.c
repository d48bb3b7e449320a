/* SPDX-License-Identifier: MIT
 * llama4.c - the text model of Llama 4: every few layers one routed expert beside a shared one (mlx-lm:
 * models/llama4.py). */
#include "models/experts.h"
#include "models/sparse.h"
#include "models/theta.h"
#include "models/wrapper.h"

#define ARGS(ARG)                                                                                                      \
    ARG(FLAG, attention_bias, REQUIRED)                                                                                \
    ARG(INT, attention_chunk_size, REQUIRED)                                                                           \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, interleave_moe_layer_step, REQUIRED)                                                                      \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, intermediate_size_mlp, REQUIRED)                                                                          \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, num_local_experts, REQUIRED)                                                                              \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(FLAG, use_qk_norm, REQUIRED)                                                                                   \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(JSON, attn_temperature_tuning, ABSENT) /* a number, or true */                                                 \
    ARG(REAL, floor_scale, 8192)                                                                                       \
    ARG(REAL, attn_scale, 0.1)                                                                                         \
    ARG(JSON, rope_parameters, ABSENT)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    return tare_theta_read(&a->rope_theta, "rope_theta", a->rope_parameters, d->place, d->err);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size, step = a->interleave_moe_layer_step;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    tare_attention(tare_at(at, "self_attn"), &(struct tare_attention){.dim = dim,
                                                                      .heads = a->num_attention_heads,
                                                                      .kv_heads = a->num_key_value_heads,
                                                                      .head = a->head_dim,
                                                                      .bias = a->attention_bias});
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    if ((i + 1) % step) {
        tare_glu(l, at,
                 &(struct tare_glu_desc){.name = "feed_forward", .dim = dim, .hidden = a->intermediate_size_mlp});
        return;
    }
    tare_routed(l, at,
                &(struct tare_routed_desc){.name = "feed_forward",
                                           .dim = dim,
                                           .router = {.n = a->num_local_experts,
                                                      .top = a->num_experts_per_tok,
                                                      .score = TARE_SCORE_SIGMOID},
                                           .weigh_input = true,
                                           .hidden = a->intermediate_size,
                                           .gate = "router",
                                           .experts = "experts",
                                           .shared = "shared_expert",
                                           .shared_hidden = a->intermediate_size});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .layer = layer, .head = TARE_HEAD_OWN});
}

/* Published: gate and up side by side, (n, dim, 2 hidden). */
static void experts(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_experts_rewrite(w, &(struct tare_experts_desc){.from = "model.layers.*.feed_forward.experts",
                                                        .to = "model.layers.*.feed_forward.experts",
                                                        .n = a->num_local_experts,
                                                        .dim = a->hidden_size,
                                                        .transposed = true});
}

static const struct tare_arch text = {
    .name = "llama4",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = experts,
};

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop_containing(w, "vision_model", "the vision tower; only the text model is read");
    tare_drop_containing(w, "multi_modal_projector", "joins the vision tower; only the text model is read");
    if (!tare_find(w, "model.language_model.embed_tokens.weight"))
        return;
    tare_rename(w, "model.language_model.**", "language_model.model.**");
    tare_rename(w, "lm_head.**", "language_model.lm_head.**");
}

const struct tare_arch tare_arch_llama4 = {
    .name = "llama4",
    .args = &tare_wrapper_args,
    .sanitize = sanitize,
    .inner = &text,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
};
