/* SPDX-License-Identifier: MIT
 * int4_rows.c - ModelOpt's W4A16_AWQ: X.weight U8 (out / 2, in), two rows to a byte, the even one in the low half;
 * X.weight_scale, floats (out, in / group); perhaps X.pre_quant_scale (prescaled.c).
 *
 *     weight[out][in] = scale[out][in / group] * nibble[out][in]     nibbles are signed, -8 .. 7
 * In neutral form the code is nibble + 8 and the zero 8. Source: docs/layouts.md, "ModelOpt".
 */
#include "packing/compressed/compressed.h"
#include "packing/compressed/prescaled.h"
#include "packing/fault.h"

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    if (module->part[TARE_PART_GLOBAL]) {
        tare_module_fault(module, arena, TARE_E_FORMAT, module->part[TARE_PART_GLOBAL],
                          "int4 packed along rows has no second scale");
        return;
    }
    int64_t *shape = tare_module_shape(module, arena, 2);
    if (!shape || !tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES))
        return;
    shape[0] = 2 * weight->shape[0];
    shape[1] = weight->shape[1];
    module->bits = 4;
    module->dtype = scales->dtype;
    if (scales->shape[1] < 1 || shape[1] < 1 || shape[1] % scales->shape[1]) {
        tare_module_fault(module, arena, TARE_E_SHAPE, scales,
                          "weight_scale is %s over %lld columns, which it must divide",
                          tare_shape_text(arena, scales->rank, scales->shape), (long long)shape[1]);
        return;
    }
    module->group_size = shape[1] / scales->shape[1];
    tare_compressed_agree(module, quant, arena);
    tare_prescaled_apply(module, arena);
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module);
    const enum tare_dtype dtype = module->part[TARE_PART_SCALES]->dtype;
    for (int64_t r = 0; r < rows; r++) {
        const uint8_t *bytes = (const uint8_t *)part[TARE_PART_WEIGHT] + (row + r) / 2 * in;
        const int shift = (row + r) & 1 ? 4 : 0;
        for (int64_t i = 0; i < in; i++)
            codes->code[r * in + i] = (uint8_t)((bytes[i] >> shift & 15) ^ 8);
    }
    for (int64_t k = 0; k < rows * groups; k++) {
        codes->scale[k] = tare_float_at(part[TARE_PART_SCALES], dtype, row * groups + k);
        codes->offset[k] = 8;
    }
}

const struct tare_packing tare_packing_int4_rows = {
    .name = "modelopt-int4",
    .suffix = {".weight", ".weight_scale", [TARE_PART_GLOBAL] = ".weight_scale_2"},
    .key = TARE_PART_SCALES,
    .told = tare_prescaled_told,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .shape = shape,
    .decode = decode,
};
