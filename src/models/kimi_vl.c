/* SPDX-License-Identifier: MIT
 * kimi_vl.c - the text model of Kimi-VL (mlx-lm: models/kimi_vl.py). */
#include "models/family/wrapper.h"

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop_containing(w, "vision_tower", "the vision tower; only the text model is read");
    tare_drop_containing(w, "multi_modal_projector", "joins the vision tower; only the text model is read");
    tare_drop_containing(w, "rotary_emb", "computed from the config");
}

const struct tare_arch tare_arch_kimi_vl = {
    .name = "kimi_vl",
    .args = &tare_wrapper_args,
    .sanitize = sanitize,
    .runs = true,
    .inner = &tare_arch_deepseek_v3,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
};
