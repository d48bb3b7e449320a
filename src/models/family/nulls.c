/* SPDX-License-Identifier: MIT
 * nulls.c - keys of config.json for which null is an answer. */
#include "models/family/nulls.h"

void tare_null_number(int64_t *value, const char *key, const struct tare_derive *d)
{
    if (json_is_null(json_object_get(d->config, key)))
        *value = -1;
}

enum tare_code tare_keys_needed(const char *const *keys, size_t n, const struct tare_derive *d)
{
    for (size_t i = 0; i < n; i++)
        if (!json_object_get(d->config, keys[i]))
            return tare_fail(d->err, TARE_E_CONFIG, d->place, "%s is missing; a model of this type needs it", keys[i]);
    return TARE_OK;
}
