/* SPDX-License-Identifier: MIT
 * wrapper.h - what models around a text model share: their args, what they put into text_config, and their towers'
 * names. */
#ifndef TARE_MODELS_FAMILY_WRAPPER_H
#define TARE_MODELS_FAMILY_WRAPPER_H

#include "models/model.h"

/* Of a wrapper that reads nothing but text_config. */
extern const struct tare_args_info tare_wrapper_args;

/* Set an integer that is absent or null; false: no memory. */
bool tare_json_default(json_t *object, const char *key, int64_t value);

/* Qwen's two layouts: visual.** beside model.**, or model.visual.** beside model.language_model.** ->
 * language_model.model.**. */
void tare_qwen_vl_sanitize(struct tare_weights *w, const void *args);

#endif
