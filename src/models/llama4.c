/* SPDX-License-Identifier: MIT
 * llama4.c - the text model of Llama 4: every few layers one routed expert beside a shared one (mlx-lm:
 * models/llama4.py). */
#include "blocks/attention/gqa_keys.h"
#include "blocks/attention/gqa_tempered.h"
#include "blocks/feed_forward/mixture_variant.h"
#include "models/family/config_words.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"
#include "models/family/published_experts.h"
#include "models/family/wrapper.h"

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
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(JSON, no_rope_layers, ABSENT)                                                                                  \
    ARG(INT, no_rope_layer_interval, 4)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->no_rope_layer_interval < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "no_rope_layer_interval is 0; expected at least 1");
    if (json_array_size(a->no_rope_layers) == 0) /* null and [] stand for the interval */
        a->no_rope_layers = NULL;
    const enum tare_code code = a->no_rope_layers ? tare_layer_numbers_check(a->no_rope_layers, a->num_hidden_layers,
                                                                             "no_rope_layers", d->place, d->err)
                                                  : TARE_OK;
    return code ? code : tare_theta_read(&a->rope_theta, "rope_theta", a->rope_parameters, d->place, d->err);
}

/* Layers that rotate see the keys of their own chunk; the others see all, and sharpen with the distance. */
static bool rotates(const struct args *a, int64_t i)
{
    const json_t *own = json_array_get(a->no_rope_layers, (size_t)i);
    return own ? json_integer_value(own) != 0 : (i + 1) % a->no_rope_layer_interval != 0;
}

static bool is_tuned(const struct args *a)
{
    const json_t *tuning = a->attn_temperature_tuning;
    return !tuning || json_is_true(tuning) || json_number_value(tuning) != 0;
}

/* The norms come after the rotation, with rms_norm_eps as the authors have it (mlx-lm: 1e-6). */
static void attention(struct tare_layer *l, struct tare_at at, const struct args *a, int64_t i)
{
    const int64_t head = tare_head_dim(at, a->head_dim, a->hidden_size, a->num_attention_heads);
    const json_t *scaling = a->rope_scaling ? a->rope_scaling : a->rope_parameters;
    const bool rope = rotates(a, i);
    struct tare_gqa_desc d = {.dim = a->hidden_size,
                              .heads = a->num_attention_heads,
                              .kv_heads = a->num_key_value_heads,
                              .head_dim = head,
                              .bias = a->attention_bias,
                              .o_bias = a->attention_bias,
                              .qk_norm.kind = rope && a->use_qk_norm ? TARE_QK_NORM_RMS_BARE : TARE_QK_NORM_NONE,
                              .qk_norm.last = true,
                              .qk_norm.eps = a->rms_norm_eps};
    if (rope)
        d.rope = tare_rope_read(at, head, a->rope_theta, scaling, a->max_position_embeddings);
    d.rope.interleaved = true;
    tare_gqa(l, at, &d);
    const struct tare_at place = tare_at(at, "self_attn");
    if (rope)
        tare_gqa_chunked(l, place, a->attention_chunk_size);
    else if (is_tuned(a))
        tare_gqa_tempered(l, place,
                          &(struct tare_gqa_tempered){.beta = a->attn_scale, .length = a->floor_scale, .from = 1});
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size, step = a->interleave_moe_layer_step;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    attention(l, at, a, i);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    if ((i + 1) % step) {
        tare_glu(l, at,
                 &(struct tare_glu_desc){.name = "feed_forward", .dim = dim, .hidden = a->intermediate_size_mlp});
        return;
    }
    tare_routed(l, at,
                &(struct tare_routed_desc){
                    .name = "feed_forward",
                    .dim = dim,
                    .router = {.n = a->num_local_experts, .top = a->num_experts_per_tok, .score = TARE_SCORE_SIGMOID},
                    .variant = &(struct tare_mixture_variant){.weigh_input = true},
                    .hidden = a->intermediate_size,
                    .gate = "router",
                    .experts = "experts",
                    .shared.name = "shared_expert",
                    .shared.hidden = a->intermediate_size});
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
    .runs = true,
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
