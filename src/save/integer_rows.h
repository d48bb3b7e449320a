/* SPDX-License-Identifier: MIT
 * integer_rows.h - what the formats of integer codes share: awq, gptq and compressed-tensors keep a module's codes,
 * zeros and scales as they are, each in its own order of bits.
 *
 * They pack along other axes than MLX, so a tile is a range of output rows and its words are stretches of the rows of a
 * matrix (in, out / ..): tiles are as wide as memory allows, so that a stretch is a few hundred bytes and more.
 */
#ifndef TARE_SAVE_INTEGER_ROWS_H
#define TARE_SAVE_INTEGER_ROWS_H

#include "save/save.h"

#define TARE_BLOCK_ROWS 128 /* decoded at once: a cache line of awq's words */

/* What one of the formats can hold. */
struct tare_integer_limits {
    const char *format;    /* for errors: "awq" */
    unsigned bits;         /* set of 1u << bits */
    bool order;            /* act-order: any g_idx */
    bool embeddings;       /* not only linear layers */
    int64_t rows, columns; /* of the matrix: multiples of these */
};

/*
 * Lay out a job of a format of integers: a packed module that the limits allow gets target.packed, bits, group_size,
 * dtype (of its scales) and symmetric, and is cut into rows; *packed says so. All else becomes dense, and a packed
 * module that the format cannot hold is refused. row_bytes: of all tensors together, for one output row.
 */
enum tare_code tare_integer_lay_out(struct tare_layout *layout, struct tare_model *model, struct tare_job *job,
                                    const struct tare_convert_options *options,
                                    const struct tare_integer_limits *limits, bool *packed, struct tare_error *err);
/* <path>.qweight, .qzeros and .scales, of these shapes, as awq and gptq have them. */
enum tare_code tare_integer_add(struct tare_layout *layout, const struct tare_job *job, const int64_t words[2],
                                const int64_t zeros[2], const int64_t scales[2], struct tare_error *err);
/* Does the source say that every zero of a module is in the middle of the codes' range? */
bool tare_said_symmetric(const struct tare_model *model, const struct tare_module *module);
/* The whole zero, 0 to most, from which MLX's bias follows to the bit; -1: there is none. */
int tare_zero_of_bias(float scale, float bias, enum tare_dtype dtype, int most);
/* group_size of the config: -1 where every packed job has one group a row. */
int64_t tare_integer_group_size(const struct tare_layout *layout);
/* Every packed job is symmetric. */
bool tare_integer_symmetric(const struct tare_layout *layout);
/* Calls visit(user, path) for each job of a linear layer that stays dense, the head included. */
bool tare_integer_dense_paths(const struct tare_layout *layout, bool (*visit)(void *user, const char *path),
                              void *user);
/* "+:^model\.layers\.0\.mlp\.up_proj$", of GPTQModel's `dynamic`: exactly this module. NULL: no memory. */
const char *tare_integer_pattern(struct tare_arena *work, char sign, const char *path);
/* A rule "-:.." for each linear layer that stays dense, but for the head. False: no memory. */
bool tare_integer_skip_rules(const struct tare_layout *layout, json_t *rules, struct tare_arena *work);

/* At most TARE_BLOCK_ROWS rows of a module, decoded. */
struct tare_integer_rows {
    int64_t row, n;
    uint8_t *code; /* (n, in) */
    float *scale;  /* (n, groups) */
    uint8_t *zero; /* (n, groups) */
    float *offset; /* as decoded */
};
enum tare_code tare_integer_begin(const struct tare_job *job, struct tare_worker *worker,
                                  struct tare_integer_rows *rows, struct tare_error *err);
/*
 * Rows [row, row + n), n <= TARE_BLOCK_ROWS. Of MLX's biases a zero is made where it exists: zero = -bias / scale, a
 * whole number of the codes' range, from which MLX's bias follows again to the bit. A module that is said to be
 * symmetric is held to it, and a scale to the dtype that --dtype asks for.
 */
enum tare_code tare_integer_read(const struct tare_job *job, int64_t row, int64_t n, struct tare_integer_rows *rows,
                                 struct tare_error *err);
/* Scales of the rows into a tile (groups, width) of the module's dtype, whose first column is row `first`. */
void tare_integer_put_scales(const struct tare_job *job, const struct tare_integer_rows *rows, int64_t first,
                             int64_t width, void *to);

#endif
