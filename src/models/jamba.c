/* SPDX-License-Identifier: MIT
 * jamba.c - Jamba: Mamba-1 and attention, some layers with routed experts (mlx-lm: models/jamba.py). */
#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"
#include "models/family/mamba_family.h"
#include "models/family/published_experts.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, attn_layer_offset, ABSENT)                                                                                \
    ARG(INT, attn_layer_period, REQUIRED)                                                                              \
    ARG(INT, expert_layer_offset, ABSENT)                                                                              \
    ARG(INT, expert_layer_period, REQUIRED)                                                                            \
    ARG(INT, mamba_d_conv, REQUIRED)                                                                                   \
    ARG(INT, mamba_d_state, REQUIRED)                                                                                  \
    ARG(INT, mamba_expand, REQUIRED)                                                                                   \
    ARG(INT, num_experts, ABSENT)                                                                                      \
    ARG(INT, num_experts_per_tok, ABSENT)                                                                              \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(JSON, mamba_dt_rank, ABSENT)                                                                                   \
    ARG(FLAG, mamba_proj_bias, false)                                                                                  \
    ARG(FLAG, mamba_conv_bias, true)                                                                                   \
    ARG(JSON, layers_block_type, ABSENT)                                                                               \
    ARG(FLAG, tie_word_embeddings, true)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    /* 0 is a value that these may have, so they cannot be REQUIRED */
    if (a->attn_layer_offset < 0 || a->expert_layer_offset < 0 || a->num_experts < 0)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "%s is missing; a model of this type needs it",
                         a->attn_layer_offset < 0     ? "attn_layer_offset"
                         : a->expert_layer_offset < 0 ? "expert_layer_offset"
                                                      : "num_experts");
    return a->layers_block_type ? tare_words_check(a->layers_block_type, "layers_block_type", a->num_hidden_layers,
                                                   "attention mamba full_attention linear_attention", d)
                                : TARE_OK;
}

static bool attends(const struct args *a, int64_t i)
{
    if (a->layers_block_type)
        return tare_word_is(a->layers_block_type, i, "attention") ||
               tare_word_is(a->layers_block_type, i, "full_attention");
    return i % a->attn_layer_period == a->attn_layer_offset;
}

/* As mlx-lm has it, which must load the conversion. transformers takes i % period == offset: the same for period 2, and
 * all published models have that. */
static bool routed(const struct args *a, int64_t i)
{
    return a->num_experts > 1 && (i + a->expert_layer_offset) % a->expert_layer_period == 0;
}

static void mamba(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    const int64_t rank = tare_mamba_rank(at, "mamba_dt_rank", a->mamba_dt_rank, a->hidden_size);
    tare_mamba1(l, at,
                &(struct tare_mamba1_desc){.name = "mamba",
                                           .dim = a->hidden_size,
                                           .inner = tare_mul(at, a->mamba_expand, a->hidden_size),
                                           .state = a->mamba_d_state,
                                           .width = a->mamba_d_conv,
                                           .rank = rank,
                                           .bias = a->mamba_proj_bias,
                                           .conv_bias = a->mamba_conv_bias,
                                           .norm = TARE_MAMBA_NORM,
                                           .eps = a->rms_norm_eps});
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    if (attends(a, i))
        tare_gqa(l, at,
                 &(struct tare_gqa_desc){
                     .dim = dim,
                     .heads = a->num_attention_heads,
                     .kv_heads = a->num_key_value_heads,
                     .head_dim = tare_div(at, "hidden_size", dim, "num_attention_heads", a->num_attention_heads)});
    else
        mamba(l, at, a);
    l->pre[1] = tare_rms_norm(at, "pre_ff_layernorm", dim, a->rms_norm_eps);
    if (routed(a, i)) {
        /* as the authors: a softmax over all, not normalized; mlx-lm's is over the chosen ones */
        tare_routed(l, at,
                    &(struct tare_routed_desc){.name = "feed_forward",
                                               .router = {.n = a->num_experts, .top = a->num_experts_per_tok},
                                               .dim = dim,
                                               .hidden = a->intermediate_size,
                                               .gate = "router"});
    } else {
        tare_glu(l, at, &(struct tare_glu_desc){.name = "feed_forward", .dim = dim, .hidden = a->intermediate_size});
    }
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, a, d,
                  &(struct tare_skeleton){TARE_SKELETON_SIZES(a), TARE_SKELETON_TIED(a), .norm_name = "final_layernorm",
                                          .context = a->max_position_embeddings, .eps = a->rms_norm_eps,
                                          .layer = layer});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_mamba_sanitize(w, a);
    tare_experts_rewrite(w, &(struct tare_experts_desc){.from = "model.layers.*.feed_forward.experts",
                                                        .to = "model.layers.*.feed_forward.switch_mlp",
                                                        .n = a->num_experts,
                                                        .dim = a->hidden_size});
}

const struct tare_arch tare_arch_jamba = {
    .name = "jamba",
    .args = &args_info,
    .runs = true,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
};
