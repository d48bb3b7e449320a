/* SPDX-License-Identifier: MIT
 * kinds.h - which layer is of which kind, by a list in config.json: a word a layer, or the numbers of some layers. */
#ifndef TARE_MODELS_FAMILY_KINDS_H
#define TARE_MODELS_FAMILY_KINDS_H

#include "models/model.h"

/* TARE_E_CONFIG unless list has n words, each of them one of `known`: "mamba attention". */
enum tare_code tare_words_check(const json_t *list, const char *key, int64_t n, const char *known,
                                const struct tare_derive *d);
/* Is the word of layer i the one given? */
bool tare_word_is(const json_t *list, int64_t i, const char *word);

/* TARE_E_CONFIG unless list is absent or holds integers only. */
enum tare_code tare_numbers_check(const json_t *list, const char *key, const struct tare_derive *d);
bool tare_numbers_have(const json_t *list, int64_t number);

#endif
