/* SPDX-License-Identifier: MIT
 * minimax_m3_vl.c - the text model of MiniMax M3: experts, and layers that attend to blocks of keys which an indexer
 * picks (mlx-lm: models/minimax_m3_vl.py). */
#include "blocks/attention/gqa_index.h"
#include "models/family/config_words.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"
#include "models/family/published_experts.h"
#include "models/family/wrapper.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 6144)                                                                                        \
    ARG(INT, intermediate_size, 3072)                                                                                  \
    ARG(INT, dense_intermediate_size, 12288)                                                                           \
    ARG(INT, shared_intermediate_size, 3072)                                                                           \
    ARG(INT, num_attention_heads, 64)                                                                                  \
    ARG(INT, num_key_value_heads, 4)                                                                                   \
    ARG(INT, num_hidden_layers, 60)                                                                                    \
    ARG(INT, num_local_experts, 128)                                                                                   \
    ARG(INT, num_experts_per_tok, 4)                                                                                   \
    ARG(INT, max_position_embeddings, 1048576)                                                                         \
    ARG(REAL, rms_norm_eps, 1e-6)                                                                                      \
    ARG(REAL, rope_theta, 5000000)                                                                                     \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(INT, head_dim, 128)                                                                                            \
    ARG(INT, rotary_dim, ABSENT)                                                                                       \
    ARG(REAL, partial_rotary_factor, 0.5)                                                                              \
    ARG(INT, vocab_size, 200064)                                                                                       \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(REAL, routed_scaling_factor, 2)                                                                                \
    ARG(FLAG, use_qk_norm, true)                                                                                       \
    ARG(FLAG, use_gemma_norm, true)                                                                                    \
    ARG(REAL, swiglu_alpha, 1.702)                                                                                     \
    ARG(REAL, swiglu_limit, 7)                                                                                         \
    ARG(JSON, mlp_layer_types, ABSENT)                                                                                 \
    ARG(JSON, moe_layer_freq, ABSENT)                                                                                  \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(JSON, sparse_attention_config, ABSENT)                                                                         \
    ARG(JSON, sparse_attention_freq, ABSENT)                                                                           \
    ARG(INT, index_n_heads, ABSENT)                                                                                    \
    ARG(INT, index_head_dim, ABSENT)                                                                                   \
    ARG(INT, index_block_size, ABSENT)                                                                                 \
    ARG(INT, index_topk_blocks, ABSENT)                                                                                \
    ARG(INT, index_local_blocks, 1)
TARE_ARGS(ARGS);

/* The published config nests the indexer's keys; transformers 5 writes them flat. */
static void indexer(struct args *a)
{
    const json_t *nested = a->sparse_attention_config, *freq = json_object_get(nested, "sparse_attention_freq");
    a->index_n_heads = tare_json_integer(nested, "sparse_num_index_heads", a->index_n_heads);
    a->index_head_dim = tare_json_integer(nested, "sparse_index_dim", a->index_head_dim);
    a->index_block_size = tare_json_integer(nested, "sparse_block_size", a->index_block_size);
    a->index_topk_blocks = tare_json_integer(nested, "sparse_topk_blocks", a->index_topk_blocks);
    a->index_local_blocks = tare_json_integer(nested, "sparse_local_block", a->index_local_blocks);
    if (freq && !json_is_null(freq))
        a->sparse_attention_freq = freq;
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    const int64_t n = a->num_hidden_layers;
    indexer(a);
    a->rope_theta = tare_json_real(a->rope_parameters, "rope_theta", a->rope_theta);
    a->partial_rotary_factor = tare_json_real(a->rope_parameters, "partial_rotary_factor", a->partial_rotary_factor);
    enum tare_code code = tare_partial_check(a->partial_rotary_factor, d->place, d->err);
    if (!code)
        code = tare_layer_types_check(a->layer_types, n, d->place, d->err);
    if (!code)
        code = tare_layer_types_check(a->mlp_layer_types, n, d->place, d->err);
    if (!code && a->moe_layer_freq)
        code = tare_layer_numbers_check(a->moe_layer_freq, n, "moe_layer_freq", d->place, d->err);
    if (!code && a->sparse_attention_freq)
        code = tare_layer_numbers_check(a->sparse_attention_freq, n, "sparse_attention_freq", d->place, d->err);
    return code;
}

/* By the words, where word stands for `is`; else by the numbers, else true. */
static bool chosen(const json_t *words, const char *word, bool is, const json_t *numbers, int64_t i)
{
    if (words)
        return tare_word_is(words, i, word) == is;
    return !numbers || json_integer_value(json_array_get(numbers, (size_t)i)) != 0;
}

static struct tare_norm norm(struct tare_at at, const char *name, const struct args *a, int64_t dim)
{
    return a->use_gemma_norm ? tare_rms_norm_one_plus(at, name, dim, a->rms_norm_eps)
                             : tare_rms_norm(at, name, dim, a->rms_norm_eps);
}

static struct tare_rope rope(struct tare_at at, const struct args *a, int64_t most)
{
    const int64_t share = tare_share(a->head_dim, a->partial_rotary_factor);
    const int64_t dims = a->rotary_dim >= 0 ? a->rotary_dim : share;
    return tare_rope_read(at, dims < most ? dims : most, a->rope_theta, a->rope_parameters, a->max_position_embeddings);
}

static void attention(struct tare_layer *l, struct tare_at at, const struct args *a, int64_t i)
{
    struct tare_gqa_desc d = {.dim = a->hidden_size,
                              .heads = a->num_attention_heads,
                              .kv_heads = a->num_key_value_heads,
                              .head_dim = a->head_dim,
                              .qk_norm.eps = a->rms_norm_eps,
                              .rope = rope(at, a, INT64_MAX)};
    struct tare_gqa_index_desc index = {.heads = 0};
    if (a->use_qk_norm)
        d.qk_norm.kind = a->use_gemma_norm ? TARE_QK_NORM_RMS_ONE_PLUS : TARE_QK_NORM_RMS;
    if (a->index_block_size >= 0 && chosen(a->layer_types, "full_attention", false, a->sparse_attention_freq, i)) {
        tare_mul(at, a->index_n_heads, a->index_head_dim); /* refused when below 1 */
        index = (struct tare_gqa_index_desc){.heads = a->index_n_heads,
                                             .dim = a->index_head_dim,
                                             .size = a->index_block_size,
                                             .top = a->index_topk_blocks,
                                             .local = a->index_local_blocks,
                                             .one_plus = a->use_gemma_norm,
                                             .rope = rope(at, a, a->index_head_dim)};
    }
    tare_gqa(l, at, &d);
    if (index.heads > 0)
        tare_gqa_index(l, tare_at(at, "self_attn"), &d, &index);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const struct tare_limit limit = {.kind = TARE_LIMIT_BEFORE, .most = a->swiglu_limit, .alpha = a->swiglu_alpha};
    l->pre[0] = norm(at, "input_layernorm", a, a->hidden_size);
    attention(l, at, a, i);
    l->pre[1] = norm(at, "post_attention_layernorm", a, a->hidden_size);
    if (!chosen(a->mlp_layer_types, "sparse", true, a->moe_layer_freq, i)) {
        tare_glu(l, at,
                 &(struct tare_glu_desc){.dim = a->hidden_size, .hidden = a->dense_intermediate_size, .limit = limit});
        return;
    }
    tare_routed(l, at,
                &(struct tare_routed_desc){.name = "block_sparse_moe",
                                           .dim = a->hidden_size,
                                           .router = {.n = a->num_local_experts,
                                                      .top = a->num_experts_per_tok,
                                                      .score = TARE_SCORE_SIGMOID,
                                                      .normalize = true,
                                                      .scale = a->routed_scaling_factor},
                                           .hidden = a->intermediate_size,
                                           .correction = "e_score_correction_bias",
                                           .shared.hidden = a->shared_intermediate_size,
                                           .limit = limit,
                                           .shared.limit = limit});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a),
                                          .norm = a->use_gemma_norm ? TARE_SKELETON_RMS_ONE_PLUS : TARE_SKELETON_RMS,
                                          .layer = layer, TARE_SKELETON_TIED(a)});
}

#define MOE "model.layers.*.block_sparse_moe."

/* Some files have the shared expert as one more expert, after the others. */
static void unfold_shared(struct tare_weights *w, const struct args *a, const char *projection, int64_t in)
{
    const char *all = tare_arena_format(w->arena, MOE "switch_mlp.%s.weight", projection);
    const char *shared = tare_arena_format(w->arena, MOE "shared_experts.%s.weight", projection);
    if (!all || !shared) {
        tare_fail_memory(&w->error);
        return;
    }
    tare_split_sizes(w, all, 0, (const char *const[]){all, shared}, (const int64_t[]){a->num_local_experts, 1}, 2);
    tare_reshape(w, shared, 2, (const int64_t[]){-1, in});
}

static void text_sanitize(struct tare_weights *w, const void *args)
{
    static const char *const dense[] = {"gate_proj", "up_proj", "down_proj"};
    const struct args *a = args;
    for (size_t i = 0; i < sizeof dense / sizeof *dense; i++)
        tare_rename(w, tare_arena_format(w->arena, MOE "%s.weight", dense[i]),
                    tare_arena_format(w->arena, "model.layers.*.mlp.%s.weight", dense[i]));
    unfold_shared(w, a, "gate_up_proj", a->hidden_size);
    unfold_shared(w, a, "gate_proj", a->hidden_size);
    unfold_shared(w, a, "up_proj", a->hidden_size);
    unfold_shared(w, a, "down_proj", a->shared_intermediate_size);
    tare_split(w, MOE "*.gate_up_proj.weight", -2,
               (const char *const[]){MOE "*.gate_proj.weight", MOE "*.up_proj.weight"}, 2);
    tare_experts_rewrite(
        w, &(struct tare_experts_desc){
               .from = MOE "experts", .to = MOE "switch_mlp", .n = a->num_local_experts, .dim = a->hidden_size});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop(w, "vision_tower", "the vision tower; only the text model is read");
    tare_drop(w, "multi_modal_projector", "joins the vision tower; only the text model is read");
    tare_drop(w, "patch_merge_mlp", "joins the vision tower; only the text model is read");
}

static const struct tare_arch text = {
    .name = "minimax_m3_vl",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = text_sanitize,
    .runs = true,
};

const struct tare_arch tare_arch_minimax_m3_vl = {
    .name = "minimax_m3_vl",
    .args = &tare_wrapper_args,
    .sanitize = sanitize,
    .inner = &text,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
};
