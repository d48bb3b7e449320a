/* SPDX-License-Identifier: MIT
 * mamba_family.c - configs and names of Mamba models. */
#include "models/family/mamba_family.h"

#include <string.h>

int64_t tare_mamba_rank(struct tare_at at, const char *key, const json_t *value, int64_t dim)
{
    const json_int_t rank = json_integer_value(value);
    if (!value || (json_is_string(value) && !strcmp(json_string_value(value), "auto")))
        return (dim + 15) / 16;
    if (json_is_integer(value) && rank >= 1 && rank <= INT32_MAX)
        return rank;
    if (!at.tree->error.code)
        tare_fail(&at.tree->error, TARE_E_CONFIG, "config.json", "%s must be a number of at least 1, or \"auto\"", key);
    return 1;
}

/* JSON has no Infinity, but configs do; json.c reads it as a string. */
double tare_mamba_limit(const json_t *limit, size_t i)
{
    const json_t *number = json_array_get(limit, i);
    const char *word = json_string_value(number);
    return word && !strcmp(word, "Infinity") ? INFINITY : json_number_value(number);
}

enum tare_code tare_mamba_limit_check(const json_t *limit, const struct tare_derive *d)
{
    bool good = !limit || json_array_size(limit) == 2;
    for (size_t i = 0; limit && good && i < 2; i++)
        good = json_is_number(json_array_get(limit, i)) || isinf(tare_mamba_limit(limit, i));
    if (good && (!limit || tare_mamba_limit(limit, 0) <= tare_mamba_limit(limit, 1)))
        return TARE_OK;
    return tare_fail(d->err, TARE_E_CONFIG, d->place,
                     "time_step_limit must be a list of two numbers, the first not above the second");
}

void tare_mamba_sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_conv_channels_last(w, "**.*conv1d.weight");
}
