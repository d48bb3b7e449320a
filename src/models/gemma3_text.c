/* SPDX-License-Identifier: MIT
 * gemma3_text.c - Gemma 3 text models (mlx-lm: models/gemma3_text.py). Layers with a window have a rotary base of their
 * own. */
#include "models/model.h"
#include "models/window.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 1152)                                                                                        \
    ARG(INT, num_hidden_layers, 26)                                                                                    \
    ARG(INT, intermediate_size, 6912)                                                                                  \
    ARG(INT, num_attention_heads, 4)                                                                                   \
    ARG(INT, head_dim, 256)                                                                                            \
    ARG(REAL, rms_norm_eps, 1.0e-6)                                                                                    \
    ARG(INT, vocab_size, 262144)                                                                                       \
    ARG(INT, num_key_value_heads, 1)                                                                                   \
    ARG(REAL, rope_theta, 1000000.0)                                                                                   \
    ARG(REAL, rope_local_base_freq, 10000.0)                                                                           \
    ARG(REAL, query_pre_attn_scalar, 256)                                                                              \
    ARG(INT, sliding_window, 512)                                                                                      \
    ARG(INT, sliding_window_pattern, 6)                                                                                \
    ARG(INT, max_position_embeddings, 32768)                                                                           \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(REAL, attn_logit_softcapping, ABSENT)                                                                          \
    ARG(REAL, final_logit_softcapping, ABSENT)                                                                         \
    ARG(TEXT, hidden_activation, gelu_pytorch_tanh)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (!(a->query_pre_attn_scalar > 0) || a->sliding_window_pattern < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "query_pre_attn_scalar and sliding_window_pattern must be above 0");
    if (isnan(a->attn_logit_softcapping))
        a->attn_logit_softcapping = 0;
    if (isnan(a->final_logit_softcapping))
        a->final_logit_softcapping = 0;
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

static bool sliding(const struct args *a, int64_t layer)
{
    if (a->layer_types)
        return tare_window(1, a->layer_types, 0, layer) == 1;
    return (layer + 1) % a->sliding_window_pattern != 0;
}

/* transformers 5 has an object a layer type in rope_parameters. */
static struct tare_rope rope_read(struct tare_at at, const struct args *a, bool local)
{
    const json_t *own = json_object_get(a->rope_parameters, local ? "sliding_attention" : "full_attention");
    return tare_rope_read(at, a->head_dim, local ? a->rope_local_base_freq : a->rope_theta,
                          json_is_object(own) ? own
                          : local             ? NULL
                                              : a->rope_scaling,
                          a->max_position_embeddings);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const struct tare_at model = tare_at(root, "model");
    const int64_t dim = a->hidden_size;
    const struct tare_rope global = rope_read(model, a, false), local = rope_read(model, a, true);
    struct tare_parameter *embedding = tare_embedding(model, "embed_tokens", a->vocab_size, dim);

    *d = (struct tare_decoder){.arena = d->arena,
                               .dim = dim,
                               .vocabulary = a->vocab_size,
                               .embedding = embedding,
                               .context = a->max_position_embeddings,
                               .embedding_scale = sqrt((double)dim),
                               .logit_soft_cap = a->final_logit_softcapping};
    struct tare_layer *l = tare_layers(d, a->num_hidden_layers);
    for (int64_t i = 0; i < d->n_layers && !root.tree->error.code; i++, l++) {
        const struct tare_at at = tare_at(model, "layers.%lld", (long long)i);
        l->pre[0] = tare_rms_norm_one_plus(at, "input_layernorm", dim, a->rms_norm_eps);
        tare_gqa(l, at,
                 &(struct tare_gqa_desc){.dim = dim,
                                         .heads = a->num_attention_heads,
                                         .kv_heads = a->num_key_value_heads,
                                         .head_dim = a->head_dim,
                                         .scale = 1 / sqrt(a->query_pre_attn_scalar),
                                         .window = sliding(a, i) ? a->sliding_window : 0,
                                         .soft_cap = a->attn_logit_softcapping,
                                         .qk_norm = TARE_QK_NORM_RMS_ONE_PLUS,
                                         .eps = a->rms_norm_eps,
                                         .rope = sliding(a, i) ? local : global});
        l->post[0] = tare_rms_norm_one_plus(at, "post_attention_layernorm", dim, a->rms_norm_eps);
        l->pre[1] = tare_rms_norm_one_plus(at, "pre_feedforward_layernorm", dim, a->rms_norm_eps);
        tare_glu(l, at,
                 &(struct tare_glu_desc){.dim = dim,
                                         .hidden = a->intermediate_size,
                                         .activation = tare_activation_read(at, a->hidden_activation, TARE_GELU_TANH)});
        l->post[1] = tare_rms_norm_one_plus(at, "post_feedforward_layernorm", dim, a->rms_norm_eps);
    }
    d->norm = tare_rms_norm_one_plus(model, "norm", dim, a->rms_norm_eps);
    tare_head(root, "lm_head", embedding, TARE_HEAD_CONTENT, false, NO_BIAS);
}

const struct tare_arch tare_arch_gemma3_text = {
    .name = "gemma3_text",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
    .transformers_tied = true,
};
