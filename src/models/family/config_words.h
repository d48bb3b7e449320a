/* SPDX-License-Identifier: MIT
 * config_words.h - reads single keys of config.json that many models have, where reading the args alone is not enough:
 * null as an answer of its own, two spellings of one value, defaults that follow from other keys. */
#ifndef TARE_MODELS_FAMILY_CONFIG_WORDS_H
#define TARE_MODELS_FAMILY_CONFIG_WORDS_H

#include "models/model.h"

/* Sets *value to -1 when the key is present and null, which then means "there is none" rather than the default. */
void tare_null_number(int64_t *value, const char *key, const struct tare_derive *d);

/* Fails with TARE_E_CONFIG when one of the keys is not present at all. It serves keys that must be given but may be
 * null: their args have to be ABSENT, as a REQUIRED integer refuses null. */
enum tare_code tare_keys_needed(const char *const *keys, size_t n, const struct tare_derive *d);

/* Reads the base of the rotary embedding. transformers 4 writes it under `key` itself, transformers 5 as
 * rope_parameters.rope_theta: *theta that is NaN, as the config has no `key`, is taken from there. Fails with
 * TARE_E_CONFIG when neither is present. */
enum tare_code tare_theta_read(double *theta, const char *key, const json_t *rope_parameters, const char *place,
                               struct tare_error *err);

/* Fails with TARE_E_CONFIG unless 0 < factor <= 1. The first (int)(head * factor) dimensions of a head rotate. */
enum tare_code tare_partial_check(double factor, const char *place, struct tare_error *err);

/* Returns head_dim as the config gives it or, when that is below 1, dim / heads, which must be a whole number. */
int64_t tare_head_dim(struct tare_at at, int64_t given, int64_t dim, int64_t heads);

/* Fails with TARE_E_CONFIG unless topk_method is "noaux_tc", the only way of choosing experts that is known here. */
enum tare_code tare_topk_method_check(const char *topk_method, const char *place, struct tare_error *err);

#endif
