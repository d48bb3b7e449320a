/* SPDX-License-Identifier: MIT
 *
 * tare.h - the whole public interface of libtare.
 *
 * One idea: everything up to "may this model be used?" is decided from headers alone and recorded in a plan.
 * tare_plan() makes it; the report walks it; convert and sessions execute it.
 *
 *     tare_model *model = NULL;
 *     struct tare_error error = {0};
 *     if (tare_plan(&model, "path/to/checkpoint", NULL, &error) != TARE_OK)
 *         fprintf(stderr, "%s: %s\n", error.where, error.text);
 *     tare_model_free(model);
 *
 * Threads: a planned model is read-only and may be shared between threads. A session belongs to one thread at a time.
 * Nothing here prints, exits, aborts or reads the environment, and nothing is global.
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

/* One list for enum, names and exit codes: number, name, exit code of the command, meaning. Numbers never change. */
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

/* Filled by every function that fails, when given. The sentence says what was found, what was expected, what to look
 * at. */
struct tare_error {
    enum tare_code code;
    char where[256]; /* file, tensor or key; "" when there is no place */
    char text[512];
};

TARE_API const char *tare_version(void);                  /* "0.1.0"; static */
TARE_API int tare_version_number(void);                   /* 10000 * major + 100 * minor + patch, of the library */
TARE_API const char *tare_code_name(enum tare_code code); /* "E_SHAPE"; static */
TARE_API int tare_code_exit(enum tare_code code);         /* exit status of the command for this code */

/* ---- model types ------------------------------------------------------------------------------------------------- */

/* One model_type of config.json that tare knows. Texts are static. */
struct tare_model_type {
    const char *model_type;   /* "kimi_k2" */
    const char *architecture; /* chosen only when config.json's "architectures" lists it; NULL: by model_type alone */
    const char *module;       /* the model file it goes by, mlx-lm's module: "deepseek_v3" */
    const char *text_model;   /* of a wrapper with one inner model: that model's name; else NULL */
    bool plans, converts, runs;
};
/* Type number `index`: in alphabetical order, then those chosen by architecture; false behind the last. Any thread. */
TARE_API bool tare_model_type_get(size_t index, struct tare_model_type *type);

/* ---- options ----------------------------------------------------------------------------------------------------- */

/* What becomes of a packed output head that the model has no parameter for; docs: "the output head". */
enum tare_tie {
    TARE_TIE_AUTO =
        0, /* flags decide; where only a default said tied and the head differs, the head is the model's or refused */
    TARE_TIE_CONFIG, /* flags and defaults decide, a difference only warns */
    TARE_TIE_PROVED, /* dropped only if proved equal to the embedding */
    TARE_TIE_KEEP    /* the head becomes the model's own */
};

/* What the fields of GPTQ's qzeros hold; docs/formats.md. */
enum tare_zeros {
    TARE_ZEROS_AUTO = 0, /* as checkpoint_format says, which the data must not contradict */
    TARE_ZEROS_V1,       /* the zero - 1 */
    TARE_ZEROS_V2        /* the zero */
};

/* A file held in memory instead of a folder: borrowed, must outlive the model. */
struct tare_memory_file {
    const char *name;
    const void *data;
    size_t size;
};

/* progress: done and total are bytes; a non-zero return cancels with TARE_E_CANCELLED. May be called from any worker,
 * one call at a time. */
typedef int (*tare_progress_fn)(void *user, const char *stage, uint64_t done, uint64_t total);

struct tare_options {
    size_t size; /* sizeof(struct tare_options): the struct only grows at its end */
    enum tare_tie tie;
    bool no_data;                         /* never read a weight: prove is left out */
    bool no_map;                          /* read files into memory instead of mapping them */
    int threads;                          /* 0: one a core */
    const struct tare_memory_file *files; /* a checkpoint in memory; then path is only its name */
    size_t n_files;
    tare_progress_fn progress; /* may be NULL */
    void *user;
    enum tare_zeros zeros;
    const char *dequantize; /* modules that a packed target gets as floats: names with wildcards, separated by commas;
                               NULL: none. Read by tare_plan() only */
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
 *   options  may be NULL
 *
 * Returns TARE_OK when the model loads strictly, else the code of the first error, described in err.
 */
TARE_API enum tare_code tare_plan(tare_model **model, const char *path, const struct tare_options *options,
                                  struct tare_error *err);
TARE_API void tare_model_free(tare_model *model); /* NULL is fine; sessions of it may live on */

enum tare_level { TARE_NOTE, TARE_WARNING, TARE_ERROR };

/* All strings and arrays of a report are borrowed from the model. Shapes are of rank numbers; names are mlx-lm's. */
struct tare_report_format {
    const char *packing; /* "awq-gemm", "mlx-affine", "float16", ... */
    int bits;            /* 0 for plain floats; 16, 32 stay 0 */
    int64_t group_size;  /* 0 for plain floats */
    size_t modules;
};
struct tare_report_head {
    const char *prefix;   /* after rewriting, e.g. "language_model.lm_head" */
    const char *decision; /* "drop", "preserve" or "load" */
    const char *owner;    /* the level that decided: "", "model", "language_model", ... or NULL */
    const char *evidence; /* "config:...", "args:...", "none" or "target" */
    const char *where;    /* file and key, or the args' field */
    const char *proof;    /* NULL (not compared), "equal" or "differs" */
};
struct tare_report_tensor {
    const char *name;
    int rank;
    const int64_t *shape;    /* parameters: the declared float shape */
    const int64_t *expected; /* misshapen only, expected_rank numbers */
    int expected_rank;
    const char *dtype;   /* as stored, safetensors' word: "F16", "I32" */
    const char *packing; /* parameters only */
    int bits;
    int64_t group_size;
    const char *file;           /* plain file name */
    uint64_t offset;            /* bytes from the start of the file */
    const char *rule;           /* set aside: by which rule; parameters: the recipe */
    const char *evidence;       /* set aside: what the rule rests on */
    const char *const *sources; /* parameters: names of the source tensors */
    size_t n_sources;
};
struct tare_report_finding {
    enum tare_level level;
    const char *code; /* a stable word: "head-differs", "file-outside-index" */
    const char *where;
    const char *text;
};
struct tare_report {
    const char *model;      /* the path as given */
    const char *model_type; /* NULL when not known */
    bool loads;
    enum tare_code code;
    uint64_t bytes;    /* size of all shards that count */
    uint64_t elements; /* of bound parameters: "how many parameters it has" */
    size_t n_formats, n_heads, n_parameters, n_set_aside, n_missing, n_unexpected, n_misshapen, n_findings;
    const struct tare_report_format *formats;
    const struct tare_report_head *heads;
    const struct tare_report_tensor *parameters; /* bound ones */
    const struct tare_report_tensor *set_aside, *missing, *unexpected, *misshapen;
    const struct tare_report_finding *findings;
    /* the account: sources = used + set_aside + unexpected (+ misshapen), parameters = bound + missing (+ misshapen) */
    size_t sources, used, declared, bound, misshapen_sources;
};
TARE_API const struct tare_report *tare_model_report(const tare_model *model);

/* The plan as JSON (docs/json.md): parameters only with `parameters`. Owned by the caller, tare_text_free(); NULL: no
 * memory. */
TARE_API char *tare_model_json(const tare_model *model, bool parameters);
/* The way of one tensor (a parameter's or a source tensor's name), in words or JSON; NULL when there is no such name.
 */
TARE_API char *tare_model_explain(const tare_model *model, const char *name, bool json);
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
 * TARE_VIEW_PARAMETER: no bound one); TARE_E_ARGUMENT: a NULL, or an unknown view; else what mapping said, or what is
 * wrong with the module.
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

/* What a conversion did; tare.json says the same of each module. */
struct tare_convert_summary {
    size_t modules, kept;           /* kept: done by an earlier run, which was killed or cancelled */
    size_t exact, rounded, one_way; /* does the way back give the source's bytes: yes; all but some floats; no */
    uint64_t numbers;               /* that were rounded */
    double most;                    /* by how much, at most */
    bool proved;                    /* the way back was taken and compared */
};

struct tare_convert_options {
    size_t size;
    const char *to;      /* a word of tare_convert_format(); NULL: "mlx" */
    bool keep_dtypes;    /* mlx: leave floats in their stored dtype */
    int threads;         /* 0: as planned */
    uint64_t shard_size; /* bytes; 0: 5 GB */
    tare_progress_fn progress;
    void *user;
    const char *dtype; /* "float32", "bfloat16", "float16": of what is dense; NULL: as the format has it */
    bool exact;        /* round nothing: mlx then has scales and biases in float32, and floats in their stored dtype;
                          gguf has codes of 8 bits where those of 4 would need a rounded offset */
    /* MAY: what the caller should know of the output: what was rounded, what readers of the format do not do. where
     * may be "". Called from the thread of tare_convert() only. */
    void (*note)(void *user, const char *where, const char *text);
    bool proof;   /* read what was written, take the way back, compare it with the source; a difference is refused */
    bool no_sums; /* tare.json without hashes; a run that is killed then begins anew */
    struct tare_convert_summary *summary; /* receives what was done; may be NULL */
};
#define TARE_CONVERT_OPTIONS_INIT                                                                                      \
    {                                                                                                                  \
        .size = sizeof(struct tare_convert_options)                                                                    \
    }

/* Word number `index` of the formats that tare_convert() writes, "mlx" first; NULL behind the last. Static. */
TARE_API const char *tare_convert_format(size_t index);

/*
 * Execute a plan into a folder, tile by tile. The folder appears under its name only when complete and synced; an
 * output that exists is refused (TARE_E_EXISTS), so is one that another process is writing, and the input itself.
 * Memory beyond the mapped input: at most 64 MiB a thread. Killed or cancelled, it leaves ".NAME.tare-partial" beside
 * the output, from which a later call with the same source and options goes on; after any other failure nothing stays.
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

/* How far a parameter of two checkpoints agrees. Equal is what comes before TARE_DIFFERENT. */
enum tare_sameness {
    TARE_SAME_BYTES,      /* as stored, bit for bit */
    TARE_SAME_CODES,      /* packed on both sides: the same bits, codes, scales and zeros, whatever the layout */
    TARE_SAME_VALUES,     /* the same numbers in float32 (dequantized, where packed) */
    TARE_DIFFERENT,       /* at least one number differs */
    TARE_DIFFERENT_SHAPE, /* not compared */
    TARE_ONLY_FIRST,
    TARE_ONLY_SECOND
};
#define TARE_SAMENESS_COUNT 7

/* One side of a parameter; what it lacks is zeroed, packing NULL. */
struct tare_diff_side {
    const char *packing; /* of its first module: "awq-gemm", "float16"; NULL: the parameter is not there */
    int bits;            /* 0: plain */
    int64_t group_size;
    int rank;
    const int64_t *shape;
};
struct tare_diff_row {
    const char *name; /* mlx-lm's */
    enum tare_sameness sameness;
    struct tare_diff_side side[2];
    bool codes; /* DIFFERENT: codes and scales are the same all the same: zeros or biases were rounded */
    /* DIFFERENT only: the largest absolute difference (the first one of that size; infinite where one side is not
     * finite), where it is, and the two numbers. row counts all axes but the last. */
    double largest, value[2];
    int64_t row, column;
    uint64_t differing, elements;
};
struct tare_diff_report {
    const char *model[2]; /* paths as given */
    bool equal;           /* no row is DIFFERENT or beyond */
    size_t n_rows, count[TARE_SAMENESS_COUNT];
    const struct tare_diff_row *rows; /* in the first model's order, then what only the second one has */
    size_t largest;                   /* the row with the largest difference; n_rows where there is none */
};
struct tare_diff_options {
    size_t size;
    int threads; /* 0: as the first model was planned */
    tare_progress_fn progress;
    void *user;
};
#define TARE_DIFF_OPTIONS_INIT                                                                                         \
    {                                                                                                                  \
        .size = sizeof(struct tare_diff_options)                                                                       \
    }

/*
 * Compare two planned checkpoints, in whatever formats, parameter by parameter. Both must load, and stay alive until
 * tare_diff_free(): names and shapes are theirs. Memory: at most 64 MiB a thread. A difference is no error.
 */
TARE_API enum tare_code tare_diff_open(tare_diff **diff, tare_model *first, tare_model *second,
                                       const struct tare_diff_options *options, struct tare_error *err);
TARE_API void tare_diff_free(tare_diff *diff);
TARE_API const struct tare_diff_report *tare_diff_report_of(const tare_diff *diff); /* alive as long as diff */
TARE_API char *tare_diff_json(const tare_diff *diff); /* docs/json.md; tare_text_free(); NULL: no memory */
TARE_API const char *tare_sameness_word(enum tare_sameness sameness); /* "bytes", "codes", "values" ..; static */

/* ---- verify ------------------------------------------------------------------------------------------------------ */

typedef struct tare_verify tare_verify;

struct tare_verify_file {
    const char *name;
    uint64_t size;
    char sha256[65];      /* of its content, in hex; "" where it was not asked for */
    const char *expected; /* what it should be, in hex (40 digits: git's sha1 of a blob), or NULL */
    const char *source;   /* who says so: "hub cache", "tare.json", or NULL */
    bool matches;         /* expected, or nothing expected */
};
struct tare_verify_report {
    const char *model; /* the path as given */
    size_t n_files, n_findings;
    const struct tare_verify_file *files; /* the shards, then what else has a hash to be held against */
    /* Codes: hash, proof (of tare.json), file-absent, duplicate, nan, infinite, scale-nan, scale-denormal, dead-group,
     * zero-range. All are warnings. */
    const struct tare_report_finding *findings;
    uint64_t bytes_hashed, bytes_scanned;
};
struct tare_verify_options {
    size_t size;
    bool no_hash;   /* leave the files' hashes out */
    bool no_values; /* leave the numbers out */
    int threads;    /* 0: as planned */
    tare_progress_fn progress;
    void *user;
};
#define TARE_VERIFY_OPTIONS_INIT                                                                                       \
    {                                                                                                                  \
        .size = sizeof(struct tare_verify_options)                                                                     \
    }

/*
 * The content of a planned checkpoint: sha256 of each file against the names of the Hugging Face cache's blobs and
 * against tare.json; every float for NaN and infinity, scales for what is denormal, groups for dead ones (their scale
 * is 0, or all their codes are the zero), zeros for what the bits cannot hold, shards for duplicates. The model must
 * load and stay alive until tare_verify_free(). Findings are no error.
 */
TARE_API enum tare_code tare_verify_open(tare_verify **verify, tare_model *model,
                                         const struct tare_verify_options *options, struct tare_error *err);
TARE_API void tare_verify_free(tare_verify *verify);
TARE_API const struct tare_verify_report *tare_verify_report_of(const tare_verify *verify);
TARE_API char *tare_verify_json(const tare_verify *verify); /* docs/json.md; tare_text_free(); NULL: no memory */

/* ---- repair ------------------------------------------------------------------------------------------------------ */

/* A patch of a checkpoint's config.json, index and headers; data is never changed. */
typedef struct tare_repair tare_repair;

/* All strings are borrowed from the patch. Values are JSON in one line. */
struct tare_repair_change {
    const char *file;    /* plain file name: "config.json" */
    const char *kind;    /* "set", "remove" a key; "rename", "drop" a tensor; "rebuild", "update" an index */
    const char *key;     /* "quantization_config.group_size"; the tensor; "" for an index */
    const char *before;  /* NULL: was not there */
    const char *after;   /* NULL: is not there any more */
    const char *because; /* the evidence, in a sentence */
};
struct tare_repair_note { /* something that is seen and left as it is, and why */
    const char *where, *text;
};
struct tare_repair_report {
    const char *model; /* the path as given */
    bool loaded;       /* before the patch */
    bool loads;        /* with it */
    size_t n_changes, n_notes;
    const struct tare_repair_change *changes;
    const struct tare_repair_note *notes;
    const char *not_in_place; /* why the patch needs a new folder, or NULL */
};

/*
 * Look for a patch with which the checkpoint loads, and loads without the findings that a patch can mend. Nothing is
 * written. What is not certain is left as it is, with a note. *repair receives the patch also on failure (or NULL when
 * memory ran out); tare_repair_free(). Returns TARE_OK when the model loads as it is or with the patch, which may be
 * empty; else the code of what is in the way.
 */
TARE_API enum tare_code tare_repair_find(tare_repair **repair, const char *path, const struct tare_options *options,
                                         struct tare_error *err);
TARE_API void tare_repair_free(tare_repair *repair); /* NULL is fine */
TARE_API const struct tare_repair_report *tare_repair_patch(const tare_repair *repair);
/* The report as one JSON object (docs/json.md); owned by the caller, tare_text_free(); NULL: no memory. */
TARE_API char *tare_repair_json(const tare_repair *repair);
/*
 * Apply the patch into a new folder (files that stay are linked or copied), or in place: each file is replaced at once,
 * and the old one kept as NAME.before-repair. The result is planned again and must be what was planned, else nothing is
 * changed.
 */
TARE_API enum tare_code tare_repair_write(const tare_repair *repair, const char *folder, struct tare_error *err);
TARE_API enum tare_code tare_repair_in_place(const tare_repair *repair, struct tare_error *err);
/* Put every NAME.before-repair of a folder back; *n (may be NULL) receives how many files that were. */
TARE_API enum tare_code tare_repair_undo(const char *folder, size_t *n, struct tare_error *err);

/* ---- run --------------------------------------------------------------------------------------------------------- */

typedef struct tare_session tare_session;

struct tare_session_options {
    size_t size;
    int64_t context; /* most tokens of the session; 0: max_position_embeddings or 4096, whichever is less */
    int threads;     /* 0: as planned */
    const volatile int
        *cancel; /* may be NULL; when it becomes non-zero, tare_session_feed() ends with TARE_E_CANCELLED */
    bool exact; /* all in float32; else activations go through packed weights in 8 bits, by blocks of 32 with a scale */
    uint64_t
        memory; /* bytes that weights and states may take; more is refused before anything is loaded. 0: what is free */
    const char *kernels; /* "scalar", "avx2", "avx512", "neon"; NULL: the best that this processor has */
    int kv_bits; /* of a number in the cache of keys and values: 32 (float32), 16 (float16), 8, 4; 0: 16, exact 32 */
};
#define TARE_SESSION_OPTIONS_INIT                                                                                      \
    {                                                                                                                  \
        .size = sizeof(struct tare_session_options)                                                                    \
    }

/* max_position_embeddings, or how many learned positions there are; 0: the config does not say. */
TARE_API int64_t tare_model_context(const tare_model *model);
/* A session holds a reference to the model's plan and its mappings: either may be freed first. */
TARE_API enum tare_code tare_session_open(tare_session **session, tare_model *model,
                                          const struct tare_session_options *options, struct tare_error *err);
TARE_API void tare_session_free(tare_session *session);
TARE_API int64_t tare_session_vocabulary(const tare_session *session); /* columns of logits */
TARE_API int64_t tare_session_context(const tare_session *session);
TARE_API int64_t tare_session_length(const tare_session *session); /* tokens fed so far */
/*
 * Feed n ids; logits receives float32 (n, vocabulary) when all, else (1, vocabulary): those of the last id. logits may
 * be NULL. After a failure the session holds those of the ids that went through whole: tare_session_length() tells. Up
 * to 256 ids go through together, so that of a feed no longer than that all do or none.
 */
TARE_API enum tare_code tare_session_feed(tare_session *session, const int32_t *ids, size_t n, bool all, float *logits,
                                          struct tare_error *err);
/*
 * The same for several sessions of one model in one step, which reads the weights once for all of them. Each may be fed
 * another number of ids: a prompt beside texts that go on by one token. A session's logits do not depend on what it is
 * fed beside. The threads, and `cancel`, are those of the first one.
 */
struct tare_feed {
    tare_session *session;
    const int32_t *ids;
    size_t n;
    bool all;
    float *logits;
};
TARE_API enum tare_code tare_session_feed_each(struct tare_feed *feeds, size_t n, struct tare_error *err);

/* A second session that stands where the first one does and shares what both hold so far. It uses the threads and work
 * memory of the first: the two may be used by turns or in one step, but not at the same time. */
TARE_API enum tare_code tare_session_fork(tare_session **fork, const tare_session *session, struct tare_error *err);
/* Forget all but the first `length` tokens. Recurrent models go through some of them again for that. */
TARE_API enum tare_code tare_session_rewind(tare_session *session, int64_t length, struct tare_error *err);

TARE_API const int32_t *tare_session_ids(const tare_session *session); /* those fed so far; the session's */

/*
 * A session in a file, so that a long prompt is gone through once. save writes under another name first; load takes the
 * place of what the session held. A file of another model, of other --kv-bits, of more tokens than the session has room
 * for, or a damaged one is refused (TARE_E_FORMAT); the session is then empty.
 */
TARE_API enum tare_code tare_session_save(const tare_session *session, const char *path, struct tare_error *err);
TARE_API enum tare_code tare_session_load(tare_session *session, const char *path, struct tare_error *err);

/* ---- sampling ---------------------------------------------------------------------------------------------------- */

/* Added to the logit of one id; -INFINITY forbids it. */
struct tare_bias {
    int32_t id;
    float value;
};
/*
 * How an id is chosen. The steps and their order are llama.cpp's: bias, penalties (tare_sample_adjust()); then top-k,
 * typical, top-p, min-p, each on the probabilities of what the one before left, at temperature 1; then the temperature
 * and the draw (tare_sample()). Zero switches a step off.
 */
struct tare_sampling {
    size_t size;
    float temperature; /* 0: greedy */
    float top_p;       /* only the likeliest ids, as many as reach this sum; 1 or 0: off */
    int top_k;         /* only so many; 0: off */
    float min_p;       /* none below this part of the likeliest that is left; 0: off */
    uint64_t seed;
    float typical_p; /* locally typical (Meister et al. 2022): the ids whose information is nearest to the entropy, as
                        many as reach this sum; 1 or 0: off */
    /* Of ids among the last ones: a logit above 0 is divided by the repetition penalty, another multiplied with it;
     * then presence, and frequency times how often the id stands there, are subtracted. */
    float repetition_penalty; /* 1 or 0: off */
    float presence_penalty;
    float frequency_penalty;
    int penalty_window; /* how many of the last ids count; 0: 64, -1: all */
    const struct tare_bias *bias;
    size_t n_bias;
};
#define TARE_SAMPLING_INIT                                                                                             \
    {                                                                                                                  \
        .size = sizeof(struct tare_sampling)                                                                           \
    }
/*
 * Bias and penalties: changes one row of logits. recent: the ids of the text so far, n of them, prompt included, the
 * last one last. An id outside the vocabulary is refused in a bias and skipped among the recent ones.
 */
TARE_API enum tare_code tare_sample_adjust(float *logits, int64_t vocabulary, const struct tare_sampling *sampling,
                                           const int32_t *recent, size_t n, struct tare_error *err);
/*
 * One id from one row of logits. `draw` numbers the draws of one text from 0: same seed, draw and logits give the same
 * id, on any machine, whatever was drawn before and by how many threads the logits were made. Of equal logits the
 * smaller id comes first. A NaN is an impossible id, as -INFINITY is; +INFINITY is taken at once; where all are
 * impossible it is the first that is not a NaN, or 0.
 */
TARE_API int32_t tare_sample(const float *logits, int64_t vocabulary, const struct tare_sampling *sampling,
                             uint64_t draw);

/* ---- measure ----------------------------------------------------------------------------------------------------- */

TARE_API const char *tare_session_kernels(const tare_session *session); /* the set in use: "avx2"; static */
/* Bytes of weights that decoding one token reads, in the layout they run in: of experts, as many as are chosen. */
TARE_API uint64_t tare_session_weights(const tare_session *session);
/*
 * What reading memory in order gives at best here and now: *rate receives bytes a second, the best of five passes over
 * `bytes` of memory (at least 256 KiB; far more than the caches hold, to mean anything) by so many threads (0: one a
 * core). Any thread; takes a fraction of a second a GB.
 */
TARE_API enum tare_code tare_measure_read(int threads, uint64_t bytes, double *rate, struct tare_error *err);

/* ---- text -------------------------------------------------------------------------------------------------------- */

typedef struct tare_tokenizer tare_tokenizer;

/* From tokenizer.json, tokenizer.model (SentencePiece), tekken.json or a GGUF file's metadata, whichever comes first;
 * and tokenizer_config.json, generation_config.json, config.json for added tokens and the ids that end a text. No other
 * file is read. Not changed by use: threads may share it. *tokenizer is owned by the caller, tare_tokenizer_free(). */
TARE_API enum tare_code tare_tokenizer_open(tare_tokenizer **tokenizer, const char *path,
                                            const struct tare_options *options, struct tare_error *err);
TARE_API void tare_tokenizer_free(tare_tokenizer *tokenizer);
/* ids: owned by the caller, tare_ids_free(). Text is UTF-8 of `size` bytes; invalid bytes are refused. */
TARE_API enum tare_code tare_tokenizer_encode(const tare_tokenizer *tokenizer, const char *text, size_t size,
                                              bool special, int32_t **ids, size_t *n, struct tare_error *err);
TARE_API void tare_ids_free(int32_t *ids);
/* The text of ids at once; owned by the caller, tare_text_free(). An id that no token has (a vocabulary may be shorter
 * than the embedding) gives no text. */
TARE_API enum tare_code tare_tokenizer_decode(const tare_tokenizer *tokenizer, const int32_t *ids, size_t n,
                                              bool skip_special, char **text, struct tare_error *err);
TARE_API bool tare_tokenizer_ends(const tare_tokenizer *tokenizer, int32_t id); /* is it an end-of-text id? */

/* Streaming decode: whole characters only; what is incomplete is held back until it is complete or known to be invalid.
 */
typedef struct tare_stream tare_stream;
TARE_API enum tare_code tare_stream_open(tare_stream **stream, const tare_tokenizer *tokenizer, bool skip_special,
                                         struct tare_error *err);
TARE_API void tare_stream_free(tare_stream *stream);
/* piece: borrowed until the next call, "" when held back. tare_stream_end() gives what was held back. */
TARE_API enum tare_code tare_stream_put(tare_stream *stream, int32_t id, const char **piece, struct tare_error *err);
TARE_API enum tare_code tare_stream_end(tare_stream *stream, const char **piece, struct tare_error *err);

/* ---- grammars ---------------------------------------------------------------------------------------------------- */

/* What a text may look like, and the ids that spell it; docs/grammar.md. Read-only: threads may share it. */
typedef struct tare_grammar tare_grammar;
/* How far a text has come in a grammar. Forks share what they find out about it: one thread at a time has them all. */
typedef struct tare_grammar_state tare_grammar_state;

enum tare_grammar_kind {
    TARE_GRAMMAR_GBNF,  /* llama.cpp's notation */
    TARE_GRAMMAR_SCHEMA /* a JSON schema, draft 2020-12: compact JSON, a single space where one is usual */
};

/*
 * text: `size` bytes, not needed afterwards, as the tokenizer is not. TARE_E_FORMAT: the text is not well-formed, is
 * left-recursive, or has a rule that no text can end; TARE_E_UNKNOWN: a keyword of a schema that is not supported, by
 * name. Owned by the caller, tare_grammar_free(); states of it are freed first.
 */
TARE_API enum tare_code tare_grammar_open(tare_grammar **grammar, const tare_tokenizer *tokenizer,
                                          enum tare_grammar_kind kind, const char *text, size_t size,
                                          struct tare_error *err);
TARE_API void tare_grammar_free(tare_grammar *grammar); /* NULL is fine */
/* A schema in GBNF; owned by the caller, tare_text_free(). */
TARE_API enum tare_code tare_grammar_from_schema(char **gbnf, const char *schema, size_t size, struct tare_error *err);

/* At the beginning of a text. */
TARE_API enum tare_code tare_grammar_state_open(tare_grammar_state **state, const tare_grammar *grammar,
                                                struct tare_error *err);
TARE_API enum tare_code tare_grammar_state_fork(tare_grammar_state **fork, tare_grammar_state *state,
                                                struct tare_error *err);
TARE_API void tare_grammar_state_free(tare_grammar_state *state); /* NULL is fine */
/*
 * The logits of ids that may not come next become -INFINITY: all those that do not go on with the text by the grammar;
 * special and empty ones; the ids that end a text, unless the text may end here. *allowed (may be NULL) receives how
 * many ids may come: 0 only where the vocabulary cannot spell what must follow.
 */
TARE_API enum tare_code tare_grammar_mask(tare_grammar_state *state, float *logits, int64_t vocabulary,
                                          int64_t *allowed, struct tare_error *err);
/* The id came: TARE_E_ARGUMENT and no change where it may not. An id that ends a text changes nothing. */
TARE_API enum tare_code tare_grammar_accept(tare_grammar_state *state, int32_t id, struct tare_error *err);
/* The same of bytes. */
TARE_API enum tare_code tare_grammar_accept_text(tare_grammar_state *state, const char *text, size_t size,
                                                 struct tare_error *err);
TARE_API bool tare_grammar_complete(const tare_grammar_state *state); /* may the text end here? */
TARE_API bool tare_grammar_closed(const tare_grammar_state *state);   /* may nothing but its end follow? */

/* ---- generation -------------------------------------------------------------------------------------------------- */

/* A text that goes on: sampling, grammar, stop strings and drafts around a session. One thread at a time. */
typedef struct tare_generation tare_generation;

enum tare_draft {
    TARE_DRAFT_NONE,
    /* What followed the last place where the text's last ids (at most 4, at least 2) stood before is guessed to follow
     * again, and checked in one step. A draw is a function of seed, its number and the logits at its place, so a guess
     * is taken only while it is what would have been drawn: the text is the one without drafts, greedy or not, as far
     * as the session's logits do not depend on how many ids are fed at once. */
    TARE_DRAFT_LOOKUP
};
enum tare_finish {
    TARE_FINISH_NONE,     /* it goes on */
    TARE_FINISH_END,      /* an id that ends a text */
    TARE_FINISH_STOP,     /* a stop string; it and what follows are not part of the text */
    TARE_FINISH_LENGTH,   /* max_tokens, or the context is full */
    TARE_FINISH_GRAMMAR,  /* by the grammar the text is complete, and nothing can follow */
    TARE_FINISH_STUCK,    /* the vocabulary cannot spell what must follow by the grammar */
    TARE_FINISH_CANCELLED /* by the session's `cancel` */
};
struct tare_generate_options {
    size_t size;
    struct tare_sampling sampling;
    int64_t max_tokens;       /* 0: until the context is full */
    const char *const *stops; /* UTF-8, not empty, at most 64 KiB each; copied */
    size_t n_stops;
    const tare_grammar *grammar; /* may be NULL; outlives the generation */
    enum tare_draft draft;
    int draft_most;   /* ids of one draft; 0: 8 */
    bool ignore_ends; /* ids that end a text are forbidden */
};
#define TARE_GENERATE_OPTIONS_INIT                                                                                     \
    {                                                                                                                  \
        .size = sizeof(struct tare_generate_options), .sampling = TARE_SAMPLING_INIT                                   \
    }
struct tare_generated {
    const char *text; /* what can be said so far beyond what was; whole characters; borrowed until the next call */
    size_t size;      /* bytes of it; a NUL follows */
    int32_t id;       /* the id that was chosen; -1: none */
    enum tare_finish finish;
};

/*
 * session: goes on from where it is. prompt: ids to feed first, at least one. session and tokenizer outlive the
 * generation. What was in the session before counts among the recent ids of penalties and drafts.
 */
TARE_API enum tare_code tare_generate_open(tare_generation **generation, tare_session *session,
                                           const tare_tokenizer *tokenizer, const int32_t *prompt, size_t n,
                                           const struct tare_generate_options *options, struct tare_error *err);
/*
 * One id more. With a finish the text is over, and further calls give the same finish and no text; the session then
 * holds the prompt and the ids that were given out, or all but the last one. An error ends the text, too.
 * TARE_E_FORMAT: the logits hold NaN or infinity, as they do where the weights hold one.
 */
TARE_API enum tare_code tare_generate_next(tare_generation *generation, struct tare_generated *step,
                                           struct tare_error *err);
/* Ids that drafts guessed, and how many of them were right. */
TARE_API void tare_generate_drafts(const tare_generation *generation, int64_t *guessed, int64_t *right);
TARE_API void tare_generate_free(tare_generation *generation);  /* NULL is fine */
TARE_API const char *tare_finish_name(enum tare_finish finish); /* "stop"; static */

/* ---- chat templates ---------------------------------------------------------------------------------------------- */

/* A chat template, in the Jinja language as transformers sets it up. Not changed by rendering: threads may share it. */
typedef struct tare_template tare_template;

/* The template of a model, and its special tokens: from chat_template.jinja, additional_chat_templates/tool_use.jinja,
 * chat_template.json and tokenizer_config.json, or a GGUF file's metadata. No other file is read. TARE_E_ABSENT: the
 * model has none. *template is owned by the caller, tare_template_free(). */
TARE_API enum tare_code tare_template_open(tare_template **chat_template, const char *path,
                                           const struct tare_options *options, struct tare_error *err);
/* A template of `size` bytes of UTF-8, copied: any text in the language. It sees request->variables as they are, and
 * nothing else. */
TARE_API enum tare_code tare_template_from_text(tare_template **chat_template, const char *text, size_t size,
                                                struct tare_error *err);
TARE_API void tare_template_free(tare_template *chat_template); /* NULL is fine */

struct tare_turn {
    const char *role;    /* "system", "user", "assistant" */
    const char *content; /* UTF-8 */
};
/* All is borrowed, UTF-8 and ended by a NUL. */
struct tare_template_request {
    size_t size;                   /* sizeof(struct tare_template_request): the struct only grows at its end */
    const struct tare_turn *turns; /* the conversation */
    size_t n_turns;
    const char *messages;  /* the conversation in JSON, in the place of turns: [{"role": .., "content": .., ..}, ..] */
    const char *tools;     /* JSON: a list of tool definitions; NULL: none */
    const char *variables; /* JSON: an object of further variables ("enable_thinking", "documents"), also "messages",
                              "tools" and "add_generation_prompt" where the fields here do not say; NULL: none */
    bool add_generation_prompt; /* end with what opens the assistant's answer */
    const char *clock;          /* local time, ISO 8601, for strftime_now; NULL: a template that asks is refused. A text
                                   "strftime_now" among variables goes before it */
};
#define TARE_TEMPLATE_REQUEST_INIT                                                                                     \
    {                                                                                                                  \
        .size = sizeof(struct tare_template_request)                                                                   \
    }
/*
 * Render a conversation as the model wants it, special tokens included: encode the text without adding any.
 *
 *   text       receives UTF-8 of text_size bytes and a NUL, owned by the caller, tare_text_free(); NULL on failure
 *
 * A template is sandboxed: an attribute is a key or a method of a list. TARE_E_FORMAT: variables or template are not
 * well-formed, the template raises an exception (its text is given as it is), or it asks for more than 50 million
 * steps, 16 MiB of text, 16 MiB of values (beside eight times the variables) or 200 calls inside one another;
 * err->where has file and line.
 */
TARE_API enum tare_code tare_template_render(const tare_template *chat_template,
                                             const struct tare_template_request *request, char **text,
                                             size_t *text_size, struct tare_error *err);

#ifdef __cplusplus
}
#endif
#endif
