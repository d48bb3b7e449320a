/* SPDX-License-Identifier: MIT
 * gemma3.c - the text model of Gemma 3 with vision (mlx-lm: models/gemma3.py). */
#include "models/family/wrapper.h"

#define ARGS(ARG) ARG(INT, vocab_size, 262208)
TARE_ARGS(ARGS);

static enum tare_code fill(json_t *inner, const void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (json_object_set_new(inner, "vocab_size", json_integer(a->vocab_size)) ||
        !tare_json_default(inner, "num_attention_heads", 8) || !tare_json_default(inner, "num_key_value_heads", 4))
        return tare_fail_memory(d->err);
    return TARE_OK;
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop(w, "vision_tower", "the vision tower; only the text model is read");
    tare_drop(w, "multi_modal_projector", "joins the vision tower; only the text model is read");
    /* transformers 5 in memory: all below "model", the head beside it. mlx-lm cannot read that. */
    if (!tare_find(w, "model.language_model.embed_tokens.weight"))
        return;
    tare_drop(w, "model.vision_tower", "the vision tower; only the text model is read");
    tare_drop(w, "model.multi_modal_projector", "joins the vision tower; only the text model is read");
    tare_rename(w, "model.language_model.**", "language_model.model.**");
    tare_rename(w, "lm_head.**", "language_model.lm_head.**");
}

const struct tare_arch tare_arch_gemma3 = {
    .name = "gemma3",
    .args = &args_info,
    .sanitize = sanitize,
    .transformers_tied = true,
    .inner = &tare_arch_gemma3_text,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
    .fill = fill,
};
