/* SPDX-License-Identifier: MIT
 * nvfp4_modelopt.c - NVFP4 with a scale over the scales of a matrix.
 *
 * nvfp4-modelopt: ModelOpt's of fused experts: X U8 (n, out, in / 2), X_weight_scale e4m3 (n, out, in / 16),
 *                 X_weight_scale_2 F32 (n) or (n, parts): one for each expert, or for each of its equal parts (gate and
 *                 up of gate_up_proj).
 * nvfp4-weight:   ModelOpt's of a linear layer: X.weight, X.weight_scale, X.weight_scale_2 of one number.
 *     weight[out][in] = scale_2[part] * scale[out][in / 16] * e2m1[out][in]       MLX: global_scale = 2688 * scale_2
 * nvfp4-packed:   compressed-tensors': X.weight_packed, X.weight_scale, X.weight_global_scale of one number.
 *     weight[out][in] = e2m1[out][in] * (scale[out][in / 16] / global)            MLX: global_scale = 2688 / global
 * Source: mlx_lm/models/muse_spark.py; docs/layouts.md, "nvfp4-pack-quantized"; TensorRT-Model-Optimizer's export.
 */
#include "base/small_float.h"
#include "packing/compressed/compressed.h"
#include "packing/compressed/prescaled.h"
#include "packing/fault.h"
#include "packing/microscaled.h"
#include "packing/mlx/to_mlx.h"
#include "packing/suspect.h"
#include "packing/to_tiles.h"

/* Only bytes are packed; a float weight beside such scales belongs to another format. */
static const struct tare_packing *which(const struct tare_module *module, const struct tare_quant *quant)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT];
    (void)quant;
    return weight && weight->dtype == TARE_U8 ? &tare_packing_nvfp4_modelopt : NULL;
}

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    (void)quant;
    if (tare_part_check(module, arena, TARE_PART_WEIGHT, 1u << TARE_U8) &&
        tare_part_check(module, arena, TARE_PART_SCALES, TARE_E4M3_DTYPES) &&
        tare_part_check(module, arena, TARE_PART_GLOBAL, TARE_SCALE_DTYPES) && tare_micro_fit_rows(module, arena))
        tare_micro_fit_global(module, arena, INT64_MAX);
}

/* The shape of a linear layer, from either program. */
static void shape_one(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    if (tare_compressed_announced(module, quant, arena, "nvfp4-pack-quantized", NULL) &&
        tare_part_check(module, arena, TARE_PART_WEIGHT, 1u << TARE_U8) &&
        tare_part_check(module, arena, TARE_PART_SCALES, TARE_E4M3_DTYPES) &&
        tare_part_check(module, arena, TARE_PART_GLOBAL, 1u << TARE_F32) && tare_micro_fit_rows(module, arena) &&
        tare_micro_fit_global(module, arena, 1))
        tare_compressed_agree(module, quant, arena);
    tare_prescaled_apply(module, arena);
}

/* The scale over the scales of a row. */
static float over(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row)
{
    const struct tare_tensor *tensor = module->part[TARE_PART_GLOBAL];
    const int64_t count = tare_shape_count(tensor->rank, tensor->shape), rows = tare_module_rows(module);
    return tare_float_at(part[TARE_PART_GLOBAL], tensor->dtype, row / (rows / count));
}

/* Follows each program's own order of operations, so that its values come out to the last bit. */
static void decode_one(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                       struct tare_codes *codes)
{
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module);
    const uint8_t *scales = (const uint8_t *)part[TARE_PART_SCALES] + row * groups;
    const bool divides = module->packing == &tare_packing_nvfp4_packed;
    tare_mlx_unpack((const unsigned char *)part[TARE_PART_WEIGHT] + row * in / 2, 4, rows * in, codes->code);
    for (int64_t r = 0; r < rows; r++) {
        const float factor = over(module, part, row + r);
        for (int64_t g = 0; g < groups; g++) {
            const float scale = tare_from_e4m3(scales[r * groups + g]);
            codes->scale[r * groups + g] = divides ? scale / factor : scale * factor;
        }
    }
}

/* The same by factors. A quotient is a product with the reciprocal here: off by a rounding of float32 at most. */
static void factored_rows(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                          int64_t rows, struct tare_factored *to)
{
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module);
    const bool divides = module->packing == &tare_packing_nvfp4_packed;
    tare_mlx_unpack((const unsigned char *)part[TARE_PART_WEIGHT] + row * in / 2, 4, rows * in, to->code);
    memcpy(to->factor, (const uint8_t *)part[TARE_PART_SCALES] + row * groups, (size_t)(rows * groups));
    for (int64_t r = 0; r < rows; r++)
        to->scale[r] = divides ? 1 / over(module, part, row + r) : over(module, part, row + r);
}

static const struct tare_factoring factoring = {TARE_FACTORS_E4M3, 0, TARE_F32, factored_rows};

static float global(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row)
{
    return over(module, part, row) * TARE_NVFP4_LARGEST;
}

static float global_divided(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row)
{
    return TARE_NVFP4_LARGEST / over(module, part, row);
}

const struct tare_packing tare_packing_nvfp4_modelopt = {
    .name = "nvfp4",
    .suffix = {[TARE_PART_WEIGHT] = "", [TARE_PART_SCALES] = "_weight_scale", [TARE_PART_GLOBAL] = "_weight_scale_2"},
    .key = TARE_PART_SCALES,
    .rowwise = true,
    .by_name = true,
    .codes = TARE_CODE_E2M1,
    .mode = TARE_MLX_NVFP4,
    .which = which,
    .shape = shape,
    .table = &tare_micro_table,
    .decode = tare_micro_decode,
    .factoring = &tare_micro_floats,
    .suspect = &tare_suspect_rows,
    .to_mlx = tare_micro_to_mlx,
    .global = global,
};

#define NVFP4_ONE(word, weight, over_scales, mlx_global)                                                               \
    const struct tare_packing tare_packing_nvfp4_##word = {                                                            \
        .name = "nvfp4",                                                                                               \
        .suffix =                                                                                                      \
            {[TARE_PART_WEIGHT] = weight, [TARE_PART_SCALES] = ".weight_scale", [TARE_PART_GLOBAL] = over_scales},     \
        .key = TARE_PART_SCALES,                                                                                       \
        .told = tare_prescaled_told,                                                                                   \
        .rowwise = true,                                                                                               \
        .codes = TARE_CODE_E2M1,                                                                                       \
        .mode = TARE_MLX_NVFP4,                                                                                        \
        .shape = shape_one,                                                                                            \
        .table = &tare_micro_table,                                                                                    \
        .decode = decode_one,                                                                                          \
        .factoring = &factoring,                                                                                       \
        .to_mlx = tare_micro_to_mlx,                                                                                   \
        .global = mlx_global,                                                                                          \
    }
NVFP4_ONE(weight, ".weight", ".weight_scale_2", global);
NVFP4_ONE(packed, ".weight_packed", ".weight_global_scale", global_divided);
