/* SPDX-License-Identifier: MIT
 * quant_compressed.c - quantization_config of compressed-tensors: its config_groups and ignore lists. What they say of
 * each module is held against its tensors later (names/targets.c, packing/compressed/compressed.c); what is not known
 * here is refused by name. Source: docs/layouts.md, "compressed-tensors".
 */
#include <string.h>

#include "config/quant.h"

struct reader {
    const json_t *object; /* what keys are read from */
    const char *place, *group;
    struct tare_arena *arena;
    struct tare_error *err;
};

/* Formats, and the codes they store. "dense" compresses nothing; "mixed-precision" leaves it to the groups. */
static const struct form {
    const char *name, *type; /* NULL: both */
    int least, most;         /* bits */
} forms[] = {
    {"pack-quantized", "int", 2, 8},         {"int-quantized", "int", 2, 8},
    {"naive-quantized", NULL, 2, 8},         {"float-quantized", "float", 8, 8},
    {"nvfp4-pack-quantized", "float", 4, 4}, {"mxfp4-pack-quantized", "float", 4, 4},
    {"mxfp8-quantized", "float", 8, 8},
};
#define FORMS                                                                                                          \
    "pack-quantized, int-quantized, naive-quantized, float-quantized, nvfp4-pack-quantized, mxfp4-pack-quantized and " \
    "mxfp8-quantized"

static const struct form *form_of(const char *name)
{
    for (size_t k = 0; k < sizeof forms / sizeof *forms; k++)
        if (name && !strcmp(forms[k].name, name))
            return &forms[k];
    return NULL;
}

static enum tare_code refuse(const struct reader *r, const char *key, const char *known)
{
    const json_t *value = json_object_get(r->object, key);
    char number[32] = "";
    if (json_is_integer(value))
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    const char *got = json_is_string(value)    ? json_string_value(value)
                      : json_is_integer(value) ? number
                      : json_is_true(value)    ? "true"
                      : json_is_false(value)   ? "false"
                      : json_is_null(value)    ? "null"
                      : value                  ? "another kind of value"
                                               : "missing";
    return tare_fail(r->err, TARE_E_UNKNOWN, r->place, "compressed-tensors, group %.64s: %s is %.64s; tare reads %s",
                     r->group, key, got, known);
}

static bool absent(const json_t *value)
{
    return !value || json_is_null(value);
}

/* The value of a key that must be one of the known words; "": it is absent; NULL: it is another value. */
static const char *word_of(const struct reader *r, const char *key, const char *const *known, size_t n)
{
    const json_t *value = json_object_get(r->object, key);
    if (absent(value))
        return "";
    for (size_t k = 0; json_is_string(value) && k < n; k++)
        if (!strcmp(json_string_value(value), known[k]))
            return known[k];
    return NULL;
}

static enum tare_code read_names(const struct reader *r, const char *key, const char *const **into, size_t *n)
{
    const json_t *list = json_object_get(r->object, key);
    if (absent(list))
        return TARE_OK;
    if (!json_is_array(list))
        return tare_fail(r->err, TARE_E_CONFIG, r->place, "%s must be a list of names", key);
    const char **names = tare_arena_array(r->arena, json_array_size(list) + 1, sizeof *names);
    for (size_t i = 0; names && i < json_array_size(list); i++) {
        if (!json_is_string(json_array_get(list, i)))
            return tare_fail(r->err, TARE_E_CONFIG, r->place, "%s must be a list of names", key);
        if (!(names[i] = tare_arena_text(r->arena, json_string_value(json_array_get(list, i)))))
            return tare_fail_memory(r->err);
    }
    *into = names;
    *n = json_array_size(list);
    return names ? TARE_OK : tare_fail_memory(r->err);
}

/* "block_structure": [128, 128] */
static enum tare_code read_block(const struct reader *r, int64_t block[2])
{
    const json_t *list = json_object_get(r->object, "block_structure");
    for (size_t k = 0; !absent(list) && k < 2; k++) {
        const json_t *size = json_array_get(list, k);
        if (json_array_size(list) != 2 || !json_is_integer(size) || json_integer_value(size) < 1 ||
            json_integer_value(size) > INT32_MAX)
            return tare_fail(r->err, TARE_E_CONFIG, r->place,
                             "group %.64s: block_structure must be two integers of at "
                             "least 1, or null",
                             r->group);
        block[k] = json_integer_value(size);
    }
    return TARE_OK;
}

static enum tare_code read_group_size(const struct reader *r, const char *strategy, int64_t *into)
{
    const json_t *size = json_object_get(r->object, "group_size");
    if (!absent(size) && (!json_is_integer(size) || json_integer_value(size) < -1 || !json_integer_value(size) ||
                          json_integer_value(size) > INT32_MAX))
        return tare_fail(r->err, TARE_E_CONFIG, r->place,
                         "group %.64s: group_size must be at least 1, or -1 for the whole row", r->group);
    if (!absent(size) && strcmp(strategy, "channel") && strcmp(strategy, "tensor"))
        *into = json_integer_value(size);
    else if (!strcmp(strategy, "channel") || !strcmp(strategy, "tensor"))
        *into = -1;
    return TARE_OK;
}

/* {"num_bits": 4, "type": "int", "symmetric": true, "strategy": "group", "group_size": 32, "actorder": null} */
static enum tare_code read_weights(const struct reader *r, struct tare_quant_group *to)
{
    static const char *const types[] = {"int", "float"}, *const orders[] = {"weight", "group", "static", "dynamic"};
    static const char *const strategies[] = {"group", "channel", "tensor", "tensor_group", "block"};
    const json_t *bits = json_object_get(r->object, "num_bits"), *even = json_object_get(r->object, "symmetric");
    const json_t *order = json_object_get(r->object, "actorder");
    const struct form *form = form_of(to->format);
    const char *type = word_of(r, "type", types, 2), *strategy = word_of(r, "strategy", strategies, 5);
    if (!type || (form && form->type && *type && strcmp(type, form->type)))
        return refuse(r, "type", !form || !form->type ? "int and float" : form->type);
    to->integers = strcmp(form && form->type ? form->type : type, "float") != 0;
    if (!json_is_integer(bits) || json_integer_value(bits) < (form ? form->least : 2) ||
        json_integer_value(bits) > (form ? form->most : 8))
        return refuse(r, "num_bits", !form || form->least == 2 ? "2 to 8" : form->least == 4 ? "4" : "8");
    if (!to->integers && json_integer_value(bits) != 4 && json_integer_value(bits) != 8)
        return refuse(r, "num_bits", "4 and 8 where codes are floats");
    to->bits = (int)json_integer_value(bits);
    if (!absent(even) && !json_is_boolean(even))
        return refuse(r, "symmetric", "true and false");
    to->symmetric = json_is_false(even) ? 0 : 1;
    if (!to->symmetric && !to->integers)
        return refuse(r, "symmetric", "true where codes are floats");
    if (!strategy)
        return refuse(r, "strategy", "group, channel, tensor, tensor_group and block");
    to->strategy = strategy;
    /* "weight" (also called static) leaves no trace in the tensors; true is an old spelling of "group" (dynamic) */
    if (!absent(order) && !json_is_boolean(order) && !word_of(r, "actorder", orders, 4))
        return refuse(r, "actorder", "null, weight and group");
    const enum tare_code code = read_group_size(r, strategy, &to->group_size);
    return code ? code : read_block(r, to->block);
}

static enum tare_code read_group(const struct reader *r, const char *format, struct tare_quant_group *to)
{
    const json_t *own = json_object_get(r->object, "format"), *weights = json_object_get(r->object, "weights");
    const struct reader inner = {weights, r->place, r->group, r->arena, r->err};
    to->name = tare_arena_text(r->arena, r->group);
    to->strategy = "";
    const struct form *form = form_of(json_is_string(own) ? json_string_value(own) : format);
    if (!absent(own) && !form)
        return refuse(r, "format", FORMS);
    to->format = form ? form->name : NULL;
    if (absent(weights)) /* quantizes activations only */
        return TARE_OK;
    const enum tare_code code = read_names(r, "targets", &to->targets, &to->n_targets);
    return code ? code : read_weights(&inner, to);
}

/* Refuses settings that change weights beyond packing them. */
static enum tare_code refuse_more(const struct reader *r)
{
    const json_t *sparse = json_object_get(json_object_get(r->object, "sparsity_config"), "format");
    const json_t *turned = json_object_get(json_object_get(r->object, "transform_config"), "config_groups");
    static const char *const known[] = {"dense", "sparse-24-bitmask", "sparse-bitmask"};
    bool is_known = absent(sparse);
    for (size_t k = 0; json_is_string(sparse) && k < sizeof known / sizeof *known; k++)
        is_known |= !strcmp(json_string_value(sparse), known[k]);
    if (!is_known)
        return tare_fail(
            r->err, TARE_E_UNKNOWN, r->place,
            "compressed-tensors with sparsity_config format \"%.64s\"; tare reads dense, sparse-24-bitmask "
            "and sparse-bitmask",
            json_is_string(sparse) ? json_string_value(sparse) : "");
    if (json_object_size(turned))
        return tare_fail(r->err, TARE_E_UNKNOWN, r->place,
                         "compressed-tensors with a transform_config: the model must turn its activations to fit such "
                         "weights, which tare does not");
    return TARE_OK;
}

/* What all groups that store weights have in common. */
static void agree(struct tare_quant *quant)
{
    bool first = true;
    for (size_t k = 0; k < quant->n_groups; k++) {
        const struct tare_quant_group *g = &quant->groups[k];
        if (!g->bits)
            continue;
        quant->bits = first || quant->bits == g->bits ? g->bits : 0;
        quant->group_size = first || quant->group_size == g->group_size ? g->group_size : 0;
        first = false;
    }
}

enum tare_code tare_quant_read_compressed(const json_t *object, const char *place, struct tare_arena *arena,
                                          struct tare_quant *quant, struct tare_error *err)
{
    const json_t *groups = json_object_get(object, "config_groups"), *top = json_object_get(object, "format");
    const char *format = json_is_string(top) ? json_string_value(top) : "", *name;
    const struct reader r = {object, place, "", arena, err};
    json_t *group;
    quant->method = TARE_METHOD_COMPRESSED;
    const bool only_sparse = absent(top) && json_is_object(json_object_get(object, "sparsity_config"));
    if (!only_sparse && !form_of(format) && strcmp(format, "mixed-precision") && strcmp(format, "dense"))
        return tare_fail(err, TARE_E_UNKNOWN, place,
                         "compressed-tensors format \"%.64s\" is not known; tare reads " FORMS, format);
    if (!absent(groups) && !json_is_object(groups))
        return tare_fail(err, TARE_E_CONFIG, place, "config_groups must be an object of groups");
    struct tare_quant_group *list = tare_arena_array(arena, json_object_size(groups) + 1, sizeof *list);
    if (!list)
        return tare_fail_memory(err);
    quant->groups = list;
    enum tare_code code = refuse_more(&r);
    const json_t *version = json_object_get(object, "version");
    if (json_is_string(version) && !(quant->version = tare_arena_text(arena, json_string_value(version))))
        return tare_fail_memory(err);
    if (!code)
        code = read_names(&r, "ignore", &quant->skipped, &quant->n_skipped);
    json_object_foreach((json_t *)(uintptr_t)groups, name, group)
    {
        const struct reader inner = {group, place, name, arena, err};
        if (!code)
            code = read_group(&inner, format, &list[quant->n_groups++]);
    }
    agree(quant);
    return code;
}
