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

/* The text model inside is the one that its own config names, or else Llama. */
static enum tare_code derive(void *args, const struct tare_derive *d)
{
    (void)args;
    const char *type = tare_json_text(json_object_get(d->config, "text_config"), "model_type", "");
    d->derived->inner = !strcmp(type, "ministral3") ? &tare_arch_ministral3
                        : !strcmp(type, "mistral4") ? &tare_arch_mistral4
                                                    : &tare_arch_llama;
    return TARE_OK;
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
    .derive = derive,
    .sanitize = sanitize,
    .runs = true, /* as each of the three text models does */
    .transformers_tied = true,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
    .fill = fill,
};
