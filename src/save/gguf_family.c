/* SPDX-License-Identifier: MIT
 * gguf_family.c - a model as one of llama.cpp's families: the metadata that its GGUF has, from what the model was
 * declared to be, and the refusal of what llama.cpp would run otherwise.
 * Source: llama.cpp, src/models (what each family reads), conversion (what its own writer says). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gguf/spelling.h"
#include "save/gguf_write.h"

struct family {
    struct tare_gguf_out *out;
    const struct tare_model *model;
    const struct tare_decoder *decoder;
    const json_t *config;       /* of the text model */
    struct tare_gqa_desc first; /* layer 0's attention */
    struct tare_arena *arena;
    const struct tare_convert_options *options;
    struct tare_error *err;
};

static enum tare_code refuse(const struct family *f, const char *key, const char *why)
{
    return tare_fail(f->err, TARE_E_TARGET, key, "%s, and GGUF's %s has no key for it; --to dense or mlx keeps it", why,
                     f->out->family->architecture);
}

static void note(const struct family *f, const char *where, const char *text)
{
    if (f->options->note)
        f->options->note(f->options->user, where, text);
}

static enum tare_code choose_family(struct family *f)
{
    const struct tare_model *model = f->model;
    const char *type = tare_json_text(model->inner_config, "model_type", model->model_type ? model->model_type : "");
    const struct tare_gguf_family *family = tare_gguf_family_written(type);
    if (!family || !f->decoder || !f->decoder->n_layers) {
        const char *known = tare_gguf_families_text(true, f->arena);
        return known
                   ? tare_fail(f->err, TARE_E_TARGET, type, "is no model that tare writes as GGUF; it writes %s", known)
                   : tare_fail_memory(f->err);
    }
    f->out->family = family;
    f->out->pairs.architecture = family->architecture;
    return TARE_OK;
}

/* "language_model." where the text model stands in a wrapper. */
static enum tare_code find_prefix(struct family *f)
{
    static const char end[] = "model.embed_tokens.weight";
    const struct tare_parameter *embedding = f->decoder->embedding;
    const size_t n = embedding ? strlen(embedding->name) : 0;
    if (n < sizeof end - 1 || strcmp(embedding->name + n - (sizeof end - 1), end) != 0)
        return tare_fail(f->err, TARE_E_INTERNAL, embedding ? embedding->name : "", "an embedding of another name");
    f->out->prefix = tare_arena_copy(f->arena, embedding->name, n - (sizeof end - 1));
    return f->out->prefix ? TARE_OK : tare_fail_memory(f->err);
}

/* The parameter of layer 0 with this name below the layer; NULL: there is none. */
static const struct tare_parameter *of_layer(const struct family *f, const char *name)
{
    const char *whole = tare_arena_format(f->arena, "%smodel.layers.0.%s.weight", f->out->prefix, name);
    return whole ? tare_tree_find(&f->model->tree, whole) : NULL;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-5 * fabs(b);
}

/* ---- layers ---------------------------------------------------------------------------------------------------- */

static bool same_rope(const struct tare_rope *a, const struct tare_rope *b)
{
    return a->kind == b->kind && a->dims == b->dims && near(a->base, b->base) && near(a->factor, b->factor) &&
           a->interleaved == b->interleaved;
}

/* Refuses a model whose layers differ: metadata of GGUF hold one number for all layers. Windows may differ, and with
 * them the rotation (Gemma 3); *local receives the rotation of the layers with a window. */
static enum tare_code check_layers(struct family *f, const struct tare_rope **local)
{
    const struct tare_gqa_desc *a = &f->first;
    for (int64_t i = 0; i < f->decoder->n_layers; i++) {
        struct tare_gqa_desc *d = tare_arena_alloc(f->arena, sizeof *d);
        if (!d)
            return tare_fail_memory(f->err);
        if (!tare_gqa_describe(&f->decoder->layers[i].mixer, d))
            return refuse(f, "config.json", "its attention is not of heads with keys and values of one size");
        if (d->heads != a->heads || d->kv_heads != a->kv_heads || d->head_dim != a->head_dim ||
            !near(d->scale, a->scale))
            return refuse(f, "config.json", "its layers have unlike heads");
        if (d->window && f->out->family->windows)
            *local = &d->rope;
        if (!d->window || !f->out->family->windows)
            f->first.rope = d->rope; /* of a layer that sees everything, where there is one */
    }
    for (int64_t i = 0; i < f->decoder->n_layers; i++) {
        struct tare_gqa_desc d;
        tare_gqa_describe(&f->decoder->layers[i].mixer, &d);
        const struct tare_rope *own = d.window && *local ? *local : &f->first.rope;
        if (!same_rope(&d.rope, own))
            return refuse(f, "config.json: rope_parameters", "its layers are rotated unlike");
    }
    return TARE_OK;
}

static enum tare_code check_scale(const struct family *f)
{
    const struct tare_gqa_desc *a = &f->first;
    const bool wide = f->out->family->wide && f->decoder->n_layers == f->out->family->wide;
    const int64_t size = wide ? f->decoder->dim / a->heads : a->head_dim;
    if (!near(a->scale, 1 / sqrt((double)size)))
        return refuse(f, "config.json: query_pre_attn_scalar", "its scores are not scaled by the size of a head");
    return TARE_OK;
}

static enum tare_code check_activation(const struct family *f)
{
    const char *word = tare_json_text(f->config, "hidden_activation", tare_json_text(f->config, "hidden_act", NULL));
    const char *usual = f->out->family->activation;
    if (!word || !usual || !strcmp(word, usual) || (!strcmp(usual, "silu") && !strcmp(word, "swish")))
        return TARE_OK;
    return refuse(f, "config.json: hidden_act", "its activation is another one than all of the family have");
}

/* Layers with a window: every second one (ALTERNATE), or all but each n-th or a list of them (LISTED). */
static enum tare_code put_windows(struct family *f, const struct tare_rope *local)
{
    const struct tare_decoder *d = f->decoder;
    struct tare_pairs *pairs = &f->out->pairs;
    int64_t window = 0, pattern = 0;
    struct tare_gqa_desc a;
    for (int64_t i = 0; i < d->n_layers; i++) {
        tare_gqa_describe(&d->layers[i].mixer, &a);
        if (a.window && window && a.window != window)
            return refuse(f, "config.json: sliding_window", "its layers have unlike windows");
        window = a.window ? a.window : window;
        pattern = !a.window && !pattern ? i + 1 : pattern;
    }
    if (!window)
        return f->out->family->windows != TARE_GGUF_WINDOWS_ALTERNATE
                   ? TARE_OK
                   : refuse(f, "config.json: sliding_window", "it has no layers with a window");
    if (!f->out->family->windows) {
        note(f, "config.json: sliding_window",
             "readers of GGUF attend to the whole text in every layer: the same up to so many tokens only");
        tare_pairs_integer(pairs, TARE_GGUF_KEY_WINDOW, window);
        return TARE_OK;
    }
    bool regular = true;
    pattern = pattern ? pattern : d->n_layers + 1;
    for (int64_t i = 0; i < d->n_layers; i++) {
        tare_gqa_describe(&d->layers[i].mixer, &a);
        regular = regular && (a.window > 0) == ((i + 1) % pattern != 0);
    }
    tare_pairs_integer(pairs, TARE_GGUF_KEY_WINDOW, window);
    if (f->out->family->windows == TARE_GGUF_WINDOWS_ALTERNATE)
        return regular && pattern == 2
                   ? TARE_OK
                   : refuse(f, "config.json: layer_types", "not every second layer, from the first, has a window");
    if (regular)
        tare_pairs_integer(pairs, TARE_GGUF_KEY_WINDOW_PATTERN, pattern);
    else
        tare_pairs_list(pairs, TARE_GGUF_KEY_WINDOW_PATTERN, TARE_GGUF_BOOL, (uint64_t)d->n_layers);
    for (int64_t i = 0; !regular && i < d->n_layers; i++) {
        tare_gqa_describe(&d->layers[i].mixer, &a);
        tare_put_bytes(&pairs->text, a.window > 0, 1);
    }
    if (local->kind != TARE_ROPE_DEFAULT)
        return refuse(f, "config.json: rope_parameters", "layers with a window have a rotation that is scaled");
    tare_pairs_real(pairs, TARE_GGUF_KEY_ROPE_BASE_WINDOW, local->base);
    return TARE_OK;
}

/* ---- rotation -------------------------------------------------------------------------------------------------- */

/* Makes the tensor of divisors of the rotary frequencies: factor[i] = theta^(-2i / dims) / frequency[i]. For longrope
 * these are one of its two lists, chosen by `total`, the length of the text. */
static enum tare_code make_factors(struct family *f, const char *name, int64_t total, float *amplitude)
{
    const struct tare_rope *rope = &f->first.rope;
    struct tare_rope plain = *rope;
    const int64_t n = rope->dims / 2;
    float *values = tare_arena_array(f->arena, (size_t)n, sizeof *values);
    float *unscaled = tare_arena_array(f->arena, (size_t)n, sizeof *unscaled);
    if (!values || !unscaled)
        return tare_fail_memory(f->err);
    plain.kind = TARE_ROPE_DEFAULT;
    *amplitude = tare_rope_frequencies(rope, total, values);
    tare_rope_frequencies(&plain, total, unscaled);
    const json_t *list = total > (int64_t)rope->original_context ? rope->long_factor : rope->short_factor;
    for (int64_t i = 0; i < n; i++)
        values[i] = rope->kind == TARE_ROPE_LONGROPE ? (float)json_number_value(json_array_get(list, (size_t)i))
                                                     : unscaled[i] / values[i];
    f->out->made[f->out->n_made++] = (struct tare_made){name, values, n};
    return TARE_OK;
}

static enum tare_code put_longrope(struct family *f)
{
    struct tare_pairs *pairs = &f->out->pairs;
    const int64_t original = (int64_t)f->first.rope.original_context;
    float brief = 1, lasting = 1;
    enum tare_code code = make_factors(f, TARE_GGUF_ROPE_LONG, original + 1, &lasting);
    if (!code)
        code = make_factors(f, TARE_GGUF_ROPE_SHORT, original, &brief);
    if (code)
        return code;
    if (!near((double)brief, (double)lasting))
        return refuse(f, "config.json: rope_scaling", "its short and its long factors have unlike amplitudes");
    tare_pairs_text(pairs, TARE_GGUF_KEY_SCALING_TYPE, "longrope", 8);
    tare_pairs_integer(pairs, TARE_GGUF_KEY_SCALING_CONTEXT, original);
    tare_pairs_real(pairs, TARE_GGUF_KEY_SCALING_AMPLITUDE, (double)brief);
    return TARE_OK;
}

static enum tare_code put_yarn(struct family *f)
{
    const struct tare_rope *rope = &f->first.rope;
    struct tare_pairs *pairs = &f->out->pairs;
    if (rope->attention_factor > 0 || (rope->mscale != 0 && rope->mscale_all_dim != 0) || !rope->truncate)
        return refuse(f, "config.json: rope_scaling", "yarn with attention_factor, mscale or without truncate");
    tare_pairs_text(pairs, TARE_GGUF_KEY_SCALING_TYPE, "yarn", 4);
    tare_pairs_real(pairs, TARE_GGUF_KEY_SCALING_FACTOR, rope->factor);
    tare_pairs_integer(pairs, TARE_GGUF_KEY_SCALING_CONTEXT, (int64_t)rope->original_context);
    tare_pairs_real(pairs, TARE_GGUF_KEY_SCALING_BETA_FAST, rope->beta_fast);
    tare_pairs_real(pairs, TARE_GGUF_KEY_SCALING_BETA_SLOW, rope->beta_slow);
    return TARE_OK;
}

static enum tare_code put_rotation(struct family *f)
{
    const struct tare_rope *rope = &f->first.rope;
    struct tare_pairs *pairs = &f->out->pairs;
    const bool permuted = f->out->family->permuted;
    float amplitude;
    if (rope->interleaved && !permuted)
        return refuse(f, "config.json: rope_traditional", "neighbours are rotated");
    if (permuted && rope->dims != f->first.head_dim)
        return refuse(f, "config.json: partial_rotary_factor", "a part of each head is rotated");
    f->out->half = permuted && !rope->interleaved ? rope->dims / 2 : 0;
    tare_pairs_integer(pairs, TARE_GGUF_KEY_ROPE_DIMENSIONS, rope->dims);
    tare_pairs_real(pairs, TARE_GGUF_KEY_ROPE_BASE, rope->base);
    switch (rope->kind) {
    case TARE_ROPE_DEFAULT:
        return TARE_OK;
    case TARE_ROPE_LINEAR:
        tare_pairs_text(pairs, TARE_GGUF_KEY_SCALING_TYPE, "linear", 6);
        tare_pairs_real(pairs, TARE_GGUF_KEY_SCALING_FACTOR, rope->factor);
        return TARE_OK;
    case TARE_ROPE_YARN:
        return put_yarn(f);
    case TARE_ROPE_LLAMA3:
        if (f->out->family->one_factor_list)
            return make_factors(f, TARE_GGUF_ROPE_FREQS, 1, &amplitude);
        break;
    case TARE_ROPE_LONGROPE:
        if (f->out->family->factor_lists)
            return put_longrope(f);
        break;
    default:
        break;
    }
    return refuse(f, "config.json: rope_scaling", "its rotation is scaled in another way than the family's readers do");
}

/* ---- sizes ----------------------------------------------------------------------------------------------------- */

static enum tare_code put_feed_forward(struct family *f)
{
    struct tare_pairs *pairs = &f->out->pairs;
    const struct tare_parameter *down = of_layer(f, "mlp.down_proj");
    const struct tare_parameter *experts = of_layer(f, "block_sparse_moe.switch_mlp.down_proj");
    if (!down && !experts)
        return refuse(f, "config.json", "its layers have no feed-forward part that is known");
    if (down)
        tare_pairs_integer(pairs, TARE_GGUF_KEY_FEED_FORWARD_LENGTH, down->shape[1]);
    else
        tare_pairs_integer(pairs, TARE_GGUF_KEY_FEED_FORWARD_LENGTH, experts->shape[2]);
    if (experts) {
        tare_pairs_integer(pairs, TARE_GGUF_KEY_EXPERTS, experts->shape[0]);
        tare_pairs_integer(pairs, TARE_GGUF_KEY_EXPERTS_USED, tare_json_integer(f->config, "num_experts_per_tok", 2));
    }
    return TARE_OK;
}

static enum tare_code put_caps(struct family *f)
{
    struct tare_pairs *pairs = &f->out->pairs;
    const enum tare_gguf_caps caps = f->out->family->caps;
    const bool both = caps == TARE_GGUF_CAPS_BOTH;
    const double scores = f->first.soft_cap, logits = f->decoder->logit_soft_cap;
    if ((scores != 0) != both || (both && logits == 0) || (logits != 0 && caps == TARE_GGUF_CAPS_NONE))
        return refuse(f, "config.json: attn_logit_softcapping",
                      "its scores or logits are capped, or not, unlike the family's");
    if (scores != 0)
        tare_pairs_real(pairs, TARE_GGUF_KEY_CAP_SCORES, scores);
    if (logits != 0)
        tare_pairs_real(pairs, TARE_GGUF_KEY_CAP_LOGITS, logits);
    return TARE_OK;
}

static enum tare_code put_sizes(struct family *f)
{
    const struct tare_decoder *d = f->decoder;
    const struct tare_gqa_desc *a = &f->first;
    struct tare_pairs *pairs = &f->out->pairs;
    /* Readers insist on a length: transformers' own default of Llama where the config has none. */
    tare_pairs_integer(pairs, TARE_GGUF_KEY_CONTEXT_LENGTH, d->context > 0 ? d->context : 2048);
    tare_pairs_integer(pairs, TARE_GGUF_KEY_EMBEDDING_LENGTH, d->dim);
    tare_pairs_integer(pairs, TARE_GGUF_KEY_BLOCK_COUNT, d->n_layers);
    tare_pairs_integer(pairs, TARE_GGUF_KEY_HEADS, a->heads);
    tare_pairs_integer(pairs, TARE_GGUF_KEY_KV_HEADS, a->kv_heads);
    tare_pairs_integer(pairs, TARE_GGUF_KEY_KEY_LENGTH, a->head_dim);
    tare_pairs_integer(pairs, TARE_GGUF_KEY_VALUE_LENGTH, a->head_dim);
    tare_pairs_real(pairs, TARE_GGUF_KEY_NORM_EPSILON, d->norm.eps);
    tare_pairs_integer(pairs, TARE_GGUF_KEY_VOCABULARY, d->vocabulary);
    if (d->logit_scale != 0 && d->logit_scale != 1)
        return refuse(f, "config.json: logit_scale", "its logits are scaled");
    return put_feed_forward(f);
}

/* The last part of the checkpoint's path: never the whole path of somebody's disk. */
static void put_name(struct family *f)
{
    const char *path = f->model->checkpoint.path ? f->model->checkpoint.path : "";
    size_t end = strlen(path), start;
    while (end && path[end - 1] == '/')
        end--;
    for (start = end; start && path[start - 1] != '/'; start--)
        ;
    tare_pairs_text(&f->out->pairs, TARE_GGUF_KEY_GENERAL_NAME, path + start, end - start);
}

enum tare_code tare_gguf_family(struct tare_gguf_out *out, struct tare_model *model, struct tare_arena *arena,
                                const struct tare_convert_options *options, struct tare_error *err)
{
    struct family f = {.out = out,
                       .model = model,
                       .decoder = model->decoder,
                       .config = model->inner_config ? model->inner_config : model->config,
                       .arena = arena,
                       .options = options,
                       .err = err};
    const struct tare_rope *local = NULL;
    enum tare_code code;
    if ((code = choose_family(&f)) || (code = find_prefix(&f)))
        return code;
    if (!tare_gqa_describe(&model->decoder->layers[0].mixer, &f.first))
        return refuse(&f, "config.json", "its attention is not of heads with keys and values of one size");
    const char *architecture = out->family->architecture;
    tare_pairs_text(&out->pairs, TARE_GGUF_KEY_ARCHITECTURE, architecture, strlen(architecture));
    tare_pairs_text(&out->pairs, TARE_GGUF_KEY_GENERAL_TYPE, "model", 5);
    put_name(&f);
    if ((code = check_layers(&f, &local)) || (code = check_scale(&f)) || (code = check_activation(&f)) ||
        (code = put_sizes(&f)) || (code = put_rotation(&f)) || (code = put_windows(&f, local)))
        return code;
    return put_caps(&f);
}
