/* SPDX-License-Identifier: MIT
 * gpt_oss.c - gpt-oss: attention with sinks, routed experts with biases (mlx-lm: models/gpt_oss.py, which reads
 * experts in MXFP4 but not in bfloat16). */
#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, num_hidden_layers, 36)                                                                                    \
    ARG(INT, num_local_experts, 128)                                                                                   \
    ARG(INT, num_experts_per_tok, 4)                                                                                   \
    ARG(INT, vocab_size, 201088)                                                                                       \
    ARG(REAL, rms_norm_eps, 1e-05)                                                                                     \
    ARG(INT, hidden_size, 2880)                                                                                        \
    ARG(INT, intermediate_size, 2880)                                                                                  \
    ARG(INT, head_dim, 64)                                                                                             \
    ARG(INT, num_attention_heads, 64)                                                                                  \
    ARG(INT, num_key_value_heads, 8)                                                                                   \
    ARG(INT, sliding_window, 128)                                                                                      \
    ARG(REAL, rope_theta, 150000)                                                                                      \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(REAL, swiglu_limit, 7.0)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    return tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

/* Without layer_types every second layer has the window, from the first. */
static void attention(struct tare_layer *l, struct tare_at at, const struct args *a, int64_t i)
{
    const json_t *scaling = a->rope_scaling ? a->rope_scaling : a->rope_parameters;
    const double theta = tare_json_real(a->rope_parameters, "rope_theta", a->rope_theta);
    const int64_t alternating = i % 2 ? INT64_MAX : 0;
    tare_gqa(
        l, at,
        &(struct tare_gqa_desc){.dim = a->hidden_size,
                                .heads = a->num_attention_heads,
                                .kv_heads = a->num_key_value_heads,
                                .head_dim = a->head_dim,
                                .bias = BIAS,
                                .o_bias = BIAS,
                                .window = tare_window(a->sliding_window, a->layer_types, alternating, i),
                                .sink_name = "sinks",
                                .rope = tare_rope_read(at, a->head_dim, theta, scaling, a->max_position_embeddings)});
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    attention(l, at, a, i);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    tare_routed(l, at,
                &(struct tare_routed_desc){
                    .dim = dim,
                    .router = {.n = a->num_local_experts, .top = a->num_experts_per_tok, .normalize = true},
                    .hidden = a->intermediate_size,
                    .gate = "router",
                    .gate_kind = TARE_ROUTER_LINEAR_BIAS,
                    .experts = "experts",
                    .bias = BIAS,
                    .limit = {.kind = TARE_LIMIT_BEFORE, .most = a->swiglu_limit}});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .layer = layer, .head = TARE_HEAD_OWN});
}

#define EXPERTS "model.layers.*.mlp.experts"

/* Gate and up rows take turns. MXFP4 experts are (n, 2 hidden, dim), those in bfloat16 the other way round. */
static void sanitize(struct tare_weights *w, const void *args)
{
    static const char *const rows[] = {EXPERTS ".gate_proj.weight", EXPERTS ".up_proj.weight"};
    static const char *const biases[] = {EXPERTS ".gate_proj.bias", EXPERTS ".up_proj.bias"};
    (void)args;
    tare_transpose(w, EXPERTS ".gate_up_proj");
    tare_transpose(w, EXPERTS ".down_proj");
    tare_split_alternating(w, EXPERTS ".gate_up_proj", -2, rows, 2);
    tare_split_alternating(w, EXPERTS ".gate_up_proj.weight", -2, rows, 2);
    tare_split_alternating(w, EXPERTS ".gate_up_proj_bias", -1, biases, 2);
    tare_rename(w, EXPERTS ".down_proj", EXPERTS ".down_proj.weight");
    tare_rename(w, EXPERTS ".down_proj_bias", EXPERTS ".down_proj.bias");
}

const struct tare_arch tare_arch_gpt_oss = {
    .name = "gpt_oss",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
