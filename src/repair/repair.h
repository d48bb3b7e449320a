/* SPDX-License-Identifier: MIT
 * repair.h - what the files of repair/ share: a patch while it is being found.
 *
 * repair.c plans the checkpoint as it would be with the edits so far, asks each mender, and plans again until none has
 * anything to say. mend_index.c, mend_quant.c, mend_tie.c and mend_tensors.c are the menders; readings.c tells from
 * names, dtypes and shapes how tensors are packed; edit_json.c and header.c make the new texts; apply.c and in_place.c
 * write them.
 */
#ifndef TARE_REPAIR_REPAIR_H
#define TARE_REPAIR_REPAIR_H

#include "base/text.h"
#include "open/edits.h"
#include "plan/stages.h"

#define TARE_BEFORE ".before-repair"        /* the old file, kept beside the new one */
#define TARE_ABSENT ".absent-before-repair" /* an empty file: there was none */

/* A side file as it would be. */
struct tare_repaired {
    const char *name;
    char *old, *text; /* heap; old NULL: it is not there */
    size_t old_size, size;
};

#define TARE_REPAIRED_MOST 3 /* config.json, quantize_config.json, the index */

struct tare_repair {
    struct tare_arena arena; /* owns texts of changes and notes */
    char *path;              /* heap */
    struct tare_options options;
    tare_stages_fn *stages; /* how a plan is made; given by src/tare.c */
    struct tare_repaired files[TARE_REPAIRED_MOST];
    size_t n_files;
    struct tare_edits edits; /* borrows edited and tensors */
    struct tare_edited_file edited[TARE_REPAIRED_MOST];
    struct tare_edited_tensor *tensors; /* heap */
    size_t tensors_room;
    struct tare_repair_change *changes; /* heap */
    size_t n_changes, changes_room;
    struct tare_repair_note *notes; /* heap */
    size_t n_notes, notes_room;
    struct tare_model *model; /* planned with the edits so far */
    struct tare_repair_report report;
};

/* tare_repair_open(), with the stages that make a plan. */
enum tare_code tare_patch_find(struct tare_repair **repair, const char *path, const struct tare_options *options,
                               tare_stages_fn *stages, struct tare_error *err);
/*
 * Set (or with value NULL remove) one key of config.json or quantize_config.json; path ends with NULL; takes value.
 * Nothing happens where it is so already. Sets *changed otherwise.
 */
enum tare_code tare_repair_set(struct tare_repair *r, const char *file, const char *const *path, json_t *value,
                               const char *because, bool *changed, struct tare_error *err);
/*
 * Plan with other options and edits than those of the repair. The plan may fail, and then says why; the code is not OK
 * only without memory. The edits need not outlive the trial: planning has read all files by then.
 */
enum tare_code tare_repair_trial(const struct tare_repair *r, const struct tare_options *options,
                                 const struct tare_edits *edits, struct tare_model **trial, struct tare_error *err);
/*
 * What if a key of config.json were set so? *trial receives the plan, the caller's (tare_model_free), or NULL where the
 * text has no place for the key; nothing is changed. headers: no weight is read.
 */
enum tare_code tare_repair_try(struct tare_repair *r, const char *const *path, const json_t *value, bool headers,
                               struct tare_model **trial, struct tare_error *err);
/* Does the trial load, or has it at least fewer errors than the plan so far? NULL: no. */
bool tare_repair_better(const struct tare_repair *r, const struct tare_model *trial);
/* Rename a tensor, or with to NULL drop it. */
enum tare_code tare_repair_tensor(struct tare_repair *r, const struct tare_tensor *tensor, const char *to,
                                  const char *because, bool *changed, struct tare_error *err);
/* A new text of a side file, copied; the plan sees it from the next round on. */
enum tare_code tare_repair_text(struct tare_repair *r, const char *name, const char *text, size_t size,
                                struct tare_error *err);
bool tare_repair_change(struct tare_repair *r, const char *file, const char *kind, const char *key, const char *before,
                        const char *after, const char *because);
/* Something is seen and left as it is; said once. */
void tare_repair_note(struct tare_repair *r, const char *where, const char *format, ...) TARE_PRINTF(3, 4);
const struct tare_finding *tare_repair_finding(const struct tare_model *model, const char *code);

/* The menders. Each adds what is certain and sets *changed; the code is not OK only where work failed. */
enum tare_code tare_mend_index(struct tare_repair *r, bool *changed, struct tare_error *err);
enum tare_code tare_mend_quant(struct tare_repair *r, bool *changed, struct tare_error *err);
enum tare_code tare_mend_tie(struct tare_repair *r, bool *changed, struct tare_error *err);
enum tare_code tare_mend_tensors(struct tare_repair *r, bool *changed, struct tare_error *err);
/* After the last round: the index that goes with the tensors' new names. */
enum tare_code tare_index_rebuild(struct tare_repair *r, struct tare_error *err);

/* Is the shard's header another one? */
bool tare_header_changes(const struct tare_repair *r, size_t file);
/* Why the changed headers cannot be written where the old ones are, in the arena, or NULL. */
enum tare_code tare_header_fits(struct tare_repair *r, const char **why, struct tare_error *err);
/* Write the shard anew: its header, padded to the old one's length where keep is set, then the data that stay. */
enum tare_code tare_header_write(const struct tare_repair *r, size_t file, int fd, bool keep, struct tare_error *err);
/* All bytes of a file into fd: cloned where the file system can. */
enum tare_code tare_file_copy(const char *path, const char *name, int fd, struct tare_error *err);
/* Does the folder at path hold what was planned: the same parameters, each with the same bytes? */
enum tare_code tare_repair_verify(const struct tare_repair *r, const char *path, struct tare_error *err);

#endif
