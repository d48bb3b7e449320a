/* SPDX-License-Identifier: MIT
 * ernie4_5_moe.c - ERNIE 4.5 with routed experts (mlx-lm: models/ernie4_5_moe.py). */
#include <string.h>

#include "blocks/feed_forward/mixture_variant.h"
#include "models/family/published_experts.h"
#include "models/family/routed_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(FLAG, use_bias, REQUIRED)                                                                                      \
    ARG(FLAG, tie_word_embeddings, REQUIRED)                                                                           \
    ARG(INT, moe_num_experts, REQUIRED)                                                                                \
    ARG(JSON, moe_layer_start_index, ABSENT)                                                                           \
    ARG(INT, moe_intermediate_size, 0)                                                                                 \
    ARG(INT, moe_k, 1)                                                                                                 \
    ARG(INT, moe_layer_interval, 1)                                                                                    \
    ARG(FLAG, moe_use_aux_free, false)                                                                                 \
    ARG(INT, moe_num_shared_experts, 0)                                                                                \
    ARG(JSON, moe_layer_end_index, ABSENT)                                                                             \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(TEXT, moe_gate_act, softmax)                                                                                   \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

/* A layer number or a list of them, of which only the outermost counts. */
static bool index_check(const json_t *value, const char *key, const struct tare_derive *d)
{
    bool numbers = !value || json_is_integer(value) || json_array_size(value) > 0;
    for (size_t i = 0; numbers && i < json_array_size(value); i++)
        numbers = json_is_integer(json_array_get(value, i));
    if (!numbers)
        tare_fail(d->err, TARE_E_CONFIG, d->place, "%s must be a layer number or a list of layer numbers", key);
    return numbers;
}

static int64_t outermost(const json_t *value, int64_t fallback, int sign)
{
    if (!json_is_array(value))
        return value ? json_integer_value(value) : fallback;
    int64_t found = json_integer_value(json_array_get(value, 0));
    for (size_t i = 1; i < json_array_size(value); i++) {
        const int64_t other = json_integer_value(json_array_get(value, i));
        found = (sign < 0) == (other < found) ? other : found;
    }
    return found;
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (strcmp(a->moe_gate_act, "softmax") && strcmp(a->moe_gate_act, "sigmoid"))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "moe_gate_act is %s; expected softmax or sigmoid",
                         a->moe_gate_act);
    if (a->moe_layer_interval < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "moe_layer_interval is 0; expected at least 1");
    if (a->moe_intermediate_size < 1)
        a->moe_intermediate_size = a->intermediate_size;
    return index_check(a->moe_layer_start_index, "moe_layer_start_index", d) &&
                   index_check(a->moe_layer_end_index, "moe_layer_end_index", d)
               ? TARE_OK
               : TARE_E_CONFIG;
}

static bool routed(const void *args, int64_t layer)
{
    const struct args *a = args;
    const int64_t end = outermost(a->moe_layer_end_index, -1, 1); /* -1: the last; mlx-lm takes it for none at all */
    return (layer + 1) % a->moe_layer_interval == 0 && layer >= outermost(a->moe_layer_start_index, 0, -1) &&
           (layer <= end || end == -1);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_routed_dense(
        root, d,
        &(struct tare_routed_dense){
            .dense = {TARE_DENSE_LLAMA(a), .attention.head_dim = a->head_dim, .attention.bias = a->use_bias,
                      .attention.o_bias = a->use_bias, .ffn.bias = a->use_bias, .interleaved = true, .args = a},
            .is_routed = routed,
            .routed = {.router = {.n = a->moe_num_experts,
                                  .top = a->moe_k,
                                  .score = strcmp(a->moe_gate_act, "sigmoid") ? TARE_SCORE_SOFTMAX : TARE_SCORE_SIGMOID,
                                  .normalize = true},
                       .correction = "moe_statics.e_score_correction_bias", /* mlx-lm chooses without it */
                       .variant = &(struct tare_mixture_variant){.correction_optional = true},
                       .hidden = a->moe_intermediate_size,
                       .bias = a->use_bias,
                       .shared.hidden = a->moe_intermediate_size * a->moe_num_shared_experts,
                       .shared.bias = a->use_bias},
        });
}

static void sanitize(struct tare_weights *w, const void *args)
{
    static const char *const prediction[] = {"mtp_block.", "mtp_linear_proj.", "mtp_hidden_norm.", "mtp_emb_norm."};
    const struct args *a = args;
    for (int i = 0; i < 4; i++)
        tare_drop_containing(w, prediction[i], "predicts further tokens; not part of the decoder");
    tare_drop_containing(
        w, "e_score_correction_bias",
        "added to the scores by which experts are chosen; mlx-lm chooses without it, running takes it");
    tare_routed_rewrite(w, "model.layers.*.mlp", "switch_mlp", a->moe_num_experts, a->hidden_size);
}

const struct tare_arch tare_arch_ernie4_5_moe = {
    .name = "ernie4_5_moe",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
    .transformers_tied = true,
};
