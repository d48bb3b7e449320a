/* SPDX-License-Identifier: MIT
 * falcon_h1.c - Falcon-H1: attention and Mamba-2 side by side in each layer (mlx-lm: models/falcon_h1.py). Its
 * multipliers are folded into the weights when a published checkpoint is read. */
#include "models/family/decoder_skeleton.h"
#include "models/family/mamba_family.h"

#define ARGS(ARG)                                                                                                      \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(FLAG, mamba_conv_bias, true)                                                                                   \
    ARG(FLAG, mamba_norm_before_gate, false)                                                                           \
    ARG(FLAG, mamba_proj_bias, false)                                                                                  \
    ARG(FLAG, mamba_rms_norm, false)                                                                                   \
    ARG(FLAG, mlp_bias, false)                                                                                         \
    ARG(FLAG, projectors_bias, false)                                                                                  \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(REAL, attention_in_multiplier, 1.0)                                                                            \
    ARG(REAL, attention_out_multiplier, 0.9375)                                                                        \
    ARG(REAL, embedding_multiplier, 5.656854249492381)                                                                 \
    ARG(INT, head_dim, 64)                                                                                             \
    ARG(INT, hidden_size, 1024)                                                                                        \
    ARG(INT, intermediate_size, 2048)                                                                                  \
    ARG(REAL, key_multiplier, 0.390625)                                                                                \
    ARG(REAL, lm_head_multiplier, 0.0390625)                                                                           \
    ARG(INT, mamba_d_conv, 4)                                                                                          \
    ARG(INT, mamba_d_head, 64)                                                                                         \
    ARG(INT, mamba_d_ssm, 1536)                                                                                        \
    ARG(INT, mamba_d_state, 128)                                                                                       \
    ARG(INT, mamba_n_groups, 1)                                                                                        \
    ARG(INT, mamba_n_heads, 24)                                                                                        \
    ARG(INT, max_position_embeddings, 131072)                                                                          \
    ARG(JSON, mlp_multipliers, ABSENT)                                                                                 \
    ARG(INT, num_attention_heads, 8)                                                                                   \
    ARG(INT, num_hidden_layers, 36)                                                                                    \
    ARG(INT, num_key_value_heads, 2)                                                                                   \
    ARG(REAL, rms_norm_eps, 1e-05)                                                                                     \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(REAL, rope_theta, 100000000000.0)                                                                              \
    ARG(REAL, ssm_in_multiplier, 1.25)                                                                                 \
    ARG(JSON, ssm_multipliers, ABSENT)                                                                                 \
    ARG(REAL, ssm_out_multiplier, 0.23570226039551587)                                                                 \
    ARG(JSON, time_step_limit, ABSENT)                                                                                 \
    ARG(INT, vocab_size, 32784)
TARE_ARGS(ARGS);

#define MLP 2 /* multipliers: of gate, of down */
#define SSM 5 /* of in_proj's rows: gate, x, B, C, time steps */

static enum tare_code numbers_check(const json_t *list, const char *key, size_t n, const struct tare_derive *d)
{
    bool numbers = !list || json_array_size(list) == n;
    for (size_t i = 0; list && numbers && i < n; i++)
        numbers = json_is_number(json_array_get(list, i));
    return numbers ? TARE_OK : tare_fail(d->err, TARE_E_CONFIG, d->place, "%s must be a list of %zu numbers", key, n);
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    a->rope_theta = tare_json_real(a->rope_parameters, "rope_theta", a->rope_theta);
    if (!(a->embedding_multiplier != 0))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "embedding_multiplier is 0; expected another number");
    enum tare_code code = numbers_check(a->mlp_multipliers, "mlp_multipliers", MLP, d);
    if (!code)
        code = numbers_check(a->ssm_multipliers, "ssm_multipliers", SSM, d);
    return code ? code : tare_mamba_limit_check(a->time_step_limit, d);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    struct tare_layer attention = {0};
    struct tare_rope rope =
        tare_rope_read(at, a->head_dim, a->rope_theta, a->rope_scaling ? a->rope_scaling : a->rope_parameters,
                       a->max_position_embeddings);
    rope.interleaved = a->rope_traditional;
    (void)i;
    tare_mamba2(l, at,
                &(struct tare_mamba2_desc){.name = "mamba",
                                           .dim = dim,
                                           .heads = a->mamba_n_heads,
                                           .inner = a->mamba_d_ssm,
                                           .groups = a->mamba_n_groups,
                                           .state = a->mamba_d_state,
                                           .width = a->mamba_d_conv,
                                           .bias = a->mamba_proj_bias,
                                           .out_bias = a->projectors_bias,
                                           .conv_bias = a->mamba_conv_bias,
                                           .no_norm = !a->mamba_rms_norm,
                                           .norm_first = a->mamba_norm_before_gate,
                                           TARE_MAMBA_LIMIT(a->time_step_limit),
                                           .eps = a->rms_norm_eps});
    tare_gqa(&attention, at,
             &(struct tare_gqa_desc){.dim = dim,
                                     .heads = a->num_attention_heads,
                                     .kv_heads = a->num_key_value_heads,
                                     .head_dim = a->head_dim,
                                     .bias = a->attention_bias,
                                     .o_bias = a->attention_bias,
                                     .rope = rope});
    /* Both mixers of the same norm, then the network: two layers of the decoder. */
    l[0].pre[0] = l[0].pre[1] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    l[0].ffn = attention.mixer;
    l[0].residual = TARE_RESIDUAL_PARALLEL;
    tare_nothing(&l[1].mixer, at, dim);
    l[1].pre[1] = tare_rms_norm(at, "pre_ff_layernorm", dim, a->rms_norm_eps);
    tare_glu(&l[1], at,
             &(struct tare_glu_desc){
                 .name = "feed_forward", .dim = dim, .hidden = a->intermediate_size, .bias = a->mlp_bias});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const double scale = a->tie_word_embeddings ? a->lm_head_multiplier / a->embedding_multiplier : 0;
    tare_skeleton(root, a, d,
                  &(struct tare_skeleton){TARE_SKELETON_SIZES(a), TARE_SKELETON_TIED(a), .norm_name = "final_layernorm",
                                          .context = a->max_position_embeddings, .eps = a->rms_norm_eps,
                                          .logit_scale = scale, .blocks = 2, .layer = layer});
}

/* What mlx-lm wrote has its convolutions turned, and is folded already. */
static bool published(const struct tare_weights *w)
{
    const struct tare_entry *e = tare_find(w, "model.layers.0.mamba.conv1d.weight");
    return e && e->recipe->rank == 3 && e->recipe->shape[2] > e->recipe->shape[1];
}

static double number(const json_t *list, size_t i, double fallback)
{
    return list ? json_number_value(json_array_get(list, i)) : fallback;
}

/* As the authors' forward pass multiplies. mlx-lm's sanitize leaves out key_multiplier (it looks for "key_proj"),
 * attention_in_multiplier on values, and biases. */
static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    const double in = a->attention_in_multiplier, gate = number(a->mlp_multipliers, 0, 0.8838834764831844);
    const struct {
        const char *pattern;
        double factor;
    } folds[] = {
        {"model.embed_tokens.weight", a->embedding_multiplier},
        {"lm_head.weight", a->tie_word_embeddings ? 1 : a->lm_head_multiplier},
        {"model.layers.*.self_attn.q_proj.weight", in},
        {"model.layers.*.self_attn.v_proj.weight", in},
        {"model.layers.*.self_attn.k_proj.weight", in * a->key_multiplier},
        {"model.layers.*.self_attn.k_proj.bias", a->key_multiplier},
        {"model.layers.*.self_attn.o_proj.*", a->attention_out_multiplier},
        {"model.layers.*.mamba.in_proj.weight", a->ssm_in_multiplier},
        {"model.layers.*.mamba.out_proj.*", a->ssm_out_multiplier},
        {"model.layers.*.feed_forward.gate_proj.*", gate},
        {"model.layers.*.feed_forward.down_proj.*", number(a->mlp_multipliers, 1, 0.5859375)},
    };
    static const double usual[SSM] = {0.3535533905932738, 0.25, 0.3535533905932738, 0.5, 0.3535533905932738};
    const int64_t inner = a->mamba_d_ssm, state = a->mamba_n_groups * a->mamba_d_state;
    double rows[SSM];
    if (!published(w))
        return;
    for (size_t i = 0; i < SSM; i++)
        rows[i] = number(a->ssm_multipliers, i, usual[i]);
    for (size_t i = 0; i < sizeof folds / sizeof *folds; i++)
        tare_multiply(w, folds[i].pattern, folds[i].factor);
    tare_multiply_rows(w, "model.layers.*.mamba.in_proj.*", rows,
                       (const int64_t[SSM]){inner, inner, state, state, a->mamba_n_heads}, SSM);
    tare_mamba_sanitize(w, a);
}

const struct tare_arch tare_arch_falcon_h1 = {
    .name = "falcon_h1",
    .args = &args_info,
    .runs = true,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
};
