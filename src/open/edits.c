/* SPDX-License-Identifier: MIT
 * edits.c - a checkpoint as it would be. */
#include "open/edits.h"

#include <string.h>

const struct tare_edited_file *tare_edits_file(const struct tare_edits *edits, const char *name)
{
    for (size_t i = 0; edits && i < edits->n_files; i++)
        if (!strcmp(edits->files[i].name, name))
            return &edits->files[i];
    return NULL;
}

void tare_edits_apply(const struct tare_edits *edits, struct tare_checkpoint *checkpoint)
{
    for (size_t i = 0; i < edits->n_tensors; i++) {
        const struct tare_edited_tensor *edit = &edits->tensors[i];
        const uint32_t at = tare_map_get(&checkpoint->by_name, edit->from, strlen(edit->from));
        if (at != TARE_MAP_NONE)
            checkpoint->tensors[at].name = edit->to;
    }
    size_t n = 0;
    for (size_t i = 0; i < checkpoint->n_tensors; i++)
        if (checkpoint->tensors[i].name)
            checkpoint->tensors[n++] = checkpoint->tensors[i];
    checkpoint->n_tensors = n;
    tare_map_clear(&checkpoint->by_name);
}
