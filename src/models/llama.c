/* SPDX-License-Identifier: MIT
 * llama.c - Llama and Mistral text models (mlx-lm: models/llama.py; "mistral" is an alias). */
#include "models/model.h"

#include <string.h>

#include "models/window.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(INT, sliding_window, ABSENT)                                                                                   \
    ARG(TEXT, hidden_act, silu)                                                                                        \
    ARG(TEXT, model_type, llama)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->num_key_value_heads < 1)
        a->num_key_value_heads = a->num_attention_heads;
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

/* Mistral's window holds for every layer; llama's only for those that layer_types calls sliding_attention. */
static int64_t window(const struct args *a, int64_t layer)
{
    return tare_window(a->sliding_window, a->layer_types, strcmp(a->model_type, "mistral") ? INT64_MAX : 0, layer);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const struct tare_at model = tare_at(root, "model");
    const int64_t dim = a->hidden_size;
    const int64_t head = a->head_dim > 0
                             ? a->head_dim
                             : tare_div(root, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
    const struct tare_rope rope =
        tare_rope_read(model, head, a->rope_theta, a->rope_parameters ? a->rope_parameters : a->rope_scaling,
                       a->max_position_embeddings);
    struct tare_parameter *embedding = tare_embedding(model, "embed_tokens", a->vocab_size, dim);

    *d = (struct tare_decoder){.arena = d->arena,
                               .dim = dim,
                               .vocabulary = a->vocab_size,
                               .embedding = embedding,
                               .context = a->max_position_embeddings};
    struct tare_layer *l = tare_layers(d, a->num_hidden_layers);
    for (int64_t i = 0; i < d->n_layers && !root.tree->error.code; i++, l++) {
        const struct tare_at at = tare_at(model, "layers.%lld", (long long)i);
        l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
        tare_gqa(l, at,
                 &(struct tare_gqa_desc){.dim = dim,
                                         .heads = a->num_attention_heads,
                                         .kv_heads = a->num_key_value_heads,
                                         .head_dim = head,
                                         .bias = a->attention_bias,
                                         .o_bias = a->attention_bias,
                                         .rope = rope,
                                         .window = window(a, i)});
        l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
        tare_glu(l, at,
                 &(struct tare_glu_desc){.dim = dim,
                                         .hidden = a->intermediate_size,
                                         .bias = a->mlp_bias,
                                         .activation = tare_activation_read(at, a->hidden_act, TARE_SILU)});
    }
    d->norm = tare_rms_norm(model, "norm", dim, a->rms_norm_eps);
    tare_head(root, "lm_head", embedding, TARE_HEAD_FLAG, a->tie_word_embeddings, NO_BIAS);
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop_containing(w, "self_attn.rotary_emb.inv_freq", "precomputed rotary frequencies, not a parameter");
}

const struct tare_arch tare_arch_llama = {
    .name = "llama",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
