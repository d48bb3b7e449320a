/* SPDX-License-Identifier: MIT
 * hunyuan.c - HunYuan Large (mlx-lm: models/hunyuan.py): layers may use the keys and values of an earlier one. */
#include <math.h>

#include "models/family/config_words.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/published_experts.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(FLAG, attention_bias, REQUIRED)                                                                                \
    ARG(JSON, moe_topk, REQUIRED)                                                                                      \
    ARG(INT, num_experts, REQUIRED)                                                                                    \
    ARG(JSON, num_shared_expert, REQUIRED)                                                                             \
    ARG(FLAG, use_mixed_mlp_moe, REQUIRED)                                                                             \
    ARG(FLAG, use_qk_norm, REQUIRED)                                                                                   \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(FLAG, use_cla, REQUIRED)                                                                                       \
    ARG(INT, cla_share_factor, 2)                                                                                      \
    ARG(JSON, moe_intermediate_size, ABSENT)                                                                           \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, tie_word_embeddings, false)
TARE_ARGS(ARGS);

/* A number for all layers, or a list of one for each. */
static int64_t of_layer(const json_t *value, int64_t i)
{
    return json_integer_value(json_is_array(value) ? json_array_get(value, (size_t)i) : value);
}

static bool number_check(const json_t *value, const char *key, int64_t n, const struct tare_derive *d)
{
    bool fits = !value || json_is_integer(value) || json_array_size(value) >= (size_t)n;
    for (int64_t i = 0; fits && value && i < n; i++)
        fits = of_layer(value, i) > 0 && of_layer(value, i) <= INT32_MAX;
    if (!fits)
        tare_fail(d->err, TARE_E_CONFIG, d->place, "%s must be a number above 0, or a list of one for each layer", key);
    return fits;
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->use_cla && a->cla_share_factor < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "cla_share_factor is 0; expected at least 1");
    if (tare_json_real(a->rope_scaling, "alpha", 1) <= 0)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "rope_scaling has an alpha that is not above 0");
    if (tare_theta_read(&a->rope_theta, "rope_theta", json_object_get(d->config, "rope_parameters"), d->place, d->err))
        return d->err->code;
    if (a->use_mixed_mlp_moe && !number_check(a->num_shared_expert, "num_shared_expert", a->num_hidden_layers, d))
        return d->err->code;
    return number_check(a->moe_intermediate_size, "moe_intermediate_size", a->num_hidden_layers, d) ? TARE_OK
                                                                                                    : d->err->code;
}

/* A base that alpha makes larger, whatever the length: "dynamic" is not what others call so. */
static struct tare_rope rope(const struct args *a, int64_t head)
{
    const double alpha = tare_json_real(a->rope_scaling, "alpha", 1);
    const double base = alpha == 1 ? a->rope_theta : a->rope_theta * pow(alpha, (double)head / (double)(head - 2));
    return (struct tare_rope){.kind = TARE_ROPE_DEFAULT, .dims = head, .base = base};
}

/* With use_cla only every cla_share_factor-th layer projects keys and values. Those that follow rotate and norm the
 * same ones by themselves. */
static void attention(struct tare_layer *l, struct tare_at at, const struct args *a, int64_t i)
{
    const int64_t head = tare_div(at, "hidden_size", a->hidden_size, "num_attention_heads", a->num_attention_heads);
    l->borrows = a->use_cla ? i % a->cla_share_factor : 0;
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.dim = a->hidden_size,
                                     .heads = a->num_attention_heads,
                                     .kv_heads = a->num_key_value_heads,
                                     .head_dim = head,
                                     .bias = a->attention_bias,
                                     .o_bias = a->attention_bias,
                                     .kv = l->borrows > 0 ? TARE_KV_ADOPTED
                                           : a->use_cla   ? TARE_KV_LENT
                                                          : TARE_KV_OWN,
                                     .qk_norm.kind = a->use_qk_norm ? TARE_QK_NORM_RMS : TARE_QK_NORM_NONE,
                                     .qk_norm.q_name = "query_layernorm",
                                     .qk_norm.k_name = "key_layernorm",
                                     .qk_norm.last = true,
                                     .qk_norm.eps = a->rms_norm_eps,
                                     .rope = rope(a, head)});
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size, hidden = a->intermediate_size;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    attention(l, at, a, i);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    if (a->num_experts == 1)
        tare_glu(l, at, &(struct tare_glu_desc){.dim = dim, .hidden = hidden});
    else
        tare_routed(l, at,
                    &(struct tare_routed_desc){
                        .dim = dim,
                        .router = {.n = a->num_experts, .top = of_layer(a->moe_topk, i)},
                        .hidden = a->moe_intermediate_size ? of_layer(a->moe_intermediate_size, i) : hidden,
                        .gate = "gate.wg",
                        .shared.name = "shared_mlp",
                        .shared.hidden = a->use_mixed_mlp_moe ? hidden * of_layer(a->num_shared_expert, i) : 0});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){.dim = a->hidden_size,
                                          .vocabulary = a->vocab_size,
                                          .n_layers = a->num_hidden_layers,
                                          .eps = a->rms_norm_eps,
                                          .layer = layer,
                                          .head = TARE_HEAD_NONE});
}

/* Queries of a group, its key and its value lie side by side: (groups, queries + 2, head, ..). */
static void split_qkv(struct tare_weights *w, const struct args *a, const char *suffix, int rank)
{
    static const char *const names[] = {"q", "k", "v"};
    const int64_t groups = a->num_key_value_heads, queries = a->num_attention_heads / groups;
    const int64_t head = a->hidden_size / a->num_attention_heads;
    const char *fused = tare_arena_format(w->arena, "model.layers.*.self_attn.qkv_proj.%s", suffix);
    const char *part[3], *final[3];
    for (int k = 0; k < 3; k++) {
        part[k] = tare_arena_format(w->arena, "model.layers.*.self_attn.qkv_proj.%s.%s", names[k], suffix);
        final[k] = tare_arena_format(w->arena, "model.layers.*.self_attn.%s_proj.%s", names[k], suffix);
    }
    if (w->arena->failed) {
        tare_fail_memory(&w->error);
        return;
    }
    tare_reshape(w, fused, 4, (const int64_t[]){groups, queries + 2, head, -1});
    tare_split_sizes(w, fused, 1, part, (const int64_t[]){queries, 1, 1}, 3);
    for (int k = 0; k < 3; k++) {
        tare_reshape(w, part[k], rank, (const int64_t[]){groups * (k ? 1 : queries) * head, -1});
        tare_rename(w, part[k], final[k]);
    }
}

static void sanitize(struct tare_weights *w, const void *args)
{
    static const char *const halves[] = {"model.layers.*.mlp.**.up_proj.weight",
                                         "model.layers.*.mlp.**.gate_proj.weight"};
    const struct args *a = args;
    split_qkv(w, a, "weight", 2);
    split_qkv(w, a, "bias", 1);
    tare_split(w, "model.layers.*.mlp.**.gate_and_up_proj.weight", -2, halves, 2);
    tare_routed_rewrite(w, "model.layers.*.mlp", "switch_mlp", a->num_experts, a->hidden_size);
}

const struct tare_arch tare_arch_hunyuan = {
    .name = "hunyuan",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
