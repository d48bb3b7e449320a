/* SPDX-License-Identifier: MIT
 * phi3.c - Phi-3, Phi-3.5 and Phi-4 text models (mlx-lm: models/phi3.py). */
#include "models/family/config_words.h"
#include "models/family/layer_kinds.h"
#include "models/model.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(REAL, partial_rotary_factor, 1.0)                                                                              \
    ARG(INT, max_position_embeddings, 131072)                                                                          \
    ARG(INT, original_max_position_embeddings, 4096)                                                                   \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(INT, sliding_window, ABSENT)                                                                                   \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->num_key_value_heads < 1)
        a->num_key_value_heads = a->num_attention_heads;
    if (!json_object_get(d->config, "original_max_position_embeddings"))
        a->original_max_position_embeddings =
            tare_json_integer(a->rope_parameters ? a->rope_parameters : a->rope_scaling,
                              "original_max_position_embeddings", a->original_max_position_embeddings);
    a->partial_rotary_factor = tare_json_real(a->rope_parameters, "partial_rotary_factor", a->partial_rotary_factor);
    if (a->original_max_position_embeddings < 2) /* its logarithm is divided by */
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "original_max_position_embeddings is %lld; expected 2 or more",
                         (long long)a->original_max_position_embeddings);
    return tare_partial_check(a->partial_rotary_factor, d->place, d->err);
}

/* original_max_position_embeddings stands beside rope_scaling. */
static struct tare_rope rope_read(struct tare_at at, const struct args *a, int64_t head)
{
    struct tare_rope rope =
        tare_rope_read(at, tare_share(head, a->partial_rotary_factor), a->rope_theta,
                       a->rope_parameters ? a->rope_parameters : a->rope_scaling, a->max_position_embeddings);
    rope.interleaved = a->rope_traditional;
    if (rope.kind == TARE_ROPE_LONGROPE)
        rope.original_context = (double)a->original_max_position_embeddings;
    return rope;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const struct tare_at model = tare_at(root, "model");
    const int64_t dim = a->hidden_size;
    const int64_t head = tare_div(root, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
    const struct tare_rope rope = rope_read(model, a, head);
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
                 &(struct tare_gqa_desc){.qkv_name = "qkv_proj",
                                         .dim = dim,
                                         .heads = a->num_attention_heads,
                                         .kv_heads = a->num_key_value_heads,
                                         .head_dim = head,
                                         .rope = rope,
                                         .window = tare_window(a->sliding_window, NULL, 0, i)});
        l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
        tare_glu(l, at,
                 &(struct tare_glu_desc){.gate_up_name = "gate_up_proj",
                                         .dim = dim,
                                         .hidden = a->intermediate_size,
                                         .activation = tare_activation_read(at, a->hidden_act, TARE_SILU)});
    }
    d->norm = tare_rms_norm(model, "norm", dim, a->rms_norm_eps);
    tare_head(root, "lm_head", embedding, TARE_HEAD_FLAG, a->tie_word_embeddings, NO_BIAS);
}

const struct tare_arch tare_arch_phi3 = {
    .name = "phi3",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
