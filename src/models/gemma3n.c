/* SPDX-License-Identifier: MIT
 * gemma3n.c - the text model of Gemma 3n: several streams of hidden states, and an embedding for each layer (mlx-lm:
 * models/gemma3n.py). */
#include "blocks/attention/gqa_values.h"
#include "blocks/stream/altup.h"
#include "blocks/stream/laurel.h"
#include "blocks/stream/pair.h"
#include "models/family/decoder_skeleton.h"
#include "models/family/layer_kinds.h"
#include "models/family/wrapper.h"
#include <math.h>

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

/* Layers from it on borrow keys and values. */
static int64_t first_shared(const struct args *a)
{
    return a->num_hidden_layers - (a->num_kv_shared_layers > 0 ? a->num_kv_shared_layers : 0);
}

/* The last layer of i's type that has keys and values of its own, -1: none. */
static int64_t lender(const struct args *a, int64_t i)
{
    const char *type = json_string_value(json_array_get(a->layer_types, (size_t)i));
    for (int64_t k = first_shared(a) - 1; k >= 0; k--)
        if (!strcmp(json_string_value(json_array_get(a->layer_types, (size_t)k)), type))
            return k;
    return -1;
}

/* Of layer i: a list, or one number for all. */
static double sparsity(const struct args *a, int64_t i)
{
    const json_t *own = json_array_get(a->activation_sparsity_pattern, (size_t)i);
    return json_number_value(own ? own : a->activation_sparsity_pattern);
}

static struct tare_rope rope(struct tare_at at, const struct args *a, bool sliding)
{
    const json_t *given = json_object_get(a->rope_parameters, sliding ? "sliding_attention" : "full_attention");
    const double theta = sliding ? a->rope_local_base_freq : a->rope_theta, usual = sliding ? 1e4 : 1e6;
    return tare_rope_read(at, a->head_dim, isnan(theta) ? tare_json_real(given, "rope_theta", usual) : theta, given,
                          a->max_position_embeddings);
}

/* The layers that borrow have keys and values in mlx-lm's tree; nothing reads them. */
static void attention(struct tare_layer *l, struct tare_at at, const struct args *a, int64_t i)
{
    const bool sliding = tare_word_is(a->layer_types, i, "sliding_attention");
    const int64_t from = lender(a, i);
    const bool borrows = i >= first_shared(a);
    const struct tare_gqa_desc d = {.dim = a->hidden_size,
                                    .heads = a->num_attention_heads,
                                    .kv_heads = a->num_key_value_heads,
                                    .head_dim = a->head_dim,
                                    .scale = 1,
                                    .window = sliding ? a->sliding_window : 0,
                                    .qk_norm.kind = TARE_QK_NORM_RMS,
                                    .kv = borrows ? TARE_KV_BORROWED : TARE_KV_OWN,
                                    .qk_norm.eps = a->rms_norm_eps,
                                    .rope = rope(at, a, sliding)};
    l->borrows = borrows && from >= 0 ? i - from : 0;
    tare_gqa(l, at, &d);
    if (!borrows) {
        tare_gqa_normed_values(l, tare_at(at, "self_attn"), d.head_dim, d.qk_norm.eps);
        return;
    }
    const int64_t kv = tare_mul(at, d.kv_heads, d.head_dim);
    tare_linear(at, "self_attn.k_proj", d.dim, kv, NO_BIAS);
    tare_linear(at, "self_attn.v_proj", d.dim, kv, NO_BIAS);
    tare_rms_norm(at, "self_attn.k_norm", d.head_dim, d.qk_norm.eps);
    if (from < 0) /* no layer of its kind has any */
        l->mixer = (struct tare_block){0};
}

/* What the skeleton hands to each layer. */
struct parts {
    const struct args *a;
    struct tare_altup *altup;
};

static void layer(struct tare_layer *l, struct tare_at at, const void *user, int64_t i)
{
    const struct parts *parts = user;
    const struct args *a = parts->a;
    const int64_t dim = a->hidden_size;
    struct tare_pair pair = {.dim = dim};
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    attention(l, at, a, i);
    pair.part[0] = l->mixer;
    pair.post[0] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    tare_laurel(&pair.part[1], at, dim, a->laurel_rank, a->rms_norm_eps);
    tare_pair(&l->mixer, at, &pair);
    l->pre[1] = tare_rms_norm(at, "pre_feedforward_layernorm", dim, a->rms_norm_eps);
    tare_glu(l, at,
             &(struct tare_glu_desc){.dim = dim,
                                     .hidden = tare_mul(at, 1, hidden(a, i)),
                                     .unit = tare_unit_sparse(TARE_GELU_TANH, sparsity(a, i)),
                                     .activation = TARE_GELU_TANH});
    if (sparsity(a, i) >= 1) /* no gate would be left */
        l->ffn = (struct tare_block){0};
    l->post[1] = tare_rms_norm(at, "post_feedforward_layernorm", dim, a->rms_norm_eps);
    tare_altup_layer(parts->altup, at, i);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    const struct tare_altup_desc altup = {.dim = dim,
                                          .streams = a->altup_num_inputs,
                                          .active = a->altup_active_idx > 0 ? a->altup_active_idx : 0,
                                          .layers = a->num_hidden_layers,
                                          .scaled = a->altup_correct_scale,
                                          .eps = a->rms_norm_eps,
                                          .per_layer = {.dim = dim,
                                                        .width = a->hidden_size_per_layer_input,
                                                        .layers = a->num_hidden_layers,
                                                        .vocabulary = a->vocab_size_per_layer_input,
                                                        .eps = a->rms_norm_eps}};
    struct parts parts = {a, tare_altup_open(root, &altup)};
    if (!parts.altup)
        return;
    tare_skeleton(root, &parts, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .model = "", .embedding_scale = sqrt((double)dim),
                                          .logit_soft_cap = a->final_logit_softcapping, .layer = layer,
                                          .head = TARE_HEAD_NONE});
    tare_per_layer_inputs(d, root, &altup.per_layer);
    tare_altup_close(parts.altup, root, d);
}

/* Transformers 5 leaves out what borrowing layers do not use. mlx-lm has parameters for it, so they get the lender's.
 */
static void lend(struct tare_weights *w, const void *args)
{
    static const char *const parts[] = {"k_proj", "v_proj", "k_norm"};
    const struct args *a = args;
    for (int64_t i = first_shared(a); i < a->num_hidden_layers && !w->error.code; i++)
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
    .runs = true,
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
