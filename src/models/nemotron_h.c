/* SPDX-License-Identifier: MIT
 * nemotron_h.c - Nemotron-H: each layer is one block: Mamba-2, attention, a network or routed experts (mlx-lm:
 * models/nemotron_h.py). */
#include "blocks/feed_forward/mixture_variant.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"
#include "models/family/mamba_family.h"

#include <string.h>

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, mamba_num_heads, REQUIRED)                                                                                \
    ARG(INT, mamba_head_dim, REQUIRED)                                                                                 \
    ARG(INT, ssm_state_size, REQUIRED)                                                                                 \
    ARG(INT, conv_kernel, REQUIRED)                                                                                    \
    ARG(INT, n_groups, REQUIRED)                                                                                       \
    ARG(REAL, layer_norm_epsilon, REQUIRED)                                                                            \
    ARG(JSON, hybrid_override_pattern, ABSENT)                                                                         \
    ARG(JSON, layers_block_type, ABSENT)                                                                               \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(INT, num_hidden_layers, ABSENT)                                                                                \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(INT, moe_intermediate_size, ABSENT)                                                                            \
    ARG(INT, moe_shared_expert_intermediate_size, ABSENT)                                                              \
    ARG(INT, moe_latent_size, ABSENT)                                                                                  \
    ARG(INT, n_routed_experts, ABSENT)                                                                                 \
    ARG(INT, n_shared_experts, ABSENT)                                                                                 \
    ARG(INT, num_experts_per_tok, 2)                                                                                   \
    ARG(INT, n_group, 1)                                                                                               \
    ARG(INT, topk_group, 1)                                                                                            \
    ARG(REAL, routed_scaling_factor, 1.0)                                                                              \
    ARG(TEXT, mlp_hidden_act, relu2)                                                                                   \
    ARG(JSON, time_step_limit, ABSENT)                                                                                 \
    ARG(FLAG, attention_bias, REQUIRED)                                                                                \
    ARG(FLAG, mamba_proj_bias, REQUIRED)                                                                               \
    ARG(FLAG, mlp_bias, REQUIRED)                                                                                      \
    ARG(FLAG, use_bias, REQUIRED)                                                                                      \
    ARG(FLAG, use_conv_bias, REQUIRED)                                                                                 \
    ARG(FLAG, norm_topk_prob, true)
TARE_ARGS(ARGS);

/* The kind of a layer: 'M', '*', '-' or 'E', by the pattern, a text or a list of letters; else by a word a layer. */
static char kind(const struct args *a, int64_t i)
{
    static const struct {
        const char *word;
        char letter;
    } words[] = {{"full_attention", '*'},
                 {"linear_attention", 'M'},
                 {"moe", 'E'},
                 {"mlp", '-'},
                 {"attention", '*'},
                 {"mamba", 'M'},
                 {"conv", 'M'}};
    if (json_is_string(a->hybrid_override_pattern))
        return json_string_value(a->hybrid_override_pattern)[i];
    const char *letter = json_string_value(json_array_get(a->hybrid_override_pattern, (size_t)i));
    if (a->hybrid_override_pattern)
        return letter && letter[0] && !letter[1] ? letter[0] : '?';
    for (size_t k = 0; k < sizeof words / sizeof *words; k++)
        if (tare_word_is(a->layers_block_type, i, words[k].word))
            return words[k].letter;
    return '?';
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    const json_t *pattern = a->hybrid_override_pattern;
    if (json_array_size(a->layers_block_type) == 0)
        a->layers_block_type = a->layer_types;
    a->num_hidden_layers = json_is_string(pattern) ? (int64_t)json_string_length(pattern)
                                                   : (int64_t)json_array_size(pattern ? pattern : a->layers_block_type);
    if (a->num_hidden_layers < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "hybrid_override_pattern, layers_block_type or layer_types must say what the layers are");
    for (int64_t i = 0; i < a->num_hidden_layers; i++)
        if (kind(a, i) == '\0' || !strchr("M*-E", kind(a, i)))
            return tare_fail(d->err, TARE_E_CONFIG, d->place,
                             "layer %lld is of no known kind; expected M, *, - or E in hybrid_override_pattern, or "
                             "linear_attention, full_attention, mlp or moe in layers_block_type",
                             (long long)i);
    return tare_mamba_limit_check(a->time_step_limit, d);
}

static void network(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    tare_mlp(l, at,
             &(struct tare_mlp_desc){.name = "mixer",
                                     .first_name = "up_proj",
                                     .second_name = "down_proj",
                                     .dim = a->hidden_size,
                                     .hidden = a->intermediate_size,
                                     .bias = a->mlp_bias,
                                     .activation = tare_activation_read(at, a->mlp_hidden_act, TARE_RELU2)});
}

static void routed(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    const int64_t latent = a->moe_latent_size < 0 ? -1 : tare_mul(at, 1, a->moe_latent_size);
    const int64_t shared = a->moe_shared_expert_intermediate_size;
    tare_routed(
        l, at,
        &(struct tare_routed_desc){.name = "mixer",
                                   .router = {.n = a->n_routed_experts,
                                              .top = a->num_experts_per_tok,
                                              .score = TARE_SCORE_SIGMOID,
                                              .normalize = a->norm_topk_prob,
                                              .scale = a->routed_scaling_factor,
                                              .groups = a->n_group,
                                              .top_groups = a->topk_group},
                                   .dim = a->hidden_size,
                                   .hidden = a->moe_intermediate_size,
                                   .gate_kind = TARE_ROUTER_PARAMETER,
                                   .correction = "gate.e_score_correction_bias",
                                   .variant = &(struct tare_mixture_variant){.parts = {NULL, "fc1", "fc2"},
                                                                             .ungated = true,
                                                                             .latent = {.width = latent,
                                                                                        .down = "fc1_latent_proj",
                                                                                        .up = "fc2_latent_proj",
                                                                                        .bias = a->mlp_bias}},
                                   .shared.hidden = a->n_shared_experts < 0 ? 0
                                                    : shared > 0            ? shared
                                                                            : a->intermediate_size,
                                   .shared.bias = a->mlp_bias,
                                   .activation = tare_activation_read(at, a->mlp_hidden_act, TARE_RELU2)});
}

static void attention(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    const int64_t dim = a->hidden_size;
    tare_gqa(l, at,
             &(struct tare_gqa_desc){
                 .name = "mixer",
                 .dim = dim,
                 .heads = a->num_attention_heads,
                 .kv_heads = a->num_key_value_heads,
                 .head_dim = a->head_dim > 0
                                 ? a->head_dim
                                 : tare_div(at, "hidden_size", dim, "num_attention_heads", a->num_attention_heads),
                 .bias = a->attention_bias,
                 .o_bias = a->attention_bias});
}

static void mamba(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    tare_mamba2(l, at,
                &(struct tare_mamba2_desc){.dim = a->hidden_size,
                                           .heads = a->mamba_num_heads,
                                           .head_dim = a->mamba_head_dim,
                                           .groups = a->n_groups,
                                           .state = a->ssm_state_size,
                                           .width = a->conv_kernel,
                                           .bias = a->mamba_proj_bias,
                                           .out_bias = a->mamba_proj_bias,
                                           .conv_bias = a->use_conv_bias,
                                           .eps = a->layer_norm_epsilon,
                                           TARE_MAMBA_LIMIT(a->time_step_limit)});
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const char letter = kind(a, i);
    const bool second = letter == '-' || letter == 'E';
    l->pre[second] = tare_rms_norm(at, "norm", a->hidden_size, a->layer_norm_epsilon);
    tare_nothing(second ? &l->mixer : &l->ffn, at, a->hidden_size);
    if (letter == 'M')
        mamba(l, at, a);
    else if (letter == '*')
        attention(l, at, a);
    else if (letter == '-')
        network(l, at, a);
    else
        routed(l, at, a);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, a, d,
                  &(struct tare_skeleton){TARE_SKELETON_SIZES(a), TARE_BACKBONE, .context = a->max_position_embeddings,
                                          .eps = a->layer_norm_epsilon, .layer = layer, .head = TARE_HEAD_OWN});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    static const char *const projections[][2] = {{"up_proj", "fc1"}, {"down_proj", "fc2"}};
    const struct args *a = args;
    tare_drop(w, "mtp", "predicts further tokens at once; not used in running");
    if (tare_find(w, "model.embeddings.weight")) /* transformers 5 in memory */
        tare_rename(w, "model.**", "backbone.**");
    tare_mamba_sanitize(w, a);
    for (size_t i = 0; i < 2; i++) {
        const char *from =
            tare_arena_format(w->arena, "backbone.layers.*.mixer.experts.#.%s.weight", projections[i][0]);
        const char *fused = tare_arena_format(w->arena, "backbone.layers.*.mixer.experts.%s", projections[i][0]);
        const char *to = tare_arena_format(w->arena, "backbone.layers.*.mixer.switch_mlp.%s.weight", projections[i][1]);
        if (!from || !fused || !to)
            continue; /* the arena is marked failed */
        if (a->n_routed_experts > 0)
            tare_stack(w, from, to, a->n_routed_experts);
        tare_rename(w, fused, to);
    }
}

const struct tare_arch tare_arch_nemotron_h = {
    .name = "nemotron_h",
    .args = &args_info,
    .runs = true,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
};
