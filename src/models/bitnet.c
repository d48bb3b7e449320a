/* SPDX-License-Identifier: MIT
 * bitnet.c - BitNet b1.58 (mlx-lm: models/bitnet.py): linears are ternary, four rows to a byte, with one scale each. */
#include "blocks/attention/gqa_mixed_norm.h"
#include "models/family/dense_decoder.h"

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
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(FLAG, tie_word_embeddings, true)
TARE_ARGS(ARGS);

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    (void)i;
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    const int64_t head =
        a->head_dim > 0 ? a->head_dim : tare_div(at, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
    struct tare_rope rope = tare_rope_read(
        at, head, a->rope_theta, a->rope_scaling ? a->rope_scaling : a->rope_parameters, a->max_position_embeddings);
    rope.interleaved = a->rope_traditional;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.dim = dim,
                                     .heads = a->num_attention_heads,
                                     .kv_heads = a->num_key_value_heads,
                                     .head_dim = head,
                                     .bias = a->attention_bias,
                                     .o_bias = a->attention_bias,
                                     .ternary = true,
                                     .qk_norm.eps = a->rms_norm_eps,
                                     .rope = rope});
    tare_gqa_mixed_norm(l, tare_at(at, "self_attn"), "attn_sub_norm", tare_mul(at, a->num_attention_heads, head),
                        a->rms_norm_eps);
    const struct tare_norm norm =
        tare_rms_norm(tare_at(at, "mlp"), "ffn_sub_norm", a->intermediate_size, a->rms_norm_eps);
    tare_glu(l, at,
             &(struct tare_glu_desc){.dim = dim,
                                     .hidden = a->intermediate_size,
                                     .bias = a->mlp_bias,
                                     .linear = tare_ternary,
                                     .unit = tare_unit_normed(TARE_RELU2, norm)});
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
    .runs = true,
};
