/* SPDX-License-Identifier: MIT
 * mimo_v2_flash.c - MiMo-V2-Flash: layers with a window have other numbers of heads, and sinks (mlx-lm:
 * models/mimo_v2_flash.py). */
#include "blocks/attention/gqa_values.h"
#include "models/family/config_words.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"
#include "models/family/published_experts.h"

#include <string.h>

#define ARGS(ARG)                                                                                                      \
    ARG(INT, num_experts_per_tok, REQUIRED)                                                                            \
    ARG(JSON, hybrid_layer_pattern, REQUIRED)                                                                          \
    ARG(JSON, moe_layer_freq, REQUIRED)                                                                                \
    ARG(FLAG, add_swa_attention_sink_bias, REQUIRED)                                                                   \
    ARG(FLAG, add_full_attention_sink_bias, REQUIRED)                                                                  \
    ARG(INT, sliding_window_size, REQUIRED)                                                                            \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, moe_intermediate_size, REQUIRED)                                                                          \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, n_shared_experts, ABSENT)                                                                                 \
    ARG(INT, n_routed_experts, REQUIRED)                                                                               \
    ARG(REAL, routed_scaling_factor, 1)                                                                                \
    ARG(TEXT, topk_method, REQUIRED)                                                                                   \
    ARG(TEXT, scoring_func, REQUIRED)                                                                                  \
    ARG(FLAG, norm_topk_prob, REQUIRED)                                                                                \
    ARG(INT, n_group, REQUIRED)                                                                                        \
    ARG(INT, topk_group, REQUIRED)                                                                                     \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(REAL, layernorm_epsilon, REQUIRED)                                                                             \
    ARG(REAL, rope_theta, REQUIRED)                                                                                    \
    ARG(REAL, swa_rope_theta, REQUIRED)                                                                                \
    ARG(INT, swa_num_attention_heads, REQUIRED)                                                                        \
    ARG(INT, swa_num_key_value_heads, REQUIRED)                                                                        \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(INT, v_head_dim, REQUIRED)                                                                                     \
    ARG(INT, swa_head_dim, REQUIRED)                                                                                   \
    ARG(INT, swa_v_head_dim, REQUIRED)                                                                                 \
    ARG(REAL, partial_rotary_factor, REQUIRED)                                                                         \
    ARG(REAL, attention_value_scale, ABSENT)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (strcmp(a->topk_method, "noaux_tc") != 0)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "topk_method is \"%s\"; expected \"noaux_tc\"",
                         a->topk_method);
    enum tare_code code = tare_layer_numbers_check(a->hybrid_layer_pattern, a->num_hidden_layers,
                                                   "hybrid_layer_pattern", d->place, d->err);
    if (!code)
        code = tare_layer_numbers_check(a->moe_layer_freq, a->num_hidden_layers, "moe_layer_freq", d->place, d->err);
    return code ? code : tare_partial_check(a->partial_rotary_factor, d->place, d->err);
}

static bool is_one(const json_t *list, int64_t i)
{
    return json_integer_value(json_array_get(list, (size_t)i)) == 1;
}

/* A windowed layer sees sliding_window_size earlier keys and the token's own, as the authors say; mlx-lm counts its own
 * among them. */
static void attention(struct tare_layer *l, struct tare_at at, const struct args *a, bool windowed)
{
    const bool sink = windowed ? a->add_swa_attention_sink_bias : a->add_full_attention_sink_bias;
    const int64_t head = windowed ? a->swa_head_dim : a->head_dim;
    const struct tare_rope rope = {.kind = TARE_ROPE_DEFAULT,
                                   .dims = tare_share(head, a->partial_rotary_factor),
                                   .base = windowed ? a->swa_rope_theta : a->rope_theta};
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.dim = a->hidden_size,
                                     .heads = windowed ? a->swa_num_attention_heads : a->num_attention_heads,
                                     .kv_heads = windowed ? a->swa_num_key_value_heads : a->num_key_value_heads,
                                     .head_dim = head,
                                     .v_head_dim = windowed ? a->swa_v_head_dim : a->v_head_dim,
                                     .window = windowed ? a->sliding_window_size + 1 : 0,
                                     .sink_name = sink ? "attention_sink_bias" : NULL,
                                     .rope = rope});
    if (!isnan(a->attention_value_scale) && a->attention_value_scale != 0)
        tare_gqa_scaled_values(l, tare_at(at, "self_attn"), a->attention_value_scale);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size, hidden = a->moe_intermediate_size;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->layernorm_epsilon);
    attention(l, at, a, is_one(a->hybrid_layer_pattern, i));
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->layernorm_epsilon);
    if (!is_one(a->moe_layer_freq, i)) {
        tare_glu(l, at, &(struct tare_glu_desc){.dim = dim, .hidden = a->intermediate_size});
        return;
    }
    tare_routed(l, at,
                &(struct tare_routed_desc){
                    .dim = dim,
                    .router = {.n = a->n_routed_experts,
                               .top = a->num_experts_per_tok,
                               .score = TARE_SCORE_SIGMOID,
                               .normalize = a->norm_topk_prob && a->num_experts_per_tok > 1,
                               .scale = a->routed_scaling_factor,
                               .groups = a->n_group,
                               .top_groups = a->topk_group},
                    .hidden = hidden,
                    .gate_kind = TARE_ROUTER_PARAMETER,
                    .correction = "gate.e_score_correction_bias",
                    .shared.hidden = a->n_shared_experts > 0 ? tare_mul(at, hidden, a->n_shared_experts) : 0});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){.dim = a->hidden_size,
                                          .vocabulary = a->vocab_size,
                                          .n_layers = a->num_hidden_layers,
                                          .context = a->max_position_embeddings,
                                          .eps = a->layernorm_epsilon,
                                          .layer = layer,
                                          .head = TARE_HEAD_OWN});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_layer_experts_rewrite(w, "mlp", a->n_routed_experts, a->hidden_size);
    tare_rename(w, "model.layers.*.self_attn.sinks", "model.layers.*.self_attn.attention_sink_bias");
    tare_drop(w, "model.mtp*", "predicts further tokens at once; not used in running");
}

const struct tare_arch tare_arch_mimo_v2_flash = {
    .name = "mimo_v2_flash",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
