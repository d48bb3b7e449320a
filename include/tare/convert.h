/* SPDX-License-Identifier: MIT
 *
 * tare/convert.h - write a plan in another format.
 * A part of tare.h, which says what holds for all of it.
 */
#ifndef TARE_CONVERT_H
#define TARE_CONVERT_H

#include "plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- convert ----------------------------------------------------------------------------------------------------- */

/* What a conversion did; the file tare.json in the output says the same of each module. */
struct tare_convert_summary {
    /* sizeof(struct tare_convert_summary), set by the caller. */
    size_t size;
    size_t modules;
    /* Of these, modules that an earlier run wrote, which was killed or cancelled. */
    size_t kept;
    /* Does the way back give the source's bytes? Modules where it does, */
    size_t exact;
    /* where it does but for some floats that were rounded, */
    size_t rounded;
    /* and where there is no way back. */
    size_t one_way;
    /* How many numbers were rounded. */
    uint64_t numbers;
    /* By how much at most. */
    double most;
    /* The way back was taken and compared. */
    bool proved;
};
#define TARE_CONVERT_SUMMARY_INIT TARE_SIZED(tare_convert_summary)

/* Fill with the defaults, for languages without the macro; size is sizeof(struct tare_convert_summary). Any thread. */
TARE_API void tare_convert_summary_init(struct tare_convert_summary *summary, size_t size);

struct tare_convert_options {
    /* sizeof(struct tare_convert_options). */
    size_t size;
    /* A word of tare_convert_format(); NULL: "mlx". */
    const char *to;
    /* For mlx: leave floats in their stored dtype. */
    bool keep_dtypes;
    /* 0: as planned. */
    int threads;
    /* Bytes of a file at most, but for a larger tensor; 0: 5 GB, and one file of gguf. */
    uint64_t shard_size;
    tare_progress_fn progress;
    void *user;
    /* The dtype of dense tensors, "float32", "bfloat16" or "float16"; NULL: as the format has it. */
    const char *dtype;
    /* Round nothing. mlx then has scales and biases in float32 and floats in their stored dtype; gguf has codes of 8
     * bits where codes of 4 would need a rounded offset. */
    bool exact;
    /* May be NULL. Told what the caller should know of the output: what was rounded, and what readers of the format do
     * not do. where may be "". Both texts are borrowed for the call. Called from the thread of tare_convert() only. */
    void (*note)(void *user, const char *where, const char *text);
    /* Read what was written, take the way back and compare it with the source. A difference is refused. */
    bool proof;
    /* Write tare.json without hashes. A run that is killed then begins anew. */
    bool no_sums;
    /* Receives what was done; may be NULL. */
    struct tare_convert_summary *summary;
    /* The threads to work with, in the place of `threads` and of the plan's; NULL: those. */
    tare_threads *pool;
};
#define TARE_CONVERT_OPTIONS_INIT TARE_SIZED(tare_convert_options)

/* Fill with the defaults, for languages without the macro; size is sizeof(struct tare_convert_options). Any thread. */
TARE_API void tare_convert_options_init(struct tare_convert_options *options, size_t size);

/* The word of format number `index` that tare_convert() writes, "mlx" first; NULL past the end. Static; any thread. */
TARE_API const char *tare_convert_format(size_t index);

/*
 * Execute a plan into a folder, tile by tile.
 *
 *   model    must load
 *   folder   the output, or a file for gguf (FILE.gguf); it appears under its name only when it is complete and synced
 *   options  may be NULL
 *
 * Returns TARE_OK; TARE_E_EXISTS when the output exists or another process is writing it; TARE_E_ARGUMENT when it lies
 * in the input; TARE_E_TARGET when the format cannot hold the model; TARE_E_SPACE; TARE_E_CANCELLED. Memory beyond the
 * mapped input: at most 64 MiB a thread. A call that was killed or cancelled leaves ".NAME.tare-partial" beside the
 * output, from which a later call with the same source and options continues. After any other failure nothing stays.
 */
TARE_API enum tare_code tare_convert(tare_model *model, const char *folder, const struct tare_convert_options *options,
                                     struct tare_error *err);

/* The config.json that a conversion to the format (NULL: "mlx") would write, for a host that builds the model in
 * memory. *text is owned by the caller, tare_text_free(). TARE_E_ARGUMENT: no such format, or one without a
 * config.json. */
TARE_API enum tare_code tare_convert_config(const tare_model *model, const char *to, char **text,
                                            struct tare_error *err);

#ifdef __cplusplus
}
#endif
#endif
