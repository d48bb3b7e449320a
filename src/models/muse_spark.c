/* SPDX-License-Identifier: MIT
 * muse_spark.c - Muse Spark: gated attention, experts that work at another width, gated residuals (mlx-lm:
 * models/muse_spark.py). */
#include <math.h>
#include <string.h>

#include "blocks/attention/gqa_mixed_norm.h"
#include "blocks/feed_forward/mixture_variant.h"
#include "blocks/stream/scaled_sum.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"
#include "models/family/muse_vision.h"
#include "models/family/published_experts.h"

/* Of text_config. */
#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(REAL, post_norm_eps, REQUIRED)                                                                                 \
    ARG(JSON, rope_parameters, REQUIRED)                                                                               \
    ARG(JSON, layer_rope_theta, REQUIRED)                                                                              \
    ARG(JSON, layer_types, REQUIRED)                                                                                   \
    ARG(INT, sliding_window, REQUIRED)                                                                                 \
    ARG(REAL, final_logit_softcapping, REQUIRED)                                                                       \
    ARG(REAL, output_multiplier, REQUIRED)                                                                             \
    ARG(INT, num_local_experts, REQUIRED)                                                                              \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(INT, moe_hidden_size, REQUIRED)                                                                                \
    ARG(INT, moe_intermediate_size, REQUIRED)                                                                          \
    ARG(REAL, qk_scale_factor, 5.4730064863875)                                                                        \
    ARG(REAL, routed_scaling_factor, 1)                                                                                \
    ARG(INT, num_shared_experts, 0)                                                                                    \
    ARG(JSON, mlp_layer_types, ABSENT)
TARE_ARGS(ARGS);

struct whole {
    const json_t *text_config, *vision_config;
    int64_t out_hidden_size, projector_hidden_size;
    struct args text;
    struct tare_muse_vision *vision;
};
static const struct tare_arg whole_list[] = {
    {"text_config", TARE_ARG_JSON, "REQUIRED", offsetof(struct whole, text_config)},
    {"vision_config", TARE_ARG_JSON, "ABSENT", offsetof(struct whole, vision_config)},
    {"out_hidden_size", TARE_ARG_INT, "ABSENT", offsetof(struct whole, out_hidden_size)},
    {"projector_hidden_size", TARE_ARG_INT, "ABSENT", offsetof(struct whole, projector_hidden_size)}};
static const struct tare_args_info whole_info = {whole_list, sizeof whole_list / sizeof *whole_list,
                                                 sizeof(struct whole)};

static enum tare_code text_check(const struct args *a, const char *place, struct tare_error *err)
{
    bool sparse = a->num_shared_experts < 1;
    for (size_t i = 0; i < json_array_size(a->mlp_layer_types); i++) {
        const char *type = json_string_value(json_array_get(a->mlp_layer_types, i));
        sparse = sparse && type && !strcmp(type, "sparse");
    }
    if (!sparse)
        return tare_fail(err, TARE_E_CONFIG, place,
                         "num_shared_experts or mlp_layer_types asks for dense layers; all of this model's are sparse");
    if (json_array_size(a->layer_rope_theta) != (size_t)a->num_hidden_layers)
        return tare_fail(err, TARE_E_CONFIG, place, "layer_rope_theta must be a list of %lld numbers, one a layer",
                         (long long)a->num_hidden_layers);
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, place, err);
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct whole *all = args;
    const char *place = "config.json: text_config";
    if (!json_is_object(all->text_config))
        return tare_fail(d->err, TARE_E_CONFIG, place, "expected an object");
    enum tare_code code = tare_args_read(&args_info, all->text_config, place, &all->text, d->err);
    if (!code)
        code = text_check(&all->text, place, d->err);
    return code ? code
                : tare_muse_vision_read(&all->vision, all->vision_config, all->out_hidden_size,
                                        all->projector_hidden_size, d);
}

static void experts(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    tare_routed(l, at,
                &(struct tare_routed_desc){
                    .router = {.n = a->num_local_experts,
                               .top = a->num_experts_per_tok,
                               .score = TARE_SCORE_SIGMOID,
                               .normalize = true,
                               .floor = 1e-15,
                               .factor = a->output_multiplier,
                               .scale = a->routed_scaling_factor},
                    .dim = a->hidden_size,
                    .hidden = a->moe_intermediate_size,
                    .gate_kind = TARE_ROUTER_PARAMETER,
                    .correction = "gate.e_score_correction_bias",
                    .experts = "experts",
                    .variant = &(struct tare_mixture_variant){.latent = {.width = a->moe_hidden_size,
                                                                         .down = "pre_expert_proj",
                                                                         .up = "post_expert_proj",
                                                                         .down_norm = "pre_expert_norm",
                                                                         .eps = a->rms_norm_eps,
                                                                         .each_norm = "post_expert_norm",
                                                                         .each_eps = a->post_norm_eps}},
                });
}

static void attention(struct tare_layer *l, struct tare_at at, const struct args *a, int64_t i)
{
    struct tare_gqa_desc desc = {.qkv_name = "qkvg_proj",
                                 .dim = a->hidden_size,
                                 .heads = a->num_attention_heads,
                                 .kv_heads = a->num_key_value_heads,
                                 .head_dim = a->head_dim,
                                 .scale = a->qk_scale_factor / sqrt((double)a->head_dim),
                                 .window = tare_word_is(a->layer_types, i, "sliding_attention") ? a->sliding_window : 0,
                                 .qk_norm.kind = TARE_QK_NORM_RMS_BARE,
                                 .qk_norm.eps = a->rms_norm_eps,
                                 .gate.kind = TARE_GATE_FUSED};
    if (json_number_value(json_array_get(a->layer_rope_theta, (size_t)i)) != 0) { /* which only says whether */
        desc.rope = tare_rope_read(at, a->head_dim, tare_json_real(a->rope_parameters, "rope_theta", 0), NULL, 0);
        desc.rope.interleaved = true;
    }
    tare_gqa(l, at, &desc);
    tare_gqa_mixed_head_norm(l, tare_at(at, "self_attn"), a->head_dim, a->rms_norm_eps);
}

/* What the skeleton hands to each layer. */
struct parts {
    const struct args *a;
    struct tare_scaled_sum *sums;
};

static void layer(struct tare_layer *l, struct tare_at at, const void *user, int64_t i)
{
    static const char *const gates[] = {"add_attn_alpha", "add_attn_beta", "add_ffn_alpha", "add_ffn_beta"};
    const struct parts *parts = user;
    const struct args *a = parts->a;
    const int64_t dim = a->hidden_size;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    l->pre[0].rounded = i == 0; /* as in mlx-lm, whose later norms take float32 */
    l->pre[1] = tare_rms_norm(at, "pre_feedforward_layernorm", dim, a->rms_norm_eps);
    l->post[0] = (struct tare_norm){.kind = TARE_NORM_RMS, .dim = dim, .eps = a->post_norm_eps};
    l->post[1] = tare_rms_norm(at, "post_feedforward_layernorm", dim, a->post_norm_eps);
    l->post[1].kind = TARE_NORM_RMS_BEFORE;
    attention(l, at, a, i);
    experts(l, at, a);
    for (int k = 0; k < 2; k++) {
        parts->sums[i].keep[k] = tare_plain(at, gates[2 * k], 1, dim);
        parts->sums[i].take[k] = tare_plain(at, gates[2 * k + 1], 1, dim);
    }
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct whole *all = args;
    const struct args *a = &all->text;
    const struct parts parts = {a, tare_scaled_sum_open(root, a->num_hidden_layers)};
    if (!parts.sums)
        return;
    tare_skeleton(root, &parts, d,
                  &(struct tare_skeleton){.model = "model.language_model",
                                          .dim = a->hidden_size,
                                          .vocabulary = a->vocab_size,
                                          .n_layers = a->num_hidden_layers,
                                          .eps = a->rms_norm_eps,
                                          .logit_scale = a->output_multiplier,
                                          .logit_soft_cap = a->final_logit_softcapping,
                                          .layer = layer,
                                          .head = TARE_HEAD_OWN});
    tare_scaled_sum_close(parts.sums, root, d);
    d->norm.rounded = true;
    d->embedding_norm = (struct tare_norm){.kind = TARE_NORM_RMS, .dim = a->hidden_size, .eps = a->rms_norm_eps};
    if (all->vision)
        tare_muse_vision_declare(tare_at(root, "model"), all->vision, a->hidden_size);
}

#define LAYER "model.language_model.layers.*."

/* What the published files have and mlx-lm's do not: fixed gates, and norms stored less 1. */
static void published(struct tare_weights *w)
{
    static const char *const norms[] = {LAYER "input_layernorm.weight", LAYER "pre_feedforward_layernorm.weight",
                                        LAYER "post_feedforward_layernorm.weight", LAYER "mlp.pre_expert_norm.weight",
                                        LAYER "mlp.experts.post_expert_norm.weight"};
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++)
        tare_add(w, norms[i], 1.0);
    tare_residual_gate(w, LAYER "post_attention_residual_gate.gate", LAYER "add_attn_alpha", LAYER "add_attn_beta");
    tare_residual_gate(w, LAYER "post_feedforward_residual_gate.gate", LAYER "add_ffn_alpha", LAYER "add_ffn_beta");
    tare_drop_exact(w, LAYER "mlp.experts.*_proj_input_scale", "activations are not quantized");
}

static void sanitize(struct tare_weights *w, const void *args)
{
    static const char *const parts[] = {LAYER "self_attn.q_proj.weight", LAYER "self_attn.k_proj.weight",
                                        LAYER "self_attn.v_proj.weight", LAYER "self_attn.gate_proj.weight"};
    const struct whole *all = args;
    tare_drop(w, "model.audio_tower", "the audio tower; it is not read");
    if (!tare_find(w, "**.*_alpha"))
        published(w);
    tare_experts_rewrite(w, &(struct tare_experts_desc){.from = LAYER "mlp.experts",
                                                        .to = LAYER "mlp.experts",
                                                        .n = all->text.num_local_experts});
    for (int i = 0; i < 2; i++)
        tare_muse_interleave(w, parts[i], all->text.head_dim, all->text.hidden_size);
    tare_join(w, parts, 4, 0, LAYER "self_attn.qkvg_proj.weight");
    tare_muse_vision_rewrite(w, all->vision);
}

const struct tare_arch tare_arch_muse_spark = {
    .name = "muse_spark",
    .args = &whole_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
