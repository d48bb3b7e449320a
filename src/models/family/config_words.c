/* SPDX-License-Identifier: MIT
 * config_words.c - single keys of config.json that many models have. */
#include "models/family/config_words.h"

#include <string.h>

#include "config/args.h"

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

enum tare_code tare_theta_read(double *theta, const char *key, const json_t *rope_parameters, const char *place,
                               struct tare_error *err)
{
    if (isnan(*theta))
        *theta = tare_json_real(rope_parameters, "rope_theta", *theta);
    if (isnan(*theta))
        return tare_fail(err, TARE_E_CONFIG, place,
                         "%s is missing, and so is rope_parameters.rope_theta; a model of this type needs it", key);
    return TARE_OK;
}

enum tare_code tare_partial_check(double factor, const char *place, struct tare_error *err)
{
    if (factor > 0 && factor <= 1)
        return TARE_OK;
    return tare_fail(err, TARE_E_CONFIG, place, "partial_rotary_factor is %g; expected a number above 0, at most 1",
                     factor);
}

int64_t tare_head_dim(struct tare_at at, int64_t given, int64_t dim, int64_t heads)
{
    return given > 0 ? given : tare_div(at, "hidden_size", dim, "num_attention_heads", heads);
}

enum tare_code tare_topk_method_check(const char *topk_method, const char *place, struct tare_error *err)
{
    if (!strcmp(topk_method, "noaux_tc"))
        return TARE_OK;
    return tare_fail(err, TARE_E_CONFIG, place, "topk_method is %s; only noaux_tc is known", topk_method);
}
