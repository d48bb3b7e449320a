/* SPDX-License-Identifier: MIT
 * packing.h - the contract of a stored format: one record, one file, one line in packings.def.
 *
 * Every packing knows its own layout, and how to turn rows of it into the neutral form: codes, and for each group of
 * columns a scale and a zero or a bias:
 *     weight[r][i] = scale[r][g] * (code[r][i] - zero[r][g])      with zeros            (AWQ)
 *     weight[r][i] = scale[r][g] * code[r][i] + bias[r][g]        with biases           (MLX affine)
 *     weight[r][i] = scale[r][g] * value(code[r][i])              codes that are floats (fp8, mxfp4, nf4)
 * in float32, rounded after the product and, with biases, after the sum.
 *
 * As a rule g is i / group_size: every group is a run of group_size columns, and tare_module_even() says so. Otherwise
 * g is tare_module_group(): under GPTQ's act-order (module->act_order) g_idx tells the group of each column, and the
 * last group may be short. Codes always stand in the logical order of the columns, so only the look-up of a column's
 * scale differs. Code that asks tare_module_group() for each column is right for all modules; code that walks along
 * groups must ask tare_module_even() first.
 */
#ifndef TARE_PACKING_PACKING_H
#define TARE_PACKING_PACKING_H

#include <string.h>

#include "base/number.h"
#include "config/quant.h"
#include "module/module.h"

/* What a code is. */
enum tare_code_form {
    TARE_CODE_INTEGER, /* an unsigned integer */
    TARE_CODE_E2M1,    /* a small float (base/small_float.h) */
    TARE_CODE_E4M3,
    TARE_CODE_TABLE, /* a place in the packing's table() of 16 numbers */
    TARE_CODE_NONE   /* there are no codes: floats() alone gives the numbers */
};

/* MLX's forms of a packed weight. */
enum tare_mlx_mode {
    TARE_MLX_AFFINE, /* weight, scales, biases */
    TARE_MLX_MXFP4,  /* weight, scales: e2m1 codes, 32 to an e8m0 scale */
    TARE_MLX_MXFP8,  /* e4m3 codes, 32 to an e8m0 scale */
    TARE_MLX_NVFP4,  /* e2m1 codes, 16 to an e4m3 scale; maybe a global_scale a matrix */
    TARE_MLX_DENSE   /* none of these can hold it */
};

/* Rows of one module in neutral form. The arrays are the caller's, with room for rows * in and rows * groups. */
struct tare_codes {
    uint8_t *code; /* (rows, in) */
    float *scale;  /* (rows, groups) */
    /* (rows, groups): zeros, or biases when packing->biases. Not written where codes are floats. */
    float *offset;
};

/* Where rows of a module go in MLX's layout, at the module's own bits, group size and dtype; the caller's. */
struct tare_mlx_rows {
    void *weight; /* U32 (rows, in * bits / 32) */
    void *scales; /* (rows, groups), dtype of the module's scales; U8 in all modes but affine */
    void *biases; /* like scales; affine only */
};

/*
 * Whole numbers that stand for 4-bit codes which are floats, so that the kernels of integers can compute with them:
 *     weight = factor * scale * (value[code] - zero)
 * Each value is below 32. The scales of such a packing are powers of two, so factor * scale is exact in bfloat16.
 * Of a packing whose codes are integers, these are all the codes that it has: factor is 1, zero that of every group,
 * and the kernels keep four bits of each code instead of eight.
 */
struct tare_code_table {
    uint8_t value[16];
    float factor;
    float zero;
};

struct tare_stretch; /* packing/to_tiles.h */
struct tare_factoring;
struct tare_block_kind; /* packing/gguf/gguf_block.h */
struct tare_suspect;

struct tare_packing {
    const char *name; /* "awq-gemm" */
    /* The end of each part's name: ".qweight", ".scales", ".qzeros", ".g_idx"; NULL: there is no such part. */
    const char *suffix[TARE_PARTS];
    /* The part whose presence makes a stem packed. */
    enum tare_part key;
    /* An offset is a bias, not a zero point. */
    bool biases;
    /* Zeros are not in the middle of the codes, though no tensor has them: an integer without it, biases or zeros of its
     * own is symmetric. */
    bool uncentered;
    /* All floats of the checkpoint take the dtype of the scales (AWQ, as in mlx-lm). */
    bool casts;
    /* It is looked for in every checkpoint, whatever the config announces, by its key. */
    bool by_name;
    /* decode and to_mlx follow the module's place and rows, so act-order can be undone. */
    bool reorders;
    /* Row r of a module takes no other bytes of its weight than [r, r + 1) * size / rows, unless module->rows or heads
     * say otherwise. */
    bool rowwise;
    enum tare_code_form codes;
    /* MLX's form of it. */
    enum tare_mlx_mode mode;
    /* MAY: a 16-bit dtype in which all values of a module without TARE_PART_GLOBAL are exact; 0: it takes float32. */
    enum tare_dtype exact;
    /* MAY: suffixes of small tensors, up to a NULL, whose bytes shape() and decode() see as module->told: a quant_state, the
     * scales of scales. They stand beside the module and are no parameters. */
    const char *const *told;
    /* Zeros are real numbers, not whole ones of the range of codes (HQQ). */
    bool real_zeros;
    /* MAY: whole numbers for codes that are floats; NULL: the kernels of integers cannot run them. Or the 16 codes that
     * there are of a packing of integers. */
    const struct tare_code_table *table;
    /* MAY: the dtype of GGUF's blocks, which alone tells the packing; else 0. With it, what lies where in a block. */
    enum tare_dtype blocks;
    const struct tare_block_kind *block;
    /* MAY: is this the packing that the config announces? */
    bool (*announced)(const struct tare_quant *quant);
    /* MAY: of the packings that share these suffixes, the one that dtypes and shapes of the parts tell. NULL: the
     * tensors only happen to have such names, and stay plain. Parts may be missing. */
    const struct tare_packing *(*which)(const struct tare_module *module, const struct tare_quant *quant);
    /* MUST: check the parts against each other and the config; fill rank, shape, dtype, bits, group_size, or fault. */
    void (*shape)(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena);
    /* MUST (but for plain): rows [row, row + rows) of the module, leading axes flattened. part[k] points at the bytes
     * of part k. */
    void (*decode)(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes);
    /* MUST for TARE_CODE_TABLE: the 16 numbers that codes of the module stand for. */
    const float *(*numbers)(const struct tare_module *module);
    /* MUST for TARE_CODE_NONE, MAY where the producer rounds more often than the neutral form does: rows as float32, to
     * the last bit as the producer's formula has them. work is the caller's to reset. False: no memory. */
    bool (*floats)(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   float *dst, struct tare_arena *work);
    /* MAY (MUST for nvfp4): the same rows straight into MLX's layout; the bits are those of decode and encode
     * (mlx/to_mlx.h). */
    void (*to_mlx)(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   const struct tare_mlx_rows *to);
    /* MAY: rows straight into the kernels' tiles; the bits are those of decode and tare_tile_put(). False: nothing is
     * written, this module or matrix takes the way through decode. Only tare_to_tiles() calls it, after its checks. */
    bool (*to_tiles)(const struct tare_stretch *stretch);
    /* MAY: scales that are products of the number of a supergroup and a small one of each group, which the kernels keep
     * apart. */
    const struct tare_factoring *factoring;
    /* MAY: hold the parts' values against what the plan took from headers; before any decode (tare_module_data). */
    enum tare_code (*check)(const struct tare_module *module, const void *const part[TARE_PARTS],
                            struct tare_error *err);
    /* MAY: MLX's global_scale of a row of a module that has TARE_PART_GLOBAL; values are * global_scale / 2688. */
    float (*global)(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row);
    /* MAY: a fast look for verify; NULL: only decoding tells. */
    const struct tare_suspect *suspect;
};

/* A fast look at the stored bits of a weight, one stretch after another (packing/suspect.h). */
struct tare_suspect {
    /* How many equal parts of the weight's bytes there are, none of which shares a group with another; 0: this module
     * cannot be looked at. */
    int64_t (*units)(const struct tare_module *module);
    /* Looks at units [unit, unit + n), whose bytes are `stretch`. False: surely no group is dead (all its codes are its
     * zero), and no zero lies beyond what the bits hold. True may be wrong. */
    bool (*look)(const struct tare_module *module, const void *const part[TARE_PARTS], const void *stretch,
                 int64_t unit, int64_t n);
};
#define TARE_NVFP4_LARGEST 2688.0f /* 6 * 448: the largest code times the largest scale */

extern const struct tare_packing tare_packing_plain; /* floats and integers as they are */
#define PACKING(name) extern const struct tare_packing tare_packing_##name;
#include "packing/packings.def"
#undef PACKING

/* Packing k of all but plain, in the order of packings.def; NULL past the end. */
const struct tare_packing *tare_packing_at(size_t k);
/* Finds the packing that the config announces. *packing is NULL when the config announces none, or one that is known by
 * the names of its tensors. An unknown one is refused by its name. */
enum tare_code tare_packing_choose(const struct tare_quant *quant, const struct tare_packing **packing,
                                   struct tare_error *err);

/* The packing of GGUF's blocks of a dtype; NULL when the dtype is not one of blocks. */
const struct tare_packing *tare_packing_of_blocks(enum tare_dtype dtype);

/* What a format is called in reports: "awq-gemm", or for plain tensors MLX's word for the dtype, "float16". */
const char *tare_packing_word(const struct tare_packing *packing, enum tare_dtype dtype);

/* Logical rows of a module: product of all axes but the last. */
int64_t tare_module_rows(const struct tare_module *module);
int64_t tare_module_columns(const struct tare_module *module);
int64_t tare_module_groups(const struct tare_module *module); /* columns / group_size, rounded up */
/* Is every group k the group_size columns that begin at k * group_size? */
bool tare_module_even(const struct tare_module *module);
/* 16-bit number `at` of an array that need not be aligned. */
static inline uint16_t tare_half_at(const void *halves, int64_t at)
{
    uint16_t half;
    memcpy(&half, (const unsigned char *)halves + 2 * at, sizeof half);
    return half;
}
/* The group of column i. */
static inline int64_t tare_module_group(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t i)
{
    return module->act_order ? (int32_t)tare_word_at(part[TARE_PART_G_IDX], i) : i / module->group_size;
}
/* Parts that are small and hold numbers which say where others are: they are never read twice. */
static inline bool tare_part_is_copied(enum tare_part part)
{
    return part == TARE_PART_G_IDX || part == TARE_PART_SHAPE || part == TARE_PART_GLOBAL || part == TARE_PART_MASK;
}
/* Gives the addresses of all parts, after the packing's own check() of their values. Where files are not mapped, what
 * is read of them must be held; of tare_part_is_copied() the bytes are there (tare_tensor_data). */
enum tare_code tare_module_data(struct tare_checkpoint *checkpoint, const struct tare_module *module,
                                const void *part[TARE_PARTS], struct tare_error *err);
/* Hold what rows [row, row + rows) of a module take (hold.c); all of it; and what the part of a piece takes that lies in
 * a box, [low, high) of each of `rank` axes of the output. Where files are mapped, these do nothing. */
enum tare_code tare_module_hold(struct tare_holds *holds, struct tare_checkpoint *checkpoint,
                                const struct tare_module *module, int64_t row, int64_t rows, struct tare_error *err);
enum tare_code tare_module_hold_all(struct tare_holds *holds, struct tare_checkpoint *checkpoint,
                                    const struct tare_module *module, struct tare_error *err);
enum tare_code tare_piece_hold(struct tare_holds *holds, struct tare_checkpoint *checkpoint,
                               const struct tare_piece *piece, int rank, const int64_t *low, const int64_t *high,
                               struct tare_error *err);
/* Decodes rows into codes that lie in work, which the caller resets. */
enum tare_code tare_module_codes(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                                 int64_t rows, struct tare_codes *codes, struct tare_arena *work,
                                 struct tare_error *err);
/* Turns codes of rows into float32, as tare_module_floats() does. Groups must be even. */
void tare_codes_floats(const struct tare_module *module, const struct tare_codes *codes, int64_t rows, float *dst);
/*
 * Rows [row, row + rows) as float32, for any packing, plain floats included. dst has room for rows * columns; work is
 * reset by the caller. Integers are refused.
 */
enum tare_code tare_module_floats(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                                  int64_t rows, float *dst, struct tare_arena *work, struct tare_error *err);

#endif
