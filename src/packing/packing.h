/* SPDX-License-Identifier: MIT
 * packing.h - the contract of a stored format. One record, one file, one line in packings.def.
 *
 * Every packing knows its own layout and the neutral form between: unsigned codes, scales, and a zero or a bias a
 * group, by row: weight[r][i] = scale[r][g] * (code[r][i] - zero[r][g])      with zeros   (AWQ) weight[r][i] =
 * scale[r][g] * code[r][i] + bias[r][g]        with biases  (MLX affine)      g = i / group_size in float32, rounded
 * after the product and, with biases, after the sum.
 */
#ifndef TARE_PACKING_PACKING_H
#define TARE_PACKING_PACKING_H

#include "config/quant.h"
#include "names/module.h"

/* Rows of one module in neutral form; the arrays are the caller's, with room for rows * in and rows * groups. */
struct tare_codes {
    uint8_t *code; /* (rows, in) */
    float *scale;  /* (rows, groups) */
    float *offset; /* (rows, groups): zeros, or biases when packing->biases */
};

/* Where rows of a module go in MLX's affine layout, at the module's own bits, group size and dtype; the caller's. */
struct tare_mlx_rows {
    void *weight; /* U32 (rows, in * bits / 32) */
    void *scales; /* (rows, groups), dtype of the module's scales */
    void *biases; /* likewise */
};

struct tare_packing {
    const char *name;               /* "awq-gemm" */
    const char *suffix[TARE_PARTS]; /* ".qweight", ".scales", ".qzeros", ".g_idx"; NULL: has no such part */
    enum tare_part key;             /* the part whose presence makes a stem packed */
    bool biases;                    /* offset is a bias, not a zero point */
    /* MUST (but for plain): is this the packing that the config announces? */
    bool (*announced)(const struct tare_quant *quant);
    /* MUST: check the parts against each other and the config; fill rank, shape, dtype, bits, group_size, or fault. */
    void (*shape)(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena);
    /* MUST (but for plain): rows [row, row + rows) of the module, leading axes flattened; part[k] are the bytes of the
     * parts. */
    void (*decode)(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes);
    /* MAY: the same rows straight into MLX's affine layout; equals decode and encode (to_mlx.h) bit for bit. */
    void (*to_mlx)(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   const struct tare_mlx_rows *to);
};

extern const struct tare_packing tare_packing_plain; /* floats and integers as they are */
#define PACKING(name) extern const struct tare_packing tare_packing_##name;
#include "packing/packings.def"
#undef PACKING

/* The packing that the config announces, or NULL when it announces none; an unknown one is refused by name. */
enum tare_code tare_packing_choose(const struct tare_quant *quant, const struct tare_packing **packing,
                                   struct tare_error *err);

/* "float16", "awq-gemm": what a format is called in reports; for plain ones the dtype's word in mlx. */
const char *tare_packing_word(const struct tare_packing *packing, enum tare_dtype dtype);

/* Logical rows of a module: product of all axes but the last. */
int64_t tare_module_rows(const struct tare_module *module);
int64_t tare_module_columns(const struct tare_module *module);
int64_t tare_module_groups(const struct tare_module *module); /* columns / group_size */
/* The bytes of all parts (tare_tensor_data). */
enum tare_code tare_module_data(struct tare_checkpoint *checkpoint, const struct tare_module *module,
                                const void *part[TARE_PARTS], struct tare_error *err);
/*
 * Rows [row, row + rows) as float32, for any packing, plain floats included. dst has room for rows * columns; work is
 * reset by the caller. Integers are refused.
 */
enum tare_code tare_module_floats(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                                  int64_t rows, float *dst, struct tare_arena *work, struct tare_error *err);

#endif
