/* SPDX-License-Identifier: MIT
 * compressed.c - quantization_config of compressed-tensors: pack-quantized int4, symmetric, without actorder, and
 * mxfp4-pack-quantized; all else is refused by name. (Left out: float-quantized, naive-quantized, int-quantized,
 * nvfp4-pack-quantized, mxfp8-quantized, other widths.)
 */
#include <string.h>

#include "config/quant.h"

static const char *text_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? json_string_value(value) : NULL;
}

static enum tare_code refuse(const char *place, const char *group, const char *key, const json_t *value,
                             const char *known, struct tare_error *err)
{
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
    return tare_fail(err, TARE_E_UNKNOWN, place, "compressed-tensors, group %.64s: %s is %.64s; tare reads %s so far",
                     group, key, got, known);
}

/* {"num_bits": 4, "type": "int", "symmetric": true, "strategy": "group", "group_size": 32, "actorder": null} */
static enum tare_code read_weights(const json_t *weights, const char *format, const char *place, const char *group,
                                   struct tare_quant *quant, struct tare_error *err)
{
    const json_t *bits = json_object_get(weights, "num_bits"), *type = json_object_get(weights, "type");
    const json_t *symmetric = json_object_get(weights, "symmetric"), *size = json_object_get(weights, "group_size");
    const json_t *order = json_object_get(weights, "actorder"), *strategy = json_object_get(weights, "strategy");
    const bool mxfp4 = strcmp(format, "pack-quantized") != 0;
    const char *word = json_is_string(strategy) ? json_string_value(strategy) : NULL;
    if (!json_is_integer(bits) || json_integer_value(bits) != 4)
        return refuse(place, group, "num_bits", bits, "4", err);
    const char *known = mxfp4 ? "float" : "int";
    if (type && (!json_is_string(type) || strcmp(json_string_value(type), known)))
        return refuse(place, group, "type", type, known, err);
    if (symmetric && !json_is_true(symmetric))
        return refuse(place, group, "symmetric", symmetric, "true", err);
    /* "weight" leaves no trace in the tensors (formats.md) */
    if (order && !json_is_null(order) && !json_is_false(order) &&
        (!json_is_string(order) || strcmp(json_string_value(order), "weight")))
        return refuse(place, group, "actorder", order, "null", err);
    if (strategy && !json_is_null(strategy) && (!word || (strcmp(word, "group") && strcmp(word, "channel"))))
        return refuse(place, group, "strategy", strategy, "group and channel", err);
    if (size && !json_is_null(size) &&
        (!json_is_integer(size) || json_integer_value(size) < -1 || !json_integer_value(size) ||
         json_integer_value(size) > INT32_MAX))
        return tare_fail(err, TARE_E_CONFIG, place, "group_size must be at least 1, or -1 for the whole row");
    quant->group_size = json_is_integer(size) ? json_integer_value(size) : word && !strcmp(word, "channel") ? -1 : 0;
    return TARE_OK;
}

enum tare_code tare_quant_read_compressed(const json_t *object, const char *place, struct tare_arena *arena,
                                          struct tare_quant *quant, struct tare_error *err)
{
    const json_t *groups = json_object_get(object, "config_groups");
    const char *format = text_of(object, "format"), *name;
    json_t *group;
    size_t n = 0;
    int64_t group_size = 0;
    bool differ = false;
    (void)arena;
    quant->method = TARE_METHOD_COMPRESSED;
    quant->bits = 4;
    if (!format || (strcmp(format, "pack-quantized") != 0 && strcmp(format, "mxfp4-pack-quantized") != 0))
        return tare_fail(err, TARE_E_UNKNOWN, place,
                         "compressed-tensors format \"%.64s\" is not known; tare reads pack-quantized and "
                         "mxfp4-pack-quantized so far",
                         format ? format : "");
    json_object_foreach((json_t *)(uintptr_t)groups, name, group)
    {
        const char *own = text_of(group, "format");
        if (own && strcmp(own, format))
            return refuse(place, name, "format", json_object_get(group, "format"), format, err);
        const enum tare_code code = read_weights(json_object_get(group, "weights"), format, place, name, quant, err);
        if (code)
            return code;
        differ |= n++ && quant->group_size != group_size;
        group_size = quant->group_size;
    }
    quant->group_size = differ ? 0 : group_size;
    return TARE_OK;
}
