/* SPDX-License-Identifier: MIT
 * lfm2_vl.c - the text model of LFM2 with vision (mlx-lm: models/lfm2-vl.py). */
#include "models/family/wrapper.h"

static enum tare_code fill(json_t *inner, const void *args, const struct tare_derive *d)
{
    (void)args;
    return json_object_set_new(inner, "tie_word_embeddings", json_false()) ? tare_fail_memory(d->err) : TARE_OK;
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop(w, "vision_tower", "the vision tower; only the text model is read");
    tare_drop(w, "multi_modal_projector", "joins the vision tower; only the text model is read");
    /* As transformers publishes it: all below "model". mlx-lm cannot read that. */
    if (!tare_find(w, "model.language_model.embed_tokens.weight"))
        return;
    tare_drop(w, "model.vision_tower", "the vision tower; only the text model is read");
    tare_drop(w, "model.multi_modal_projector", "joins the vision tower; only the text model is read");
    tare_rename(w, "model.language_model.**", "language_model.model.**");
}

const struct tare_arch tare_arch_lfm2_vl = {
    .name = "lfm2-vl",
    .args = &tare_wrapper_args,
    .sanitize = sanitize,
    .inner = &tare_arch_lfm2,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
    .fill = fill,
};
