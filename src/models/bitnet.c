/* SPDX-License-Identifier: MIT
 * bitnet.c - BitNet b1.58 (mlx-lm: models/bitnet.py): linears are ternary, four rows to a byte, with one scale each. */
#include "models/dense.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(FLAG, tie_word_embeddings, true)
TARE_ARGS(ARGS);

static void bit_linear(struct tare_at layer, const char *name, int64_t in, int64_t out, bool bias)
{
    const struct tare_at at = tare_at(layer, "%s", name);
    tare_integers(at, "weight", 2, (out + 3) / 4, in); /* four ternary rows a byte */
    tare_plain(at, "weight_scale", 1, (int64_t)1);
    if (bias)
        tare_plain(at, "bias", 1, out);
}

/* No block multiplies such a matrix yet. */
static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    (void)i;
    const struct args *a = args;
    const int64_t dim = a->hidden_size, hidden = a->intermediate_size;
    const int64_t head =
        a->head_dim > 0 ? a->head_dim : tare_div(at, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
    const int64_t q = tare_mul(at, a->num_attention_heads, head), kv = tare_mul(at, a->num_key_value_heads, head);
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    bit_linear(at, "self_attn.q_proj", dim, q, a->attention_bias);
    bit_linear(at, "self_attn.k_proj", dim, kv, a->attention_bias);
    bit_linear(at, "self_attn.v_proj", dim, kv, a->attention_bias);
    bit_linear(at, "self_attn.o_proj", q, dim, a->attention_bias);
    tare_rms_norm(at, "self_attn.attn_sub_norm", dim, a->rms_norm_eps);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    bit_linear(at, "mlp.gate_proj", dim, hidden, a->mlp_bias);
    bit_linear(at, "mlp.up_proj", dim, hidden, a->mlp_bias);
    bit_linear(at, "mlp.down_proj", hidden, dim, a->mlp_bias);
    tare_rms_norm(at, "mlp.ffn_sub_norm", hidden, a->rms_norm_eps);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){
                      .dim = a->hidden_size,
                      .vocabulary = a->vocab_size,
                      .n_layers = a->num_hidden_layers,
                      .context = a->max_position_embeddings,
                      .eps = a->rms_norm_eps,
                      .layer = layer,
                      .head = TARE_HEAD_FLAG,
                      .tied = a->tie_word_embeddings,
                  });
}

const struct tare_arch tare_arch_bitnet = {
    .name = "bitnet",
    .args = &args_info,
    .declare = declare,
    .sanitize = tare_dense_drop_rotary,
};
