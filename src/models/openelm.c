/* SPDX-License-Identifier: MIT
 * openelm.c - OpenELM (mlx-lm: models/openelm.py): the config lists heads and widths of each layer. */
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(INT, num_transformer_layers, REQUIRED)                                                                         \
    ARG(INT, model_dim, REQUIRED)                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, ffn_dim_divisor, REQUIRED)                                                                                \
    ARG(JSON, num_query_heads, REQUIRED)                                                                               \
    ARG(JSON, num_kv_heads, REQUIRED)                                                                                  \
    ARG(JSON, ffn_multipliers, REQUIRED)                                                                               \
    ARG(FLAG, normalize_qk_projections, true)                                                                          \
    ARG(FLAG, share_input_output_layers, true)                                                                         \
    ARG(REAL, rms_norm_eps, 1e-6)                                                                                      \
    ARG(REAL, rope_freq_constant, 10000)                                                                               \
    ARG(INT, max_context_length, ABSENT)                                                                               \
    ARG(TEXT, activation_fn_name, swish)
TARE_ARGS(ARGS);

/* Is it a list with a number above 0, at most `most`, for each layer? */
static bool listed(const json_t *list, int64_t n, bool integers, double most)
{
    bool fits = json_is_array(list) && json_array_size(list) >= (size_t)n;
    for (size_t i = 0; fits && i < (size_t)n; i++) {
        const json_t *one = json_array_get(list, i);
        const double value = json_number_value(one);
        fits = (integers ? json_is_integer(one) : json_is_number(one)) && value > 0 && value <= most;
    }
    return fits;
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    const int64_t n = a->num_transformer_layers;
    if (listed(a->num_query_heads, n, true, 1 << 20) && listed(a->num_kv_heads, n, true, 1 << 20) &&
        listed(a->ffn_multipliers, n, false, 1 << 20))
        return TARE_OK;
    return tare_fail(d->err, TARE_E_CONFIG, d->place,
                     "num_query_heads, num_kv_heads and ffn_multipliers must be lists of numbers above 0, one a layer");
}

/* The multiple of divisor nearest to value, but not less than nine tenths of it. */
static int64_t make_divisible(double value, int64_t divisor)
{
    int64_t rounded = tare_share(1, value + (double)divisor / 2) / divisor * divisor;
    if (rounded < divisor)
        rounded = divisor;
    return (double)rounded < 0.9 * value ? rounded + divisor : rounded;
}

static void vary(struct tare_dense *dense, int64_t i)
{
    const struct args *a = dense->args;
    const size_t k = (size_t)i;
    const double width = json_number_value(json_array_get(a->ffn_multipliers, k)) * (double)a->model_dim;
    dense->attention.heads = json_integer_value(json_array_get(a->num_query_heads, k));
    dense->attention.kv_heads = json_integer_value(json_array_get(a->num_kv_heads, k));
    dense->ffn.hidden = make_divisible(width, a->ffn_dim_divisor);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   .skeleton = {.model = "transformer",
                                .embedding = "token_embeddings",
                                .dim = a->model_dim,
                                .vocabulary = a->vocab_size,
                                .n_layers = a->num_transformer_layers,
                                .context = a->max_context_length,
                                .eps = a->rms_norm_eps,
                                .head = TARE_HEAD_FLAG,
                                .tied = a->share_input_output_layers},
                   .norms = {"attn_norm", NULL, "ffn_norm"},
                   .attention = {.name = "attn",
                                 .qkv_name = "qkv_proj",
                                 .o_name = "out_proj",
                                 .head_dim = a->head_dim,
                                 .qk_norm.kind = a->normalize_qk_projections ? TARE_QK_NORM_RMS : TARE_QK_NORM_NONE},
                   .ffn = {.name = "ffn", .gate_up_name = "proj_1", .down_name = "proj_2"},
                   .hidden_act = a->activation_fn_name,
                   .theta = a->rope_freq_constant,
                   .args = a,
                   .vary = vary,
               });
}

const struct tare_arch tare_arch_openelm = {
    .name = "openelm",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
