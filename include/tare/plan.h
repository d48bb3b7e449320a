/* SPDX-License-Identifier: MIT
 *
 * tare/plan.h - plan a checkpoint and read the report.
 * A part of tare.h, which says what holds for all of it.
 */
#ifndef TARE_PLAN_H
#define TARE_PLAN_H

#include "threads.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- model types ------------------------------------------------------------------------------------------------- */

/* One model_type of config.json that tare knows. Texts are static. */
struct tare_model_type {
    /* sizeof(struct tare_model_type), set by the caller. */
    size_t size;
    /* The word of config.json: "kimi_k2". */
    const char *model_type;
    /* The type is chosen only when config.json's "architectures" lists this one; NULL: by model_type alone. */
    const char *architecture;
    /* The model file that describes it, which has the name of mlx-lm's module: "deepseek_v3". */
    const char *module;
    /* Of a wrapper around one text model: that model's name; else NULL. */
    const char *text_model;
    /* tare_plan(), tare_convert() and sessions know it. */
    bool plans;
    bool converts;
    bool runs;
};
#define TARE_MODEL_TYPE_INIT TARE_SIZED(tare_model_type)

/* Fill with the defaults, for languages without the macro; size is sizeof(struct tare_model_type). Any thread. */
TARE_API void tare_model_type_init(struct tare_model_type *type, size_t size);

/*
 * Get one of the known model types.
 *
 *   index    from 0; types by model_type come first, in alphabetical order, then those chosen by architecture
 *   type     receives the type
 *
 * Returns false, and leaves type alone, when index is past the end or type has no size. Any thread.
 */
TARE_API bool tare_model_type_get(size_t index, struct tare_model_type *type);

/* ---- options ----------------------------------------------------------------------------------------------------- */

/* What becomes of a packed output head that the model has no parameter for; docs/head.md has the rule. */
enum tare_tie {
    /* The head is dropped where an explicit flag says that the model is tied. Where only a default says so and the head
     * differs from the embedding, the head becomes the model's own or the checkpoint is refused. */
    TARE_TIE_AUTO = 0,
    /* Flags and defaults decide; a difference is only a warning. */
    TARE_TIE_CONFIG,
    /* The head is dropped only if it is proved equal to the embedding. */
    TARE_TIE_PROVED,
    /* The head becomes the model's own. */
    TARE_TIE_KEEP
};

/* What the fields of GPTQ's qzeros hold; docs/layouts.md, "GPTQ". */
enum tare_zeros {
    /* What checkpoint_format says, which the data must not contradict. */
    TARE_ZEROS_AUTO = 0,
    /* The zero - 1. */
    TARE_ZEROS_V1,
    /* The zero. */
    TARE_ZEROS_V2
};

/* A file that is held in memory. Name and data are borrowed and must outlive the model. */
struct tare_memory_file {
    /* A plain file name: "config.json". Each name is in the list once. */
    const char *name;
    const void *data;
    /* Bytes. */
    size_t size;
};

/*
 * Called as work proceeds, from any worker thread, one call at a time.
 *
 *   user         the pointer of the options
 *   stage        what is being done, a word; borrowed for the call
 *   done, total  bytes
 *
 * A return other than 0 cancels the work, which then fails with TARE_E_CANCELLED.
 */
typedef int (*tare_progress_fn)(void *user, const char *stage, uint64_t done, uint64_t total);

/* A file that the host reads. */
struct tare_host_file {
    /* As in the folder of the model: "config.json". Each name is in the list once (TARE_E_ARGUMENT). Names with a '/'
     * and hidden ones are looked up only where a model has such a file. Borrowed, like the name of a
     * tare_memory_file. */
    const char *name;
    uint64_t bytes;
};

/*
 * A checkpoint whose bytes the host reads: an archive, descriptors, ranges of HTTP, encrypted files. Planning, checks,
 * readers, conversion, sessions, tokenizers and templates all take it, by the host of tare_options; tare_repair_open()
 * plans with it too, but only a folder can be mended.
 *
 * What is read. With no_data a plan reads config.json and its kin, the index, and of each shard one range of 128 KiB,
 * and the rest of its header if that is longer; of a GGUF file, whose header holds a vocabulary, ranges that double
 * from 1 MiB on. Without no_data, what the proofs of a plan take comes to it: of a head beside its embedding both, and
 * of GPTQ the zeros. A conversion reads each tensor once, range after range, up to 16 MiB a call, and once more for a
 * proof; a reader reads the rows that it is asked for in ranges of 256 KiB and more, and a session each weight once.
 * What was read is kept for a while: 128 MiB, or, while a model is converted, its largest tensor of at most 2 GiB.
 *
 * The bytes of a file must stay the same. Where they do not, numbers are wrong and checks fail, but nothing crashes.
 */
struct tare_host {
    /* sizeof(struct tare_host). */
    size_t size;
    /* n_files files, files_stride bytes apart; 0: as in this version's struct tare_host_file. The array is borrowed for
     * the call that opens something, the names until the last thing that was opened is freed: model, reader, session. */
    const struct tare_host_file *files;
    size_t n_files;
    size_t files_stride;
    /*
     * Read `length` bytes of a file from byte `offset` on into dst. The range lies within the file, and length is not
     * 0. Callable until the last thing that was opened with it is freed; it may not call libtare for the same model.
     *
     *   user    the pointer below
     *   name    the pointer in the list
     *   err     zeroed; may be filled: then where (else the name) and text say what failed
     *
     * Returns 0 when all bytes were read, or a tare_code, which the function that needed them returns; any other number
     * counts as TARE_E_IO. Called from any thread, also from several at once, if `parallel` allows it.
     */
    int (*read)(void *user, const char *name, uint64_t offset, void *dst, size_t length, struct tare_error *err);
    void *user;
    /* How many calls may run at the same moment, for each thing that is opened with it; 0 and 1: one. With more, the
     * headers of shards are read together. */
    int parallel;
    /*
     * NULL, or n_files pointers, each NULL or the SHA-256 that a file must have, 64 digits of 0-9 and a-f. Array and
     * texts are borrowed like the names.
     *
     * tare_convert() then reads each of those weight files once from its first byte to its last, several ranges ahead
     * of its work where `parallel` allows it, hashes what comes, and does its work in the order of the file. What it
     * needs from elsewhere (scales that lie at the end of a file) is read by ranges of its own, and again when the
     * reading comes there; a checksum of every 128 KiB sees to it that the bytes were the same both times. Of what was
     * read 64 MiB are kept. A file whose hash is another one is TARE_E_FORMAT, and there is no output. The state of all
     * that is in the journal, so that a conversion that was killed hashes on; after TARE_E_ABSENT of the host it can
     * continue too. Other functions hash nothing, and only compare what they read twice.
     */
    const char *const *sha256;
};
#define TARE_HOST_INIT TARE_SIZED_LIST(tare_host, files_stride, tare_host_file)

/* Fill with the defaults, for languages without the macro; size is sizeof(struct tare_host). Any thread. */
TARE_API void tare_host_init(struct tare_host *host, size_t size);

struct tare_options {
    /* sizeof(struct tare_options). */
    size_t size;
    enum tare_tie tie;
    /* Never read a weight: the head is not compared with the embedding. */
    bool no_data;
    /*
     * Read what is needed when it is needed, instead of mapping files. A file that is mapped and then cut, by another
     * process that writes to it or by a network that fails, ends this process with SIGBUS when the pages that are gone
     * are touched; with no_map the same is TARE_E_IO. Files that are replaced, as downloads and tare itself do it, are
     * safe either way. It costs a copy of what is read, and dense weights that a session would use where they are
     * mapped take memory of their own.
     */
    bool no_map;
    /* 0: one for each core. */
    int threads;
    /* A checkpoint in memory, n_files files; path is then only its name. NULL: path is opened. */
    const struct tare_memory_file *files;
    size_t n_files;
    /* Bytes from one file to the next; 0: as in this version's struct tare_memory_file. */
    size_t files_stride;
    /* May be NULL; user is handed to it. */
    tare_progress_fn progress;
    void *user;
    enum tare_zeros zeros;
    /* Modules that a packed target gets as floats: names with wildcards, separated by commas; NULL: none. Copied. */
    const char *dequantize;
    /* Threads that this plan and all that is done with it share; they take the place of `threads`. May be NULL. The plan
     * holds a reference. */
    tare_threads *pool;
    /* A checkpoint that the host reads; path is then only its name, or the name of one file of the list that counts
     * alone, as the path of a file does. NULL: path or files are opened. The struct is borrowed for the call. */
    const struct tare_host *host;
};
#define TARE_OPTIONS_INIT TARE_SIZED_LIST(tare_options, files_stride, tare_memory_file)

/* Fill with the defaults, for languages without the macro; size is sizeof(struct tare_options). Any thread. */
TARE_API void tare_options_init(struct tare_options *options, size_t size);

/* ---- plan -------------------------------------------------------------------------------------------------------- */

typedef struct tare_model tare_model;

/*
 * Plan a checkpoint: open -> config -> declare -> group -> rewrite -> tie -> target -> strict, then prove.
 *
 *   model    receives the plan, also when it does not load (then its report says all that was found out), or NULL when
 *            memory ran out; owned by the caller, tare_model_free()
 *   path     a folder, one .safetensors or .gguf file, or a folder of the Hugging Face cache
 *   options  may be NULL; borrowed for the call, files excepted
 *
 * Returns TARE_OK when the model loads strictly, else the code of the first error, described in err. Any thread.
 */
TARE_API enum tare_code tare_plan(tare_model **model, const char *path, const struct tare_options *options,
                                  struct tare_error *err);

/* Free a plan. Sessions of it may live on; reports, diffs and verifications of it may not. */
TARE_API void tare_model_free(tare_model *model);

enum tare_level { TARE_NOTE, TARE_WARNING, TARE_ERROR };

/* The structs of a report. All their strings and arrays are borrowed from the model. Names of parameters are
 * mlx-lm's. */

/* A format that occurs in the checkpoint, and how often. */
struct tare_report_format {
    /* "awq-gemm", "mlx-affine", "float16", ... */
    const char *packing;
    /* Of a code; 0 for plain floats. */
    int bits;
    /* Columns that share a scale; 0 for plain floats. */
    int64_t group_size;
    size_t modules;
};

/* What became of one output head. */
struct tare_report_head {
    /* Its name after rewriting, as "language_model.lm_head". */
    const char *prefix;
    /* "drop", "preserve" or "load". */
    const char *decision;
    /* The level that decided: "", "model", "language_model", ... or NULL. */
    const char *owner;
    /* "config:...", "args:...", "none" or "target". */
    const char *evidence;
    /* The file and key, or the field of the arguments. */
    const char *where;
    /* NULL when it was not compared with the embedding, else "equal" or "differs". */
    const char *proof;
};

/* A parameter of the model, or a tensor of the checkpoint. */
struct tare_report_tensor {
    const char *name;
    int rank;
    /* rank numbers; of a parameter the declared shape, as floats. */
    const int64_t *shape;
    /* Misshapen ones only: expected_rank numbers. */
    const int64_t *expected;
    int expected_rank;
    /* As stored, in safetensors' word: "F16", "I32". */
    const char *dtype;
    /* Parameters only, as in tare_report_format. */
    const char *packing;
    int bits;
    int64_t group_size;
    /* A plain file name. */
    const char *file;
    /* Bytes from the start of the file. */
    uint64_t offset;
    /* Set aside: by which rule. Parameters: the recipe. */
    const char *rule;
    /* Set aside: what the rule rests on. */
    const char *evidence;
    /* Parameters: the names of the n_sources tensors from which it is made. */
    const char *const *sources;
    size_t n_sources;
};

/* Something that the caller should know of the checkpoint. */
struct tare_report_finding {
    enum tare_level level;
    /* A word that does not change between versions: "head-differs", "file-outside-index". */
    const char *code;
    /* The file, tensor or key. */
    const char *where;
    /* A sentence. */
    const char *text;
};

struct tare_report {
    /* Of this struct as the library has it. */
    size_t size;
    /* The path as given. */
    const char *model;
    /* NULL when it is not known. */
    const char *model_type;
    /* What tare_plan() returned: loads is code == TARE_OK. */
    bool loads;
    enum tare_code code;
    /* The size of all shards that count. */
    uint64_t bytes;
    /* Of all bound parameters: "how many parameters it has". */
    uint64_t elements;
    /* The lengths of the arrays below. */
    size_t n_formats;
    size_t n_heads;
    size_t n_parameters;
    size_t n_set_aside;
    size_t n_missing;
    size_t n_unexpected;
    size_t n_misshapen;
    size_t n_findings;
    const struct tare_report_format *formats;
    const struct tare_report_head *heads;
    /* Parameters that have their tensors. */
    const struct tare_report_tensor *parameters;
    /* Source tensors that a rule set aside. */
    const struct tare_report_tensor *set_aside;
    /* Parameters without tensors. */
    const struct tare_report_tensor *missing;
    /* Source tensors that no parameter and no rule asks for. */
    const struct tare_report_tensor *unexpected;
    /* Parameters whose tensors have another shape than the declared one. */
    const struct tare_report_tensor *misshapen;
    const struct tare_report_finding *findings;
    /* Bytes from one entry to the next: of formats, of heads, of the five arrays of tensors and of findings. A host that
     * was compiled for another version of the library steps by these. */
    size_t formats_stride;
    size_t heads_stride;
    size_t tensors_stride;
    size_t findings_stride;
    /* The account: sources = used + n_set_aside + n_unexpected + misshapen_sources,
     * declared = bound + n_missing + n_misshapen. */
    size_t sources;
    size_t used;
    size_t declared;
    size_t bound;
    size_t misshapen_sources;
};

/* The report of a plan. Borrowed, valid until tare_model_free(). Any thread. */
TARE_API const struct tare_report *tare_model_report(const tare_model *model);

/* The report as one JSON object (docs/json.md), with a list of all parameters when `parameters` is set. Owned,
 * tare_text_free(); NULL when memory ran out. Any thread. */
TARE_API char *tare_model_json(const tare_model *model, bool parameters);

/*
 * Tell where one tensor comes from or went.
 *
 *   name     of a parameter or of a tensor in the checkpoint
 *   json     one JSON object (docs/json.md) instead of lines for people
 *
 * Returns the text, owned, tare_text_free(); NULL when there is no such name or memory ran out. Any thread.
 */
TARE_API char *tare_model_explain(const tare_model *model, const char *name, bool json);

/* Free a text that a function of this header returned. */
TARE_API void tare_text_free(char *text);

#ifdef __cplusplus
}
#endif
#endif
