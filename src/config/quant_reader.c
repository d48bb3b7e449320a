/* SPDX-License-Identifier: MIT
 * quant_reader.c - single keys of a quantization_config. */
#include "config/quant_reader.h"

enum tare_code tare_quant_wrong(const struct tare_quant_reader *r, const char *key, const char *wanted)
{
    return tare_fail(r->err, TARE_E_CONFIG, r->place, "%.64s must be %s", key, wanted);
}

enum tare_code tare_quant_unknown(const struct tare_quant_reader *r, const char *what, const char *value,
                                  const char *known)
{
    return tare_fail(r->err, TARE_E_UNKNOWN, r->place, "%s \"%.64s\" is not known; tare reads %s", what, value, known);
}

enum tare_code tare_quant_integer(const struct tare_quant_reader *r, const char *key, int64_t least, int64_t most,
                                  int64_t *into)
{
    const json_t *value = json_object_get(r->object, key);
    if (!value || json_is_null(value))
        return TARE_OK;
    if (!json_is_integer(value) || json_integer_value(value) < least || json_integer_value(value) > most)
        return tare_fail(r->err, TARE_E_CONFIG, r->place, "%s must be an integer from %lld to %lld", key,
                         (long long)least, (long long)most);
    *into = json_integer_value(value);
    return TARE_OK;
}

enum tare_code tare_quant_group_size(const struct tare_quant_reader *r, const char *key, int64_t *into)
{
    const json_t *value = json_object_get(r->object, key);
    if (json_is_integer(value) && !json_integer_value(value))
        return tare_quant_wrong(r, key, "at least 1, or -1 for the whole row");
    return tare_quant_integer(r, key, -1, INT32_MAX, into);
}

enum tare_code tare_quant_text(const struct tare_quant_reader *r, const char *key, const char **into)
{
    const json_t *value = json_object_get(r->object, key);
    if (!value || json_is_null(value))
        return TARE_OK;
    if (!json_is_string(value))
        return tare_quant_wrong(r, key, "a string");
    *into = tare_arena_text(r->arena, json_string_value(value));
    return *into ? TARE_OK : tare_fail_memory(r->err);
}
