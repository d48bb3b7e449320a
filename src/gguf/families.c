/* SPDX-License-Identifier: MIT
 * families.c - the table of families.def and its searches, by model type and by line. */
#include <string.h>

#include "gguf/spelling.h"

/* Groups of traits. Where they leave one out, it is false, 0 or NULL. */
#define SILU .activation = "silu"
#define LLAMA SILU, .stems = tare_gguf_stems_mixtral, .permuted = true, .one_factor_list = true, .factor_lists = true
#define MIXTRAL .reads_when = TARE_GGUF_KEY_EXPERTS, .experts_key = "num_local_experts"
#define SPARSE SILU, .stems = tare_gguf_stems_sparse, .sparse = true, .read_only = true
#define GEMMA .norms_plus_one = true, .always_tied = true
#define FOUR_NORMS .stems = tare_gguf_stems_four_norms, .norms_plus_one = true, .activation = "gelu_pytorch_tanh"
#define GEMMA2 FOUR_NORMS, .wide = 46, .windows = TARE_GGUF_WINDOWS_ALTERNATE, .caps = TARE_GGUF_CAPS_BOTH
#define GEMMA3 FOUR_NORMS, .wide = 62, .windows = TARE_GGUF_WINDOWS_LISTED, .caps = TARE_GGUF_CAPS_LOGITS
#define PHI3 SILU, .stems = tare_gguf_stems_fused, .partial_rotary = true, .factor_lists = true

static const struct tare_gguf_family families[] = {
#define FAMILY(word, type, class, ...) {.architecture = word, .model_type = type, .class_name = class, __VA_ARGS__},
#include "gguf/families.def"
#undef FAMILY
};
#define FAMILIES (sizeof families / sizeof *families)

const struct tare_gguf_family *tare_gguf_family_at(size_t k)
{
    return k < FAMILIES ? &families[k] : NULL;
}

const struct tare_gguf_family *tare_gguf_family_written(const char *model_type)
{
    for (size_t k = 0; k < FAMILIES; k++)
        if (!families[k].read_only && !strcmp(families[k].model_type, model_type))
            return &families[k];
    return NULL;
}

/* What line k adds to a list of what is read or written; NULL: it is not read, or not written. */
static const char *listed_name(size_t k, bool written)
{
    if (written)
        return families[k].read_only ? NULL : families[k].model_type;
    return families[k].class_name ? families[k].architecture : NULL;
}

static bool listed_before(size_t k, bool written)
{
    for (size_t i = 0; i < k; i++) {
        const char *earlier = listed_name(i, written);
        if (earlier && !strcmp(earlier, listed_name(k, written)))
            return true;
    }
    return false;
}

const char *tare_gguf_families_text(bool written, struct tare_arena *arena)
{
    const char *text = NULL, *pending = NULL; /* the name before the last waits for its comma or "and" */
    for (size_t k = 0; k < FAMILIES && !arena->failed; k++) {
        const char *name = listed_name(k, written);
        if (!name || listed_before(k, written))
            continue;
        if (pending)
            text = text ? tare_arena_format(arena, "%s, %s", text, pending) : pending;
        pending = name;
    }
    return text ? tare_arena_format(arena, "%s and %s", text, pending) : pending;
}
