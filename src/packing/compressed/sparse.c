/* SPDX-License-Identifier: MIT
 * sparse.c - compressed-tensors' sparse-24-bitmask and sparse-bitmask: only the values that are kept lie in the file.
 *
 *     X.compressed     the kept values of each row in order: BF16, F16, F32, or F8_E4M3 or I8 with X.weight_scale. For
 *                      2:4 (out, in / 2), else a list of all
 *     X.bitmask        U8 (out, ceil(in / 8)): bit i % 8, from the lowest, of byte i / 8 is set where column i is kept
 *     X.row_offsets    I64 (out), sparse-bitmask only: where the values of a row begin
 *     X.shape          I64 (2) or (2, 1): out, in
 * A weight is 0 where its bit is 0. check() holds the bits against the number of values before anything is decoded.
 * Source: compressed_tensors/compressors/sparse_compressors (sparse_24_bitmask.py, sparse_bitmask.py).
 */
#include "base/small_float.h"
#include "packing/compressed/compressed.h"
#include "packing/fault.h"

enum told { SHAPE, ROW_OFFSETS };

static const char *const told[] = {".shape", ".row_offsets", NULL};

static bool read_shape(struct tare_module *module, struct tare_arena *arena)
{
    const struct tare_told *from = &module->told[SHAPE];
    int64_t *shape = tare_module_shape(module, arena, 2);
    if (!shape)
        return false;
    if (!from->tensor) {
        tare_module_fault(module, arena, TARE_E_STRICT, module->part[TARE_PART_WEIGHT],
                          "shape is missing beside it; fetch the checkpoint again or ask its producer");
        return false;
    }
    if (from->tensor->dtype == TARE_I64 && tare_shape_count(from->tensor->rank, from->tensor->shape) == 2)
        memcpy(shape, from->data, 2 * sizeof *shape);
    if (shape[0] > 0 && shape[1] > 0 && shape[0] <= INT32_MAX && shape[1] <= INT32_MAX)
        return true;
    tare_module_fault(module, arena, TARE_E_FORMAT, from->tensor, "shape must be two numbers of I64, out and in");
    return false;
}

/* Holds the shapes of the values, the bits and the offsets against out and in. */
static void fit(struct tare_module *module, struct tare_arena *arena)
{
    const struct tare_tensor *kept = module->part[TARE_PART_WEIGHT], *mask = module->part[TARE_PART_MASK];
    const struct tare_tensor *offsets = module->told[ROW_OFFSETS].tensor;
    const int64_t out = module->shape[0], in = module->shape[1], bytes = (in + 7) / 8;
    if (!mask || mask->dtype != TARE_U8 || mask->size != (uint64_t)(out * bytes))
        tare_module_fault(module, arena, TARE_E_SHAPE, mask ? mask : kept,
                          mask ? "bitmask is %s, %s needs one bit for each column in U8"
                               : "bitmask is missing beside it (%s, %s); fetch the checkpoint again",
                          tare_shape_text(arena, mask ? mask->rank : kept->rank, mask ? mask->shape : kept->shape),
                          tare_shape_text(arena, 2, module->shape));
    else if (offsets && (offsets->dtype != TARE_I64 || offsets->size != (uint64_t)out * 8))
        tare_module_fault(module, arena, TARE_E_SHAPE, offsets, "row_offsets is %s, %lld numbers of I64 are needed",
                          tare_shape_text(arena, offsets->rank, offsets->shape), (long long)out);
    else if (!offsets && (in % 2 || tare_shape_count(kept->rank, kept->shape) != out * (in / 2)))
        tare_module_fault(module, arena, TARE_E_SHAPE, kept, "compressed is %s; 2:4 of %s keeps half of each row",
                          tare_shape_text(arena, kept->rank, kept->shape), tare_shape_text(arena, 2, module->shape));
}

static void shape_values(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    (void)quant;
    if (!tare_part_check(module, arena, TARE_PART_WEIGHT, TARE_SCALE_DTYPES) || !read_shape(module, arena))
        return;
    module->dtype = module->part[TARE_PART_WEIGHT]->dtype;
    module->bits = 8 * (int)tare_dtype_size(module->dtype);
    module->group_size = module->shape[1];
    fit(module, arena);
}

/* Codes of a byte, with one scale for the tensor or one for each row. */
static void shape_bytes(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *scales = module->part[TARE_PART_SCALES];
    const bool floats = module->part[TARE_PART_WEIGHT]->dtype == TARE_F8_E4M3;
    if (!tare_part_check(module, arena, TARE_PART_WEIGHT, 1u << TARE_F8_E4M3 | 1u << TARE_I8) ||
        !tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES) || !read_shape(module, arena))
        return;
    const int64_t count = tare_shape_count(scales->rank, scales->shape);
    module->bits = 8;
    module->dtype = !floats || scales->dtype == TARE_F16 ? scales->dtype : TARE_BF16;
    module->group_size = module->shape[1];
    fit(module, arena);
    if (count != 1 && count != module->shape[0])
        tare_module_fault(module, arena, TARE_E_SHAPE, scales,
                          "weight_scale is %s; a sparse weight %s has one for the tensor or one for each row",
                          tare_shape_text(arena, scales->rank, scales->shape),
                          tare_shape_text(arena, 2, module->shape));
    tare_compressed_announced(module, quant, arena, floats ? "float-quantized" : "int-quantized", "naive-quantized");
}

/* Where the values of a row begin. */
static int64_t start_of(const struct tare_module *module, int64_t row)
{
    int64_t start;
    if (!module->told[ROW_OFFSETS].tensor)
        return row * (module->shape[1] / 2);
    memcpy(&start, (const unsigned char *)module->told[ROW_OFFSETS].data + row * (int64_t)sizeof start, sizeof start);
    return start;
}

static int count_bits(uint8_t byte)
{
    int n = 0;
    for (; byte; byte &= (uint8_t)(byte - 1))
        n++;
    return n;
}

static enum tare_code check(const struct tare_module *module, const void *const part[TARE_PARTS],
                            struct tare_error *err)
{
    const struct tare_tensor *kept = module->part[TARE_PART_WEIGHT];
    const int64_t out = module->shape[0], in = module->shape[1], bytes = (in + 7) / 8;
    const int64_t all = tare_shape_count(kept->rank, kept->shape);
    const uint8_t *mask = part[TARE_PART_MASK];
    for (int64_t r = 0; r < out; r++) {
        const int64_t begin = start_of(module, r), end = r + 1 < out ? start_of(module, r + 1) : all;
        int64_t n = 0;
        for (int64_t k = 0; k < bytes; k++)
            n += count_bits(mask[r * bytes + k]);
        if (in % 8 && mask[r * bytes + bytes - 1] >> in % 8)
            return tare_fail(err, TARE_E_FORMAT, module->part[TARE_PART_MASK]->name,
                             "row %lld has bits past its %lld columns", (long long)r, (long long)in);
        if (begin < 0 || end > all || end - begin != n)
            return tare_fail(err, TARE_E_FORMAT, module->part[TARE_PART_MASK]->name,
                             "row %lld has %lld bits set, and compressed %lld values for it", (long long)r,
                             (long long)n, (long long)(end - begin));
    }
    return TARE_OK;
}

/* Calls for each column of a row in order: the place of its value, or -1 where it is 0. */
#define EACH_KEPT(module, part, row, i, at)                                                                            \
    int64_t next_ = start_of(module, row), at = 0;                                                                     \
    const uint8_t *mask_ = (const uint8_t *)(part)[TARE_PART_MASK] + (row) * (((module)->shape[1] + 7) / 8);           \
    for (int64_t i = 0; i < (module)->shape[1] && (at = mask_[i / 8] >> i % 8 & 1 ? next_++ : -1, true); i++)

static bool floats(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   float *dst, struct tare_arena *work)
{
    (void)work;
    for (int64_t r = 0; r < rows; r++) {
        float *to = dst + r * module->shape[1];
        EACH_KEPT(module, part, row + r, i, at)
        to[i] = at < 0 ? 0 : tare_float_at(part[TARE_PART_WEIGHT], module->dtype, at);
    }
    return true;
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const struct tare_tensor *scales = module->part[TARE_PART_SCALES];
    const bool one = tare_shape_count(scales->rank, scales->shape) == 1;
    const uint8_t flip = module->packing->codes == TARE_CODE_INTEGER ? 0x80 : 0, *bytes = part[TARE_PART_WEIGHT];
    for (int64_t r = 0; r < rows; r++) {
        uint8_t *to = codes->code + r * module->shape[1];
        EACH_KEPT(module, part, row + r, i, at)
        to[i] = (uint8_t)((at < 0 ? 0 : bytes[at]) ^ flip);
        codes->scale[r] = tare_float_at(part[TARE_PART_SCALES], scales->dtype, one ? 0 : row + r);
        if (flip)
            codes->offset[r] = 128;
    }
}

static const struct tare_packing *which(const struct tare_module *module, const struct tare_quant *quant)
{
    const enum tare_dtype dtype = module->part[TARE_PART_WEIGHT]->dtype;
    if (!module->part[TARE_PART_MASK] && quant->method != TARE_METHOD_COMPRESSED)
        return NULL;
    if (dtype == TARE_I8)
        return &tare_packing_sparse_int8;
    return dtype == TARE_F8_E4M3 ? &tare_packing_sparse_fp8 : &tare_packing_sparse_values;
}

const struct tare_packing tare_packing_sparse_values = {
    .name = "sparse",
    .suffix = {".compressed", [TARE_PART_MASK] = ".bitmask"},
    .key = TARE_PART_WEIGHT,
    .told = told,
    .codes = TARE_CODE_NONE,
    .mode = TARE_MLX_DENSE,
    .shape = shape_values,
    .check = check,
    .floats = floats,
};

#define SPARSE_BYTES(word, known, kind, form, found)                                                                   \
    const struct tare_packing tare_packing_sparse_##word = {                                                           \
        .name = known,                                                                                                 \
        .suffix = {".compressed", ".weight_scale", [TARE_PART_MASK] = ".bitmask"},                                     \
        .key = TARE_PART_WEIGHT,                                                                                       \
        .told = told,                                                                                                  \
        .by_name = found,                                                                                              \
        .codes = kind,                                                                                                 \
        .mode = form,                                                                                                  \
        .which = which,                                                                                                \
        .shape = shape_bytes,                                                                                          \
        .decode = decode,                                                                                              \
        .check = check,                                                                                                \
    }
SPARSE_BYTES(fp8, "sparse-fp8", TARE_CODE_E4M3, TARE_MLX_DENSE, true);
SPARSE_BYTES(int8, "sparse-int8", TARE_CODE_INTEGER, TARE_MLX_AFFINE, false);
