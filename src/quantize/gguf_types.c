/* SPDX-License-Identifier: MIT
 * gguf_types.c - which type a tensor of a GGUF file has: that of the mixture, or another by its role and its layer
 * (gguf_types.def), and what takes its place where the columns are no whole blocks.
 */
#include "quantize/gguf_types.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum role { OTHER, VALUE, DOWN, OUT };
enum when { ALWAYS, FIRST_TWO, FIRST_FOUR, SIXTEENTH, EIGHTH, SPREAD, SHARED, EIGHT, FEWER };

#define NOTHING
static const struct tare_gguf_blocks blocks[] = {
#define BLOCKS(type, otherwise) {TARE_##type, tare_round_##type, TARE_##otherwise},
#define MIXTURE(word, type, number) NOTHING
#define MORE(word, role, when, type) NOTHING
#include "quantize/gguf_types.def"
#undef BLOCKS
#undef MIXTURE
#undef MORE
};

static const struct tare_gguf_mixture mixtures[] = {
#define BLOCKS(type, otherwise) NOTHING
#define MIXTURE(word, type, number) {word, TARE_##type, number},
#define MORE(word, role, when, type) NOTHING
#include "quantize/gguf_types.def"
#undef BLOCKS
#undef MIXTURE
#undef MORE
};

static const struct more {
    const char *word;
    enum role role;
    enum when when;
    enum tare_dtype type;
} more[] = {
#define BLOCKS(type, otherwise) NOTHING
#define MIXTURE(word, type, number) NOTHING
#define MORE(word, role, when, type) {word, role, when, TARE_##type},
#include "quantize/gguf_types.def"
#undef BLOCKS
#undef MIXTURE
#undef MORE
};

const struct tare_gguf_blocks *tare_gguf_blocks_of(enum tare_dtype type)
{
    for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++)
        if (blocks[k].type == type)
            return &blocks[k];
    return NULL;
}

const struct tare_gguf_blocks *tare_gguf_blocks_find(const char *word)
{
    for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++)
        if (!strcmp(tare_dtype_name(blocks[k].type), word))
            return &blocks[k];
    return NULL;
}

const struct tare_gguf_mixture *tare_gguf_mixture_at(size_t index)
{
    return index < sizeof mixtures / sizeof *mixtures ? &mixtures[index] : NULL;
}

enum tare_dtype tare_gguf_fitting(enum tare_dtype type, int64_t columns)
{
    const struct tare_gguf_blocks *found;
    while ((found = tare_gguf_blocks_of(type)) != NULL && columns % tare_dtype_block(type).columns)
        type = found->otherwise;
    return type;
}

/* ---- roles ----------------------------------------------------------------------------------------------------- */

static enum role role_of(const char *name)
{
    static const struct {
        const char *part;
        enum role role;
    } parts[] = {{"attn_qkv.weight", VALUE},
                 {"attn_kv_b.weight", VALUE},
                 {"attn_v.weight", VALUE},
                 {"attn_output.weight", OUT},
                 {"ffn_down", DOWN}};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        if (strstr(name, parts[k].part))
            return parts[k].role;
    return OTHER;
}

/* Layer 12 of "blk.12.ffn_down.weight"; -1: of none. */
static long layer_of(const char *name)
{
    char *end;
    const long layer = strncmp(name, "blk.", 4) ? -1 : strtol(name + 4, &end, 10);
    return layer >= 0 && *end == '.' ? layer : -1;
}

static int by_layer(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    const long left = layer_of(x), right = layer_of(y);
    return left != right ? (left < right ? -1 : 1) : strcmp(x, y);
}

static int64_t place_of(const char *const *names, size_t n, const char *name)
{
    size_t k = 0;
    while (k < n && strcmp(names[k], name) != 0)
        k++;
    return (int64_t)k;
}

/* llama.cpp reads a model's size from its family and number of layers. Source: its models/llama.cpp, models/qwen2.cpp. */
static bool is_seventy(const struct tare_gguf_mixing *facts, const char *family)
{
    const bool llama = !strcmp(family, "llama") && facts->sharing > 1 && facts->experts != 8;
    return facts->layers == 80 && (llama || !strcmp(family, "qwen2"));
}

static enum tare_code add_name(struct tare_gguf_mixing *facts, const struct tare_parameter *parameter,
                               const struct tare_gguf_out *out, struct tare_arena *arena, struct tare_error *err)
{
    const size_t prefix = strlen(out->prefix);
    const char *own = parameter->name + (strncmp(parameter->name, out->prefix, prefix) ? 0 : prefix);
    const char *name = tare_gguf_name_of(out->family->architecture, own, arena);
    if (arena->failed)
        return tare_fail_memory(err);
    const enum role role = name && parameter->rank > 1 ? role_of(name) : OTHER;
    if (role == VALUE)
        facts->values[facts->n_values++] = name;
    else if (role == DOWN)
        facts->downs[facts->n_downs++] = name;
    return TARE_OK;
}

enum tare_code tare_gguf_mixing(struct tare_gguf_mixing *facts, const struct tare_model *model,
                                const struct tare_gguf_out *out, struct tare_arena *arena, struct tare_error *err)
{
    const struct tare_parameter *head = model->tree.head.weight;
    struct tare_gqa_desc attention;
    *facts = (struct tare_gguf_mixing){.layers = model->decoder->n_layers, .sharing = 1, .experts = 0};
    facts->head = head && head->active && head->entry;
    facts->values = tare_arena_array(arena, model->tree.n + 1, sizeof *facts->values);
    facts->downs = tare_arena_array(arena, model->tree.n + 1, sizeof *facts->downs);
    if (!facts->values || !facts->downs)
        return tare_fail_memory(err);
    if (facts->layers && tare_gqa_describe(&model->decoder->layers[0].mixer, &attention) && attention.kv_heads > 0)
        facts->sharing = attention.heads / attention.kv_heads;
    for (size_t k = 0; k < model->tree.n; k++) {
        const struct tare_parameter *p = model->tree.parameters[k];
        if (!p->active || !p->entry)
            continue;
        if (p->kind == TARE_KIND_EXPERTS && p->rank == 3)
            facts->experts = p->shape[0];
        const enum tare_code code = add_name(facts, p, out, arena, err);
        if (code)
            return code;
    }
    qsort(facts->values, facts->n_values, sizeof *facts->values, by_layer);
    qsort(facts->downs, facts->n_downs, sizeof *facts->downs, by_layer);
    facts->seventy = is_seventy(facts, out->family->architecture);
    return TARE_OK;
}

/* ---- mixtures -------------------------------------------------------------------------------------------------- */

static bool holds(enum when when, const struct tare_gguf_mixing *facts, int64_t n, int64_t all)
{
    const bool found[] = {
        [ALWAYS] = true,
        [FIRST_TWO] = n < 2,
        [FIRST_FOUR] = n < 4,
        [SIXTEENTH] = n < all / 16,
        [EIGHTH] = n < all / 8,
        [SPREAD] = n < all / 8 || n >= 7 * all / 8 || (n - all / 8) % 3 == 2,
        [SHARED] = facts->sharing >= 4,
        [EIGHT] = facts->experts == 8,
        [FEWER] = facts->experts != 8,
    };
    return found[when];
}

enum tare_dtype tare_gguf_mixed(const struct tare_gguf_mixture *mixture, const struct tare_gguf_mixing *facts,
                                const char *name, int64_t columns)
{
    enum tare_dtype type = mixture->type;
    const bool embedding = !strcmp(name, "token_embd.weight") || !strcmp(name, "per_layer_token_embd.weight");
    if (!strcmp(name, "output.weight") || (!facts->head && embedding))
        return columns % tare_dtype_block(type).columns || type == TARE_Q8_0 ? TARE_Q8_0 : TARE_Q6_K;
    const enum role role = role_of(name);
    int64_t n = 0, all = facts->layers;
    if (role == VALUE) {
        n = place_of(facts->values, facts->n_values, name);
        all = (int64_t)facts->n_values;
    } else if (role == DOWN) {
        n = facts->experts > 1 ? (int64_t)layer_of(name) : place_of(facts->downs, facts->n_downs, name);
    }
    for (size_t k = 0; k < sizeof more / sizeof *more; k++)
        if (more[k].role == role && !strcmp(more[k].word, mixture->word) && holds(more[k].when, facts, n, all)) {
            type = more[k].type;
            break;
        }
    if (role == VALUE && facts->seventy && (type == TARE_Q3_K || type == TARE_Q4_K))
        type = TARE_Q5_K;
    return facts->experts == 8 && (role == VALUE || strstr(name, "attn_k.weight")) ? TARE_Q8_0 : type;
}
