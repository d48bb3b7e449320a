/* SPDX-License-Identifier: MIT
 * qwen2_moe.c - Qwen2 with routed experts beside a shared one (mlx-lm: models/qwen2_moe.py, which knows no dense
 * layers and no window). */
#include "models/sparse.h"
#include "models/window.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(INT, num_experts, REQUIRED)                                                                                    \
    ARG(INT, moe_intermediate_size, REQUIRED)                                                                          \
    ARG(INT, shared_expert_intermediate_size, REQUIRED)                                                                \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(REAL, rope_theta, 1000000)                                                                                     \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(FLAG, qkv_bias, true)                                                                                          \
    ARG(FLAG, norm_topk_prob, false)                                                                                   \
    ARG(INT, decoder_sparse_step, 1)                                                                                   \
    ARG(JSON, mlp_only_layers, ABSENT)                                                                                 \
    ARG(FLAG, use_sliding_window, false)                                                                               \
    ARG(INT, sliding_window, 4096)                                                                                     \
    ARG(INT, max_window_layers, 28)                                                                                    \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->num_key_value_heads < 0)
        a->num_key_value_heads = a->num_attention_heads;
    if (!a->use_sliding_window)
        a->sliding_window = 0;
    a->rope_theta = tare_json_real(a->rope_parameters, "rope_theta", a->rope_theta);
    return tare_sparse_check(a->mlp_only_layers, a->decoder_sparse_step, d->place, d->err);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    const int64_t head = tare_div(at, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
    struct tare_rope rope =
        tare_rope_read(at, head, a->rope_theta, a->rope_scaling ? a->rope_scaling : a->rope_parameters,
                       a->max_position_embeddings);
    rope.interleaved = a->rope_traditional;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.dim = dim,
                                     .heads = a->num_attention_heads,
                                     .kv_heads = a->num_key_value_heads,
                                     .head_dim = head,
                                     .bias = a->qkv_bias,
                                     .rope = rope,
                                     .window = tare_window(a->sliding_window, NULL, a->max_window_layers, i)});
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    if (tare_sparse_layer(a->mlp_only_layers, a->decoder_sparse_step, i))
        tare_shared_experts(tare_at(at, "mlp"), dim, a->num_experts, a->moe_intermediate_size,
                            a->shared_expert_intermediate_size);
    else
        tare_glu(l, at,
                 &(struct tare_glu_desc){.dim = dim,
                                         .hidden = a->intermediate_size,
                                         .activation = tare_activation_read(at, a->hidden_act, TARE_SILU)});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a),
                                          .layer = layer,
                                          .head = TARE_HEAD_OWN});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_sparse_rewrite(w, "mlp", a->num_experts, a->hidden_size);
}

const struct tare_arch tare_arch_qwen2_moe = {
    .name = "qwen2_moe",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
};
