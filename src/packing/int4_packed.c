/* SPDX-License-Identifier: MIT
 * int4_packed.c - compressed-tensors' pack-quantized, 4 bits and symmetric: weight_packed I32 (.., out, in / 8),
 * weight_scale
 * (.., out, groups), weight_shape [2] (its values repeat the shape; they are not read).
 *
 *     weight[out][in] = scale[out][group] * (code[out][in] - 8)     eight codes a word, the lowest first
 * MLX's affine layout has the same words; biases = -8 * scale, which is exact. Source: formats.md, "pack-quantized";
 * mlx_lm/models/deepseek_v3.py.
 */
#include <string.h>

#include "packing/fault.h"
#include "packing/suspect.h"
#include "packing/to_mlx.h"

/* mxfp4-pack-quantized has the same names, and bytes in both. */
static const struct tare_packing *which(const struct tare_module *module, const struct tare_quant *quant)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    (void)quant;
    return weight && scales && weight->dtype == TARE_U8 && (scales->dtype == TARE_U8 || scales->dtype == TARE_F8_E8M0)
               ? &tare_packing_mxfp4_packed
               : &tare_packing_int4_packed;
}

static bool refused(struct tare_module *module, struct tare_arena *arena)
{
    static const struct {
        enum tare_part part;
        const char *what;
    } others[] = {{TARE_PART_ZEROS, "weight_zero_point: asymmetric"}, {TARE_PART_G_IDX, "weight_g_idx: actorder"}};
    for (size_t k = 0; k < sizeof others / sizeof *others; k++)
        if (module->part[others[k].part]) {
            tare_module_fault(module, arena, TARE_E_UNKNOWN, module->part[others[k].part],
                              "compressed-tensors with %s, which tare does not read yet; it reads symmetric int4",
                              others[k].what);
            return true;
        }
    return false;
}

static void agree(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const int64_t in = tare_module_columns(module), said = quant->group_size == -1 ? in : quant->group_size;
    if (quant->method == TARE_METHOD_COMPRESSED && said && said != module->group_size)
        tare_module_fault(module, arena, TARE_E_CONFIG, module->part[TARE_PART_SCALES],
                          "%s says group_size %lld, weight_scale over %lld input columns makes it %lld; %s",
                          quant->place ? quant->place : "quantization_config", (long long)said, (long long)in,
                          (long long)module->group_size, TARE_REMEDY);
}

static bool same_but_last(const struct tare_tensor *a, const struct tare_tensor *b)
{
    return a->rank == b->rank && !memcmp(a->shape, b->shape, (size_t)(a->rank - 1) * sizeof *a->shape);
}

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const int rank = weight->rank;
    module->bits = 4;
    module->rank = rank;
    module->shape = weight->shape;
    module->dtype = tare_dtype_is_float(scales->dtype) ? scales->dtype : TARE_BF16;
    if (!tare_part_check(module, arena, TARE_PART_WEIGHT, 1u << TARE_I32 | 1u << TARE_U32) ||
        !tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES) || refused(module, arena))
        return;
    const int64_t words = rank > 0 ? weight->shape[rank - 1] : 0;
    const int64_t groups = scales->rank > 0 ? scales->shape[scales->rank - 1] : 0;
    if ((rank != 2 && rank != 3) || !same_but_last(weight, scales) || words < 1 || words > INT64_MAX / 8 ||
        groups < 1 || words * 8 % groups) {
        tare_module_fault(module, arena, TARE_E_SHAPE, scales,
                          "weight_packed is %s and weight_scale %s; [out, in / 8] and [out, groups] are needed, where "
                          "the groups divide in",
                          tare_shape_text(arena, rank, weight->shape),
                          tare_shape_text(arena, scales->rank, scales->shape));
        return;
    }
    int64_t *logical = tare_module_shape(module, arena, rank);
    if (!logical)
        return;
    memcpy(logical, weight->shape, (size_t)rank * sizeof *logical);
    logical[rank - 1] = words * 8;
    module->group_size = words * 8 / groups;
    agree(module, quant, arena);
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module);
    tare_mlx_unpack((const unsigned char *)part[TARE_PART_WEIGHT] + row * in / 2, 4, rows * in, codes->code);
    for (int64_t k = 0; k < rows * groups; k++) {
        codes->scale[k] = tare_float_at(part[TARE_PART_SCALES], module->dtype, row * groups + k);
        codes->offset[k] = 8.0f;
    }
}

static void to_mlx(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   const struct tare_mlx_rows *to)
{
    const int64_t bytes = tare_module_columns(module) / 2, groups = tare_module_groups(module);
    const int64_t scale_bytes = groups * (int64_t)tare_dtype_size(module->dtype);
    memcpy(to->weight, (const unsigned char *)part[TARE_PART_WEIGHT] + row * bytes, (size_t)(rows * bytes));
    memcpy(to->scales, (const unsigned char *)part[TARE_PART_SCALES] + row * scale_bytes, (size_t)(rows * scale_bytes));
    for (int64_t k = 0; k < rows * groups; k++)
        tare_float_put(to->biases, module->dtype, k,
                       -8.0f * tare_float_at(part[TARE_PART_SCALES], module->dtype, row * groups + k));
}

const struct tare_packing tare_packing_int4_packed = {
    .name = "int4-packed",
    .suffix = {".weight_packed", ".weight_scale", ".weight_zero_point", ".weight_g_idx", ".weight_shape"},
    .key = TARE_PART_WEIGHT,
    .by_name = true,
    .which = which,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .shape = shape,
    .decode = decode,
    .suspect = &tare_suspect_rows,
    .to_mlx = to_mlx,
};
