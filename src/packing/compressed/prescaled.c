/* SPDX-License-Identifier: MIT
 * prescaled.c - ModelOpt's AWQ forms (W4A16_AWQ, NVFP4_AWQ): X.pre_quant_scale, floats (in), multiplies the activations
 * of a layer where it could not be folded into the layer before. So
 *     weight[out][in] = packed[out][in] * pre_quant_scale[in]      rounded once more to float32
 * No group of columns has one scale then, so such a module has values, but no codes.
 * Source: modelopt/torch/export/quant_utils.py.
 */
#include "packing/compressed/prescaled.h"

#include "packing/fault.h"

const char *const tare_prescaled_told[] = {".pre_quant_scale", NULL};

struct notes {
    const struct tare_packing *packing; /* of the module without the scale */
    const float *scale;                 /* by column */
};

static bool floats(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   float *dst, struct tare_arena *work)
{
    const struct notes *notes = module->notes;
    const int64_t in = tare_module_columns(module);
    struct tare_module inner = *module;
    struct tare_error err;
    inner.packing = notes->packing;
    if (tare_module_floats(&inner, part, row, rows, dst, work, &err))
        return false;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < in; i++)
            dst[r * in + i] *= notes->scale[i];
    return true;
}

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    (void)module;
    (void)quant;
    (void)arena;
}

const struct tare_packing tare_packing_prescaled = {
    .name = "modelopt-awq",
    .suffix = {".weight", ".weight_scale", [TARE_PART_GLOBAL] = ".weight_scale_2"},
    .key = TARE_PART_SCALES,
    .told = tare_prescaled_told,
    .codes = TARE_CODE_NONE,
    .mode = TARE_MLX_DENSE,
    .shape = shape,
    .floats = floats,
};

void tare_prescaled_apply(struct tare_module *module, struct tare_arena *arena)
{
    const struct tare_told *told = module->told;
    if (module->fault || !told || !told->tensor)
        return;
    const int64_t in = tare_module_columns(module);
    const enum tare_dtype dtype = told->tensor->dtype;
    struct notes *notes = tare_arena_array(arena, 1, sizeof *notes);
    float *scale = tare_arena_array(arena, (size_t)in, sizeof *scale);
    if (!(TARE_SCALE_DTYPES & 1u << dtype) || tare_shape_count(told->tensor->rank, told->tensor->shape) != in)
        tare_module_fault(module, arena, TARE_E_SHAPE, told->tensor,
                          "%s %s, %lld floats are needed, one for each column", tare_dtype_name(dtype),
                          tare_shape_text(arena, told->tensor->rank, told->tensor->shape), (long long)in);
    if (!notes || !scale || module->fault)
        return;
    for (int64_t i = 0; i < in; i++)
        scale[i] = tare_float_at(told->data, dtype, i);
    *notes = (struct notes){module->packing, scale};
    module->notes = notes;
    module->packing = &tare_packing_prescaled;
}
