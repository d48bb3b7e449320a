/* SPDX-License-Identifier: MIT
 * theta.h - the base of the rotary embedding, in the spelling of transformers 4 (rope_theta) or 5
 * (rope_parameters.rope_theta). */
#ifndef TARE_MODELS_FAMILY_THETA_H
#define TARE_MODELS_FAMILY_THETA_H

#include "config/json.h"

/* *theta, NaN when the config does not have `key` itself, from rope_parameters; refused when neither has one. */
enum tare_code tare_theta_read(double *theta, const char *key, const json_t *rope_parameters, const char *place,
                               struct tare_error *err);

/* Rotated dimensions of a head: (int)(head * factor), refused unless 0 < factor <= 1. */
enum tare_code tare_partial_check(double factor, const char *place, struct tare_error *err);

#endif
