/* SPDX-License-Identifier: MIT
 * packing.h - the contract of a stored format. One record, one file, one line in packings.def.
 *
 * Every packing knows its own layout and the neutral form between: codes, scales, and a zero or a bias a group, by row:
 *     weight[r][i] = scale[r][g] * (code[r][i] - zero[r][g])      with zeros            (AWQ)
 *     weight[r][i] = scale[r][g] * code[r][i] + bias[r][g]        with biases           (MLX affine)
 *     weight[r][i] = scale[r][g] * value(code[r][i])              codes that are floats (fp8, mxfp4)
 * in float32, rounded after the product and, with biases, after the sum. g = i / group_size, as a rule: all groups are
 * runs of group_size columns, and tare_module_even() says so. Else g is tare_module_group(): under GPTQ's act-order
 * (module->act_order) g_idx tells it of each column, and the last group may be short. Codes always stand in the logical
 * order of columns, so only the look-up of a column's scale differs: any user may take tare_module_group() for all
 * modules, and who walks along groups asks tare_module_even() first.
 */
#ifndef TARE_PACKING_PACKING_H
#define TARE_PACKING_PACKING_H

#include <string.h>

#include "config/quant.h"
#include "module/module.h"

/* What a code is: an unsigned integer, or a small float (base/small_float.h). */
enum tare_code_form { TARE_CODE_INTEGER, TARE_CODE_E2M1, TARE_CODE_E4M3 };

/* MLX's forms of a packed weight. */
enum tare_mlx_mode {
    TARE_MLX_AFFINE, /* weight, scales, biases */
    TARE_MLX_MXFP4,  /* weight, scales: e2m1 codes, 32 to an e8m0 scale */
    TARE_MLX_MXFP8,  /* e4m3 codes, 32 to an e8m0 scale */
    TARE_MLX_NVFP4,  /* e2m1 codes, 16 to an e4m3 scale; maybe a global_scale a matrix */
    TARE_MLX_DENSE   /* none of these can hold it */
};

/* Rows of one module in neutral form; the arrays are the caller's, with room for rows * in and rows * groups. */
struct tare_codes {
    uint8_t *code; /* (rows, in) */
    float *scale;  /* (rows, groups) */
    float *offset; /* (rows, groups): zeros, or biases when packing->biases; not written where codes are floats */
};

/* Where rows of a module go in MLX's layout, at the module's own bits, group size and dtype; the caller's. */
struct tare_mlx_rows {
    void *weight; /* U32 (rows, in * bits / 32) */
    void *scales; /* (rows, groups), dtype of the module's scales; U8 in all modes but affine */
    void *biases; /* likewise; affine only */
};

struct tare_packing {
    const char *name;               /* "awq-gemm" */
    const char *suffix[TARE_PARTS]; /* ".qweight", ".scales", ".qzeros", ".g_idx"; NULL: has no such part */
    enum tare_part key;             /* the part whose presence makes a stem packed */
    bool biases;                    /* offset is a bias, not a zero point */
    bool casts;                     /* all floats of the checkpoint take the dtype of the scales (AWQ, as in mlx-lm) */
    bool by_name;                   /* looked for in every checkpoint, whatever its config announces: by the key */
    bool reorders; /* decode and to_mlx follow the module's place and rows, so act-order can be undone */
    enum tare_code_form codes;
    enum tare_mlx_mode mode; /* MLX's form of it */
    enum tare_dtype blocks;  /* MAY: GGUF's kind of block, which alone tells the packing; else 0 */
    /* MAY: is this the packing that the config announces? */
    bool (*announced)(const struct tare_quant *quant);
    /* MAY: of the packings that share these suffixes, the one that dtypes and shapes of the parts tell; NULL: the
     * tensors only happen to have such names, and stay plain. Parts may be missing. */
    const struct tare_packing *(*which)(const struct tare_module *module, const struct tare_quant *quant);
    /* MUST: check the parts against each other and the config; fill rank, shape, dtype, bits, group_size, or fault. */
    void (*shape)(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena);
    /* MUST (but for plain): rows [row, row + rows) of the module, leading axes flattened; part[k] are the bytes of the
     * parts. */
    void (*decode)(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes);
    /* MAY (MUST for nvfp4): the same rows straight into MLX's layout; equals decode and encode (to_mlx.h) bit for bit.
     */
    void (*to_mlx)(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   const struct tare_mlx_rows *to);
    /* MAY: hold the parts' values against what the plan took from headers; before any decode (tare_module_data). */
    enum tare_code (*check)(const struct tare_module *module, const void *const part[TARE_PARTS],
                            struct tare_error *err);
    /* MAY: MLX's global_scale of a row of a module that has TARE_PART_GLOBAL; values are * global_scale / 2688. */
    float (*global)(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row);
    const struct tare_suspect *suspect; /* MAY: for verify; NULL: decoding tells */
};

/* A fast look at the stored bits of a weight, by stretches (packing/suspect.h). */
struct tare_suspect {
    int64_t (*units)(const struct tare_module *module); /* equal parts of the weight's bytes, none of which shares a
                                                           group with another; 0: this module cannot be looked at */
    /* Units [unit, unit + n), whose bytes are `stretch`. False: surely no group is dead (all codes its zero), and no
     * zero of them lies beyond what the bits hold. A yes may be wrong. */
    bool (*look)(const struct tare_module *module, const void *const part[TARE_PARTS], const void *stretch,
                 int64_t unit, int64_t n);
};
#define TARE_NVFP4_LARGEST 2688.0f /* 6 * 448: the largest code times the largest scale */

extern const struct tare_packing tare_packing_plain; /* floats and integers as they are */
#define PACKING(name) extern const struct tare_packing tare_packing_##name;
#include "packing/packings.def"
#undef PACKING

/* Number k of all packings but plain; NULL behind the last one. */
const struct tare_packing *tare_packing_at(size_t k);
/* The packing that the config announces, or NULL when it announces none, or one that is known by its tensors' names; an
 * unknown one is refused by name. */
enum tare_code tare_packing_choose(const struct tare_quant *quant, const struct tare_packing **packing,
                                   struct tare_error *err);

/* The packing of GGUF's blocks of a dtype; NULL: it has none. */
const struct tare_packing *tare_packing_of_blocks(enum tare_dtype dtype);

/* "float16", "awq-gemm": what a format is called in reports; for plain ones the dtype's word in mlx. */
const char *tare_packing_word(const struct tare_packing *packing, enum tare_dtype dtype);

/* Logical rows of a module: product of all axes but the last. */
int64_t tare_module_rows(const struct tare_module *module);
int64_t tare_module_columns(const struct tare_module *module);
int64_t tare_module_groups(const struct tare_module *module); /* columns / group_size, rounded up */
/* Is group k the columns from k * group_size on, so many of them, for all k? */
bool tare_module_even(const struct tare_module *module);
/* The group of column i. */
static inline int64_t tare_module_group(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t i)
{
    int32_t group;
    if (!module->act_order)
        return i / module->group_size;
    memcpy(&group, (const unsigned char *)part[TARE_PART_G_IDX] + 4 * i, sizeof group);
    return group;
}
/* The bytes of all parts (tare_tensor_data), checked by the packing where it has something to check. */
enum tare_code tare_module_data(struct tare_checkpoint *checkpoint, const struct tare_module *module,
                                const void *part[TARE_PARTS], struct tare_error *err);
/* codes of rows as float32: what tare_module_floats() gives for them. */
void tare_codes_floats(const struct tare_module *module, const struct tare_codes *codes, int64_t rows, float *dst);
/*
 * Rows [row, row + rows) as float32, for any packing, plain floats included. dst has room for rows * columns; work is
 * reset by the caller. Integers are refused.
 */
enum tare_code tare_module_floats(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                                  int64_t rows, float *dst, struct tare_arena *work, struct tare_error *err);

#endif
