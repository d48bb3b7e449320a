/* SPDX-License-Identifier: MIT
 * layer_kinds.c - lists of config.json that tell the layers of a model apart. */
#include "models/family/layer_kinds.h"

#include <string.h>

/* Is the word one of those in `known`, which are separated by spaces? */
static bool is_known(const char *known, const char *word)
{
    const size_t size = word ? strcspn(word, " ") : 0;
    if (!size || word[size])
        return false;
    for (const char *at = known; *at; at += strspn(at, " ")) {
        const size_t n = strcspn(at, " ");
        if (n == size && !memcmp(at, word, size))
            return true;
        at += n;
    }
    return false;
}

enum tare_code tare_words_check(const json_t *list, const char *key, int64_t n, const char *known,
                                const struct tare_derive *d)
{
    bool fits = json_is_array(list) && json_array_size(list) == (size_t)n;
    for (size_t i = 0; fits && i < (size_t)n; i++)
        fits = is_known(known, json_string_value(json_array_get(list, i)));
    return fits ? TARE_OK
                : tare_fail(d->err, TARE_E_CONFIG, d->place,
                            "%s must be a list of %lld words, one a layer, each of them one of: %s", key, (long long)n,
                            known);
}

bool tare_word_is(const json_t *list, int64_t i, const char *word)
{
    const char *own = json_string_value(json_array_get(list, (size_t)i));
    return own && !strcmp(own, word);
}

enum tare_code tare_layer_types_check(const json_t *layer_types, int64_t n, const char *place, struct tare_error *err)
{
    if (!layer_types)
        return TARE_OK;
    bool fits = json_array_size(layer_types) == (size_t)n;
    for (size_t i = 0; fits && i < (size_t)n; i++)
        fits = json_is_string(json_array_get(layer_types, i));
    return fits ? TARE_OK
                : tare_fail(err, TARE_E_CONFIG, place, "layer_types must be a list of %lld words, one a layer",
                            (long long)n);
}

int64_t tare_window(int64_t window, const json_t *layer_types, int64_t first_windowed, int64_t layer)
{
    if (window < 1)
        return 0;
    if (!layer_types)
        return layer >= first_windowed ? window : 0;
    const char *type = json_string_value(json_array_get(layer_types, (size_t)layer));
    return type && !strcmp(type, "sliding_attention") ? window : 0;
}

enum tare_code tare_numbers_check(const json_t *list, const char *key, const struct tare_derive *d)
{
    bool numbers = !list || json_is_array(list);
    for (size_t i = 0; numbers && i < json_array_size(list); i++)
        numbers = json_is_integer(json_array_get(list, i));
    return numbers ? TARE_OK : tare_fail(d->err, TARE_E_CONFIG, d->place, "%s must be a list of layer numbers", key);
}

bool tare_numbers_have(const json_t *list, int64_t number)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_integer_value(json_array_get(list, i)) == number)
            return true;
    return false;
}

enum tare_code tare_layer_numbers_check(const json_t *list, int64_t n, const char *key, const char *place,
                                        struct tare_error *err)
{
    bool fits = json_is_array(list) && json_array_size(list) >= (size_t)n;
    for (size_t i = 0; fits && i < json_array_size(list); i++)
        fits = json_is_integer(json_array_get(list, i));
    return fits ? TARE_OK
                : tare_fail(err, TARE_E_CONFIG, place, "%s must be a list of integers, %lld at least", key,
                            (long long)n);
}
