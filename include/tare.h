/* SPDX-License-Identifier: MIT
 *
 * tare.h - the whole public interface of libtare.
 *
 * One idea: everything up to "may this model be used?" is decided from headers alone and recorded in a plan.
 * tare_plan() makes the plan, the report tells it, conversions and sessions execute it.
 *
 *     tare_model *model = NULL;
 *     struct tare_error error = {0};
 *     if (tare_plan(&model, "path/to/checkpoint", NULL, &error) != TARE_OK)
 *         fprintf(stderr, "%s: %s\n", error.where, error.text);
 *     tare_model_free(model);
 *
 * Threads: a planned model is read-only and may be shared between threads. A session belongs to one thread at a time.
 * Where a comment says "any thread", calls may also run at the same moment. Nothing here prints, exits, aborts or reads
 * the environment, and nothing is global.
 *
 * Errors: a function that can fail returns an enum tare_code, TARE_OK for success, and takes a struct tare_error last,
 * which may be NULL. It is filled on failure. TARE_E_MEMORY may come from any of them, and TARE_E_ARGUMENT where a
 * pointer that must not be NULL is.
 *
 * Ownership: "owned" means that the caller frees it, with the function that is named; "borrowed" that somebody else
 * does, and until when it is valid; "static" that it is valid for ever. Every .._free() takes NULL.
 *
 * Options: an options struct starts with its size and comes from its .._OPTIONS_INIT; new fields are added at the end
 * only. Where a function takes options, NULL stands for all defaults.
 */
#ifndef TARE_H
#define TARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TARE_VERSION_MAJOR 0
#define TARE_VERSION_MINOR 1
#define TARE_VERSION_PATCH 0

/* A host that compiles the library into itself may define TARE_API before it includes this. */
#if defined(TARE_API)
#elif defined(__GNUC__)
#define TARE_API __attribute__((visibility("default")))
#else
#define TARE_API
#endif

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* One list for enum, names and exit codes: number, name, exit status of the command, meaning. Numbers never change. */
#define TARE_CODES(X)                                                                                                  \
    X(0, OK, 0, "no error")                                                                                            \
    X(1, E_ARGUMENT, 2, "an argument that the function does not take")                                                 \
    X(2, E_MEMORY, 5, "out of memory")                                                                                 \
    X(3, E_IO, 4, "the system could not read or write")                                                                \
    X(4, E_ABSENT, 3, "a file is not there")                                                                           \
    X(5, E_FORMAT, 4, "a file is not what its format says")                                                            \
    X(6, E_CONFIG, 4, "config.json or its kin: a key of the wrong type, range or missing")                             \
    X(7, E_UNKNOWN, 4, "a model type, format or option that tare does not know")                                       \
    X(8, E_SHAPE, 4, "a tensor of another shape or dtype than its format asks for")                                    \
    X(9, E_STRICT, 4, "strict loading: missing, unexpected or misshapen parameters")                                   \
    X(10, E_HEAD, 4, "the output head is ambiguous or not as asked")                                                   \
    X(11, E_TARGET, 4, "the target format cannot hold this")                                                           \
    X(12, E_SPACE, 5, "no space left")                                                                                 \
    X(13, E_EXISTS, 4, "the output is there already")                                                                  \
    X(14, E_CANCELLED, 130, "cancelled by the caller")                                                                 \
    X(15, E_INTERNAL, 4, "an invariant of tare does not hold: please report it")

enum tare_code {
#define TARE_CODE_ENUM(number, name, exit_code, text) TARE_##name = number,
    TARE_CODES(TARE_CODE_ENUM)
#undef TARE_CODE_ENUM
};

/* Filled by every function that fails, when it is given one. */
struct tare_error {
    enum tare_code code;
    /* The file, tensor or key; "" when there is no place. */
    char where[256];
    /* One sentence: what was found, what was expected, what to look at. */
    char text[512];
};

/* The version of the library that runs, as "0.1.0". Static; any thread. */
TARE_API const char *tare_version(void);

/* The same as a number: 10000 * major + 100 * minor + patch. Any thread. */
TARE_API int tare_version_number(void);

/* The name of a code without its prefix, as "E_SHAPE". Static; any thread. */
TARE_API const char *tare_code_name(enum tare_code code);

/* The exit status with which the command answers an error of this code. Any thread. */
TARE_API int tare_code_exit(enum tare_code code);

/* ---- model types ------------------------------------------------------------------------------------------------- */

/* One model_type of config.json that tare knows. Texts are static. */
struct tare_model_type {
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

/*
 * Get one of the known model types.
 *
 *   index    from 0; types by model_type come first, in alphabetical order, then those chosen by architecture
 *   type     receives the type
 *
 * Returns false, and leaves type alone, when index is past the end. Any thread.
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
    /* A plain file name: "config.json". */
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

struct tare_options {
    /* sizeof(struct tare_options). */
    size_t size;
    enum tare_tie tie;
    /* Never read a weight: the head is not compared with the embedding. */
    bool no_data;
    /* Read files into memory instead of mapping them. */
    bool no_map;
    /* 0: one for each core. */
    int threads;
    /* A checkpoint in memory, n_files files; path is then only its name. NULL: path is opened. */
    const struct tare_memory_file *files;
    size_t n_files;
    /* May be NULL; user is handed to it. */
    tare_progress_fn progress;
    void *user;
    enum tare_zeros zeros;
    /* Modules that a packed target gets as floats: names with wildcards, separated by commas; NULL: none. Borrowed for
     * the call of tare_plan(), which alone reads it. */
    const char *dequantize;
};
#define TARE_OPTIONS_INIT                                                                                              \
    {                                                                                                                  \
        .size = sizeof(struct tare_options)                                                                            \
    }

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

/* ---- reader ------------------------------------------------------------------------------------------------------ */

/*
 * How another engine takes the tensors of a plan: rows of floats, of codes with scales and offsets, or of MLX's own
 * layout, into its own memory. A reader executes the same recipes as tare_convert(), so whatever rewriting does to a
 * parameter (stack, split, + 1, transposes) holds, and it keeps no copy of the tensor.
 *
 *     tare_reader *reader = NULL;
 *     if (!tare_reader_open(&reader, model, "model.layers.0.mlp.up_proj.weight", TARE_VIEW_PARAMETER, &error)) {
 *         const struct tare_tensor_info *info = tare_reader_info(reader);
 *         tare_read_floats(reader, 0, info->rows, "float32", weights, room, &error);
 *     }
 *     tare_reader_free(reader);
 *
 * Threads: a reader is read-only, so any number of threads may read through one at the same time. Each call works on
 * the calling thread alone.
 */
typedef struct tare_reader tare_reader;

/* Whose names a tensor is asked for by. */
enum tare_view {
    TARE_VIEW_PARAMETER, /* mlx-lm's, after rewriting: the parameters of the report */
    TARE_VIEW_SOURCE     /* the checkpoint's own modules, neither stacked nor split: "model.layers.0.mlp.up_proj" */
};

/* What a code stands for. */
enum tare_code_kind {
    TARE_CODES_NONE,    /* there are no codes: plain numbers, or packed ones that a recipe computes with */
    TARE_CODES_INTEGER, /* itself */
    TARE_CODES_FLOAT    /* the number info->table[code] (fp4, fp8) */
};

/* All pointers are borrowed from the reader. */
struct tare_tensor_info {
    size_t size;             /* of this struct as the library has it */
    const char *name;        /* as it was asked for, completed: a parameter's, or a module's with ".weight" */
    const char *packing;     /* as stored: "awq-gemm", "bfloat16"; of the first module where there are several */
    const char *scale_dtype; /* of the stored scales: "float16"; NULL: it has none */
    int rank;
    const int64_t *shape; /* (rank) logical numbers */
    int bits;             /* of a code; 0: plain */
    int64_t group_size;   /* columns that share a scale; 0: plain; 1: codes have a scale a column */
    int64_t rows;         /* the product of all axes but the last; 1 for a vector or a number */
    int64_t columns;      /* the last axis */
    int64_t groups;       /* scales a row of codes; 0: no codes */
    enum tare_code_kind codes;
    const float *table; /* CODES_FLOAT: the 2^bits numbers that codes stand for; else NULL */
    bool packed;        /* some of it is stored packed */
    bool has_zeros;     /* zero points are stored with it */
    bool has_biases;    /* offsets are stored as floats (MLX's affine layout, GGUF's Q4_1 ..) */
    bool act_order;     /* groups are no runs of columns: tare_reader_groups() tells a column's */
};

/*
 * Open a tensor of a plan that loads.
 *
 *   reader  receives the reader, or NULL; owned by the caller, tare_reader_free(). It keeps the model alive
 *   model   not changed
 *   name    a name of the view, with or without ".weight" at its end
 *   view    whose names
 *
 * Files are mapped here, so that reading rows cannot fail but for memory. TARE_E_ABSENT: no such tensor (for
 * TARE_VIEW_PARAMETER: no bound one); TARE_E_ARGUMENT: a NULL, or an unknown view; the model's own error where it does
 * not load; else what mapping said, or what is wrong with the module.
 */
TARE_API enum tare_code tare_reader_open(tare_reader **reader, const tare_model *model, const char *name,
                                         enum tare_view view, struct tare_error *err);
TARE_API void tare_reader_free(tare_reader *reader);                                 /* NULL is fine */
TARE_API const struct tare_tensor_info *tare_reader_info(const tare_reader *reader); /* NULL of NULL */

/*
 * Rows [row, row + rows) as floats.
 *
 *   dtype  "float32", "float16" or "bfloat16". What is computed in float32 is rounded once to the others
 *   dst    the caller's; receives (rows, columns) numbers, row-major, at any alignment
 *   room   of dst in numbers, not bytes; rows * columns are needed
 *
 * TARE_E_ARGUMENT: rows outside of the tensor, too little room (the text says how much is needed), another dtype;
 * TARE_E_MEMORY.
 */
TARE_API enum tare_code tare_read_floats(const tare_reader *reader, int64_t row, int64_t rows, const char *dtype,
                                         void *dst, size_t room, struct tare_error *err);
/*
 * Rows [row, row + rows) as codes: weight = scale[row, group_of(column)] * code + offset[row, group_of(column)], and
 * info->table[code] in place of the code where codes are CODES_FLOAT (offsets are then 0).
 *
 *   codes    (rows, columns), one byte a code
 *   scales   (rows, groups) float32
 *   offsets  (rows, groups) float32; of a zero point it is -scale * zero, rounded once
 *
 * group_of(column) is column / group_size unless info->act_order. TARE_E_ARGUMENT: also where info->codes is
 * TARE_CODES_NONE.
 */
TARE_API enum tare_code tare_read_codes(const tare_reader *reader, int64_t row, int64_t rows, uint8_t *codes,
                                        float *scales, float *offsets, struct tare_error *err);
/* group_of_column[i] for each column; room in numbers, info->columns are needed. TARE_E_ARGUMENT where there are no
 * codes. */
TARE_API enum tare_code tare_reader_groups(const tare_reader *reader, int32_t *group_of_column, size_t room,
                                           struct tare_error *err);

/*
 * The names of a view that tare_reader_open() takes, in the plan's order: fills at most `room` entries of names, which
 * are borrowed from the model, and returns how many there are. names may be NULL when room is 0. Modules with a fault
 * are left out; a module that was set aside is not.
 */
TARE_API size_t tare_model_names(const tare_model *model, enum tare_view view, const char **names, size_t room);

/* What a parameter becomes in an MLX folder (tare_convert to "mlx" with its default options). */
struct tare_mlx_info {
    size_t size;       /* sizeof(struct tare_mlx_info), set by the caller */
    bool packed;       /* false: one dense array; then only dtype is set */
    const char *mode;  /* "affine", "mxfp4", "mxfp8", "nvfp4"; static */
    const char *dtype; /* of scales and biases (affine) or of the dense array: "float16"; else "uint8"; static */
    int bits;
    int64_t group_size;
    float global_scale; /* nvfp4 of a single matrix; 0: none */
};
TARE_API enum tare_code tare_reader_mlx(const tare_reader *reader, struct tare_mlx_info *info, struct tare_error *err);
/*
 * Rows [row, row + rows) in MLX's layout, byte for byte what tare_convert() writes to "mlx".
 *
 *   weight  (rows, columns * bits / 32) words
 *   scales  (rows, columns / group_size) in the dtype of tare_reader_mlx(), one byte each but for affine
 *   biases  the same, affine only; else not written and may be NULL
 *
 * For parameters (TARE_VIEW_PARAMETER) that become packed; TARE_E_ARGUMENT for others, TARE_E_TARGET where MLX cannot
 * hold it.
 */
TARE_API enum tare_code tare_read_mlx(const tare_reader *reader, int64_t row, int64_t rows, uint32_t *weight,
                                      void *scales, void *biases, struct tare_error *err);

/* A tensor of the checkpoint's files, and what became of it. All pointers are borrowed from the model. */
struct tare_source_info {
    size_t size;       /* sizeof(struct tare_source_info), set by the caller in the first one of an array */
    const char *name;  /* as in the file; of GGUF the file's own: "blk.0.attn_q.weight" */
    const char *dtype; /* safetensors' or GGUF's word: "I32", "Q4_K" */
    int rank;
    const int64_t *shape; /* (rank), as safetensors writes it: the last axis is contiguous */
    const char *file;     /* plain file name */
    uint64_t offset;      /* bytes from the start of the file */
    uint64_t bytes;
    const char *fate; /* "used", "set aside", "unexpected" or "misshapen" */
    const char *rule; /* set aside: by which rule; else NULL */
};
/*
 * Each source tensor, by name: fills at most `room` entries of out and returns how many there are. out may be NULL when
 * room is 0. Entries are out[0].size bytes apart (0 there: those of this version).
 */
TARE_API size_t tare_model_sources(const tare_model *model, struct tare_source_info *out, size_t room);

/*
 * A small file of the checkpoint: "config.json", "tokenizer.json", "generation_config.json" ..; of a GGUF file those
 * that are made of its metadata. *text is NUL-terminated and the caller's, tare_text_free(). TARE_E_ABSENT: not there;
 * TARE_E_ARGUMENT: no plain file name.
 */
TARE_API enum tare_code tare_model_file(const tare_model *model, const char *name, char **text, size_t *size,
                                        struct tare_error *err);

/* ---- convert ----------------------------------------------------------------------------------------------------- */

/* What a conversion did; the file tare.json in the output says the same of each module. */
struct tare_convert_summary {
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

struct tare_convert_options {
    /* sizeof(struct tare_convert_options). */
    size_t size;
    /* A word of tare_convert_format(); NULL: "mlx". */
    const char *to;
    /* For mlx: leave floats in their stored dtype. */
    bool keep_dtypes;
    /* 0: as planned. */
    int threads;
    /* Bytes; 0: 5 GB. */
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
};
#define TARE_CONVERT_OPTIONS_INIT                                                                                      \
    {                                                                                                                  \
        .size = sizeof(struct tare_convert_options)                                                                    \
    }

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
};

/* One parameter. */
struct tare_diff_row {
    /* mlx-lm's name. */
    const char *name;
    enum tare_sameness sameness;
    struct tare_diff_side side[2];
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
};

struct tare_diff_report {
    /* The paths as given. */
    const char *model[2];
    /* All rows count as equal. */
    bool equal;
    size_t n_rows;
    /* How many rows have each tare_sameness. */
    size_t count[TARE_SAMENESS_COUNT];
    /* In the order of the first model, then what only the second one has. */
    const struct tare_diff_row *rows;
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
};
#define TARE_DIFF_OPTIONS_INIT                                                                                         \
    {                                                                                                                  \
        .size = sizeof(struct tare_diff_options)                                                                       \
    }

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
TARE_API void tare_diff_free(tare_diff *diff);

/* The result. Borrowed, valid until tare_diff_free(). Any thread. */
TARE_API const struct tare_diff_report *tare_diff_report_of(const tare_diff *diff);

/* The result as one JSON object (docs/json.md). Owned, tare_text_free(); NULL when memory ran out. Any thread. */
TARE_API char *tare_diff_json(const tare_diff *diff);

/* The word for a sameness in reports: "bytes", "codes", "values" ... Static; any thread. */
TARE_API const char *tare_sameness_word(enum tare_sameness sameness);

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
    /* The path as given. */
    const char *model;
    size_t n_files;
    size_t n_findings;
    /* The shards, then other files whose hash somebody recorded. */
    const struct tare_verify_file *files;
    /* All are warnings, with the codes hash, proof (of tare.json), file-absent, duplicate, nan, infinite, scale-nan,
     * scale-denormal, dead-group and zero-range. */
    const struct tare_report_finding *findings;
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
};
#define TARE_VERIFY_OPTIONS_INIT                                                                                       \
    {                                                                                                                  \
        .size = sizeof(struct tare_verify_options)                                                                     \
    }

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
TARE_API void tare_verify_free(tare_verify *verify);

/* The result. Borrowed, valid until tare_verify_free(). Any thread. */
TARE_API const struct tare_verify_report *tare_verify_report_of(const tare_verify *verify);

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
TARE_API enum tare_code tare_repair_find(tare_repair **repair, const char *path, const struct tare_options *options,
                                         struct tare_error *err);
TARE_API void tare_repair_free(tare_repair *repair);

/* What the patch would change. Borrowed, valid until tare_repair_free(). Any thread. */
TARE_API const struct tare_repair_report *tare_repair_patch(const tare_repair *repair);

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

/* ---- run --------------------------------------------------------------------------------------------------------- */

/* One text that grows: the ids fed so far, and what the model remembers of them. */
typedef struct tare_session tare_session;

struct tare_session_options {
    /* sizeof(struct tare_session_options). */
    size_t size;
    /* The most tokens of the session; 0: max_position_embeddings or 4096, whichever is less. */
    int64_t context;
    /* 0: as planned. */
    int threads;
    /* May be NULL; borrowed while the session lives. When the number becomes other than 0, feeding ends with
     * TARE_E_CANCELLED. */
    const volatile int *cancel;
    /* Compute everything in float32. Otherwise activations are rounded to 8 bits, in blocks of 32 with one scale,
     * before they meet packed weights. */
    bool exact;
    /* The bytes that weights and states may take; more is refused before anything is loaded. 0: what is free. */
    uint64_t memory;
    /* "scalar", "avx2", "avx512" or "neon"; NULL: the best that this processor has. */
    const char *kernels;
    /* Bits of a number in the cache of keys and values: 32 (float32), 16 (float16), 8 or 4; 0: 16, with exact 32. */
    int kv_bits;
};
#define TARE_SESSION_OPTIONS_INIT                                                                                      \
    {                                                                                                                  \
        .size = sizeof(struct tare_session_options)                                                                    \
    }

/* How many tokens the model was made for: max_position_embeddings, or the number of learned positions; 0 when the
 * config does not say. Any thread. */
TARE_API int64_t tare_model_context(const tare_model *model);

/*
 * Begin an empty text.
 *
 *   session  receives it; owned, tare_session_free()
 *   model    must load and run. A session holds a reference to it, so either may be freed first
 *   options  may be NULL
 *
 * The first session of a model lays its weights out for the kernels; later ones share them. TARE_E_ARGUMENT: an option
 * is out of range; TARE_E_MEMORY: weights and states would take more than options->memory.
 */
TARE_API enum tare_code tare_session_open(tare_session **session, tare_model *model,
                                          const struct tare_session_options *options, struct tare_error *err);
TARE_API void tare_session_free(tare_session *session);

/* The number of columns of logits. */
TARE_API int64_t tare_session_vocabulary(const tare_session *session);

/* The number of columns of hidden states. */
TARE_API int64_t tare_session_width(const tare_session *session);

/* The most tokens that the session takes. */
TARE_API int64_t tare_session_context(const tare_session *session);

/* The number of tokens fed so far. */
TARE_API int64_t tare_session_length(const tare_session *session);

/*
 * Feed ids to a session.
 *
 *   ids      n of them, at least one
 *   all      the logits of every id are wanted, not only those of the last one
 *   logits   may be NULL; has room for, and receives, float32 (n, vocabulary) when all, else (1, vocabulary)
 *
 * TARE_E_ARGUMENT: an id is outside the vocabulary, or the context is full. After a failure the session holds the ids
 * that went through completely, and tare_session_length() says how many. Up to 256 ids go through together, so a feed
 * no longer than that goes through completely or not at all.
 */
TARE_API enum tare_code tare_session_feed(tare_session *session, const int32_t *ids, size_t n, bool all, float *logits,
                                          struct tare_error *err);

/*
 * Feed ids to a session as tare_session_feed() does, for their hidden states in the place of logits.
 *
 *   hidden   receives float32 (n, width) when all, else (1, width); see struct tare_feed
 */
TARE_API enum tare_code tare_session_hidden(tare_session *session, const int32_t *ids, size_t n, bool all,
                                            float *hidden, struct tare_error *err);

/* What one session is fed; the fields are the parameters of tare_session_feed(). */
struct tare_feed {
    tare_session *session;
    const int32_t *ids;
    size_t n;
    bool all;
    float *logits;
    /* May be NULL; receives float32 (n, width) when all, else (1, width): the hidden states of the last layer after the
     * final norm, which the head is multiplied with. width is tare_session_width(). */
    float *hidden;
    /* How many ids of the same text later feeds will bring. Ropes that depend on the length of the text count them, so
     * that a prompt that is fed in parts gives what it gives at once. */
    size_t later;
};

/*
 * Feed several sessions of one model in one step, which reads the weights once for all of them.
 *
 *   feeds    n of them, each for another session. Their numbers of ids may differ: a prompt beside texts that grow by
 * one
 *            token
 *
 * A session's logits do not depend on the sessions that are fed with it. The threads and `cancel` are those of the
 * first session. Errors are those of tare_session_feed().
 */
TARE_API enum tare_code tare_session_feed_each(struct tare_feed *feeds, size_t n, struct tare_error *err);

/*
 * Begin a second text that starts as the first one did, and shares what both hold so far.
 *
 *   fork     receives it; owned, tare_session_free()
 *
 * A fork uses the threads and work memory of its origin. The two may be used in turns or in one step, but not by two
 * threads at the same time.
 */
TARE_API enum tare_code tare_session_fork(tare_session **fork, const tare_session *session, struct tare_error *err);

/* Forget all but the first `length` tokens. Recurrent models compute some of them again for that. TARE_E_ARGUMENT:
 * length is below 0 or beyond what the session holds. */
TARE_API enum tare_code tare_session_rewind(tare_session *session, int64_t length, struct tare_error *err);

/* The tare_session_length() ids fed so far. Borrowed, valid until the session changes. */
TARE_API const int32_t *tare_session_ids(const tare_session *session);

/* Write a session into a file, so that a long prompt is computed once. The file appears under its name when it is
 * complete. */
TARE_API enum tare_code tare_session_save(const tare_session *session, const char *path, struct tare_error *err);

/*
 * Read a session from a file, in the place of what it held. TARE_E_FORMAT: the file is damaged, of another model, of
 * other kv_bits, or of more tokens than the session takes; the session is then empty.
 */
TARE_API enum tare_code tare_session_load(tare_session *session, const char *path, struct tare_error *err);

/* ---- sampling ---------------------------------------------------------------------------------------------------- */

/* Added to the logit of one id; -INFINITY forbids it. */
struct tare_bias {
    int32_t id;
    float value;
};
/*
 * How an id is chosen. The steps and their order are llama.cpp's: first bias and penalties (tare_sample_adjust()); then
 * top-k, typical, top-p and min-p, each on the probabilities at temperature 1 of the ids that the step before left;
 * then the temperature and the draw (tare_sample()). Zero switches a step off.
 */
struct tare_sampling {
    /* sizeof(struct tare_sampling). */
    size_t size;
    /* 0: greedy, the likeliest id. */
    float temperature;
    /* Keep the likeliest ids until their probabilities reach this sum; 1 or 0: off. */
    float top_p;
    /* Keep that many of the likeliest ids; 0: off. */
    int top_k;
    /* Keep the ids with at least this share of the likeliest one's probability; 0: off. */
    float min_p;
    uint64_t seed;
    /* Locally typical sampling (Meister et al. 2022): keep the ids whose information is nearest to the entropy, until
     * their probabilities reach this sum; 1 or 0: off. */
    float typical_p;
    /* The penalties change the logits of ids among the last penalty_window ones. A logit above 0 is divided by the
     * repetition penalty and any other one multiplied by it; 1 or 0: off. */
    float repetition_penalty;
    /* Subtracted once. */
    float presence_penalty;
    /* Subtracted as often as the id occurs. */
    float frequency_penalty;
    /* 0: 64, -1: all ids of the text. */
    int penalty_window;
    /* n_bias of them, borrowed; NULL: none. */
    const struct tare_bias *bias;
    size_t n_bias;
};
#define TARE_SAMPLING_INIT                                                                                             \
    {                                                                                                                  \
        .size = sizeof(struct tare_sampling)                                                                           \
    }
/*
 * Apply bias and penalties to one row of logits.
 *
 *   logits      vocabulary numbers, changed in place
 *   sampling    may be NULL
 *   recent      the n ids of the text so far, prompt included, in order
 *
 * TARE_E_ARGUMENT: a bias has an id outside the vocabulary. Such an id among the recent ones is skipped. Any thread.
 */
TARE_API enum tare_code tare_sample_adjust(float *logits, int64_t vocabulary, const struct tare_sampling *sampling,
                                           const int32_t *recent, size_t n, struct tare_error *err);
/*
 * Choose one id from one row of logits.
 *
 *   logits      vocabulary numbers, not changed
 *   sampling    may be NULL
 *   draw        the number of this draw in its text, from 0
 *
 * The same seed, draw and logits give the same id on any machine, whatever was drawn before. Of equal logits the
 * smaller id comes first. NaN and -INFINITY make an id impossible, +INFINITY makes it certain. Where all ids are
 * impossible the result is the first one whose logit is not NaN, or 0. Any thread.
 */
TARE_API int32_t tare_sample(const float *logits, int64_t vocabulary, const struct tare_sampling *sampling,
                             uint64_t draw);

/* ---- measure ----------------------------------------------------------------------------------------------------- */

/* The set of kernels in use, as "avx2". Static. */
TARE_API const char *tare_session_kernels(const tare_session *session);

/* The bytes of weights that decoding one token reads, in the layout in which they run. Of experts, only those count
 * that one token chooses. */
TARE_API uint64_t tare_session_weights(const tare_session *session);

/*
 * Measure how fast this machine reads memory in order, at best.
 *
 *   threads  0: one for each core
 *   bytes    how much is read, at least 256 KiB; the result means something when that is far more than the caches hold
 *   rate     receives bytes a second, the best of five passes
 *
 * Takes a fraction of a second for each GB. Any thread.
 */
TARE_API enum tare_code tare_measure_read(int threads, uint64_t bytes, double *rate, struct tare_error *err);

/* ---- text -------------------------------------------------------------------------------------------------------- */

/* Text to ids and back. Using it does not change it, so threads may share it. */
typedef struct tare_tokenizer tare_tokenizer;

/*
 * Read a model's tokenizer.
 *
 *   tokenizer   receives it; owned, tare_tokenizer_free()
 *   path        as of tare_plan()
 *   options     may be NULL; files, n_files and no_map are read
 *
 * It is read from tokenizer.json, tokenizer.model (SentencePiece), tekken.json or a GGUF file's metadata, whichever of
 * these comes first; tokenizer_config.json, generation_config.json and config.json tell added tokens and the ids that
 * end a text. No other file is read.
 */
TARE_API enum tare_code tare_tokenizer_open(tare_tokenizer **tokenizer, const char *path,
                                            const struct tare_options *options, struct tare_error *err);
TARE_API void tare_tokenizer_free(tare_tokenizer *tokenizer);

/*
 * Encode a text.
 *
 *   text     UTF-8 of `size` bytes; invalid bytes are refused (TARE_E_ARGUMENT)
 *   special  add the ids that the model expects around a text, as <s>
 *   ids      receives n ids; owned, tare_ids_free()
 */
TARE_API enum tare_code tare_tokenizer_encode(const tare_tokenizer *tokenizer, const char *text, size_t size,
                                              bool special, int32_t **ids, size_t *n, struct tare_error *err);
TARE_API void tare_ids_free(int32_t *ids);

/*
 * Decode n ids at once.
 *
 *   skip_special   leave out the special tokens
 *   text           receives UTF-8 and a NUL; owned, tare_text_free()
 *   size           receives the bytes of text without the NUL, since U+0000 may be in it; may be NULL
 *
 * An id without a token gives no text: a vocabulary may be shorter than the embedding.
 */
TARE_API enum tare_code tare_tokenizer_decode(const tare_tokenizer *tokenizer, const int32_t *ids, size_t n,
                                              bool skip_special, char **text, size_t *size, struct tare_error *err);

/* One more than the largest id that has a token, added tokens included. There may be gaps. */
TARE_API int64_t tare_tokenizer_size(const tare_tokenizer *tokenizer);

/*
 * Look up the id of a token.
 *
 *   text   `size` bytes, as the vocabulary writes the token: "<|im_end|>", "\u2581the" (SentencePiece), "\u0120the"
 *          (byte-level), "<0x0A>". An added token takes precedence
 *   id     receives it; -1 on failure
 *
 * TARE_E_ABSENT: there is no such token. Any thread.
 */
TARE_API enum tare_code tare_tokenizer_id(const tare_tokenizer *tokenizer, const char *text, size_t size, int32_t *id,
                                          struct tare_error *err);

/*
 * Look up the bytes of an id: what it adds in the middle of a text.
 *
 *   text      receives them, with a NUL after them; borrowed from the tokenizer. They need not be whole characters
 *   size      receives their number
 *   special   receives whether decoding may leave the token out; may be NULL
 *
 * "\u0120the" and "\u2581the" are " the", "<0x0A>" is a line feed, and a special token is its own text. Joined, the bytes
 * of the ids of a continuation are its text before invalid bytes become U+FFFD. Only what a decoder does at the
 * beginning of a text, or to neighbouring tokens (WordPiece's clean-up), is not in them. The first call works the bytes
 * of all ids out. TARE_E_ABSENT: no token has the id. Any thread.
 */
TARE_API enum tare_code tare_tokenizer_token(const tare_tokenizer *tokenizer, int32_t id, const char **text,
                                             size_t *size, bool *special, struct tare_error *err);

/* Does the id end a text? */
TARE_API bool tare_tokenizer_ends(const tare_tokenizer *tokenizer, int32_t id);

/* Decoding one id after another. It gives out whole characters only; an incomplete one is held back until it is
 * complete or known to be invalid. One thread at a time. */
typedef struct tare_stream tare_stream;

/* Begin a text. *stream is owned, tare_stream_free(); the tokenizer must outlive it. */
TARE_API enum tare_code tare_stream_open(tare_stream **stream, const tare_tokenizer *tokenizer, bool skip_special,
                                         struct tare_error *err);
TARE_API void tare_stream_free(tare_stream *stream);

/* Add an id. *piece receives the text that is new, "" when it is held back, with a NUL after it; *size, which may be
 * NULL, its bytes, since U+0000 may be in it. Borrowed until the next call. */
TARE_API enum tare_code tare_stream_put(tare_stream *stream, int32_t id, const char **piece, size_t *size,
                                        struct tare_error *err);

/* End the text. *piece and *size receive what was held back. A stream that has ended takes no more ids. */
TARE_API enum tare_code tare_stream_end(tare_stream *stream, const char **piece, size_t *size, struct tare_error *err);

/* ---- grammars ---------------------------------------------------------------------------------------------------- */

/* What a text may look like, and the ids that spell it; docs/grammar.md. Read-only, so threads may share it. */
typedef struct tare_grammar tare_grammar;

/* How far a text has come in a grammar. Forks share masks that were worked out, so a state and all its forks belong to
 * one thread at a time. */
typedef struct tare_grammar_state tare_grammar_state;

enum tare_grammar_kind {
    /* llama.cpp's notation. */
    TARE_GRAMMAR_GBNF,
    /* A JSON schema, draft 2020-12. It stands for compact JSON, with a single space where one is usual. */
    TARE_GRAMMAR_SCHEMA
};

/*
 * Read a grammar.
 *
 *   grammar    receives it; owned, tare_grammar_free(), after all its states are freed
 *   tokenizer  tells which ids spell which text; not needed afterwards
 *   text       `size` bytes, not needed afterwards
 *
 * TARE_E_FORMAT: the text is not well-formed, is left-recursive, or has a rule that no finite text meets.
 * TARE_E_UNKNOWN: a schema has a keyword that is not supported, which is named. Any thread.
 */
TARE_API enum tare_code tare_grammar_open(tare_grammar **grammar, const tare_tokenizer *tokenizer,
                                          enum tare_grammar_kind kind, const char *text, size_t size,
                                          struct tare_error *err);
TARE_API void tare_grammar_free(tare_grammar *grammar);

/* Translate a JSON schema of `size` bytes into GBNF. *gbnf is owned, tare_text_free(). Errors are those of
 * tare_grammar_open(). Any thread. */
TARE_API enum tare_code tare_grammar_from_schema(char **gbnf, const char *schema, size_t size, struct tare_error *err);

/* Stand at the beginning of a text. *state is owned, tare_grammar_state_free(). */
TARE_API enum tare_code tare_grammar_state_open(tare_grammar_state **state, const tare_grammar *grammar,
                                                struct tare_error *err);

/* A second state at the same place. *fork is owned, tare_grammar_state_free(). */
TARE_API enum tare_code tare_grammar_state_fork(tare_grammar_state **fork, tare_grammar_state *state,
                                                struct tare_error *err);
TARE_API void tare_grammar_state_free(tare_grammar_state *state);

/*
 * Set the logits of ids that may not come next to -INFINITY. These are the ids that do not continue the text by the
 * grammar, special and empty ones, and the ids that end a text, unless the text may end here.
 *
 *   logits   vocabulary numbers, changed in place
 *   allowed  receives how many ids may come next, 0 only where the vocabulary cannot spell what must follow; may be
 * NULL
 */
TARE_API enum tare_code tare_grammar_mask(tare_grammar_state *state, float *logits, int64_t vocabulary,
                                          int64_t *allowed, struct tare_error *err);

/* Step over an id. TARE_E_ARGUMENT: the id may not come here, and nothing changes. An id that ends a text changes
 * nothing either. */
TARE_API enum tare_code tare_grammar_accept(tare_grammar_state *state, int32_t id, struct tare_error *err);

/* Step over `size` bytes of text, in the same way. */
TARE_API enum tare_code tare_grammar_accept_text(tare_grammar_state *state, const char *text, size_t size,
                                                 struct tare_error *err);

/* May the text end here? */
TARE_API bool tare_grammar_complete(const tare_grammar_state *state);

/* Must the text end here? */
TARE_API bool tare_grammar_closed(const tare_grammar_state *state);

/* ---- generation -------------------------------------------------------------------------------------------------- */

/* A text that is being continued: sampling, a grammar, stop strings and drafts around a session. One thread at a
 * time. */
typedef struct tare_generate tare_generate;

enum tare_draft {
    TARE_DRAFT_NONE,
    /* The last 2 to 4 ids of the text are looked up in the text before them. What followed them there is guessed to
     * follow again, and checked in one step. A draw is a function of the seed, its number and the logits at its place,
     * so a guess is taken only while it is what would have been drawn. The text is the one without drafts, greedy or
     * not, as far as the session's logits do not depend on how many ids are fed at once. */
    TARE_DRAFT_LOOKUP
};

/* Why a text ended. */
enum tare_finish {
    /* It has not ended. */
    TARE_FINISH_NONE,
    /* An id came that ends a text. */
    TARE_FINISH_END,
    /* A stop string came. It and what follows are not part of the text. */
    TARE_FINISH_STOP,
    /* max_tokens is reached, or the context is full. */
    TARE_FINISH_LENGTH,
    /* By the grammar the text is complete, and nothing can follow. */
    TARE_FINISH_GRAMMAR,
    /* The vocabulary cannot spell what must follow by the grammar. */
    TARE_FINISH_STUCK,
    /* tare_generate_cancel() was called, or the session's `cancel` was set. */
    TARE_FINISH_CANCELLED,
    /* An error ended it; tare_generate_error() says which. */
    TARE_FINISH_FAILED
};

struct tare_generate_options {
    /* sizeof(struct tare_generate_options). */
    size_t size;
    struct tare_sampling sampling;
    /* The most new ids; 0: until the context is full; -1: none, the prompt is read and the text is over. */
    int64_t max_tokens;
    /* n_stops texts of UTF-8 that end the text, not empty, at most 64 KiB each; copied. */
    const char *const *stops;
    size_t n_stops;
    /* May be NULL; must outlive the generation. */
    const tare_grammar *grammar;
    enum tare_draft draft;
    /* The most ids of one draft; 0: 8. */
    int draft_most;
    /* Forbid the ids that end a text. */
    bool ignore_ends;
    /* The bytes of each of the n_stops texts, where they may hold U+0000; NULL: a NUL ends each. */
    const size_t *stop_sizes;
    /* The most ids of the prompt that one step feeds, so that a long prompt does not hold up the texts beside it; 0:
     * all. Parts change no bit of what comes after. */
    int64_t prompt_chunk;
    /* Each step tells the log-probability of the id that was chosen: the log-softmax of the logits as the model gives
     * them, before biases, penalties, grammar and temperature. */
    bool logprobs;
    /* The steps that read the prompt tell those of its ids. A step then reads as much as 16 MiB of logits stand for, and
     * no more. */
    bool prompt_logprobs;
    /* With each of these, that many of the likeliest ids in its place are told, too; 0 to 64. */
    int top_logprobs;
};
#define TARE_GENERATE_OPTIONS_INIT                                                                                     \
    {                                                                                                                  \
        .size = sizeof(struct tare_generate_options), .sampling = TARE_SAMPLING_INIT                                   \
    }

/* An id and its log-probability, -INFINITY where the model rules it out. */
struct tare_logprob {
    int32_t id;
    float logprob;
};

/* An id of a prompt. All is borrowed until the next call. */
struct tare_prompt_logprob {
    int32_t id;
    /* NaN: no id stands before it that was fed with this prompt. */
    float logprob;
    /* The likeliest ids in its place, the likeliest first, of equal ones the smaller id. */
    size_t n_top;
    const struct tare_logprob *top;
};

/* One step of a generation. All pointers are borrowed until the next call. */
struct tare_generated {
    /* The text that this step adds, in whole characters, maybe "". A NUL follows; U+0000 may be in it. */
    const char *text;
    /* Bytes of text. */
    size_t size;
    /* The id that was chosen, also when its text is held back; -1: none. */
    int32_t id;
    enum tare_finish finish;
    /* Why the text failed: TARE_OK, or the code of tare_generate_error(). */
    enum tare_code code;
    /* How many ids of the prompt later steps will read. Until that is 0, a step has no id and no finish. */
    size_t waiting;
    /* The log-probability of id; NaN: there is no id, or it was not asked for. */
    float logprob;
    /* The likeliest ids in its place, the likeliest first, of equal ones the smaller id; top_size is sizeof *top. */
    size_t n_top;
    size_t top_size;
    const struct tare_logprob *top;
    /* What this step read of the prompt: its ids in order, each once over all steps; prompt_size is sizeof *prompt. */
    size_t n_prompt;
    size_t prompt_size;
    const struct tare_prompt_logprob *prompt;
};

/*
 * Prepare to continue a text.
 *
 *   generation   receives it; owned, tare_generate_free()
 *   session      is continued from where it stands, and must outlive the generation
 *   tokenizer    must outlive the generation
 *   prompt       n ids to feed first, at least one; copied
 *   options      may be NULL; all but the grammar is copied
 *
 * The ids that the session held before count among the recent ones, for penalties and drafts.
 */
TARE_API enum tare_code tare_generate_open(tare_generate **generation, tare_session *session,
                                           const tare_tokenizer *tokenizer, const int32_t *prompt, size_t n,
                                           const struct tare_generate_options *options, struct tare_error *err);

/*
 * Continue the text by one id.
 *
 *   step     receives it
 *
 * With a finish the text is over, and further calls give the same finish and no text. The session then holds the prompt
 * and the ids that were given out, or all but the last of them. An error ends the text, too. TARE_E_FORMAT: the logits
 * hold NaN or infinity, as they do where the weights hold one.
 */
TARE_API enum tare_code tare_generate_next(tare_generate *generation, struct tare_generated *step,
                                           struct tare_error *err);

/*
 * Continue several texts by one id each, with one pass over the weights for all of them.
 *
 *   generates   n of them, of one model, each with a session of its own; threads are those of the first session
 *   steps       receives n steps
 *
 * Texts join and leave from call to call. Each becomes what it would become alone, to the bit; one whose prompt is
 * longer than its prompt_chunk takes several steps to read it. An error of one text is told in its step and ends it,
 * while the others continue. The call itself fails only where nothing was changed: TARE_E_ARGUMENT, when the texts are
 * not of one model, are not computed alike (exact, kernels) or share a session; TARE_E_MEMORY.
 */
TARE_API enum tare_code tare_generate_each(tare_generate *const *generates, struct tare_generated *steps, size_t n,
                                           struct tare_error *err);

/* End a text: its next step gives what was held back and TARE_FINISH_CANCELLED. Any thread, also during a step. */
TARE_API void tare_generate_cancel(tare_generate *generate);

/* Why the text failed; code TARE_OK: it has not. Borrowed, valid until tare_generate_free(). */
TARE_API const struct tare_error *tare_generate_error(const tare_generate *generate);

/* How many ids drafts have guessed so far, and how many of these were right. */
TARE_API void tare_generate_drafts(const tare_generate *generation, int64_t *guessed, int64_t *right);
TARE_API void tare_generate_free(tare_generate *generation);

/* The word for a finish, as "stop". Static; any thread. */
TARE_API const char *tare_finish_name(enum tare_finish finish);

/* ---- chat templates ---------------------------------------------------------------------------------------------- */

/* A chat template, in the Jinja language as transformers sets it up. Rendering does not change it, so threads may share
 * it. */
typedef struct tare_template tare_template;

/*
 * Read a model's template and special tokens.
 *
 *   chat_template   receives it; owned, tare_template_free()
 *   path            as of tare_plan()
 *   options         may be NULL; files, n_files and no_map are read
 *
 * They are read from chat_template.jinja, additional_chat_templates/tool_use.jinja, chat_template.json and
 * tokenizer_config.json, or from a GGUF file's metadata. No other file is read. TARE_E_ABSENT: the model has none.
 */
TARE_API enum tare_code tare_template_open(tare_template **chat_template, const char *path,
                                           const struct tare_options *options, struct tare_error *err);

/* Make a template of any text in the language, `size` bytes of UTF-8, which are copied. It sees request->variables as
 * they are, and nothing else. *chat_template is owned, tare_template_free(). */
TARE_API enum tare_code tare_template_from_text(tare_template **chat_template, const char *text, size_t size,
                                                struct tare_error *err);
TARE_API void tare_template_free(tare_template *chat_template);

/* One message of a conversation. */
struct tare_turn {
    /* "system", "user", "assistant". */
    const char *role;
    /* UTF-8. */
    const char *content;
};

/* What is rendered. All texts are borrowed for the call, UTF-8, and end with a NUL. */
struct tare_template_request {
    /* sizeof(struct tare_template_request). */
    size_t size;
    /* The conversation, n_turns messages. */
    const struct tare_turn *turns;
    size_t n_turns;
    /* The conversation in JSON, in the place of turns: [{"role": .., "content": .., ..}, ..]. */
    const char *messages;
    /* JSON: a list of tool definitions; NULL: none. */
    const char *tools;
    /* JSON: an object of further variables ("enable_thinking", "documents"), also of "messages", "tools" and
     * "add_generation_prompt" where the fields here do not say; NULL: none. */
    const char *variables;
    /* End with what opens the assistant's answer. */
    bool add_generation_prompt;
    /* The local time in ISO 8601, for a template that calls strftime_now; NULL: such a template is refused. A text
     * named "strftime_now" among the variables takes precedence. */
    const char *clock;
};
#define TARE_TEMPLATE_REQUEST_INIT                                                                                     \
    {                                                                                                                  \
        .size = sizeof(struct tare_template_request)                                                                   \
    }

/*
 * Render a conversation as the model expects it. The text has its special tokens: encode it without adding any.
 *
 *   request     what to render
 *   text        receives UTF-8 and a NUL; owned, tare_text_free(); NULL on failure
 *   text_size   receives the bytes of text, without the NUL
 *
 * A template runs in a sandbox: an attribute is a key of an object or a name from a list of methods. TARE_E_FORMAT:
 * variables or template are not well-formed; the template raises an exception, whose text is given as it is; or it
 * needs more than 50 million steps, 16 MiB of text, 16 MiB of values (beside eight times the variables) or 200 nested
 * calls. err->where then has file and line.
 */
TARE_API enum tare_code tare_template_render(const tare_template *chat_template,
                                             const struct tare_template_request *request, char **text,
                                             size_t *text_size, struct tare_error *err);

#ifdef __cplusplus
}
#endif
#endif
