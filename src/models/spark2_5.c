/* SPDX-License-Identifier: MIT
 * spark2_5.c - Spark 2.5: attention with a gate for each head, and one full layer after three with a window (mlx-lm:
 * models/spark2_5.py).
 */
#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"

#include <string.h>

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, sliding_window, REQUIRED)                                                                                 \
    ARG(JSON, rope_parameters, REQUIRED)                                                                               \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(REAL, rms_norm_eps, 1e-6)                                                                                      \
    ARG(INT, max_position_embeddings, 8192)                                                                            \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(TEXT, hidden_act, gelu)                                                                                        \
    ARG(TEXT, gate_attn_act_mode, sigmoid)                                                                             \
    ARG(FLAG, headwise_attn_output_gate, true)                                                                         \
    ARG(FLAG, tie_word_embeddings, true)
TARE_ARGS(ARGS);

#define WINDOWED "sliding_attention"
#define FULL "full_attention"

/* Without layer_types every fourth layer is full. */
static const char *type_of(const struct args *a, int64_t i)
{
    return (a->layer_types ? tare_word_is(a->layer_types, i, FULL) : i % 4 == 3) ? FULL : WINDOWED;
}

/* The rotary embedding of one kind of layers, where there are such layers. */
static enum tare_code check_rope(const struct args *a, const char *type, const struct tare_derive *d)
{
    const json_t *rope = json_object_get(a->rope_parameters, type);
    const double dims = trunc((double)a->head_dim * tare_json_real(rope, "partial_rotary_factor", 1));
    int64_t i = 0;
    while (i < a->num_hidden_layers && strcmp(type_of(a, i), type) != 0)
        i++;
    if (i == a->num_hidden_layers)
        return TARE_OK;
    if (!json_is_object(rope))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "rope_parameters has no %s, and layers of that type need it",
                         type);
    if (!(dims >= 1 && dims <= (double)a->head_dim) || (int64_t)dims % 2)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "rope_parameters: %s rotates %g of %lld dimensions of a head",
                         type, dims, (long long)a->head_dim);
    return TARE_OK;
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    const char *fault = strcmp(a->hidden_act, "gelu") != 0                ? "hidden_act is not gelu"
                        : !a->headwise_attn_output_gate                   ? "headwise_attn_output_gate is false"
                        : strcmp(a->gate_attn_act_mode, "sigmoid") != 0   ? "gate_attn_act_mode is not sigmoid"
                        : a->num_attention_heads % a->num_key_value_heads ? "num_attention_heads is not a multiple of "
                                                                            "num_key_value_heads"
                                                                          : NULL;
    if (fault)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "%s; no model of this type is so", fault);
    enum tare_code code =
        a->layer_types ? tare_words_check(a->layer_types, "layer_types", a->num_hidden_layers, WINDOWED " " FULL, d)
                       : TARE_OK;
    if (!code)
        code = check_rope(a, WINDOWED, d);
    return code ? code : check_rope(a, FULL, d);
}

static void attention(struct tare_layer *l, struct tare_at at, const struct args *a, int64_t i)
{
    const char *type = type_of(a, i);
    const json_t *rope = json_object_get(a->rope_parameters, type);
    const double dims = trunc((double)a->head_dim * tare_json_real(rope, "partial_rotary_factor", 1));
    tare_gqa(
        l, at,
        &(struct tare_gqa_desc){.qkv_name = "q_k_v_proj",
                                .o_name = "out_proj",
                                .dim = a->hidden_size,
                                .heads = a->num_attention_heads,
                                .kv_heads = a->num_key_value_heads,
                                .head_dim = a->head_dim,
                                .bias = a->attention_bias,
                                .o_bias = a->attention_bias,
                                .window = strcmp(type, WINDOWED) ? 0 : a->sliding_window,
                                .gate.name = "g_proj",
                                .gate.kind = TARE_GATE_HEADS,
                                .gate.bias = a->attention_bias,
                                .rope = tare_rope_read(at, (int64_t)dims, 10000, rope, a->max_position_embeddings)});
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    attention(l, at, a, i);
    tare_glu(l, at,
             &(struct tare_glu_desc){
                 .dim = a->hidden_size, .hidden = a->intermediate_size, .bias = a->mlp_bias, .activation = TARE_GELU});
    l->pre[0] = tare_rms_norm(at, "input_layernorm", a->hidden_size, a->rms_norm_eps);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", a->hidden_size, a->rms_norm_eps);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, a, d,
                  &(struct tare_skeleton){TARE_SKELETON_SIZES(a), TARE_SKELETON_TIED(a), .embedding = "embedding",
                                          .context = a->max_position_embeddings, .eps = a->rms_norm_eps,
                                          .layer = layer});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    if (!tare_find(w, "model.embedding.weight")) /* some conversions name it so */
        tare_rename(w, "model.embed_tokens.weight", "model.embedding.weight");
    tare_drop_containing(w, "rotary_emb.inv_freq", "precomputed rotary frequencies, not a parameter");
}

const struct tare_arch tare_arch_spark2_5 = {
    .name = "spark2_5",
    .transformers_tied = true, /* not known there: a head that differs is refused */
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
