/* SPDX-License-Identifier: MIT
 * gemma4_text.c - Gemma 4 text models (mlx-lm: models/gemma4_text.py). The last layers use the keys and values of
 * earlier ones. */
#include <string.h>

#include "blocks/after.h"
#include "blocks/attention/gqa_values.h"
#include "blocks/feed_forward/mixture_variant.h"
#include "blocks/stream/pair.h"
#include "models/family/layer_kinds.h"
#include "models/model.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 1536)                                                                                        \
    ARG(INT, num_hidden_layers, 35)                                                                                    \
    ARG(INT, intermediate_size, 6144)                                                                                  \
    ARG(INT, num_attention_heads, 8)                                                                                   \
    ARG(INT, head_dim, 256)                                                                                            \
    ARG(INT, global_head_dim, 512)                                                                                     \
    ARG(REAL, global_partial_rotary_factor, 0.25)                                                                      \
    ARG(REAL, rms_norm_eps, 1e-6)                                                                                      \
    ARG(INT, vocab_size, 262144)                                                                                       \
    ARG(INT, vocab_size_per_layer_input, 262144)                                                                       \
    ARG(INT, num_key_value_heads, 1)                                                                                   \
    ARG(INT, num_global_key_value_heads, ABSENT)                                                                       \
    ARG(INT, num_kv_shared_layers, 20)                                                                                 \
    ARG(INT, pad_token_id, 0)                                                                                          \
    ARG(INT, hidden_size_per_layer_input, 256)                                                                         \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(REAL, partial_rotary_factor, 1.0)                                                                              \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(INT, sliding_window, 512)                                                                                      \
    ARG(INT, sliding_window_pattern, 5)                                                                                \
    ARG(INT, max_position_embeddings, 131072)                                                                          \
    ARG(FLAG, attention_k_eq_v, false)                                                                                 \
    ARG(REAL, final_logit_softcapping, 30.0)                                                                           \
    ARG(FLAG, use_double_wide_mlp, true)                                                                               \
    ARG(FLAG, enable_moe_block, false)                                                                                 \
    ARG(INT, num_experts, ABSENT)                                                                                      \
    ARG(INT, top_k_experts, ABSENT)                                                                                    \
    ARG(INT, moe_intermediate_size, ABSENT)                                                                            \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(FLAG, tie_word_embeddings, true)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (a->sliding_window_pattern < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "sliding_window_pattern is 0; expected at least 1");
    if (a->num_kv_shared_layers > 0 && a->num_kv_shared_layers >= a->num_hidden_layers)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "num_kv_shared_layers is %lld of %lld layers: none is left to borrow from",
                         (long long)a->num_kv_shared_layers, (long long)a->num_hidden_layers);
    if (a->enable_moe_block && (a->num_experts < 1 || a->moe_intermediate_size < 1))
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "enable_moe_block needs num_experts and moe_intermediate_size");
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

static bool is_type(const struct args *a, int64_t layer, const char *type)
{
    const bool full = (layer + 1) % a->sliding_window_pattern == 0;
    const char *own = json_string_value(json_array_get(a->layer_types, (size_t)layer));
    return !strcmp(own ? own : full ? "full_attention" : "sliding_attention", type);
}

/* What Gemma 4 has without rope_parameters. */
static struct tare_rope rope(struct tare_at at, const struct args *a, bool sliding, int64_t head)
{
    const json_t *given = json_object_get(a->rope_parameters, sliding ? "sliding_attention" : "full_attention");
    const bool usual = !a->rope_parameters;
    struct tare_rope rope = tare_rope_read(at, head, usual && !sliding ? 1e6 : 1e4, given, a->max_position_embeddings);
    if (usual && !sliding) {
        rope.kind = TARE_ROPE_PROPORTIONAL;
        rope.proportion = 0.25;
    }
    rope.interleaved = a->rope_traditional;
    return rope;
}

/* Layers from it on borrow keys and values. */
static int64_t first_shared(const struct args *a)
{
    return a->num_hidden_layers - (a->num_kv_shared_layers > 0 ? a->num_kv_shared_layers : 0);
}

/* How many layers before this one the keys and values are that it borrows: those of the last layer of its kind that has
 * some of its own; 0: none. */
static int64_t lender(const struct args *a, int64_t layer)
{
    const bool full = is_type(a, layer, "full_attention"), sliding = is_type(a, layer, "sliding_attention");
    for (int64_t i = first_shared(a) - 1; i >= 0; i--)
        if (is_type(a, i, "full_attention") == full && is_type(a, i, "sliding_attention") == sliding)
            return layer - i;
    return 0;
}

static void attention(struct tare_layer *l, struct tare_at at, const struct args *a, int64_t layer, bool own_kv)
{
    const bool full = is_type(a, layer, "full_attention"), sliding = is_type(a, layer, "sliding_attention");
    const bool k_is_v = a->attention_k_eq_v && !sliding;
    const int64_t head = full && a->global_head_dim > 0 ? a->global_head_dim : a->head_dim;
    l->borrows = own_kv ? 0 : lender(a, layer);
    tare_gqa(l, at,
             &(struct tare_gqa_desc){
                 .dim = a->hidden_size,
                 .heads = a->num_attention_heads,
                 .kv_heads = k_is_v && a->num_global_key_value_heads >= 0 ? a->num_global_key_value_heads
                                                                          : a->num_key_value_heads,
                 .head_dim = head,
                 .scale = 1,
                 .window = sliding ? a->sliding_window : 0,
                 .qk_norm.kind = TARE_QK_NORM_RMS,
                 .kv = !own_kv  ? TARE_KV_BORROWED
                       : k_is_v ? TARE_KV_KEYS_ONLY
                                : TARE_KV_OWN,
                 .qk_norm.eps = a->rms_norm_eps,
                 .rope = rope(at, a, sliding, head),
             });
    if (own_kv)
        tare_gqa_normed_values(l, tare_at(at, "self_attn"), head, a->rms_norm_eps);
    if (!own_kv && !l->borrows) /* no layer of its kind has any */
        l->mixer = (struct tare_block){0};
}

/* Routed experts beside the dense block that l has. Both and the router norm the residual stream by themselves. */
static void experts(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    const int64_t dim = a->hidden_size;
    struct tare_pair pair = {.part[0] = l->ffn, .pre[0] = l->pre[1], .dim = dim};
    tare_routed(l, at,
                &(struct tare_routed_desc){
                    .name = "",
                    .dim = dim,
                    .router = {.n = a->num_experts, .top = a->top_k_experts, .normalize = true},
                    .hidden = a->moe_intermediate_size,
                    .gate = "router.proj",
                    .experts = "experts.switch_glu",
                    .variant = &(struct tare_mixture_variant){.apart = {.gate = "router.scale",
                                                                        .experts = "pre_feedforward_layernorm_2",
                                                                        .gain = "router.per_expert_scale",
                                                                        .logit_scale = 1 / sqrt((double)dim),
                                                                        .eps = a->rms_norm_eps}},
                    .activation = TARE_GELU_TANH});
    pair.part[1] = l->ffn;
    pair.post[0] = tare_rms_norm(at, "post_feedforward_layernorm_1", dim, a->rms_norm_eps);
    pair.post[1] = tare_rms_norm(at, "post_feedforward_layernorm_2", dim, a->rms_norm_eps);
    l->pre[1] = (struct tare_norm){0};
    tare_pair(&l->ffn, at, &pair);
}

static void feed_forward(struct tare_layer *l, struct tare_at at, const struct args *a, bool shared)
{
    const int64_t dim = a->hidden_size;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    l->post[0] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    l->pre[1] = tare_rms_norm(at, "pre_feedforward_layernorm", dim, a->rms_norm_eps);
    tare_glu(
        l, at,
        &(struct tare_glu_desc){.dim = dim,
                                .hidden = tare_mul(at, a->use_double_wide_mlp && shared ? 2 : 1, a->intermediate_size),
                                .activation = TARE_GELU_TANH});
    l->post[1] = tare_rms_norm(at, "post_feedforward_layernorm", dim, a->rms_norm_eps);
    if (a->enable_moe_block)
        experts(l, at, a);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const struct tare_at model = tare_at(root, "model");
    const int64_t dim = a->hidden_size;
    const struct tare_per_layer_desc per_layer = {.dim = dim,
                                                  .width = a->hidden_size_per_layer_input,
                                                  .layers = a->num_hidden_layers,
                                                  .vocabulary = a->vocab_size_per_layer_input,
                                                  .eps = a->rms_norm_eps};
    struct tare_parameter *embedding = tare_embedding(model, "embed_tokens", a->vocab_size, dim);

    *d = (struct tare_decoder){.arena = d->arena,
                               .dim = dim,
                               .vocabulary = a->vocab_size,
                               .embedding = embedding,
                               .context = a->max_position_embeddings,
                               .embedding_scale = sqrt((double)dim),
                               .logit_soft_cap = a->final_logit_softcapping};
    struct tare_layer *l = tare_layers(d, a->num_hidden_layers);
    for (int64_t i = 0; i < d->n_layers && !root.tree->error.code; i++, l++) {
        const struct tare_at at = tare_at(model, "layers.%lld", (long long)i);
        attention(l, at, a, i, i < first_shared(a));
        feed_forward(l, at, a, i >= first_shared(a));
        if (per_layer.width > 0)
            tare_per_layer(l, at, i, &per_layer);
        const struct tare_parameter *scale = tare_plain(at, "layer_scalar", 1, (int64_t)1);
        struct tare_after *after = tare_after_of(l, d->arena);
        if (after)
            after->scale = scale;
    }
    if (per_layer.width > 0)
        tare_per_layer_inputs(d, model, &per_layer);
    d->norm = tare_rms_norm(model, "norm", dim, a->rms_norm_eps);
    tare_head(root, "lm_head", embedding, TARE_HEAD_FLAG, a->tie_word_embeddings, NO_BIAS);
}

static void drop_borrowed(struct tare_weights *w, const struct args *a)
{
    static const char why[] = "this layer borrows the keys and values of an earlier one (num_kv_shared_layers)";
    const int64_t first = first_shared(a);
    tare_drop_from(w, "**.layers.#.self_attn.k_proj", first, why);
    tare_drop_from(w, "**.layers.#.self_attn.v_proj", first, why);
    tare_drop_from(w, "**.layers.#.self_attn.k_norm", first, why);
}

static void sanitize(struct tare_weights *w, const void *args)
{
    static const char *const gate_up[] = {"**.experts.switch_glu.gate_proj.weight",
                                          "**.experts.switch_glu.up_proj.weight"};
    static const char *const ranges[] = {"input_max", "input_min", "output_max", "output_min"};
    tare_drop_containing(w, "self_attn.rotary_emb", "precomputed rotary frequencies, not a parameter");
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        tare_drop_containing(w, ranges[i], "a range of activations, not used in running");
    drop_borrowed(w, args);
    tare_split(w, "**.experts.gate_up_proj", -2, gate_up, 2);
    tare_split(w, "**.experts.gate_up_proj.weight", -2, gate_up, 2); /* packed ones */
    tare_rename(w, "**.experts.down_proj", "**.experts.switch_glu.down_proj.weight");
    tare_rename(w, "**.experts.down_proj.weight", "**.experts.switch_glu.down_proj.weight");
}

const struct tare_arch tare_arch_gemma4_text = {
    .name = "gemma4_text",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .transformers_tied = true,
    .runs = true,
};
