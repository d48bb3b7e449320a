/* SPDX-License-Identifier: MIT
 * qwen3_5_family.c - the text model of Qwen3.5 (mlx-lm: models/qwen3_5.py): three layers of gated delta rule to one of
 * attention. */
#include "models/family/qwen3_5_family.h"

#include "models/family/decoder_skeleton.h"
#include "models/family/published_experts.h"
#include "models/family/qwen_delta.h"
#include "models/family/qwen_experts.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 4096)                                                                                        \
    ARG(INT, intermediate_size, 14336)                                                                                 \
    ARG(INT, num_hidden_layers, 32)                                                                                    \
    ARG(INT, num_attention_heads, 32)                                                                                  \
    ARG(REAL, rms_norm_eps, 1e-6)                                                                                      \
    ARG(INT, vocab_size, 151936)                                                                                       \
    ARG(INT, num_key_value_heads, 8)                                                                                   \
    ARG(INT, max_position_embeddings, 131072)                                                                          \
    ARG(INT, linear_num_value_heads, 64)                                                                               \
    ARG(INT, linear_num_key_heads, 16)                                                                                 \
    ARG(INT, linear_key_head_dim, 192)                                                                                 \
    ARG(INT, linear_value_head_dim, 128)                                                                               \
    ARG(INT, linear_conv_kernel_dim, 4)                                                                                \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(INT, full_attention_interval, 4)                                                                               \
    ARG(INT, num_experts, 0)                                                                                           \
    ARG(INT, num_experts_per_tok, 0)                                                                                   \
    ARG(INT, decoder_sparse_step, 1)                                                                                   \
    ARG(INT, shared_expert_intermediate_size, 0)                                                                       \
    ARG(INT, moe_intermediate_size, 0)                                                                                 \
    ARG(FLAG, norm_topk_prob, true)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)
TARE_ARGS(ARGS);

static struct tare_delta_desc delta(const struct args *a)
{
    return (struct tare_delta_desc){TARE_DELTA_QWEN(a), .eps = a->rms_norm_eps, .spelling = TARE_DELTA_IN_FOUR};
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct tare_delta_desc mixer = delta(args);
    if (((const struct args *)args)->full_attention_interval < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "full_attention_interval is 0; expected at least 1");
    return tare_delta_qwen_check(&mixer, d->place, d->err);
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
        tare_gated_attention(
            l, at,
            &(struct tare_gated_attention){TARE_GATED_ATTENTION(a),
                                           .theta = tare_json_real(a->rope_parameters, "rope_theta", 100000),
                                           .rotated = tare_json_real(a->rope_parameters, "partial_rotary_factor", 0.25),
                                           .scaling = a->rope_parameters});
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    if (a->num_experts > 0)
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
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .layer = layer, .head = TARE_HEAD_FLAG,
                                          .tied = a->tie_word_embeddings});
}

void tare_qwen3_5_sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop(w, "vision_tower*", "the vision tower; only the text model is read");
    tare_drop(w, "model.visual*", "the vision tower; only the text model is read");
    tare_rename(w, "model.language_model.**", "language_model.model.**");
    tare_add_prefix(w, "language_model");
    tare_delta_qwen_rewrite(w);
}

/* mlx-lm takes the fused spelling alone; some publish experts one by one. */
static void experts(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_layer_experts_rewrite(w, "mlp", a->num_experts, a->hidden_size);
}

const struct tare_arch tare_qwen3_5_text = {
    .name = "qwen3_5_text",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = experts,
    .runs = true,
};
