/* SPDX-License-Identifier: MIT
 * qwen3_next.c - Qwen3-Next: three layers of gated delta rule to one of gated attention, and experts (mlx-lm:
 * models/qwen3_next.py). */
#include "models/family/config_words.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/published_experts.h"
#include "models/family/qwen_delta.h"
#include "models/family/qwen_experts.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, linear_num_value_heads, REQUIRED)                                                                         \
    ARG(INT, linear_num_key_heads, REQUIRED)                                                                           \
    ARG(INT, linear_key_head_dim, REQUIRED)                                                                            \
    ARG(INT, linear_value_head_dim, REQUIRED)                                                                          \
    ARG(INT, linear_conv_kernel_dim, REQUIRED)                                                                         \
    ARG(INT, num_experts, 0)                                                                                           \
    ARG(INT, num_experts_per_tok, 0)                                                                                   \
    ARG(INT, decoder_sparse_step, 1)                                                                                   \
    ARG(INT, shared_expert_intermediate_size, 0)                                                                       \
    ARG(JSON, mlp_only_layers, ABSENT)                                                                                 \
    ARG(INT, moe_intermediate_size, 0)                                                                                 \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(REAL, partial_rotary_factor, 0.25)                                                                             \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(FLAG, norm_topk_prob, false)                                                                                   \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(INT, full_attention_interval, 4)
TARE_ARGS(ARGS);

static struct tare_delta_desc delta(const struct args *a)
{
    return (struct tare_delta_desc){TARE_DELTA_QWEN(a), .eps = a->rms_norm_eps, .spelling = TARE_DELTA_IN_TWO};
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    const struct tare_delta_desc mixer = delta(a);
    if (a->full_attention_interval < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "full_attention_interval is 0; expected at least 1");
    if (a->head_dim < 1)
        a->head_dim = a->hidden_size / a->num_attention_heads;
    enum tare_code code = tare_theta_read(&a->rope_theta, "rope_theta", a->rope_parameters, d->place, d->err);
    if (!code)
        code = tare_sparse_check(a->mlp_only_layers, a->decoder_sparse_step, d->place, d->err);
    return code ? code : tare_delta_qwen_check(&mixer, d->place, d->err);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    const struct tare_delta_desc mixer = delta(a);
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    if ((i + 1) % a->full_attention_interval)
        tare_delta(l, at, &mixer);
    else
        tare_gated_attention(l, at,
                             &(struct tare_gated_attention){
                                 TARE_GATED_ATTENTION(a), .theta = a->rope_theta, .rotated = a->partial_rotary_factor,
                                 .scaling = a->rope_scaling ? a->rope_scaling : a->rope_parameters});
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    if (a->num_experts > 0 && tare_sparse_layer(a->mlp_only_layers, a->decoder_sparse_step, i))
        tare_shared_experts(l, at,
                            &(struct tare_shared_experts){.dim = dim,
                                                          .n = a->num_experts,
                                                          .top = a->num_experts_per_tok,
                                                          .hidden = a->moe_intermediate_size,
                                                          .shared_hidden = a->shared_expert_intermediate_size,
                                                          .normalize = a->norm_topk_prob});
    else
        tare_glu(l, at, &(struct tare_glu_desc){.dim = dim, .hidden = a->intermediate_size});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .layer = layer, TARE_SKELETON_TIED(a)});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_delta_qwen_rewrite(w);
    tare_layer_experts_rewrite(w, "mlp", a->num_experts, a->hidden_size);
}

const struct tare_arch tare_arch_qwen3_next = {
    .name = "qwen3_next",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
