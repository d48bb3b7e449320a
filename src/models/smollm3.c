/* SPDX-License-Identifier: MIT
 * smollm3.c - SmolLM 3 (mlx-lm: models/smollm3.py): Llama, some of its layers without rotation. */
#include "models/family/dense_decoder.h"
#include "models/family/layer_kinds.h"

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
    ARG(INT, no_rope_layer_interval, 4)                                                                                \
    ARG(JSON, no_rope_layers, ABSENT)                                                                                  \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (!a->no_rope_layers && a->no_rope_layer_interval < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "no_rope_layer_interval must be above 0");
    bool fits = !a->no_rope_layers || json_array_size(a->no_rope_layers) == (size_t)a->num_hidden_layers;
    for (size_t i = 0; fits && i < json_array_size(a->no_rope_layers); i++) {
        const json_t *one = json_array_get(a->no_rope_layers, i);
        fits = json_is_integer(one) || json_is_boolean(one);
    }
    if (!fits)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "no_rope_layers must be a list of %lld numbers, one a layer",
                         (long long)a->num_hidden_layers);
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

/* Whatever its name says, no_rope_layers has a 1 for each layer that rotates. */
static bool rotates(const struct args *a, int64_t layer)
{
    const json_t *one = json_array_get(a->no_rope_layers, (size_t)layer);
    return one ? json_integer_value(one) != 0 || json_is_true(one) : (layer + 1) % a->no_rope_layer_interval != 0;
}

static void vary(struct tare_dense *dense, int64_t i)
{
    const struct args *a = dense->args;
    dense->attention.window = tare_window(a->sliding_window, a->layer_types, INT64_MAX, i);
    dense->no_rope = !rotates(a, i);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_LLAMA(a),
                   TARE_DENSE_BIASED(a),
                   .interleaved = a->rope_traditional,
                   .args = a,
                   .vary = vary,
               });
}

const struct tare_arch tare_arch_smollm3 = {
    .name = "smollm3",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = tare_dense_drop_rotary,
    .runs = true,
    .transformers_tied = true,
};
