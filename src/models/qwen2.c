/* SPDX-License-Identifier: MIT
 * qwen2.c - Qwen2 and Qwen2.5 text models (mlx-lm: models/qwen2.py). */
#include "models/model.h"
#include "models/window.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, max_position_embeddings, 32768)                                                                           \
    ARG(REAL, rope_theta, 1000000)                                                                                     \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(FLAG, use_sliding_window, false)                                                                               \
    ARG(INT, sliding_window, 4096)                                                                                     \
    ARG(INT, max_window_layers, 28)                                                                                    \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (!a->use_sliding_window)
        a->sliding_window = 0;
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const struct tare_at model = tare_at(root, "model");
    const int64_t dim = a->hidden_size;
    const int64_t head = tare_div(root, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
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
        tare_gqa(
            l, at,
            &(struct tare_gqa_desc){.dim = dim,
                                    .heads = a->num_attention_heads,
                                    .kv_heads = a->num_key_value_heads,
                                    .head_dim = head,
                                    .bias = true,
                                    .rope = rope,
                                    .window = tare_window(a->sliding_window, a->layer_types, a->max_window_layers, i)});
        l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
        tare_glu(l, at,
                 &(struct tare_glu_desc){.dim = dim,
                                         .hidden = a->intermediate_size,
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

const struct tare_arch tare_arch_qwen2 = {
    .name = "qwen2",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
