/* SPDX-License-Identifier: MIT
 * deepseek_v41.c - DeepSeek-V4.1: hyper-connections, compressed and chosen pasts (mlx-lm: models/deepseek_v41.py). */
#include "models/experts.h"
#include "models/kinds.h"
#include "models/skeleton.h"

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

static void attention(struct tare_at at, const struct args *a, int64_t layer)
{
    const int64_t dim = a->hidden_size, heads = tare_mul(at, a->num_attention_heads, a->head_dim);
    const bool compresses = tare_numbers_have(a->kv_source_layer_ids, layer);
    tare_linear(at, "q_a_proj", dim, a->q_lora_rank, NO_BIAS);
    tare_rms_norm(at, "q_a_norm", a->q_lora_rank, a->rms_norm_eps);
    tare_linear(at, "q_b_proj", a->q_lora_rank, heads, NO_BIAS);
    tare_linear(at, "kv_proj", dim, a->head_dim, NO_BIAS);
    tare_rms_norm(at, "kv_norm", a->head_dim, a->rms_norm_eps);
    tare_experts(at, "o_a_proj", a->o_groups,
                 tare_div(at, "num_attention_heads * head_dim", heads, "o_groups", a->o_groups), a->o_lora_rank,
                 NO_BIAS);
    tare_linear(at, "o_b_proj", tare_mul(at, a->o_groups, a->o_lora_rank), dim, NO_BIAS);
    tare_plain(at, "sinks", 1, a->num_attention_heads);
    if (compresses) {
        tare_linear(at, "compressor.kv_proj", dim, a->head_dim, NO_BIAS);
        if (json_integer_value(json_array_get(a->compress_ratios, (size_t)layer)) > 1)
            tare_linear(at, "compressor.gate_proj", dim, a->head_dim, NO_BIAS);
        tare_rms_norm(at, "compressor.kv_norm", a->head_dim, a->rms_norm_eps);
    }
    if (!tare_numbers_have(a->index_source_layer_ids, layer))
        return;
    tare_linear(at, "indexer.q_b_proj", a->q_lora_rank, tare_mul(at, a->index_n_heads, a->index_head_dim), NO_BIAS);
    tare_linear(at, "indexer.weights_proj", dim, a->index_n_heads, NO_BIAS);
    if (compresses) {
        tare_linear(at, "indexer.k_proj", a->head_dim, a->index_head_dim, NO_BIAS);
        tare_rms_norm(at, "indexer.k_norm", a->index_head_dim, a->rms_norm_eps);
    }
}

/* How the streams are mixed before and after a block: weights before, after, and from stream to stream. */
static void hyper_connection(struct tare_at at, const struct args *a)
{
    const int64_t mix = tare_mul(at, a->hc_mult, a->hc_mult + 2);
    tare_plain(at, "fn", 2, mix, tare_mul(at, a->hc_mult, a->hidden_size));
    tare_plain(at, "base", 1, mix);
    tare_plain(at, "scale", 1, (int64_t)3);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", a->hidden_size, a->rms_norm_eps);
    attention(tare_at(at, "self_attn"), a, i);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", a->hidden_size, a->rms_norm_eps);
    tare_plain(at, "mlp.gate.weight", 2, a->n_routed_experts, a->hidden_size);
    tare_plain(at, "mlp.gate.e_score_correction_bias", 1, a->n_routed_experts);
    tare_switch_glu(at, "mlp.experts.switch_mlp", a->n_routed_experts, a->hidden_size, a->moe_intermediate_size);
    tare_dense_glu(at, "mlp.shared_experts", a->hidden_size, a->moe_intermediate_size);
    hyper_connection(tare_at(at, "attn_hc"), a);
    hyper_connection(tare_at(at, "ffn_hc"), a);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, a, d,
                  &(struct tare_skeleton){.dim = a->hidden_size,
                                          .vocabulary = a->vocab_size,
                                          .n_layers = a->num_hidden_layers,
                                          .context = a->max_position_embeddings,
                                          .eps = a->rms_norm_eps,
                                          .layer = layer,
                                          .head = TARE_HEAD_OWN});
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
};
