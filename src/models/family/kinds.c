/* SPDX-License-Identifier: MIT
 * kinds.c - which layer is of which kind, by a list in config.json. */
#include "models/family/kinds.h"

#include <string.h>

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
