/* SPDX-License-Identifier: MIT
 * nvfp4_modelopt.c - ModelOpt's NVFP4 of fused experts: X U8 (n, out, in / 2), X_weight_scale e4m3 (n, out, in / 16),
 * X_weight_scale_2 F32 (n) or (n, parts), a scale over the scales of an expert, or of each of its equal parts (gate and
 * up of gate_up_proj).
 *
 *     weight[out][in] = scale_2[part] * scale[out][in / 16] * e2m1[out][in]
 * MLX's nvfp4 with global_scale = 2688 * scale_2. Source: mlx_lm/models/muse_spark.py.
 */
#include "packing/fault.h"
#include "packing/microscaled.h"
#include "packing/suspect.h"
#include "packing/to_mlx.h"

/* Only bytes are packed; a float weight beside such scales is somebody else's. */
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

static float global(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row)
{
    const struct tare_tensor *tensor = module->part[TARE_PART_GLOBAL];
    const int64_t count = tare_shape_count(tensor->rank, tensor->shape), rows = tare_module_rows(module);
    return tare_float_at(part[TARE_PART_GLOBAL], tensor->dtype, row / (rows / count)) * TARE_NVFP4_LARGEST;
}

const struct tare_packing tare_packing_nvfp4_modelopt = {
    .name = "nvfp4",
    .suffix = {[TARE_PART_WEIGHT] = "", [TARE_PART_SCALES] = "_weight_scale", [TARE_PART_GLOBAL] = "_weight_scale_2"},
    .key = TARE_PART_SCALES,
    .by_name = true,
    .codes = TARE_CODE_E2M1,
    .mode = TARE_MLX_NVFP4,
    .which = which,
    .shape = shape,
    .decode = tare_micro_decode,
    .suspect = &tare_suspect_rows,
    .to_mlx = tare_micro_to_mlx,
    .global = global,
};
