/* SPDX-License-Identifier: MIT
 * window.c - which layers see only the last keys. */
#include "models/family/window.h"

#include <string.h>

int64_t tare_window(int64_t window, const json_t *layer_types, int64_t first_windowed, int64_t layer)
{
    if (window < 1)
        return 0;
    if (!layer_types)
        return layer >= first_windowed ? window : 0;
    const char *type = json_string_value(json_array_get(layer_types, (size_t)layer));
    return type && !strcmp(type, "sliding_attention") ? window : 0;
}

enum tare_code tare_layer_types_check(const json_t *layer_types, int64_t n, const char *place, struct tare_error *err)
{
    if (!layer_types)
        return TARE_OK;
    bool fits = json_array_size(layer_types) == (size_t)n;
    for (size_t i = 0; fits && i < (size_t)n; i++)
        fits = json_is_string(json_array_get(layer_types, i));
    return fits ? TARE_OK
                : tare_fail(err, TARE_E_CONFIG, place, "layer_types must be a list of %lld words, one a layer",
                            (long long)n);
}
