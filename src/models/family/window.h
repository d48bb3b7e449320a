/* SPDX-License-Identifier: MIT
 * window.h - which layers see only the last keys. */
#ifndef TARE_MODELS_FAMILY_WINDOW_H
#define TARE_MODELS_FAMILY_WINDOW_H

#include "config/json.h"

/*
 * The sliding window of one layer, 0 for none. layer_types, where there is one, names each layer ("sliding_attention");
 * without it the layers from first_windowed on have the window.
 */
int64_t tare_window(int64_t window, const json_t *layer_types, int64_t first_windowed, int64_t layer);

/* TARE_E_CONFIG unless layer_types is absent or a list of n words. */
enum tare_code tare_layer_types_check(const json_t *layer_types, int64_t n, const char *place, struct tare_error *err);

#endif
