/* SPDX-License-Identifier: MIT
 * wrapper.h - what models that wrap a text model share: args, defaults that they put into text_config, and the names of
 * Qwen's towers. */
#ifndef TARE_MODELS_FAMILY_WRAPPER_H
#define TARE_MODELS_FAMILY_WRAPPER_H

#include "models/model.h"

/* The args of a wrapper that reads nothing but text_config. */
extern const struct tare_args_info tare_wrapper_args;

/* Sets an integer where it is absent or null. Returns false when memory ran out. */
bool tare_json_default(json_t *object, const char *key, int64_t value);

/* Puts the text model's names below language_model, from either of Qwen's two layouts, and drops the tower: visual.**
 * beside model.**, or model.visual.** beside model.language_model.**. */
void tare_qwen_vl_sanitize(struct tare_weights *w, const void *args);

#endif
