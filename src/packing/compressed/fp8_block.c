/* SPDX-License-Identifier: MIT
 * fp8_block.c - e4m3 bytes (.., out, in) with a float scale that multiplies: one for each block of 128 x 128, or of any
 * shape that broadcasts (one for the tensor, for each expert, for each row).
 *
 * fp8-block: X and X_scale_inv, where X is a.b.weight or, for fused experts, a.b.gate_up_proj (deepseek_v3, mistral4
 * ..); or X.weight and X.scale. MLX has no such form, so it becomes bfloat16, as in mlx-lm's sanitize:
 *     weight[out][in] = bfloat16(scale[out / 128][in / 128] * e4m3[out][in])     the product in float32
 * fp8: X.weight and X.weight_scale, of compressed-tensors and ModelOpt; it becomes a float of the dtype of the scales.
 * Source: mlx_lm/models/deepseek_v3.py, mistral4.py (dequant); docs/layouts.md, "float-quantized".
 */
#include <string.h>

#include "base/small_float.h"
#include "packing/block_scales.h"
#include "packing/compressed/compressed.h"
#include "packing/compressed/prescaled.h"
#include "packing/fault.h"
#include "packing/microscaled.h"
#include "packing/mlx/to_mlx.h"
#include "packing/suspect.h"

#define BLOCK 128 /* used where quantization_config has no weight_block_size */

static bool is_power(const struct tare_tensor *scales) /* e8m0, which mlx knows as U8 only */
{
    return scales && (scales->dtype == TARE_U8 || scales->dtype == TARE_F8_E8M0);
}

/* Are the scales (.., out, in / per) over a weight (.., out, in)? */
static bool a_row(const struct tare_tensor *weight, const struct tare_tensor *scales, int64_t per)
{
    if (weight->rank < 2 || scales->rank != weight->rank || weight->shape[weight->rank - 1] % per ||
        scales->shape[weight->rank - 1] != weight->shape[weight->rank - 1] / per)
        return false;
    return !memcmp(weight->shape, scales->shape, (size_t)(weight->rank - 1) * sizeof *weight->shape);
}

/* With an e8m0 scale for each 32 columns, it is MLX's mxfp8 (minimax_m3). */
static const struct tare_packing *which_inverse(const struct tare_module *module, const struct tare_quant *quant)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    (void)quant;
    return weight && is_power(scales) && a_row(weight, scales, 32) ? &tare_packing_mxfp8_inverse
                                                                   : &tare_packing_fp8_block;
}

/* ".scale" is a common name, so only a weight of bytes beside it is a packed one. */
static const struct tare_packing *which_scale(const struct tare_module *module, const struct tare_quant *quant)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    (void)quant;
    if (!weight || !scales || (weight->dtype != TARE_U8 && weight->dtype != TARE_I8 && weight->dtype != TARE_F8_E4M3))
        return NULL;
    if (is_power(scales)) /* a byte holds two columns of fp4, so a scale of 32 columns covers 16 bytes */
        return weight->dtype != TARE_F8_E4M3 && a_row(weight, scales, 16) ? &tare_packing_mxfp4_rows
                                                                          : &tare_packing_mxfp8_tiles;
    return tare_dtype_is_float(scales->dtype) && weight->dtype != TARE_I8 ? &tare_packing_fp8_scale : NULL;
}

/*
 * X.weight and X.weight_scale: compressed-tensors' float-quantized, int-quantized (I8) and mxfp8-quantized, ModelOpt's
 * FP8 and NVFP4. Only a weight of bytes is a packed one.
 */
static const struct tare_packing *which_weight(const struct tare_module *module, const struct tare_quant *quant)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const bool known = quant->method == TARE_METHOD_COMPRESSED || quant->method == TARE_METHOD_MODELOPT;
    if (!weight || !scales)
        return known ? &tare_packing_fp8_weight : NULL;
    if (weight->dtype == TARE_U8 && weight->rank == 2 && scales->rank == 2 && TARE_SCALE_DTYPES & 1u << scales->dtype &&
        scales->shape[0] % 2 == 0 && scales->shape[0] / 2 == weight->shape[0])
        return &tare_packing_int4_rows;
    if (weight->dtype == TARE_U8 && scales->dtype == TARE_F8_E4M3)
        return &tare_packing_nvfp4_weight;
    if ((weight->dtype == TARE_U8 || weight->dtype == TARE_F8_E4M3) && is_power(scales))
        return &tare_packing_mxfp8_weight;
    if (weight->dtype == TARE_I8 && tare_dtype_is_float(scales->dtype))
        return &tare_packing_int8_weight;
    return weight->dtype == TARE_F8_E4M3 || (weight->dtype == TARE_U8 && known) ? &tare_packing_fp8_weight : NULL;
}

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT];
    const int64_t block[2] = {quant->block[0] ? quant->block[0] : BLOCK, quant->block[1] ? quant->block[1] : BLOCK};
    module->dtype = TARE_BF16;
    module->bits = 8;
    module->rank = weight->rank;
    module->shape = weight->shape;
    if (tare_part_check(module, arena, TARE_PART_WEIGHT, TARE_E4M3_DTYPES) &&
        tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES | TARE_E8M0_DTYPES))
        tare_blocks_fit(module, arena, block);
}

/* The same for compressed-tensors (float-quantized) and ModelOpt (FP8), whose blocks the config tells. */
static void shape_weight(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    module->bits = 8;
    module->rank = weight->rank;
    module->shape = weight->shape;
    /* Scales have the model's own dtype, or float32; then most models are of bfloat16. */
    module->dtype = scales->dtype == TARE_F16 ? TARE_F16 : TARE_BF16;
    if (module->part[TARE_PART_GLOBAL])
        tare_module_fault(module, arena, TARE_E_FORMAT, module->part[TARE_PART_GLOBAL], "fp8 has no second scale");
    else if (tare_part_check(module, arena, TARE_PART_WEIGHT, TARE_E4M3_DTYPES) &&
             tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES) &&
             tare_compressed_announced(module, quant, arena, "float-quantized", "naive-quantized"))
        tare_compressed_blocks(module, quant, arena);
    tare_prescaled_apply(module, arena);
}

static float scale_at(const void *scales, enum tare_dtype dtype, int64_t at)
{
    if (dtype == TARE_U8 || dtype == TARE_F8_E8M0)
        return tare_from_e8m0(((const uint8_t *)scales)[at]);
    return tare_float_at(scales, dtype, at);
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const enum tare_dtype dtype = module->part[TARE_PART_SCALES]->dtype;
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module);
    memcpy(codes->code, (const unsigned char *)part[TARE_PART_WEIGHT] + row * in, (size_t)(rows * in));
    for (int64_t r = 0; r < rows; r++)
        for (int64_t g = 0; g < groups; g++)
            codes->scale[r * groups + g] = scale_at(part[TARE_PART_SCALES], dtype, tare_blocks_at(module, row + r, g));
}

const struct tare_packing tare_packing_fp8_block = {
    .name = "fp8-block",
    .suffix = {"", "_scale_inv"},
    .key = TARE_PART_SCALES,
    .rowwise = true,
    .by_name = true,
    .codes = TARE_CODE_E4M3,
    .mode = TARE_MLX_DENSE,
    .which = which_inverse,
    .shape = shape,
    .decode = decode,
    .suspect = &tare_suspect_rows,
};

const struct tare_packing tare_packing_fp8_scale = {
    .name = "fp8-block",
    .suffix = {".weight", ".scale"},
    .key = TARE_PART_SCALES,
    .rowwise = true,
    .by_name = true,
    .codes = TARE_CODE_E4M3,
    .mode = TARE_MLX_DENSE,
    .which = which_scale,
    .shape = shape,
    .decode = decode,
    .suspect = &tare_suspect_rows,
};

const struct tare_packing tare_packing_fp8_weight = {
    .name = "fp8",
    .suffix = {".weight", ".weight_scale", ".weight_zero_point", [TARE_PART_GLOBAL] = ".weight_scale_2"},
    .key = TARE_PART_SCALES,
    .told = tare_prescaled_told,
    .rowwise = true,
    .by_name = true,
    .codes = TARE_CODE_E4M3,
    .mode = TARE_MLX_DENSE,
    .which = which_weight,
    .shape = shape_weight,
    .decode = decode,
    .suspect = &tare_suspect_rows,
};
