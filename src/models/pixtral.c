/* SPDX-License-Identifier: MIT
 * pixtral.c - the text model of Pixtral (mlx-lm: models/pixtral.py). */
#include "models/family/wrapper.h"

/* The text model is Llama, but mlx-lm does not call Llama's sanitize: names are taken as they are published. */
static enum tare_code derive(void *args, const struct tare_derive *d)
{
    (void)args;
    struct tare_arch *text = tare_arena_alloc(d->arena, sizeof *text);
    if (!text)
        return tare_fail_memory(d->err);
    *text = tare_arch_llama;
    text->sanitize = NULL;
    d->derived->inner = text;
    return TARE_OK;
}

static enum tare_code fill(json_t *inner, const void *args, const struct tare_derive *d)
{
    (void)args;
    if (json_object_set_new(inner, "tie_word_embeddings", json_false()) ||
        !tare_json_default(inner, "num_attention_heads", 32))
        return tare_fail_memory(d->err);
    return TARE_OK;
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop(w, "vision_tower", "the vision tower; only the text model is read");
    tare_drop(w, "multi_modal_projector", "joins the vision tower; only the text model is read");
}

const struct tare_arch tare_arch_pixtral = {
    .name = "pixtral",
    .args = &tare_wrapper_args,
    .derive = derive,
    .sanitize = sanitize,
    .inner = &tare_arch_llama,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
    .fill = fill,
};
