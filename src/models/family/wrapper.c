/* SPDX-License-Identifier: MIT
 * wrapper.c - what models around a text model share. */
#include "models/family/wrapper.h"

struct args {
    const char *model_type;
};

static const struct tare_arg args_list[] = {{"model_type", TARE_ARG_TEXT, "ABSENT", offsetof(struct args, model_type)}};

const struct tare_args_info tare_wrapper_args = {args_list, 1, sizeof(struct args)};

bool tare_json_default(json_t *object, const char *key, int64_t value)
{
    const json_t *now = json_object_get(object, key);
    return (now && !json_is_null(now)) || json_object_set_new(object, key, json_integer(value)) == 0;
}

void tare_qwen_vl_sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    const bool nested = tare_find(w, "model.language_model.embed_tokens.weight");
    tare_drop(w, "visual", "the vision tower; only the text model is read");
    tare_drop(w, "vision_tower", "the vision tower; only the text model is read");
    tare_rename(w, "model.language_model.**", "language_model.model.**");
    if (nested) { /* a head is not dropped here, wherever it lies */
        tare_rename(w, "model.lm_head.**", "language_model.model.lm_head.**");
        tare_drop(w, "model", "beside model.language_model, so not of the text model");
    }
    tare_add_prefix(w, "language_model");
}
