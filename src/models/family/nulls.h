/* SPDX-License-Identifier: MIT
 * nulls.h - keys of config.json for which null is an answer of its own ("there is none") and not the default. Both are
 * for derive. */
#ifndef TARE_MODELS_FAMILY_NULLS_H
#define TARE_MODELS_FAMILY_NULLS_H

#include "models/model.h"

/* -1 when the key is there and null; else *value stays. */
void tare_null_number(int64_t *value, const char *key, const struct tare_derive *d);

/* TARE_E_CONFIG when a key is not there at all: for INTs that are ABSENT because they may be null. */
enum tare_code tare_keys_needed(const char *const *keys, size_t n, const struct tare_derive *d);

#endif
