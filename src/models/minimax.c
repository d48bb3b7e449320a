/* SPDX-License-Identifier: MIT
 * minimax.c - MiniMax M2: routed experts in every layer, chosen by corrected scores (mlx-lm: models/minimax.py;
 * "minimax_m2" is an alias). */
#include "models/family/config_words.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/published_experts.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(INT, num_local_experts, REQUIRED)                                                                              \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(INT, rotary_dim, ABSENT)                                                                                       \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(TEXT, scoring_func, sigmoid)                                                                                   \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(FLAG, use_qk_norm, true)                                                                                       \
    ARG(JSON, rope_parameters, ABSENT)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (tare_partial_check(tare_json_real(a->rope_parameters, "partial_rotary_factor", 1), d->place, d->err))
        return d->err->code;
    return tare_theta_read(&a->rope_theta, "rope_theta", a->rope_parameters, d->place, d->err);
}

static void attention(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    const int64_t head = tare_head_dim(at, a->head_dim, a->hidden_size, a->num_attention_heads);
    const double share = tare_json_real(a->rope_parameters, "partial_rotary_factor", 1);
    const int64_t rotated = a->rotary_dim > 0 ? a->rotary_dim : tare_share(head, share);
    tare_gqa(l, at,
             &(struct tare_gqa_desc){
                 .dim = a->hidden_size,
                 .heads = a->num_attention_heads,
                 .kv_heads = a->num_key_value_heads,
                 .head_dim = head,
                 .qk_norm.kind = a->use_qk_norm ? TARE_QK_NORM_RMS_WIDE : TARE_QK_NORM_NONE,
                 .qk_norm.eps = a->rms_norm_eps,
                 .rope = tare_rope_read(at, rotated, a->rope_theta, a->rope_parameters, a->max_position_embeddings)});
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    (void)i;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    attention(l, at, a);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    tare_routed(l, at,
                &(struct tare_routed_desc){.name = "block_sparse_moe",
                                           .dim = dim,
                                           .router = {.n = a->num_local_experts,
                                                      .top = a->num_experts_per_tok,
                                                      .score = TARE_SCORE_SIGMOID,
                                                      .normalize = true},
                                           .hidden = a->intermediate_size,
                                           .correction = "e_score_correction_bias"});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .layer = layer, .head = TARE_HEAD_FLAG,
                                          .tied = a->tie_word_embeddings});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_layer_experts_rewrite(w, "block_sparse_moe", a->num_local_experts, a->hidden_size);
}

const struct tare_arch tare_arch_minimax = {
    .name = "minimax",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
