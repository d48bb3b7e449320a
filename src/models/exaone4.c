/* SPDX-License-Identifier: MIT
 * exaone4.c - EXAONE 4 (mlx-lm: models/exaone4.py): norms after each block; when some layers have a window, only those
 * have rotary positions. */
#include <string.h>

#include "models/family/dense_decoder.h"
#include "models/family/layer_kinds.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(FLAG, tie_word_embeddings, REQUIRED)                                                                           \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(INT, sliding_window, ABSENT)                                                                                   \
    ARG(JSON, sliding_window_pattern, ABSENT)                                                                          \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    const json_t *pattern = a->sliding_window_pattern;
    if (pattern && !json_is_string(pattern) && !json_is_integer(pattern))
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "sliding_window_pattern must be a word such as \"LLLG\", a number, or null");
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

static bool patterned(const struct args *a)
{
    const char *word = json_string_value(a->sliding_window_pattern);
    return (word && *word) || json_integer_value(a->sliding_window_pattern) > 0;
}

/* "LLLG": three layers with the window, then one without; 4 says the same. */
static bool local(const struct args *a, int64_t layer)
{
    const char *word = json_string_value(a->sliding_window_pattern);
    const int64_t every = json_integer_value(a->sliding_window_pattern);
    if (a->layer_types)
        return tare_window(1, a->layer_types, 0, layer) == 1;
    if (word && *word)
        return word[(size_t)layer % strlen(word)] == 'L';
    return every > 0 && (layer + 1) % every != 0;
}

static void vary(struct tare_dense *dense, int64_t i)
{
    const struct args *a = dense->args;
    if (a->sliding_window < 1 || !(a->layer_types || patterned(a))) /* all layers see all, and all have positions */
        return;
    dense->attention.window = local(a, i) ? a->sliding_window : 0;
    dense->no_rope = !local(a, i);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_LLAMA(a),
                   .norms = {NULL, "post_attention_layernorm", NULL, "post_feedforward_layernorm"},
                   .attention.head_dim = a->head_dim,
                   .attention.qk_norm.kind = TARE_QK_NORM_RMS,
                   .args = a,
                   .vary = vary,
               });
}

const struct tare_arch tare_arch_exaone4 = {
    .name = "exaone4",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
