/* SPDX-License-Identifier: MIT
 * gemma4.c - the text model of Gemma 4 (mlx-lm: models/gemma4.py; "gemma4_unified" is an alias). */
#include "models/family/wrapper.h"

#define ARGS(ARG) ARG(INT, vocab_size, 262144)
TARE_ARGS(ARGS);

static const char *const other_towers[] = {"vision_tower*", "multi_modal_projector*", "audio_tower*",
                                           "embed_audio*",  "embed_vision*",          "vision_embedder*"};

static enum tare_code fill(json_t *inner, const void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (json_object_set_new(inner, "vocab_size", json_integer(a->vocab_size)) ||
        !tare_json_default(inner, "num_attention_heads", 8) || !tare_json_default(inner, "num_key_value_heads", 1))
        return tare_fail_memory(d->err);
    return TARE_OK;
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_rename(w, "model.language_model.**", "language_model.model.**");
    tare_rename(w, "model.**", "**");
    for (size_t i = 0; i < sizeof other_towers / sizeof *other_towers; i++)
        tare_drop(w, other_towers[i], "another tower; only the text model is read");
}

const struct tare_arch tare_arch_gemma4 = {
    .name = "gemma4",
    .args = &args_info,
    .sanitize = sanitize,
    .transformers_tied = true,
    .inner = &tare_arch_gemma4_text,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
    .fill = fill,
};
