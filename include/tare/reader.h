/* SPDX-License-Identifier: MIT
 *
 * tare/reader.h - read tensors of a plan as floats, as codes and in the layout of MLX.
 * A part of tare.h, which says what holds for all of it.
 */
#ifndef TARE_READER_H
#define TARE_READER_H

#include "plan.h"

#ifdef __cplusplus
extern "C" {
#endif

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
    /* mlx-lm's, after rewriting: the parameters of the report. */
    TARE_VIEW_PARAMETER,
    /* The checkpoint's own modules, neither stacked nor split: "model.layers.0.mlp.up_proj". */
    TARE_VIEW_SOURCE
};

/* What a code stands for. */
enum tare_code_kind {
    /* There are no codes: the numbers are plain, or a recipe computes with packed ones. */
    TARE_CODES_NONE,
    /* A code stands for itself. */
    TARE_CODES_INTEGER,
    /* A code stands for the number info->table[code], as in fp4 and fp8. */
    TARE_CODES_FLOAT
};

/* What a reader reads. All pointers are borrowed from the reader. */
struct tare_tensor_info {
    /* Bytes of this struct as the library has it. */
    size_t size;
    /* As it was asked for, completed: the name of a parameter, or of a module with ".weight". */
    const char *name;
    /* As stored: "awq-gemm", "bfloat16". Where several modules make the tensor, that of the first one. */
    const char *packing;
    /* Of the stored scales: "float16"; NULL: it has none. */
    const char *scale_dtype;
    int rank;
    /* rank numbers: the shape as floats. */
    const int64_t *shape;
    /* Of a code; 0: plain. */
    int bits;
    /* Columns that share a scale. 0: plain; 1: each column of codes has a scale of its own. */
    int64_t group_size;
    /* The product of all axes but the last; 1 for a vector or a number. */
    int64_t rows;
    /* The last axis; 1 for a number. */
    int64_t columns;
    /* Scales a row of codes; 0: there are no codes. */
    int64_t groups;
    enum tare_code_kind codes;
    /* TARE_CODES_FLOAT: the 2^bits numbers that codes stand for; else NULL. */
    const float *table;
    /* Some of it is stored packed. */
    bool packed;
    /* Zero points are stored with it. */
    bool has_zeros;
    /* Offsets are stored as floats (MLX's affine layout, GGUF's Q4_1). */
    bool has_biases;
    /* A group is no run of columns: tare_reader_groups() tells the group of each column. */
    bool act_order;
};

/*
 * Open a tensor of a plan that loads.
 *
 *   reader  receives the reader, or NULL; owned by the caller, tare_reader_free(). It keeps the model alive
 *   model   not changed
 *   name    a name of the view, with or without ".weight" at its end
 *   view    whose names
 *
 * Files are mapped here, so that reading rows cannot fail but for memory; with no_map or a host, rows are read when they
 * are asked for, and that fails as reading does (TARE_E_IO, or the host's code). TARE_E_ABSENT: no such tensor (for
 * TARE_VIEW_PARAMETER: no bound one); TARE_E_ARGUMENT: a NULL, or an unknown view; the model's own error where it does
 * not load; else what mapping said, or what is wrong with the module.
 */
TARE_API enum tare_code tare_reader_open(tare_reader **reader, const tare_model *model, const char *name,
                                         enum tare_view view, struct tare_error *err);

/* Close a reader. */
TARE_API void tare_reader_free(tare_reader *reader);

/* What the reader reads. Borrowed, valid until tare_reader_free(). Any thread. */
TARE_API const struct tare_tensor_info *tare_reader_info(const tare_reader *reader);

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

/*
 * The group of each column of codes.
 *
 *   group_of_column  receives info->columns numbers, each from 0 to info->groups - 1
 *   room             of group_of_column in numbers
 *
 * TARE_E_ARGUMENT: there are no codes, or there is too little room. Any thread.
 */
TARE_API enum tare_code tare_reader_groups(const tare_reader *reader, int32_t *group_of_column, size_t room,
                                           struct tare_error *err);

/*
 * List the names of a view that tare_reader_open() takes, in the plan's order.
 *
 *   names  receives at most `room` names, borrowed from the model; may be NULL when room is 0
 *
 * Returns how many there are, which may be more than room. Modules with a fault are left out; a module that was set
 * aside is not. Any thread.
 */
TARE_API size_t tare_model_names(const tare_model *model, enum tare_view view, const char **names, size_t room);

/* What a parameter becomes in an MLX folder (tare_convert() to "mlx" with its default options). Words are static. */
struct tare_mlx_info {
    /* sizeof(struct tare_mlx_info), set by the caller. */
    size_t size;
    /* false: one dense array, and only dtype is set. */
    bool packed;
    /* "affine", "mxfp4", "mxfp8" or "nvfp4". */
    const char *mode;
    /* Of scales and biases (affine), or of the dense array: "float16"; of the other modes "uint8". */
    const char *dtype;
    /* Of a code. */
    int bits;
    /* Columns that share a scale. */
    int64_t group_size;
    /* nvfp4: the scale of a single matrix; 0: it has none, or there are several matrices. */
    float global_scale;
    /* nvfp4: one scale for each matrix of a stack, leading axes flattened. Borrowed from the reader; NULL: none. */
    const float *global_scales;
    size_t n_global_scales;
};
#define TARE_MLX_INFO_INIT TARE_SIZED(tare_mlx_info)

/* Fill with the defaults, for languages without the macro; size is sizeof(struct tare_mlx_info). Any thread. */
TARE_API void tare_mlx_info_init(struct tare_mlx_info *info, size_t size);

/*
 * Tell how MLX holds a parameter, before tare_read_mlx() reads it.
 *
 *   reader   of a parameter (TARE_VIEW_PARAMETER)
 *   info     filled; the caller sets its size
 *
 * Where the plan has the finding "act-order-folded", MLX's rows of the modules that it speaks of are sorted, and
 * tare_read_floats() gives them in their own order: take all of such a block from one of the two. TARE_E_ARGUMENT: it is
 * no parameter; TARE_E_TARGET: MLX cannot hold it, for the reason that the text has. Any thread.
 */
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
    /* sizeof(struct tare_source_info), set by the caller in the first entry of an array. */
    size_t size;
    /* As in the file; in GGUF that is "blk.0.attn_q.weight". */
    const char *name;
    /* The word of safetensors or GGUF: "I32", "Q4_K". */
    const char *dtype;
    int rank;
    /* rank numbers, as safetensors writes them: the last axis is contiguous. */
    const int64_t *shape;
    /* A plain file name. */
    const char *file;
    /* Bytes from the start of the file. */
    uint64_t offset;
    uint64_t bytes;
    /* "used", "set aside", "unexpected" or "misshapen". */
    const char *fate;
    /* Set aside: by which rule; else NULL. */
    const char *rule;
};
#define TARE_SOURCE_INFO_INIT TARE_SIZED(tare_source_info)

/* Fill with the defaults, for languages without the macro; size is sizeof(struct tare_source_info). Any thread. */
TARE_API void tare_source_info_init(struct tare_source_info *info, size_t size);

/*
 * List the tensors of the checkpoint's files.
 *
 *   out   receives at most `room` entries, which lie out[0].size bytes apart (0 there: sizeof(struct tare_source_info)
 *         of this version); may be NULL when room is 0
 *
 * Returns how many there are, which may be more than room. Any thread.
 */
TARE_API size_t tare_model_sources(const tare_model *model, struct tare_source_info *out, size_t room);

/*
 * Read a small file of the checkpoint: "config.json", "tokenizer.json", "generation_config.json". Of a GGUF file these
 * are made of its metadata.
 *
 *   name   a plain file name
 *   text   receives the bytes and a NUL; owned, tare_text_free(); NULL on failure
 *   size   receives the bytes without the NUL
 *
 * TARE_E_ABSENT: there is none; TARE_E_ARGUMENT: that is no plain file name; TARE_E_IO. Any thread.
 */
TARE_API enum tare_code tare_model_file(const tare_model *model, const char *name, char **text, size_t *size,
                                        struct tare_error *err);

#ifdef __cplusplus
}
#endif
#endif
