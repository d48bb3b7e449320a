/* SPDX-License-Identifier: MIT
 * gemma2.c - Gemma 2 (mlx-lm: models/gemma2.py). */
#include "models/model.h"
#include "models/window.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(REAL, attn_logit_softcapping, 50.0)                                                                            \
    ARG(REAL, final_logit_softcapping, 30.0)                                                                           \
    ARG(REAL, query_pre_attn_scalar, 144.0)                                                                            \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(INT, sliding_window, 4096)                                                                                     \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(TEXT, hidden_activation, gelu_pytorch_tanh)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (!(a->query_pre_attn_scalar > 0))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "query_pre_attn_scalar is %g; expected a number above 0",
                         a->query_pre_attn_scalar);
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

/* Every second layer, from the first, unless layer_types says otherwise. */
static int64_t window(const struct args *a, int64_t layer)
{
    return a->layer_types || layer % 2 == 0 ? tare_window(a->sliding_window, a->layer_types, 0, layer) : 0;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const struct tare_at model = tare_at(root, "model");
    const int64_t dim = a->hidden_size;
    struct tare_rope rope =
        tare_rope_read(model, a->head_dim, a->rope_theta, a->rope_parameters, a->max_position_embeddings);
    struct tare_parameter *embedding = tare_embedding(model, "embed_tokens", a->vocab_size, dim);

    rope.interleaved = a->rope_traditional;
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
                                         .window = window(a, i),
                                         .soft_cap = a->attn_logit_softcapping,
                                         .rope = rope});
        l->post[0] = tare_rms_norm_one_plus(at, "post_attention_layernorm", dim, a->rms_norm_eps);
        l->pre[1] = tare_rms_norm_one_plus(at, "pre_feedforward_layernorm", dim, a->rms_norm_eps);
        tare_glu(l, at,
                 &(struct tare_glu_desc){.dim = dim,
                                         .hidden = a->intermediate_size,
                                         .activation = tare_activation_read(at, a->hidden_activation, TARE_GELU_TANH)});
        l->post[1] = tare_rms_norm_one_plus(at, "post_feedforward_layernorm", dim, a->rms_norm_eps);
    }
    d->norm = tare_rms_norm_one_plus(model, "norm", dim, a->rms_norm_eps);
    tare_head(root, NULL, embedding, TARE_HEAD_NONE, true, NO_BIAS);
}

const struct tare_arch tare_arch_gemma2 = {
    .name = "gemma2",
    .runs = true,
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .transformers_tied = true,
};
