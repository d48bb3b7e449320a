/* SPDX-License-Identifier: MIT
 * layer_kinds.h - reads lists of config.json that tell the layers of a model apart: a list holds one word for each
 * layer ("layer_types"), or the numbers of some layers ("full_attn_idxs"). The checks are called by derive; the
 * questions may be asked afterwards for every layer. */
#ifndef TARE_MODELS_FAMILY_LAYER_KINDS_H
#define TARE_MODELS_FAMILY_LAYER_KINDS_H

#include "models/model.h"

/* Fails with TARE_E_CONFIG unless the list has n words, each of them one of those in `known` ("mamba attention"). */
enum tare_code tare_words_check(const json_t *list, const char *key, int64_t n, const char *known,
                                const struct tare_derive *d);
/* Tells whether the list names layer i by this word. */
bool tare_word_is(const json_t *list, int64_t i, const char *word);

/* Fails with TARE_E_CONFIG unless layer_types is absent or a list of n words, whatever they are. */
enum tare_code tare_layer_types_check(const json_t *layer_types, int64_t n, const char *place, struct tare_error *err);
/* Returns the sliding window of one layer, 0 for none. Where layer_types is present, it names the layers that have the
 * window ("sliding_attention"); without it these are the layers from first_windowed on. */
int64_t tare_window(int64_t window, const json_t *layer_types, int64_t first_windowed, int64_t layer);

/* Fails with TARE_E_CONFIG unless the list is absent or holds only integers. */
enum tare_code tare_numbers_check(const json_t *list, const char *key, const struct tare_derive *d);
/* Tells whether the list contains the number. */
bool tare_numbers_have(const json_t *list, int64_t number);
/* Fails with TARE_E_CONFIG unless the list holds at least n integers, one for each layer ("hybrid_layer_pattern"). */
enum tare_code tare_layer_numbers_check(const json_t *list, int64_t n, const char *key, const char *place,
                                        struct tare_error *err);

#endif
