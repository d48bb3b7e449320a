/* SPDX-License-Identifier: MIT
 * hunyuan_v1_dense.c - HunYuan without experts (mlx-lm: models/hunyuan_v1_dense.py): queries and keys are normalized
 * after they are rotated. */
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(INT, max_position_embeddings, 32768)                                                                           \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, use_qk_norm, true)                                                                                       \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

/* Its "dynamic" scaling is a base that alpha makes larger, whatever the length. */
static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    const double alpha = tare_json_real(a->rope_scaling ? a->rope_scaling : a->rope_parameters, "alpha", 0);
    const int64_t head = a->head_dim > 0 ? a->head_dim : a->hidden_size / a->num_attention_heads;
    a->rope_theta = tare_json_real(a->rope_parameters, "rope_theta", a->rope_theta);
    if (alpha <= 0)
        return TARE_OK;
    if (head <= 2)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "rope_scaling has alpha, and a head has %lld dimensions only",
                         (long long)head);
    a->rope_theta *= pow(alpha, (double)head / (double)(head - 2));
    a->rope_scaling = a->rope_parameters = NULL;
    return TARE_OK;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_LLAMA(a),
                   .attention.head_dim = a->head_dim,
                   .attention.bias = a->attention_bias,
                   .attention.o_bias = a->attention_bias,
                   .attention.qk_norm.kind = a->use_qk_norm ? TARE_QK_NORM_RMS : TARE_QK_NORM_NONE,
                   .attention.qk_norm.q_name = "query_layernorm",
                   .attention.qk_norm.k_name = "key_layernorm",
                   .attention.qk_norm.last = true,
               });
}

const struct tare_arch tare_arch_hunyuan_v1_dense = {
    .name = "hunyuan_v1_dense",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
