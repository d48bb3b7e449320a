/* SPDX-License-Identifier: MIT
 * edits.h - a checkpoint as it would be: what planning is to see instead of what is there. Made by repair/. */
#ifndef TARE_OPEN_EDITS_H
#define TARE_OPEN_EDITS_H

#include "open/checkpoint.h"

/* The text that a side file would have; text is NULL when the file would not exist. */
struct tare_edited_file {
    const char *name, *text;
    size_t size;
};
/* A tensor that would have another name; `to` is NULL when it would be dropped. Its bytes stay where they are. */
struct tare_edited_tensor {
    const char *from, *to;
};

/* Borrowed by the checkpoint as long as it lives. */
struct tare_edits {
    const struct tare_edited_file *files;
    size_t n_files;
    const struct tare_edited_tensor *tensors;
    size_t n_tensors;
    bool no_index; /* as if there were no index */
};

/* The edit of this file, or NULL when it stays as it is. edits may be NULL. */
const struct tare_edited_file *tare_edits_file(const struct tare_edits *edits, const char *name);
/* Rename and drop in the table of tensors, which is to be sorted anew; by_name is that of the table as it is. */
void tare_edits_apply(const struct tare_edits *edits, struct tare_checkpoint *checkpoint);

#endif
