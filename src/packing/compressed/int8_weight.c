/* SPDX-License-Identifier: MIT
 * int8_weight.c - compressed-tensors' int-quantized and naive-quantized: weight I8 (.., out, in), weight_scale by row,
 * tensor, group or block, weight_zero_point I8 of the same shape or none. Fewer bits than 8 are stored in bytes too.
 *
 *     weight[out][in] = scale * (byte[out][in] - zero) = scale * (code - (128 + zero))      code = byte + 128
 * In MLX that is affine of 8 bits. Source: docs/layouts.md, "float-quantized / naive-quantized / int-quantized".
 */
#include "packing/block_scales.h"
#include "packing/compressed/compressed.h"
#include "packing/compressed/prescaled.h"
#include "packing/fault.h"
#include "packing/mlx/to_mlx.h"
#include "packing/suspect.h"

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const struct tare_tensor *zeros = module->part[TARE_PART_ZEROS];
    module->bits = 8;
    module->rank = weight->rank;
    module->shape = weight->shape;
    module->dtype = scales->dtype;
    if (!tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES) ||
        (zeros && !tare_part_check(module, arena, TARE_PART_ZEROS, 1u << TARE_I8)) ||
        !tare_compressed_announced(module, quant, arena, "int-quantized", "naive-quantized"))
        return;
    if (module->part[TARE_PART_GLOBAL])
        tare_module_fault(module, arena, TARE_E_FORMAT, module->part[TARE_PART_GLOBAL], "int8 has no second scale");
    else if (zeros && (zeros->rank != scales->rank ||
                       memcmp(zeros->shape, scales->shape, (size_t)scales->rank * sizeof *scales->shape)))
        tare_module_fault(module, arena, TARE_E_SHAPE, zeros,
                          "weight_zero_point is %s, that of weight_scale is needed, "
                          "%s",
                          tare_shape_text(arena, zeros->rank, zeros->shape),
                          tare_shape_text(arena, scales->rank, scales->shape));
    else
        tare_compressed_blocks(module, quant, arena);
    tare_prescaled_apply(module, arena);
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module);
    const unsigned char *bytes = (const unsigned char *)part[TARE_PART_WEIGHT] + row * in;
    const int8_t *zeros = part[TARE_PART_ZEROS];
    for (int64_t k = 0; k < rows * in; k++)
        codes->code[k] = bytes[k] ^ 0x80;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t g = 0; g < groups; g++) {
            const int64_t at = tare_blocks_at(module, row + r, g);
            codes->scale[r * groups + g] = tare_float_at(part[TARE_PART_SCALES], module->dtype, at);
            codes->offset[r * groups + g] = 128.0f + (zeros ? (float)zeros[at] : 0.0f);
        }
}

const struct tare_packing tare_packing_int8_weight = {
    .name = "int8",
    .suffix = {".weight", ".weight_scale", ".weight_zero_point"},
    .key = TARE_PART_SCALES,
    .told = tare_prescaled_told,
    .rowwise = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .shape = shape,
    .decode = decode,
    .suspect = &tare_suspect_rows,
};
