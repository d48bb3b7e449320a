/* SPDX-License-Identifier: MIT
 * theta.c - the base of the rotary embedding in both spellings. */
#include "models/family/theta.h"

#include "config/args.h"

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
