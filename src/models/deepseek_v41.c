/* SPDX-License-Identifier: MIT
 * deepseek_v41.c - DeepSeek-V4.1: hyper-connections, and attention to a compressed past of
 * which an indexer chooses a part (mlx-lm: models/deepseek_v41.py). */
#include <math.h>
#include <string.h>

#include "blocks/attention/compressed_attention.h"
#include "blocks/stream/hyper.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"
#include "models/family/published_experts.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, 129280)                                                                                       \
    ARG(INT, hidden_size, 5120)                                                                                        \
    ARG(INT, num_hidden_layers, 40)                                                                                    \
    ARG(INT, num_attention_heads, 64)                                                                                  \
    ARG(INT, head_dim, 512)                                                                                            \
    ARG(INT, q_lora_rank, 1280)                                                                                        \
    ARG(INT, qk_rope_head_dim, 64)                                                                                     \
    ARG(INT, o_groups, 8)                                                                                              \
    ARG(INT, o_lora_rank, 1024)                                                                                        \
    ARG(INT, moe_intermediate_size, 2304)                                                                              \
    ARG(INT, n_routed_experts, 384)                                                                                    \
    ARG(INT, num_experts_per_tok, 6)                                                                                   \
    ARG(TEXT, scoring_func, sqrtsoftplus)                                                                              \
    ARG(REAL, gate_temp, 1)                                                                                            \
    ARG(FLAG, norm_topk_prob, true)                                                                                    \
    ARG(REAL, routed_scaling_factor, 1.5)                                                                              \
    ARG(REAL, swiglu_limit, 10)                                                                                        \
    ARG(REAL, rms_norm_eps, 1e-20)                                                                                     \
    ARG(INT, sliding_window, 128)                                                                                      \
    ARG(JSON, compress_ratios, ABSENT)                                                                                 \
    ARG(JSON, kv_source_layer_ids, ABSENT)                                                                             \
    ARG(JSON, index_source_layer_ids, ABSENT)                                                                          \
    ARG(REAL, compress_rope_theta, 160000)                                                                             \
    ARG(JSON, candidate_source_layer_id, ABSENT)                                                                       \
    ARG(INT, candidate_topk_blocks, 2048)                                                                              \
    ARG(INT, candidate_block_size, 8)                                                                                  \
    ARG(INT, index_n_heads, 32)                                                                                        \
    ARG(INT, index_head_dim, 128)                                                                                      \
    ARG(INT, index_topk, 512)                                                                                          \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(INT, max_position_embeddings, 1048576)                                                                         \
    ARG(INT, hc_mult, 4)                                                                                               \
    ARG(INT, hc_sinkhorn_iters, 20)                                                                                    \
    ARG(REAL, hc_eps, 1e-6)                                                                                            \
    ARG(JSON, engram_layer_ids, ABSENT)
TARE_ARGS(ARGS);

/* Does the list name a layer of the model that compress_ratios does not reach? */
static bool lacks_ratio(const struct args *a, const json_t *list)
{
    const int64_t n = (int64_t)json_array_size(a->compress_ratios);
    bool lacks = false;
    for (size_t i = 0; i < json_array_size(list); i++)
        lacks |= json_integer_value(json_array_get(list, i)) >= n &&
                 json_integer_value(json_array_get(list, i)) < a->num_hidden_layers;
    return lacks;
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    const json_t *text = json_object_get(d->config, "text_config");
    enum tare_code code = TARE_OK;
    if (text) { /* all of it is there, and nothing at the top counts */
        *a = (struct args){0};
        code = tare_args_read(&args_info, text, "config.json: text_config", a, d->err);
    }
    if (!code)
        code = tare_numbers_check(a->compress_ratios, "compress_ratios", d);
    if (!code)
        code = tare_numbers_check(a->kv_source_layer_ids, "kv_source_layer_ids", d);
    if (!code)
        code = tare_numbers_check(a->index_source_layer_ids, "index_source_layer_ids", d);
    if (code)
        return code;
    if (a->engram_layer_ids && (!json_is_array(a->engram_layer_ids) || json_array_size(a->engram_layer_ids) > 0))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "engram_layer_ids: engram memory is not supported");
    if (lacks_ratio(a, a->kv_source_layer_ids) || lacks_ratio(a, a->index_source_layer_ids))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "compress_ratios ends before a layer that is a source");
    return TARE_OK;
}

static int64_t ratio_of(const struct args *a, int64_t layer)
{
    return json_integer_value(json_array_get(a->compress_ratios, (size_t)layer));
}

/* The last layer up to `layer` of which a list, and a second one unless NULL, has the number, and that has a ratio. */
static int64_t source(const struct args *a, const json_t *list, const json_t *both, int64_t layer)
{
    for (; layer >= 0; layer--)
        if (ratio_of(a, layer) && tare_numbers_have(list, layer) && (!both || tare_numbers_have(both, layer)))
            return layer;
    return TARE_COMPRESSED_NONE;
}

/* The layer that finds candidate blocks for those after it; -1: none does. */
static int64_t finder(const struct args *a)
{
    const json_t *given = a->candidate_source_layer_id;
    const int64_t layer = json_is_integer(given) ? json_integer_value(given) : -1;
    const bool chooses = layer >= 0 && source(a, a->index_source_layer_ids, NULL, layer) == layer;
    const bool among = source(a, a->kv_source_layer_ids, a->index_source_layer_ids, layer) >= 0;
    return chooses && among && a->candidate_topk_blocks > 0 ? layer : -1;
}

/* Groups are counted alike by all whose choices and pasts layer i takes together; mlx-lm mixes them up else. */
static bool alike(const struct args *a, const struct tare_compressed_desc *d, int64_t i)
{
    const int64_t chooser = source(a, a->index_source_layer_ids, NULL, i);
    const bool past = d->past_layer < 0 || ratio_of(a, d->past_layer) == ratio_of(a, chooser);
    const bool keys = !d->chooses || d->keys_layer < 0 || ratio_of(a, d->keys_layer) == d->ratio;
    const bool found = d->candidates != TARE_CANDIDATES_KEEP || ratio_of(a, finder(a)) == d->ratio;
    return past && keys && found && d->ratio >= 0;
}

/* Layers with a compressed past rotate by a base of their own, and as YaRN says, but for its factor on queries and
 * keys. */
static struct tare_rope rotary(const struct args *a, bool compressed)
{
    struct tare_rope r = {.kind = TARE_ROPE_DEFAULT,
                          .dims = a->qk_rope_head_dim,
                          .interleaved = true,
                          .base = compressed ? a->compress_rope_theta : a->rope_theta,
                          .factor = compressed ? tare_json_real(a->rope_scaling, "factor", 1) : 1};
    r.original_context =
        tare_json_real(a->rope_scaling, "original_max_position_embeddings", (double)a->max_position_embeddings);
    r.beta_fast = trunc(tare_json_real(a->rope_scaling, "beta_fast", 32));
    r.beta_slow = trunc(tare_json_real(a->rope_scaling, "beta_slow", 1));
    r.attention_factor = 1;
    r.truncate = true;
    if (r.factor < 1 || r.factor > 1)
        r.kind = TARE_ROPE_YARN;
    return r;
}

static bool turns(const struct tare_rope *r)
{
    const bool yarn = r->factor > 0 && r->beta_fast > 0 && r->beta_slow > 0 && r->original_context > 0 && r->base > 1;
    return r->base > 0 && (r->kind != TARE_ROPE_YARN || yarn);
}

static struct tare_compressed_desc attention(const struct args *a, int64_t i)
{
    const int64_t ratio = ratio_of(a, i);
    struct tare_compressed_desc d = {
        .dim = a->hidden_size,
        .heads = a->num_attention_heads,
        .head_dim = a->head_dim,
        .q_rank = a->q_lora_rank,
        .rope = a->qk_rope_head_dim,
        .rotary = rotary(a, ratio != 0),
        .o_groups = a->o_groups,
        .o_rank = a->o_lora_rank,
        .window = a->sliding_window,
        .eps = a->rms_norm_eps,
        .ratio = ratio,
        .compresses = tare_numbers_have(a->kv_source_layer_ids, i),
        .past_layer = TARE_COMPRESSED_NONE,
        .chooses = tare_numbers_have(a->index_source_layer_ids, i),
        .keys_layer = TARE_COMPRESSED_NONE,
        .index_heads = a->index_n_heads,
        .index_dim = a->index_head_dim,
        .top = a->index_topk,
        .candidate_blocks = a->candidate_topk_blocks > 0 ? a->candidate_topk_blocks : 0,
        .candidate_size = a->candidate_block_size,
    };
    if (ratio && source(a, a->index_source_layer_ids, NULL, i) >= 0)
        d.past_layer = source(a, a->kv_source_layer_ids, NULL, i);
    if (ratio && d.chooses)
        d.keys_layer = source(a, a->kv_source_layer_ids, a->index_source_layer_ids, i);
    if (ratio && d.chooses && finder(a) >= 0 && finder(a) <= i)
        d.candidates = finder(a) == i ? TARE_CANDIDATES_FIND : TARE_CANDIDATES_KEEP;
    d.runs = alike(a, &d, i) && turns(&d.rotary) && (ratio || (!d.compresses && !d.chooses));
    return d;
}

static void experts(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    const struct tare_limit limit = {.kind = a->swiglu_limit > 0 ? TARE_LIMIT_INPUT : TARE_LIMIT_NONE,
                                     .most = a->swiglu_limit};
    tare_routed(l, at,
                &(struct tare_routed_desc){
                    .router = {.n = a->n_routed_experts,
                               .top = a->num_experts_per_tok,
                               .score = !strcmp(a->scoring_func, "sigmoid")   ? TARE_SCORE_SIGMOID
                                        : !strcmp(a->scoring_func, "softmax") ? TARE_SCORE_SOFTMAX
                                                                              : TARE_SCORE_SQRT_SOFTPLUS,
                               .factor = 1 / a->gate_temp,
                               .normalize = a->norm_topk_prob && a->num_experts_per_tok > 1,
                               .scale = a->routed_scaling_factor},
                    .dim = a->hidden_size,
                    .hidden = a->moe_intermediate_size,
                    .gate_kind = TARE_ROUTER_PARAMETER,
                    .correction = "gate.e_score_correction_bias",
                    .experts = "experts.switch_mlp",
                    .shared.hidden = a->moe_intermediate_size,
                    .limit = limit,
                    .shared.limit = limit,
                });
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const struct tare_compressed_desc mixer = attention(a, i);
    l->pre[0] = tare_rms_norm(at, "input_layernorm", a->hidden_size, a->rms_norm_eps);
    tare_compressed(l, at, &mixer);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", a->hidden_size, a->rms_norm_eps);
    experts(l, at, a);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const struct tare_hyper_desc hyper = {.dim = a->hidden_size,
                                          .n = a->hc_mult,
                                          .iterations = a->hc_sinkhorn_iters,
                                          .eps = a->hc_eps,
                                          .norm_eps = a->rms_norm_eps};
    tare_skeleton(root, a, d,
                  &(struct tare_skeleton){.dim = a->hidden_size,
                                          .vocabulary = a->vocab_size,
                                          .n_layers = a->num_hidden_layers,
                                          .context = a->max_position_embeddings,
                                          .eps = a->rms_norm_eps,
                                          .layer = layer,
                                          .head = TARE_HEAD_OWN});
    tare_hyper(d, tare_at(root, "model"), &hyper);
    tare_slice_declare(
        d, TARE_SLICE_CHOSEN,
        tare_compressed_side(a->index_topk, a->candidate_topk_blocks > 0 ? a->candidate_topk_blocks : 0));
}

/* What published names become, in this order. */
static const char *const words[][2] = {
    {".attn.", ".self_attn."},
    {".ffn.", ".mlp."},
    {".attn_norm.", ".input_layernorm."},
    {".ffn_norm.", ".post_attention_layernorm."},
    {".hc_attn_", ".attn_hc."},
    {".hc_ffn_", ".ffn_hc."},
    {".attn_sink", ".sinks"},
    {".wq_a.", ".q_a_proj."},
    {".wq_b.", ".q_b_proj."},
    {".wkv.", ".kv_proj."},
    {".wgate.", ".gate_proj."},
    {".wo_a.", ".o_a_proj."},
    {".wo_b.", ".o_b_proj."},
    {".q_norm.", ".q_a_norm."},
    {".compressor.norm.", ".compressor.kv_norm."},
    {".indexer.wk.", ".indexer.k_proj."},
    {".gate.bias", ".gate.e_score_correction_bias"},
    {".shared_experts.w1.", ".shared_experts.gate_proj."},
    {".shared_experts.w2.", ".shared_experts.down_proj."},
    {".shared_experts.w3.", ".shared_experts.up_proj."},
};

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    if (tare_find(w, "model.**"))
        return; /* MLX's names: published ones never begin so */
    tare_drop(w, "vision", "the vision tower; only the text model is read");
    tare_drop(w, "aligner", "joins the vision tower; only the text model is read");
    tare_drop(w, "image_*", "marks images; only the text model is read");
    tare_drop(w, "mtp", "predicts several tokens at once, which generation does not use");
    tare_drop_containing(w, ".engram.", "engram memory, which the config must not ask for");
    tare_drop(w, "layers.*.ffn.gate.bias_vl", "routes image tokens; only the text model is read");
    tare_experts_rewrite(w, &(struct tare_experts_desc){.from = "layers.*.ffn.experts",
                                                        .to = "layers.*.ffn.experts.switch_mlp",
                                                        .n = a->n_routed_experts,
                                                        .dim = a->hidden_size});
    tare_add_prefix(w, "model");
    tare_rename(w, "model.head.weight", "lm_head.weight");
    tare_rename(w, "model.embed.weight", "model.embed_tokens.weight");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        tare_replace(w, words[i][0], words[i][1]);
    tare_reshape(w, "model.layers.*.self_attn.o_a_proj.weight", 3, (const int64_t[]){a->o_groups, a->o_lora_rank, -1});
}

const struct tare_arch tare_arch_deepseek_v41 = {
    .name = "deepseek_v41",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
