/* SPDX-License-Identifier: MIT
 * grid_scales.c - weights of one byte a value whose scales cut rows and columns into equal parts. */
#include "packing/grid_scales.h"

#include "packing/fault.h"

/* The scales' parts of rows and columns: [1, 1] for one number, [out, 1] for one a row. */
static void parts_of(const struct tare_tensor *scales, int64_t parts[2])
{
    parts[0] = scales->rank ? scales->shape[0] : 1;
    parts[1] = scales->rank == 2 ? scales->shape[1] : 1;
}

void tare_grid_shape(struct tare_module *module, struct tare_arena *arena, unsigned bytes)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const struct tare_tensor *zeros = module->part[TARE_PART_ZEROS];
    int64_t parts[2];
    module->bits = 8;
    module->rank = weight->rank;
    module->shape = weight->shape;
    module->dtype = scales->dtype;
    if (!tare_part_check(module, arena, TARE_PART_WEIGHT, bytes) ||
        !tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES) ||
        (zeros && !tare_part_check(module, arena, TARE_PART_ZEROS,
                                   1u << TARE_I8 | 1u << TARE_I32 | 1u << TARE_I64 | TARE_SCALE_DTYPES)))
        return;
    parts_of(scales, parts);
    if (weight->rank != 2 || tare_shape_count(weight->rank, weight->shape) < 1)
        tare_module_fault(module, arena, TARE_E_SHAPE, weight, "%s is %s, two axes are needed",
                          tare_part_word(module, TARE_PART_WEIGHT),
                          tare_shape_text(arena, weight->rank, weight->shape));
    else if (scales->rank > 2 || parts[0] < 1 || parts[1] < 1 || weight->shape[0] % parts[0] ||
             weight->shape[1] % parts[1])
        tare_module_fault(module, arena, TARE_E_SHAPE, scales,
                          "%s is %s, which does not cut a weight %s into equal parts",
                          tare_part_word(module, TARE_PART_SCALES), tare_shape_text(arena, scales->rank, scales->shape),
                          tare_shape_text(arena, weight->rank, weight->shape));
    else if (zeros && tare_shape_count(zeros->rank, zeros->shape) != parts[0] * parts[1])
        tare_module_fault(module, arena, TARE_E_SHAPE, zeros, "%s is %s, that of the scales %s is needed",
                          tare_part_word(module, TARE_PART_ZEROS), tare_shape_text(arena, zeros->rank, zeros->shape),
                          tare_shape_text(arena, scales->rank, scales->shape));
    else
        module->group_size = weight->shape[1] / parts[1];
}

static int64_t scale_at(const struct tare_module *module, int64_t row, int64_t group)
{
    int64_t parts[2];
    parts_of(module->part[TARE_PART_SCALES], parts);
    return row / (module->shape[0] / parts[0]) * parts[1] + group;
}

static float zero_at(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t at)
{
    const struct tare_tensor *zeros = module->part[TARE_PART_ZEROS];
    const void *data = part[TARE_PART_ZEROS];
    int64_t wide;
    if (!zeros)
        return 0;
    switch (zeros->dtype) {
    case TARE_I8:
        return ((const int8_t *)data)[at];
    case TARE_I32:
        return (float)(int32_t)tare_word_at(data, at);
    case TARE_I64:
        memcpy(&wide, (const unsigned char *)data + at * (int64_t)sizeof wide, sizeof wide);
        return (float)wide;
    default:
        return tare_float_at(data, zeros->dtype, at);
    }
}

void tare_grid_decode_int8(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                           int64_t rows, struct tare_codes *codes)
{
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module);
    const uint8_t *bytes = (const uint8_t *)part[TARE_PART_WEIGHT] + row * in;
    for (int64_t k = 0; k < rows * in; k++)
        codes->code[k] = bytes[k] ^ 0x80;
    for (int64_t k = 0; k < rows * groups; k++) {
        const int64_t at = scale_at(module, row + k / groups, k % groups);
        codes->scale[k] = tare_float_at(part[TARE_PART_SCALES], module->part[TARE_PART_SCALES]->dtype, at);
        codes->offset[k] = 128 + zero_at(module, part, at);
    }
}

void tare_grid_decode_e4m3(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                           int64_t rows, struct tare_codes *codes)
{
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module);
    memcpy(codes->code, (const uint8_t *)part[TARE_PART_WEIGHT] + row * in, (size_t)(rows * in));
    for (int64_t k = 0; k < rows * groups; k++)
        codes->scale[k] = tare_float_at(part[TARE_PART_SCALES], module->part[TARE_PART_SCALES]->dtype,
                                        scale_at(module, row + k / groups, k % groups));
}
