/* SPDX-License-Identifier: MIT
 * mistral3.c - the text model of Mistral 3 with vision (mlx-lm: models/mistral3.py; "llava" is an alias). */
#include <string.h>

#include "models/family/wrapper.h"

/* Silence means a head of its own, whatever the text model's default. */
static enum tare_code fill(json_t *inner, const void *args, const struct tare_derive *d)
{
    (void)args;
    if (!json_object_get(inner, "tie_word_embeddings") &&
        json_object_set_new(inner, "tie_word_embeddings", json_false()))
        return tare_fail_memory(d->err);
    return TARE_OK;
}

static const struct tare_arch *choose(const json_t *inner, const struct tare_derive *d)
{
    const char *type = tare_json_text(inner, "model_type", "");
    const struct tare_arch *arch = &tare_arch_llama;
    if (strcmp(type, "ministral3") && strcmp(type, "mistral4"))
        return arch;
    return tare_arch_find(type, NULL, &arch, d->err) ? NULL : arch;
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop_containing(w, "vision_tower", "the vision tower; only the text model is read");
    tare_drop_containing(w, "multi_modal_projector", "joins the vision tower; only the text model is read");
    tare_rename(w, "model.language_model.**", "language_model.model.**");
    tare_add_prefix(w, "language_model");
}

const struct tare_arch tare_arch_mistral3 = {
    .name = "mistral3",
    .args = &tare_wrapper_args,
    .sanitize = sanitize,
    .runs = true, /* each that it may choose does */
    .transformers_tied = true,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
    .choose = choose,
    .fill = fill,
};
