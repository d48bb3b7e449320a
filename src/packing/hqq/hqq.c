/* SPDX-License-Identifier: MIT
 * hqq.c - HQQ (half-quadratic quantization), as hqq and transformers save it in safetensors: X.W_q, X.scale, X.zero, and
 * small tensors that say the rest: X.shape I64 (out, in), X.nbits, X.axis, X.packing (text in U8) ..
 *
 *     weight = (q - zero) * scale      zeros are real numbers
 * The flat weight is seen as a matrix M of n / N columns (axis 1: one scale for each of its N rows) or of N columns (axis
 * 0: one for each column), where N is the number of scales. Rows of M are packed by parts, not neighbours: "4bit_u8"
 * has row r in the high half and row r + R / 2 in the low one; "2bit_u8" quarters and "1bit_u8" eighths, from the top
 * bits; "8bit_u8" (8, 6 and 5 bits) plain; "3bit_32" I32, rows padded to a multiple of 10, step = R' / 10, row r + k *
 * step in bits 27 - 3k to 29 - 3k. view_as_float gives the bytes of W_q the label of another dtype.
 * Source: hqq/core/quantize.py, core/bitpack.py.
 */
#include "packing/fault.h"

enum told { SHAPE, NBITS, AXIS, PACKING_WORD, GROUP_SIZE, QUANT_SCALE, QUANT_ZERO };

static const char *const told[] = {".shape",
                                   ".nbits",
                                   ".axis",
                                   ".packing",
                                   ".group_size",
                                   ".quant_scale",
                                   ".quant_zero",
                                   ".compute_dtype",
                                   ".view_as_float",
                                   ".channel_wise",
                                   ".optimize",
                                   ".round_zero",
                                   ".offload_meta",
                                   ".unpack_view_dtype",
                                   ".encoded_state_dict",
                                   ".stores_quant_config",
                                   NULL};

static const struct layout {
    const char *name;
    int bits;
    int parts; /* rows of M in one element */
} layouts[] = {{"8bit_u8", 8, 1}, {"4bit_u8", 4, 2}, {"3bit_32", 3, 10}, {"2bit_u8", 2, 4}, {"1bit_u8", 1, 8}};

struct notes {
    int64_t columns; /* of M */
    int64_t step;    /* rows of M as stored: between the parts of an element */
    bool by_column;  /* axis 0 */
};

/* A whole number of one of the small tensors; `otherwise` where it is absent. False: it is no integer. */
static bool read_number(const struct tare_told *told_one, int64_t at, int64_t otherwise, int64_t *into)
{
    int32_t narrow;
    *into = otherwise;
    if (!told_one->tensor)
        return true;
    if (tare_shape_count(told_one->tensor->rank, told_one->tensor->shape) <= at)
        return false;
    switch (told_one->tensor->dtype) {
    case TARE_I64:
        memcpy(into, (const unsigned char *)told_one->data + 8 * at, sizeof *into);
        return true;
    case TARE_I32:
        memcpy(&narrow, (const unsigned char *)told_one->data + 4 * at, sizeof narrow);
        *into = narrow;
        return true;
    case TARE_U8:
    case TARE_BOOL:
        *into = ((const uint8_t *)told_one->data)[at];
        return true;
    default:
        return false;
    }
}

/* The layout that X.packing names, or that the number of bits means; NULL: it is not known. */
static const struct layout *layout_of(const struct tare_module *module)
{
    const struct tare_told *word = &module->told[PACKING_WORD];
    int64_t bits = 0;
    if (!word->tensor && !read_number(&module->told[NBITS], 0, 0, &bits))
        return NULL;
    for (size_t k = 0; k < sizeof layouts / sizeof *layouts; k++) {
        const size_t n = strlen(layouts[k].name);
        if (word->tensor ? word->tensor->size == n && !memcmp(word->data, layouts[k].name, n)
                         : layouts[k].bits == (bits == 5 || bits == 6 ? 8 : bits))
            return &layouts[k];
    }
    return NULL;
}

/* Reads out and in. */
static bool read_shape(struct tare_module *module, struct tare_arena *arena)
{
    const struct tare_told *from = &module->told[SHAPE];
    int64_t *shape = tare_module_shape(module, arena, 2);
    if (!shape)
        return false;
    if (from->tensor && read_number(from, 0, 0, &shape[0]) && read_number(from, 1, 0, &shape[1]) && shape[0] > 0 &&
        shape[1] > 0 && shape[0] <= INT32_MAX && shape[1] <= INT32_MAX / 64 &&
        tare_shape_count(from->tensor->rank, from->tensor->shape) == 2)
        return true;
    tare_module_fault(module, arena, from->tensor ? TARE_E_FORMAT : TARE_E_STRICT,
                      from->tensor ? from->tensor : module->part[TARE_PART_WEIGHT],
                      from->tensor ? "shape must be two whole numbers of at least 1, out and in"
                                   : "shape is missing beside it; fetch the checkpoint again or ask its producer");
    return false;
}

/* Holds the sizes against one another, and fills notes. */
static void fit(struct tare_module *module, struct tare_arena *arena, const struct layout *layout, bool by_column,
                struct notes *notes)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const struct tare_tensor *zeros = module->part[TARE_PART_ZEROS];
    const int64_t n = module->shape[0] * module->shape[1], count = tare_shape_count(scales->rank, scales->shape);
    if (count < 1 || n % count) {
        tare_module_fault(module, arena, TARE_E_SHAPE, scales, "scale is %s, which does not divide a weight %s",
                          tare_shape_text(arena, scales->rank, scales->shape),
                          tare_shape_text(arena, 2, module->shape));
        return;
    }
    const int64_t rows = by_column ? n / count : count, item = layout->bits == 3 ? 4 : 1;
    *notes = (struct notes){.columns = n / rows, .step = (rows - 1) / layout->parts + 1, .by_column = by_column};
    module->bits = layout->bits;
    module->dtype = scales->dtype;
    module->group_size = by_column ? 1 : tare_common_divisor(module->shape[1], notes->columns);
    if (layout->bits != 3 && rows % layout->parts)
        tare_module_fault(module, arena, TARE_E_SHAPE, weight, "%lld rows cannot be packed by %d parts",
                          (long long)rows, layout->parts);
    else if (weight->size != (uint64_t)(notes->step * notes->columns * item))
        tare_module_fault(module, arena, TARE_E_SHAPE, weight, "it has %llu bytes, %s of %s needs %lld",
                          (unsigned long long)weight->size, layout->name, tare_shape_text(arena, 2, module->shape),
                          (long long)(notes->step * notes->columns * item));
    else if (tare_shape_count(zeros->rank, zeros->shape) != count)
        tare_module_fault(module, arena, TARE_E_SHAPE, zeros, "zero is %s, that of scale %s is needed",
                          tare_shape_text(arena, zeros->rank, zeros->shape),
                          tare_shape_text(arena, scales->rank, scales->shape));
}

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct layout *layout = layout_of(module);
    struct notes *notes = tare_arena_array(arena, 1, sizeof *notes);
    int64_t axis = 1, nested[2] = {0};
    (void)quant;
    if (!notes)
        return;
    if (!module->part[TARE_PART_ZEROS])
        tare_module_fault(module, arena, TARE_E_STRICT, module->part[TARE_PART_WEIGHT],
                          "zero is missing beside it; fetch the checkpoint again or ask its producer");
    else if (!layout)
        tare_module_fault(module, arena, TARE_E_UNKNOWN,
                          module->told[PACKING_WORD].tensor ? module->told[PACKING_WORD].tensor
                                                            : module->part[TARE_PART_WEIGHT],
                          "its packing is not known; tare reads 8bit_u8, 4bit_u8, 3bit_32, 2bit_u8 and 1bit_u8");
    else if (!read_number(&module->told[AXIS], 0, 1, &axis) || (axis != 0 && axis != 1))
        tare_module_fault(module, arena, TARE_E_FORMAT, module->told[AXIS].tensor, "axis must be 0 or 1");
    else if (!read_number(&module->told[QUANT_SCALE], 0, 0, &nested[0]) ||
             !read_number(&module->told[QUANT_ZERO], 0, 0, &nested[1]) || nested[0] || nested[1])
        tare_module_fault(module, arena, TARE_E_UNKNOWN, module->part[TARE_PART_SCALES],
                          "its scales or zeros are quantized once more (quant_scale, quant_zero), which tare does not "
                          "read; hqq's default leaves them as floats");
    else if (tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES) &&
             tare_part_check(module, arena, TARE_PART_ZEROS, TARE_SCALE_DTYPES) && read_shape(module, arena))
        fit(module, arena, layout, axis == 0, notes);
    module->notes = notes;
}

/* The code at a row and column of M. */
static uint8_t code_at(const struct tare_module *module, const void *weight, int64_t row, int64_t column)
{
    const struct notes *notes = module->notes;
    const int64_t at = row % notes->step * notes->columns + column, part = row / notes->step;
    if (module->bits == 3)
        return (uint8_t)(tare_word_at(weight, at) >> (27 - 3 * part) & 7);
    const int shift = 8 - module->bits * (int)(part + 1);
    return (uint8_t)(((const uint8_t *)weight)[at] >> shift & ((1 << module->bits) - 1));
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const struct notes *notes = module->notes;
    const int64_t in = tare_module_columns(module), first = row * in, size = module->group_size;
    int64_t r = first / notes->columns, c = first % notes->columns;
    for (int64_t k = 0; k < rows * in; k++) {
        codes->code[k] = code_at(module, part[TARE_PART_WEIGHT], r, c);
        if (k % size == 0) {
            const int64_t at = notes->by_column ? c : r;
            codes->scale[k / size] = tare_float_at(part[TARE_PART_SCALES], module->dtype, at);
            codes->offset[k / size] = tare_float_at(part[TARE_PART_ZEROS], module->part[TARE_PART_ZEROS]->dtype, at);
        }
        if (++c == notes->columns) {
            c = 0;
            r++;
        }
    }
}

const struct tare_packing tare_packing_hqq = {
    .name = "hqq",
    .suffix = {".W_q", ".scale", ".zero"},
    .key = TARE_PART_WEIGHT,
    .told = told,
    .by_name = true,
    .real_zeros = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .shape = shape,
    .decode = decode,
};
