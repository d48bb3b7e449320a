/* SPDX-License-Identifier: MIT
 * step3p5.c - Step 3.5: layers with a window have other numbers of heads, each head has a gate, and routed experts
 * stand beside a shared one (mlx-lm: models/step3p5.py). */
#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"

#include <stdlib.h>
#include <string.h>

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_attention_groups, REQUIRED)                                                                           \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(REAL, rms_norm_eps, 1e-5)                                                                                      \
    ARG(JSON, rope_theta, ABSENT) /* a number, or a list of one a layer */                                             \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(INT, max_position_embeddings, 262144)                                                                          \
    ARG(INT, sliding_window, 512)                                                                                      \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(JSON, yarn_only_types, ABSENT)                                                                                 \
    ARG(JSON, partial_rotary_factors, ABSENT)                                                                          \
    ARG(JSON, attention_other_setting, ABSENT)                                                                         \
    ARG(FLAG, use_head_wise_attn_gate, true)                                                                           \
    ARG(INT, moe_num_experts, 288)                                                                                     \
    ARG(INT, moe_top_k, 8)                                                                                             \
    ARG(INT, moe_intermediate_size, 1280)                                                                              \
    ARG(INT, share_expert_dim, 1280)                                                                                   \
    ARG(TEXT, moe_layers_enum, ABSENT)                                                                                 \
    ARG(REAL, moe_router_scaling_factor, 3.0)                                                                          \
    ARG(FLAG, norm_expert_weight, true)                                                                                \
    ARG(JSON, swiglu_limits, ABSENT)                                                                                   \
    ARG(JSON, swiglu_limits_shared, ABSENT)                                                                            \
    ARG(FLAG, tie_word_embeddings, false)
TARE_ARGS(ARGS);

/* "1,2,3": is i among them? Without the text all layers but the first are. -1: the text is no list of numbers. */
static int routed(const char *list, int64_t i)
{
    int found = 0;
    if (!list || !*list)
        return i > 0;
    for (const char *s = list;; s++) {
        char *end;
        const long long number = strtoll(s, &end, 10);
        found = found || number == i;
        if (end == s)
            return -1;
        s = end + strspn(end, " ");
        if (!*s)
            return found;
        if (*s != ',')
            return -1;
    }
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    const json_t *other = a->attention_other_setting;
    if (json_array_size(a->layer_types) == 0)
        a->layer_types = NULL;
    if (routed(a->moe_layers_enum, 0) < 0)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "moe_layers_enum must name layers, as \"1,2,3\"");
    if (json_object_size(other) == 0)
        a->attention_other_setting = NULL;
    else if (tare_json_integer(other, "num_attention_heads", 0) < 1 ||
             tare_json_integer(other, "num_attention_groups", 0) < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "attention_other_setting needs num_attention_heads and num_attention_groups");
    return a->layer_types && json_array_size(a->layer_types) > (size_t)a->num_hidden_layers
               ? TARE_OK /* those of further layers, which predict */
               : tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

/* Of layer i in a list that may be short, or the number that stands for all layers. */
static double of_layer(const json_t *value, int64_t i, double usual)
{
    const json_t *own = json_is_array(value) ? json_array_get(value, (size_t)i) : value;
    return json_is_number(own) ? json_number_value(own) : usual;
}

/* Some kinds of layers are rotated without the scaling, where yarn_only_types names the others. */
static struct tare_rope rope(struct tare_at at, const struct args *a, int64_t i)
{
    const char *type = json_string_value(json_array_get(a->layer_types, (size_t)i));
    const double share = of_layer(a->partial_rotary_factors, i, 1);
    const int64_t dims = share > 0 && share <= 1 ? (int64_t)((double)a->head_dim * share) : 0;
    const json_t *scaling = a->rope_scaling;
    bool named = json_array_size(a->yarn_only_types) == 0;
    for (size_t k = 0; k < json_array_size(a->yarn_only_types); k++)
        named = named || tare_word_is(a->yarn_only_types, (int64_t)k, type ? type : "full_attention");
    return tare_rope_read(at, dims, of_layer(a->rope_theta, i, 10000), named ? scaling : NULL,
                          a->max_position_embeddings);
}

static void attention(struct tare_layer *l, struct tare_at at, const struct args *a, int64_t i)
{
    const bool windowed = a->layer_types ? tare_window(1, a->layer_types, 0, i) == 1 : i % 2 == 0;
    const json_t *own = windowed ? a->attention_other_setting : NULL;
    tare_gqa(
        l, at,
        &(struct tare_gqa_desc){.dim = a->hidden_size,
                                .heads = tare_json_integer(own, "num_attention_heads", a->num_attention_heads),
                                .kv_heads = tare_json_integer(own, "num_attention_groups", a->num_attention_groups),
                                .head_dim = a->head_dim,
                                .qk_norm.kind = TARE_QK_NORM_RMS,
                                .qk_norm.eps = a->rms_norm_eps,
                                .gate.kind = a->use_head_wise_attn_gate ? TARE_GATE_HEADS : TARE_GATE_NONE,
                                .window = windowed ? a->sliding_window : 0,
                                .rope = rope(at, a, i)});
}

/* Of layer i in a list that may be short; 0 and null are none. */
static struct tare_limit limit_of(const json_t *list, int64_t i)
{
    const double most = json_number_value(json_array_get(list, (size_t)i));
    return (struct tare_limit){.kind = most > 0 ? TARE_LIMIT_AFTER : TARE_LIMIT_NONE, .most = most};
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    attention(l, at, a, i);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    if (routed(a->moe_layers_enum, i) != 1) {
        tare_glu(l, at,
                 &(struct tare_glu_desc){
                     .dim = dim, .hidden = a->intermediate_size, .limit = limit_of(a->swiglu_limits_shared, i)});
        return;
    }
    tare_routed(l, at,
                &(struct tare_routed_desc){.dim = dim,
                                           .router = {.n = a->moe_num_experts,
                                                      .top = a->moe_top_k,
                                                      .score = TARE_SCORE_SIGMOID,
                                                      .normalize = a->norm_expert_weight,
                                                      .scale = a->moe_router_scaling_factor},
                                           .hidden = a->moe_intermediate_size,
                                           .gate = "gate.gate",
                                           .correction = "gate.router_bias",
                                           .limit = limit_of(a->swiglu_limits, i),
                                           .shared.name = "share_expert",
                                           .shared.hidden = a->share_expert_dim,
                                           .shared.limit = limit_of(a->swiglu_limits_shared, i)});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .layer = layer, .head = TARE_HEAD_OWN});
}

/* Published norms are stored less 1; such a checkpoint is told by its names. */
static void sanitize(struct tare_weights *w, const void *args)
{
    static const char *const names[][2] = {
        {".moe.gate_proj.", ".mlp.switch_mlp.gate_proj."}, {".moe.up_proj.", ".mlp.switch_mlp.up_proj."},
        {".moe.down_proj.", ".mlp.switch_mlp.down_proj."}, {".moe.gate.", ".mlp.gate.gate."},
        {".moe.router_bias", ".mlp.gate.router_bias"},     {".share_expert.", ".mlp.share_expert."}};
    const struct args *a = args;
    const bool published = tare_find(w, "**.moe.**") || tare_find(w, "model.layers.*.share_expert.**");
    tare_drop_containing(w, ".mtp", "predicts further tokens at once; not used in running");
    tare_drop_from(w, "model.layers.#", a->num_hidden_layers, "a layer beyond num_hidden_layers");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        tare_replace(w, names[i][0], names[i][1]);
    if (published)
        tare_add(w, "**.*norm.weight", 1.0);
}

const struct tare_arch tare_arch_step3p5 = {
    .name = "step3p5",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
