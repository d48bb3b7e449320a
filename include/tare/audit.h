/* SPDX-License-Identifier: MIT
 *
 * tare/audit.h - compare, verify and repair checkpoints.
 * A part of tare.h, which says what holds for all of it.
 */
#ifndef TARE_AUDIT_H
#define TARE_AUDIT_H

#include "plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- diff -------------------------------------------------------------------------------------------------------- */

typedef struct tare_diff tare_diff;

/* How far a parameter of two checkpoints agrees. Those before TARE_DIFFERENT count as equal. */
enum tare_sameness {
    /* The bytes are the same as stored. */
    TARE_SAME_BYTES,
    /* Packed on both sides, with the same width, codes, scales and zeros, in whatever layout. */
    TARE_SAME_CODES,
    /* The numbers are the same in float32, dequantized where they are packed. */
    TARE_SAME_VALUES,
    /* At least one number differs. */
    TARE_DIFFERENT,
    /* The shapes differ, so nothing was compared. */
    TARE_DIFFERENT_SHAPE,
    /* Only one of the two has the parameter. */
    TARE_ONLY_FIRST,
    TARE_ONLY_SECOND
};
#define TARE_SAMENESS_COUNT 7

/* One checkpoint's form of a parameter; all zero where the checkpoint does not have it. */
struct tare_diff_side {
    /* Of its first module: "awq-gemm", "float16"; NULL: the parameter is not there. */
    const char *packing;
    /* 0: plain. */
    int bits;
    int64_t group_size;
    int rank;
    /* rank numbers. */
    const int64_t *shape;
    /* Of the modules that it is made of, as they are stored. */
    uint64_t bytes;
};

/* One parameter. */
struct tare_diff_row {
    /* mlx-lm's name. */
    const char *name;
    enum tare_sameness sameness;
    /* In the first model and in the second one. */
    const struct tare_diff_side *side[2];
    /* TARE_DIFFERENT only: codes and scales are the same, so zeros or biases were rounded. */
    bool codes;
    /* TARE_DIFFERENT only: the largest absolute difference, infinite where one side is not finite; the two numbers; and
     * their place, the first one with that difference. row counts along all axes but the last. */
    double largest;
    double value[2];
    int64_t row;
    int64_t column;
    /* How many of the elements differ. */
    uint64_t differing;
    uint64_t elements;
    /* TARE_DIFFERENT only, and where options.relative asked for it: the root of the sum of the squares of all
     * differences over that of the squares of the first model's numbers. Infinite where one side is not finite. */
    double relative;
};

struct tare_diff_report {
    /* Of this struct as the library has it. */
    size_t size;
    /* The paths as given. */
    const char *model[2];
    /* All rows count as equal. */
    bool equal;
    size_t n_rows;
    /* counts[s] rows have tare_sameness s; n_counts numbers. */
    size_t n_counts;
    const size_t *counts;
    /* In the order of the first model, then what only the second one has. */
    const struct tare_diff_row *rows;
    /* Bytes from one row to the next. */
    size_t rows_stride;
    /* The number of the row with the largest difference; n_rows where there is none. */
    size_t largest;
};

struct tare_diff_options {
    /* sizeof(struct tare_diff_options). */
    size_t size;
    /* 0: as the first model was planned. */
    int threads;
    tare_progress_fn progress;
    void *user;
    /* The threads to work with, in the place of `threads` and of the plan's; NULL: those. */
    tare_threads *pool;
    /* Also compute tare_diff_row.relative: parameters that differ are then read as numbers from end to end. */
    bool relative;
};
#define TARE_DIFF_OPTIONS_INIT TARE_SIZED(tare_diff_options)

/* Fill with the defaults, for languages without the macro; size is sizeof(struct tare_diff_options). Any thread. */
TARE_API void tare_diff_options_init(struct tare_diff_options *options, size_t size);

/*
 * Compare two planned checkpoints, in whatever formats, parameter by parameter.
 *
 *   diff     receives the result; owned, tare_diff_free()
 *   first, second   must load, and stay alive until tare_diff_free(), because names and shapes are theirs
 *   options  may be NULL
 *
 * Returns TARE_OK also when they differ. Memory: at most 64 MiB a thread.
 */
TARE_API enum tare_code tare_diff_open(tare_diff **diff, tare_model *first, tare_model *second,
                                       const struct tare_diff_options *options, struct tare_error *err);

/* Free a diff. Its report is no longer valid. */
TARE_API void tare_diff_free(tare_diff *diff);

/* The result. Borrowed, valid until tare_diff_free(). Any thread. */
TARE_API const struct tare_diff_report *tare_diff_report(const tare_diff *diff);

/* The result as one JSON object (docs/json.md). Owned, tare_text_free(); NULL when memory ran out. Any thread. */
TARE_API char *tare_diff_json(const tare_diff *diff);

/* The word for a sameness in reports: "bytes", "codes", "values" ... Static; any thread. */
TARE_API const char *tare_sameness_name(enum tare_sameness sameness);

/* ---- verify ------------------------------------------------------------------------------------------------------ */

typedef struct tare_verify tare_verify;

/* One file, and what its hash was compared with. */
struct tare_verify_file {
    /* A plain file name. */
    const char *name;
    /* Bytes. */
    uint64_t size;
    /* The hash of its content, in hex; "" where it was not asked for. */
    char sha256[65];
    /* The hash that it should have, in hex (40 digits: git's sha1 of a blob), or NULL. */
    const char *expected;
    /* Who says so: "hub cache", "tare.json", or NULL. */
    const char *source;
    /* The hash is the expected one, or none is expected. */
    bool matches;
};

struct tare_verify_report {
    /* Of this struct as the library has it. */
    size_t size;
    /* The path as given. */
    const char *model;
    size_t n_files;
    size_t n_findings;
    /* The shards, then other files whose hash somebody recorded. */
    const struct tare_verify_file *files;
    /* All are warnings, with the codes hash, proof (of tare.json), file-absent, duplicate, nan, infinite, scale-nan,
     * scale-denormal, dead-group and zero-range. */
    const struct tare_report_finding *findings;
    /* Bytes from one entry to the next. */
    size_t files_stride;
    size_t findings_stride;
    uint64_t bytes_hashed;
    uint64_t bytes_scanned;
};

struct tare_verify_options {
    /* sizeof(struct tare_verify_options). */
    size_t size;
    /* Leave out the hashes of files. */
    bool no_hash;
    /* Leave out the numbers. */
    bool no_values;
    /* 0: as planned. */
    int threads;
    tare_progress_fn progress;
    void *user;
    /* The threads to work with, in the place of `threads` and of the plan's; NULL: those. */
    tare_threads *pool;
};
#define TARE_VERIFY_OPTIONS_INIT TARE_SIZED(tare_verify_options)

/* Fill with the defaults, for languages without the macro; size is sizeof(struct tare_verify_options). Any thread. */
TARE_API void tare_verify_options_init(struct tare_verify_options *options, size_t size);

/*
 * Verify the content of a planned checkpoint.
 *
 *   verify   receives the result; owned, tare_verify_free()
 *   model    must load, and stay alive until tare_verify_free()
 *   options  may be NULL
 *
 * The sha256 of each file is compared with the names of blobs in the Hugging Face cache and with tare.json. Floats are
 * searched for NaN and infinity, scales for denormal numbers, zeros for numbers that the bits cannot hold, and shards
 * for duplicates. A group is dead when its scale is 0 or when all its codes equal its zero. Returns TARE_OK also with
 * findings.
 */
TARE_API enum tare_code tare_verify_open(tare_verify **verify, tare_model *model,
                                         const struct tare_verify_options *options, struct tare_error *err);

/* Free a verification. Its report is no longer valid. */
TARE_API void tare_verify_free(tare_verify *verify);

/* The result. Borrowed, valid until tare_verify_free(). Any thread. */
TARE_API const struct tare_verify_report *tare_verify_report(const tare_verify *verify);

/* The result as one JSON object (docs/json.md). Owned, tare_text_free(); NULL when memory ran out. Any thread. */
TARE_API char *tare_verify_json(const tare_verify *verify);

/* ---- repair ------------------------------------------------------------------------------------------------------ */

/* A patch of a checkpoint's config.json, index and headers. The data of tensors is never changed. */
typedef struct tare_repair tare_repair;

/* One change. All strings are borrowed from the patch; values are JSON in one line. */
struct tare_repair_change {
    /* A plain file name: "config.json". */
    const char *file;
    /* "set" or "remove" for a key, "rename" or "drop" for a tensor, "rebuild" or "update" for an index. */
    const char *kind;
    /* "quantization_config.group_size"; the name of the tensor; "" for an index. */
    const char *key;
    /* NULL: it was not there. */
    const char *before;
    /* NULL: it is removed. */
    const char *after;
    /* The evidence, in a sentence. */
    const char *because;
};

/* Something that was seen and left as it is, and why. */
struct tare_repair_note {
    const char *where;
    const char *text;
};

struct tare_repair_report {
    /* Of this struct as the library has it. */
    size_t size;
    /* The path as given. */
    const char *model;
    /* Does it load without the patch? */
    bool loaded;
    /* Does it load with the patch? */
    bool loads;
    size_t n_changes;
    size_t n_notes;
    const struct tare_repair_change *changes;
    const struct tare_repair_note *notes;
    /* Bytes from one entry to the next. */
    size_t changes_stride;
    size_t notes_stride;
    /* Why the patch needs a new folder, or NULL. */
    const char *not_in_place;
};

/*
 * Look for a patch with which the checkpoint loads, and loads without the findings that a patch can mend. Nothing is
 * written. What is not certain is left as it is, with a note.
 *
 *   repair   receives the patch, which may be empty, also on failure; NULL when memory ran out. Owned,
 *            tare_repair_free()
 *   path     as of tare_plan()
 *   options  may be NULL
 *
 * Returns TARE_OK when the model loads as it is or with the patch, else the code of what is in the way.
 */
TARE_API enum tare_code tare_repair_open(tare_repair **repair, const char *path, const struct tare_options *options,
                                         struct tare_error *err);

/* Free a patch. Its report is no longer valid. */
TARE_API void tare_repair_free(tare_repair *repair);

/* What the patch would change. Borrowed, valid until tare_repair_free(). Any thread. */
TARE_API const struct tare_repair_report *tare_repair_report(const tare_repair *repair);

/* The report as one JSON object (docs/json.md). Owned, tare_text_free(); NULL when memory ran out. Any thread. */
TARE_API char *tare_repair_json(const tare_repair *repair);

/*
 * Apply the patch into a new folder. Files that stay as they are get linked or copied. The result is planned again and
 * must be what was planned, else nothing is written. TARE_E_ARGUMENT: the model does not load with the patch, or it is
 * not a folder.
 */
TARE_API enum tare_code tare_repair_write(const tare_repair *repair, const char *folder, struct tare_error *err);

/* The same in place. Each file is replaced in one step, and the old one is kept as NAME.before-repair. */
TARE_API enum tare_code tare_repair_in_place(const tare_repair *repair, struct tare_error *err);

/* Put every NAME.before-repair of a folder back. n receives how many files these were, and may be NULL. */
TARE_API enum tare_code tare_repair_undo(const char *folder, size_t *n, struct tare_error *err);

#ifdef __cplusplus
}
#endif
#endif
