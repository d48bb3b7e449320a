/* SPDX-License-Identifier: MIT
 * muse_glimmer.c - the text model of Muse Glimmer: gated attention, norms before and after (mlx-lm:
 * models/muse_glimmer.py). */
#include <math.h>
#include <string.h>

#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 6656)                                                                                        \
    ARG(INT, num_hidden_layers, 52)                                                                                    \
    ARG(INT, intermediate_size, 19968)                                                                                 \
    ARG(INT, num_attention_heads, 32)                                                                                  \
    ARG(INT, num_key_value_heads, 2)                                                                                   \
    ARG(INT, head_dim, 128)                                                                                            \
    ARG(INT, vocab_size, 202048)                                                                                       \
    ARG(REAL, rms_norm_eps, 1e-5)                                                                                      \
    ARG(REAL, post_norm_eps, 1e-8)                                                                                     \
    ARG(INT, sliding_window, 2048)                                                                                     \
    ARG(REAL, qk_scale_factor, 3.87)                                                                                   \
    ARG(INT, max_position_embeddings, 131072)                                                                          \
    ARG(REAL, rope_theta, 500000.0)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(JSON, layer_rope_theta, ABSENT)                                                                                \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(REAL, final_logit_softcapping, 20.0)                                                                           \
    ARG(REAL, output_multiplier, 0.19611613513818404)                                                                  \
    ARG(TEXT, hidden_activation, silu)
TARE_ARGS(ARGS);

/* The authors keep the text model's keys in text_config, mlx's conversions beside the others. The former go first. */
static enum tare_code read_nested(struct args *a, const struct tare_derive *d)
{
    static const size_t sizes[] = {[TARE_ARG_INT] = sizeof(int64_t),
                                   [TARE_ARG_REAL] = sizeof(double),
                                   [TARE_ARG_FLAG] = sizeof(bool),
                                   [TARE_ARG_TEXT] = sizeof(const char *),
                                   [TARE_ARG_JSON] = sizeof(const json_t *)};
    const json_t *text = json_object_get(d->config, "text_config");
    struct args nested = {0};
    if (!text || json_is_null(text))
        return TARE_OK;
    if (!json_is_object(text))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "text_config: expected an object");
    const enum tare_code code = tare_args_read(&args_info, text, "config.json: text_config", &nested, d->err);
    for (size_t i = 0; !code && i < args_info.n; i++) {
        const struct tare_arg *field = &args_info.list[i];
        if (json_object_get(text, field->name))
            memcpy((char *)a + field->offset, (const char *)&nested + field->offset, sizes[field->kind]);
    }
    return code;
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    const enum tare_code code = read_nested(a, d);
    if (code)
        return code;
    a->rope_theta = tare_json_real(a->rope_parameters, "rope_theta", a->rope_theta);
    if (a->layer_rope_theta && json_array_size(a->layer_rope_theta) != (size_t)a->num_hidden_layers)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "layer_rope_theta must be a list of %lld numbers, one a layer",
                         (long long)a->num_hidden_layers);
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

/* Without layer_types every fourth layer sees all. */
static bool windowed(const struct args *a, int64_t i)
{
    return a->layer_types ? tare_word_is(a->layer_types, i, "sliding_attention") : i % 4 != 3;
}

/* Without layer_rope_theta the windowed layers rotate; with it those whose number is not 0, by rope_theta. */
static bool rotates(const struct args *a, int64_t i)
{
    if (a->layer_rope_theta)
        return json_number_value(json_array_get(a->layer_rope_theta, (size_t)i)) != 0;
    return !a->layer_types ? windowed(a, i) : !tare_word_is(a->layer_types, i, "full_attention");
}

/* Queries and keys are normed without a weight; the mixed values are gated. */
static void attention(struct tare_layer *l, struct tare_at at, const struct args *a, int64_t i)
{
    struct tare_gqa_desc desc = {.dim = a->hidden_size,
                                 .heads = a->num_attention_heads,
                                 .kv_heads = a->num_key_value_heads,
                                 .head_dim = a->head_dim,
                                 .scale = a->qk_scale_factor / sqrt((double)a->head_dim),
                                 .window = windowed(a, i) ? a->sliding_window : 0,
                                 .qk_norm.kind = TARE_QK_NORM_RMS_BARE,
                                 .qk_norm.eps = a->rms_norm_eps,
                                 .gate.kind = TARE_GATE_ELEMENTS,
                                 .gate.name = "gate_proj"};
    if (rotates(a, i))
        desc.rope = tare_rope_read(at, a->head_dim, a->rope_theta, NULL, a->max_position_embeddings);
    tare_gqa(l, at, &desc);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    attention(l, at, a, i);
    tare_glu(l, at,
             &(struct tare_glu_desc){.dim = dim,
                                     .hidden = a->intermediate_size,
                                     .activation = tare_activation_read(at, a->hidden_activation, TARE_SILU)});
    l->pre[0] = tare_rms_norm_one_plus(at, "input_layernorm", dim, a->rms_norm_eps);
    l->post[0] = tare_rms_norm_one_plus(at, "post_attention_layernorm", dim, a->post_norm_eps);
    l->pre[1] = tare_rms_norm_one_plus(at, "pre_feedforward_layernorm", dim, a->rms_norm_eps);
    l->post[1] = tare_rms_norm_one_plus(at, "post_feedforward_layernorm", dim, a->post_norm_eps);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, a, d,
                  &(struct tare_skeleton){TARE_SKELETON_SIZES(a), TARE_SKELETON_TIED(a),
                                          .context = a->max_position_embeddings, .eps = a->rms_norm_eps,
                                          .logit_scale = a->output_multiplier,
                                          .logit_soft_cap = a->final_logit_softcapping, .layer = layer});
    d->embedding_norm = (struct tare_norm){.kind = TARE_NORM_RMS, .dim = a->hidden_size, .eps = a->rms_norm_eps};
}

static void sanitize(struct tare_weights *w, const void *args)
{
    static const char *const vision[] = {"vision_tower*",      "vision_adapter*",      "vision_projection*",
                                         "model.vision_tower", "model.vision_adapter", "model.vision_projection"};
    /* transformers puts the tower below "model" too. mlx-lm cannot read that. */
    const size_t n = tare_find(w, "model.vision_projection.weight") ? 6 : 3;
    (void)args;
    for (size_t i = 0; i < n; i++)
        tare_drop(w, vision[i], "of the vision tower; only the text model is read");
    tare_rename(w, "language_model.model.**", "model.**");
    tare_rename(w, "language_model.lm_head.**", "lm_head.**");
    tare_rename(w, "model.language_model.**", "model.**");
}

const struct tare_arch tare_arch_muse_glimmer = {
    .name = "muse_glimmer",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
