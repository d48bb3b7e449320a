/* SPDX-License-Identifier: MIT
 * gemma3n.c - the text model of Gemma 3n: several streams of hidden states, an embedding a layer (mlx-lm:
 * models/gemma3n.py). */
#include "models/experts.h"
#include "models/sparse.h"
#include "models/window.h"
#include "models/wrapper.h"

#include <string.h>

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(JSON, intermediate_size, REQUIRED) /* a number, or a list of one a layer */                                    \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, head_dim, REQUIRED)                                                                                       \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(INT, num_kv_shared_layers, ABSENT)                                                                             \
    ARG(INT, vocab_size_per_layer_input, REQUIRED)                                                                     \
    ARG(INT, sliding_window, REQUIRED)                                                                                 \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(REAL, rope_local_base_freq, ABSENT)                                                                            \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(REAL, final_logit_softcapping, 0)                                                                              \
    ARG(JSON, layer_types, REQUIRED)                                                                                   \
    ARG(JSON, activation_sparsity_pattern, ABSENT)                                                                     \
    ARG(INT, hidden_size_per_layer_input, REQUIRED)                                                                    \
    ARG(INT, altup_num_inputs, REQUIRED)                                                                               \
    ARG(REAL, altup_coef_clip, ABSENT)                                                                                 \
    ARG(FLAG, altup_correct_scale, REQUIRED)                                                                           \
    ARG(INT, altup_active_idx, ABSENT)                                                                                 \
    ARG(INT, laurel_rank, REQUIRED)                                                                                    \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)
TARE_ARGS(ARGS);

#define STREAMS_MOST 1024

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (a->altup_num_inputs > STREAMS_MOST || a->altup_active_idx >= a->altup_num_inputs)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "altup_num_inputs is %lld and altup_active_idx %lld",
                         (long long)a->altup_num_inputs, (long long)a->altup_active_idx);
    if (a->num_kv_shared_layers >= a->num_hidden_layers)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "num_kv_shared_layers is %lld of %lld layers: none is left to borrow from",
                         (long long)a->num_kv_shared_layers, (long long)a->num_hidden_layers);
    const enum tare_code code = tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
    if (code || json_is_integer(a->intermediate_size))
        return code;
    return tare_layer_numbers_check(a->intermediate_size, a->num_hidden_layers, "intermediate_size", d->place, d->err);
}

static int64_t hidden(const struct args *a, int64_t i)
{
    const json_t *own = json_array_get(a->intermediate_size, (size_t)i);
    return json_integer_value(own ? own : a->intermediate_size);
}

/* Alternating updates: how one layer's result changes the other streams. */
static void altup(struct tare_at at, const struct args *a)
{
    const int64_t dim = a->hidden_size, n = a->altup_num_inputs;
    tare_plain(at, "correct_output_scale", 1, dim);
    tare_linear(at, "correction_coefs", n, n, NO_BIAS);
    tare_linear(at, "prediction_coefs", n, n * n, NO_BIAS);
    tare_linear(at, "modality_router", dim, n, NO_BIAS);
    tare_rms_norm(at, "router_norm", dim, a->rms_norm_eps);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const struct tare_at laurel = tare_at(at, "laurel");
    const int64_t dim = a->hidden_size, per_layer = a->hidden_size_per_layer_input;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    tare_attention(tare_at(at, "self_attn"), &(struct tare_attention){.dim = dim,
                                                                      .heads = a->num_attention_heads,
                                                                      .kv_heads = a->num_key_value_heads,
                                                                      .head = a->head_dim,
                                                                      .qk_norm = TARE_NORM_OF_HEAD,
                                                                      .eps = a->rms_norm_eps});
    l->post[0] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    l->pre[1] = tare_rms_norm(at, "pre_feedforward_layernorm", dim, a->rms_norm_eps);
    tare_dense_glu(at, "mlp", dim, tare_mul(at, 1, hidden(a, i)));
    l->post[1] = tare_rms_norm(at, "post_feedforward_layernorm", dim, a->rms_norm_eps);
    altup(tare_at(at, "altup"), a);
    tare_linear(laurel, "linear_left", dim, a->laurel_rank, NO_BIAS);
    tare_linear(laurel, "linear_right", a->laurel_rank, dim, NO_BIAS);
    tare_rms_norm(laurel, "post_laurel_norm", dim, a->rms_norm_eps);
    tare_linear(at, "per_layer_input_gate", dim, per_layer, NO_BIAS);
    tare_linear(at, "per_layer_projection", per_layer, dim, NO_BIAS);
    tare_rms_norm(at, "post_per_layer_input_norm", dim, a->rms_norm_eps);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size, all = tare_mul(root, a->num_hidden_layers, a->hidden_size_per_layer_input);
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .model = "", .embedding_scale = sqrt((double)dim),
                                          .logit_soft_cap = a->final_logit_softcapping, .layer = layer,
                                          .head = TARE_HEAD_NONE});
    tare_embedding(root, "embed_tokens_per_layer", a->vocab_size_per_layer_input, all);
    tare_linear(root, "per_layer_model_projection", dim, all, NO_BIAS);
    tare_rms_norm(root, "per_layer_projection_norm", a->hidden_size_per_layer_input, a->rms_norm_eps);
    for (int64_t i = 0; i + 1 < a->altup_num_inputs && !root.tree->error.code; i++) {
        const char *number = tare_arena_format(d->arena, "%lld", (long long)i);
        tare_linear(tare_at(root, "altup_projections"), number ? number : "", dim, dim, NO_BIAS);
        tare_linear(tare_at(root, "altup_unembed_projections"), number ? number : "", dim, dim, NO_BIAS);
    }
}

/* The last layer of i's type that has keys and values of its own, -1: none. */
static int64_t lender(const struct args *a, int64_t i)
{
    const char *type = json_string_value(json_array_get(a->layer_types, (size_t)i));
    for (int64_t k = a->num_hidden_layers - a->num_kv_shared_layers - 1; k >= 0; k--)
        if (!strcmp(json_string_value(json_array_get(a->layer_types, (size_t)k)), type))
            return k;
    return -1;
}

/* Transformers 5 leaves out what borrowing layers do not use. mlx-lm has parameters for it, so they get the lender's.
 */
static void lend(struct tare_weights *w, const void *args)
{
    static const char *const parts[] = {"k_proj", "v_proj", "k_norm"};
    const struct args *a = args;
    const int64_t borrowed = a->num_kv_shared_layers > 0 ? a->num_kv_shared_layers : 0;
    for (int64_t i = a->num_hidden_layers - borrowed; i < a->num_hidden_layers && !w->error.code; i++)
        for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
            const char *own = tare_arena_format(w->arena, "layers.%lld.self_attn.%s.weight", (long long)i, parts[p]);
            const char *from =
                tare_arena_format(w->arena, "layers.%lld.self_attn.%s.weight", (long long)lender(a, i), parts[p]);
            if (own && from && !tare_find(w, own))
                tare_copy(w, from, own);
        }
}

static const struct tare_arch text = {
    .name = "gemma3n",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = lend,
};

static void sanitize(struct tare_weights *w, const void *args)
{
    static const char *const towers[] = {"model.vision_tower", "model.audio_tower", "model.embed_audio",
                                         "model.embed_vision"};
    (void)args;
    for (size_t i = 0; i < sizeof towers / sizeof *towers; i++)
        tare_drop(w, towers[i], "another tower; only the text model is read");
}

const struct tare_arch tare_arch_gemma3n = {
    .name = "gemma3n",
    .args = &tare_wrapper_args,
    .sanitize = sanitize,
    .transformers_tied = true,
    .inner = &text,
    .inner_config = "text_config",
    .inner_prefix = "model.language_model",
};
