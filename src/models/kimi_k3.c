/* SPDX-License-Identifier: MIT
 * kimi_k3.c - the text model of Kimi K3: delta and latent attention, experts that work at another width, and
 * attention over the residuals of blocks of layers (mlx-lm: models/kimi_k3.py). */

#include "models/family/kimi_family.h"

#include <string.h>

#include "blocks/stream/residual_attention.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/mla_family.h"
#include "models/family/wrapper.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, 163840)                                                                                       \
    ARG(INT, hidden_size, 7168)                                                                                        \
    ARG(INT, num_hidden_layers, 93)                                                                                    \
    ARG(INT, num_attention_heads, 96)                                                                                  \
    ARG(INT, num_key_value_heads, 96)                                                                                  \
    ARG(INT, intermediate_size, 33792)                                                                                 \
    ARG(REAL, rms_norm_eps, 1e-5)                                                                                      \
    ARG(INT, max_position_embeddings, 1048576)                                                                         \
    ARG(JSON, linear_attn_config, ABSENT)                                                                              \
    ARG(TEXT, hidden_act, situ)                                                                                        \
    ARG(REAL, activation_situ_beta, ABSENT)                                                                            \
    ARG(REAL, activation_situ_linear_beta, ABSENT)                                                                     \
    ARG(INT, attn_res_block_size, ABSENT)                                                                              \
    ARG(INT, q_lora_rank, ABSENT)                                                                                      \
    ARG(INT, kv_lora_rank, ABSENT)                                                                                     \
    ARG(INT, qk_nope_head_dim, ABSENT)                                                                                 \
    ARG(INT, qk_rope_head_dim, ABSENT)                                                                                 \
    ARG(INT, v_head_dim, ABSENT)                                                                                       \
    ARG(FLAG, mla_use_nope, true)                                                                                      \
    ARG(FLAG, mla_use_output_gate, false)                                                                              \
    ARG(INT, num_experts, 0)                                                                                           \
    ARG(INT, num_experts_per_token, 16)                                                                                \
    ARG(INT, num_shared_experts, 0)                                                                                    \
    ARG(INT, moe_intermediate_size, ABSENT)                                                                            \
    ARG(TEXT, moe_router_activation_func, sigmoid)                                                                     \
    ARG(FLAG, moe_renormalize, true)                                                                                   \
    ARG(REAL, routed_scaling_factor, 1)                                                                                \
    ARG(INT, first_k_dense_replace, 0)                                                                                 \
    ARG(INT, moe_layer_freq, 1)                                                                                        \
    ARG(INT, num_expert_group, 1)                                                                                      \
    ARG(INT, topk_group, 1)                                                                                            \
    ARG(INT, routed_expert_hidden_size, ABSENT)                                                                        \
    ARG(FLAG, latent_moe_use_norm, false)                                                                              \
    ARG(FLAG, tie_word_embeddings, false)
TARE_ARGS(ARGS);

static bool full_rank(const struct args *a)
{
    return json_is_true(json_object_get(a->linear_attn_config, "use_full_rank_gate"));
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (strcmp(a->hidden_act, "situ") || strcmp(a->moe_router_activation_func, "sigmoid") || !a->mla_use_nope)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "expected hidden_act situ, moe_router_activation_func sigmoid and mla_use_nope true");
    if (a->kv_lora_rank < 1 || a->qk_nope_head_dim < 1 || a->qk_rope_head_dim < 0 || a->v_head_dim < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim or v_head_dim is missing");
    return tare_kimi_check(a->linear_attn_config, a->moe_layer_freq, d->place, d->err);
}

static void attention(struct tare_layer *l, struct tare_at parent, const struct args *a, int64_t i)
{
    struct tare_delta_desc delta = {.name = "self_attn",
                                    .dim = a->hidden_size,
                                    .eps = a->rms_norm_eps,
                                    .spelling = TARE_DELTA_FUSED,
                                    .decay = TARE_DECAY_LOW_RANK,
                                    .gate_low_rank = !full_rank(a),
                                    .least = tare_json_real(a->linear_attn_config, "gate_lower_bound", 0),
                                    .gate_sigmoid = true};
    if (tare_kimi_delta(&delta, a->linear_attn_config, i)) {
        tare_delta(l, parent, &delta);
        return;
    }
    tare_mla(l, parent,
             &(struct tare_mla_desc){.dim = a->hidden_size,
                                     .heads = a->num_attention_heads,
                                     .q_rank = a->q_lora_rank,
                                     .kv_rank = a->kv_lora_rank,
                                     .nope = a->qk_nope_head_dim,
                                     .rope = a->qk_rope_head_dim,
                                     .v = a->v_head_dim,
                                     .gate = a->mla_use_output_gate ? "g_proj" : NULL,
                                     .eps = 1e-6});
}

static struct tare_limit situ(const struct args *a)
{
    const bool given = a->activation_situ_beta > 0 || a->activation_situ_beta < 0;
    return (struct tare_limit){.kind = TARE_LIMIT_SITU,
                               .most = given ? a->activation_situ_beta : 1,
                               .linear = isnan(a->activation_situ_linear_beta) ? 0 : a->activation_situ_linear_beta};
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    attention(l, at, a, i);
    tare_kimi_layer(l, at,
                    &(struct tare_kimi){.dim = a->hidden_size,
                                        .hidden = a->intermediate_size,
                                        .router = {.n = a->num_experts,
                                                   .top = a->num_experts_per_token,
                                                   .score = TARE_SCORE_SIGMOID,
                                                   .normalize = a->moe_renormalize && a->num_experts_per_token > 1,
                                                   .scale = a->routed_scaling_factor,
                                                   .groups = a->num_expert_group,
                                                   .top_groups = a->topk_group},
                                        .expert_hidden = a->moe_intermediate_size,
                                        .first_dense = a->first_k_dense_replace,
                                        .every = a->moe_layer_freq,
                                        .shared = a->num_shared_experts,
                                        .limit = situ(a),
                                        .latent = a->routed_expert_hidden_size,
                                        .latent_norm = a->latent_moe_use_norm,
                                        .eps = a->rms_norm_eps},
                    i);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .layer = layer, TARE_SKELETON_TIED(a)});
    if (a->attn_res_block_size >= 0)
        tare_residual_attention(d, tare_at(root, "model"),
                                &(struct tare_residual_attention_desc){
                                    .dim = a->hidden_size, .size = a->attn_res_block_size, .eps = a->rms_norm_eps});
}

/* A_log is padded in some files: the first `heads` count. */
static void cut_decays(struct tare_weights *w, int64_t heads)
{
    static const char *const parts[] = {"model.layers.*.self_attn.A_log", "model.layers.*.self_attn.A_log.padding"};
    tare_reshape(w, parts[0], 1, (const int64_t[]){-1});
    const struct tare_entry *first = tare_find(w, parts[0]);
    if (!first || first->recipe->rank != 1 || first->recipe->shape[0] <= heads)
        return;
    tare_split_sizes(w, parts[0], 0, parts, (const int64_t[]){heads, first->recipe->shape[0] - heads}, 2);
    tare_drop(w, parts[1], "beyond the last head");
}

static void join(struct tare_weights *w)
{
    static const char *const linear[] = {"model.layers.*.self_attn.q_proj.weight",
                                         "model.layers.*.self_attn.k_proj.weight",
                                         "model.layers.*.self_attn.v_proj.weight"};
    static const char *const convolution[] = {"model.layers.*.self_attn.q_conv.conv.weight",
                                              "model.layers.*.self_attn.k_conv.conv.weight",
                                              "model.layers.*.self_attn.v_conv.conv.weight"};
    tare_join(w, linear, 3, 0, "model.layers.*.self_attn.qkv_proj.weight");
    tare_join(w, convolution, 3, 0, "model.layers.*.self_attn.qkv_conv.conv.weight");
}

static void text_sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_drop(w, "model.mtp*", "predicts further tokens at once; not used in running");
    tare_drop(w, "mtp*", "predicts further tokens at once; not used in running");
    tare_drop_from(w, "model.layers.#", a->num_hidden_layers, "predicts further tokens at once; not used in running");
    tare_replace(w, "_res.proj_weight", "_res_proj.weight");
    tare_replace(w, "_res.norm_weight", "_res_norm.weight");
    tare_kimi_rewrite(w, a->num_experts);
    cut_decays(w, tare_json_integer(a->linear_attn_config, "num_heads", 0));
    join(w);
    tare_mla_rewrite(w, "model.layers.*.self_attn", a->num_attention_heads, a->qk_nope_head_dim, a->v_head_dim);
}

static void sanitize(struct tare_weights *w, const void *args)
{
    static const char *const others[] = {"vision_tower*", "vision_model*", "multi_modal_projector*", "mm_projector*"};
    (void)args;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        tare_drop(w, others[i], "not of the text model, which alone is read");
    tare_add_prefix(w, "language_model");
}

static const struct tare_arch text = {
    .name = "kimi_k3",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = text_sanitize,
};

const struct tare_arch tare_arch_kimi_k3 = {
    .name = "kimi_k3",
    .args = &tare_wrapper_args,
    .sanitize = sanitize,
    .inner = &text,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
    .inner_flat = true,
    .runs = true,
};
