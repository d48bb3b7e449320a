/* SPDX-License-Identifier: MIT
 * baichuan_m1.c - Baichuan-M1 (mlx-lm: models/baichuan_m1.py): keys and values are mixed with those of the token
 * before, layers with a window may have other numbers of heads, and the rows of the output head have length one. */
#include "blocks/attention/gqa_convolved.h"
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(INT, sliding_window, REQUIRED)                                                                                 \
    ARG(JSON, sliding_window_layers, REQUIRED)                                                                         \
    ARG(INT, conv_window, REQUIRED)                                                                                    \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, num_swa_attention_heads, ABSENT)                                                                          \
    ARG(INT, num_swa_key_value_heads, ABSENT)                                                                          \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    bool numbers = json_is_array(a->sliding_window_layers);
    for (size_t i = 0; numbers && i < json_array_size(a->sliding_window_layers); i++)
        numbers = json_is_integer(json_array_get(a->sliding_window_layers, i));
    if (!numbers)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "sliding_window_layers must be a list of layer numbers");
    if (a->conv_window != 2)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "conv_window is %lld; 2 is the only one there is",
                         (long long)a->conv_window);
    return TARE_OK;
}

static void vary(struct tare_dense *dense, int64_t layer)
{
    const struct args *a = dense->args;
    for (size_t i = 0; i < json_array_size(a->sliding_window_layers); i++)
        if (json_integer_value(json_array_get(a->sliding_window_layers, i)) == layer)
            dense->attention.window = a->sliding_window;
    if (dense->attention.window > 0 && a->num_swa_attention_heads > 0)
        dense->attention.heads = a->num_swa_attention_heads;
    if (dense->attention.window > 0 && a->num_swa_key_value_heads > 0)
        dense->attention.kv_heads = a->num_swa_key_value_heads;
}

static void convolve(struct tare_layer *l, struct tare_at at, const struct tare_dense *dense)
{
    tare_gqa_convolved(l, tare_at(at, "self_attn"), dense->attention.kv_heads);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_LLAMA(a),
                   .attention.qkv_name = "W_pack",
                   .args = a,
                   .vary = vary,
                   .attend = convolve,
               });
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    const struct tare_entry *head = tare_find(w, "lm_head.weight");
    if (head && !head->recipe->packed) /* what is packed was divided before */
        tare_divide_by_norm(w, "lm_head.weight", -1);
}

const struct tare_arch tare_arch_baichuan_m1 = {
    .name = "baichuan_m1",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
