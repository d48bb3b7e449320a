/* SPDX-License-Identifier: MIT
 * kimi_k25.c - the text model of Kimi K2.5 (mlx-lm: models/kimi_k25.py). */
#include "models/family/wrapper.h"

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop(w, "vision_tower", "the vision tower; only the text model is read");
    tare_drop(w, "vision_model", "the vision tower; only the text model is read");
    tare_drop(w, "multi_modal_projector", "joins the vision tower; only the text model is read");
    tare_drop(w, "language_model.model.layers.61", "predicts several tokens at once, which generation does not use");
    tare_drop(w, "mm_projector", "joins the vision tower; only the text model is read");
}

const struct tare_arch tare_arch_kimi_k25 = {
    .name = "kimi_k25",
    .args = &tare_wrapper_args,
    .sanitize = sanitize,
    .transformers_tied = true,
    .runs = true,
    .inner = &tare_arch_deepseek_v3,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
};
