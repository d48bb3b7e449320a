/* SPDX-License-Identifier: MIT
 * fp8_block.c - e4m3 bytes (.., out, in) with a float scale that multiplies: one for a block of 128 x 128, or any that
 * broadcasts (one a tensor, one an expert, one a row).
 *
 * fp8-block: X and X_scale_inv, where X is a.b.weight or, for fused experts, a.b.gate_up_proj (deepseek_v3, mistral4
 * ..). The same with X.weight and X.scale. MLX has no such form: it becomes bfloat16, as in mlx-lm's sanitize:
 *     weight[out][in] = bfloat16(scale[out / 128][in / 128] * e4m3[out][in])     the product in float32
 * Source: mlx_lm/models/deepseek_v3.py, mistral4.py (dequant).
 */
#include <string.h>

#include "base/small_float.h"
#include "packing/fault.h"
#include "packing/microscaled.h"
#include "packing/suspect.h"
#include "packing/to_mlx.h"

#define BLOCK 128 /* where quantization_config says no weight_block_size */

static bool is_power(const struct tare_tensor *scales) /* e8m0, which mlx knows as U8 only */
{
    return scales && (scales->dtype == TARE_U8 || scales->dtype == TARE_F8_E8M0);
}

/* Scales (.., out, in / per) over a weight (.., out, in). */
static bool a_row(const struct tare_tensor *weight, const struct tare_tensor *scales, int64_t per)
{
    if (weight->rank < 2 || scales->rank != weight->rank || weight->shape[weight->rank - 1] % per ||
        scales->shape[weight->rank - 1] != weight->shape[weight->rank - 1] / per)
        return false;
    return !memcmp(weight->shape, scales->shape, (size_t)(weight->rank - 1) * sizeof *weight->shape);
}

/* e8m0 scales for 32 columns are MLX's mxfp8: minimax_m3. */
static const struct tare_packing *which_inverse(const struct tare_module *module, const struct tare_quant *quant)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    (void)quant;
    return weight && is_power(scales) && a_row(weight, scales, 32) ? &tare_packing_mxfp8_inverse
                                                                   : &tare_packing_fp8_block;
}

/* ".scale" is a common name: only bytes make the weight beside it a packed one. */
static const struct tare_packing *which_scale(const struct tare_module *module, const struct tare_quant *quant)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    (void)quant;
    if (!weight || !scales || (weight->dtype != TARE_U8 && weight->dtype != TARE_I8 && weight->dtype != TARE_F8_E4M3))
        return NULL;
    if (is_power(scales)) /* a byte has two columns of fp4: a scale for 32 columns is one for 16 bytes */
        return weight->dtype != TARE_F8_E4M3 && a_row(weight, scales, 16) ? &tare_packing_mxfp4_rows
                                                                          : &tare_packing_mxfp8_tiles;
    return tare_dtype_is_float(scales->dtype) && weight->dtype != TARE_I8 ? &tare_packing_fp8_scale : NULL;
}

static int64_t gcd(int64_t a, int64_t b)
{
    return b ? gcd(b, a % b) : a;
}

/* The size of the scales' axis that goes with axis k of the weight: a missing one in front counts as 1. */
static int64_t axis_of(const struct tare_tensor *scales, int rank, int k)
{
    const int at = k - (rank - scales->rank);
    return at < 0 ? 1 : scales->shape[at];
}

static bool broadcasts(const struct tare_tensor *weight, const struct tare_tensor *scales)
{
    for (int k = 0; k < weight->rank; k++)
        if (axis_of(scales, weight->rank, k) != 1 && axis_of(scales, weight->rank, k) != weight->shape[k])
            return false;
    return scales->rank <= weight->rank;
}

/* Blocks along the last two axes, one set of them a matrix. More of them than the weight fills are padding
 * (mimo_v2_flash's sanitize pads the weight to them). */
static bool in_blocks(const struct tare_tensor *weight, const struct tare_tensor *scales, const int64_t block[2])
{
    const int rank = weight->rank;
    if (scales->rank != rank)
        return false;
    for (int k = 0; k < rank - 2; k++)
        if (scales->shape[k] != weight->shape[k])
            return false;
    for (int k = 0; k < 2; k++) {
        const int64_t size = weight->shape[rank - 2 + k];
        if (scales->shape[rank - 2 + k] < size / block[k] + (size % block[k] != 0))
            return false;
    }
    return true;
}

/* The groups of the neutral form must divide the columns: of 576 columns in blocks of 128, groups have 64. */
static int64_t group_of(const struct tare_module *module, int64_t columns)
{
    const int64_t last = axis_of(module->part[TARE_PART_SCALES], module->rank, module->rank - 1);
    if (module->block[1])
        return columns <= module->block[1] ? columns : gcd(columns, module->block[1]);
    return last == 1 ? columns : 1;
}

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const int64_t block[2] = {quant->block[0] ? quant->block[0] : BLOCK, quant->block[1] ? quant->block[1] : BLOCK};
    module->dtype = TARE_BF16;
    module->bits = 8;
    module->rank = weight->rank;
    module->shape = weight->shape;
    if (!tare_part_check(module, arena, TARE_PART_WEIGHT, TARE_E4M3_DTYPES) ||
        !tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES | TARE_E8M0_DTYPES))
        return;
    if ((weight->rank != 2 && weight->rank != 3) || tare_shape_count(weight->rank, weight->shape) < 1) {
        tare_module_fault(module, arena, TARE_E_SHAPE, weight, "%s is %s, fp8 needs two or three axes",
                          tare_part_word(module, TARE_PART_WEIGHT),
                          tare_shape_text(arena, weight->rank, weight->shape));
        return;
    }
    const bool whole = broadcasts(weight, scales);
    if (!whole && !in_blocks(weight, scales, block)) {
        tare_module_fault(module, arena, TARE_E_SHAPE, scales,
                          "%s is %s over a weight %s, fp8 needs one scale for each block of %lld x %lld, or a shape "
                          "that broadcasts",
                          tare_part_word(module, TARE_PART_SCALES), tare_shape_text(arena, scales->rank, scales->shape),
                          tare_shape_text(arena, weight->rank, weight->shape), (long long)block[0],
                          (long long)block[1]);
        return;
    }
    module->block[0] = whole ? 0 : block[0];
    module->block[1] = whole ? 0 : block[1];
    module->group_size = group_of(module, weight->shape[weight->rank - 1]);
}

static float scale_at(const void *scales, enum tare_dtype dtype, int64_t at)
{
    if (dtype == TARE_U8 || dtype == TARE_F8_E8M0)
        return tare_from_e8m0(((const uint8_t *)scales)[at]);
    return tare_float_at(scales, dtype, at);
}

/* Where the scales of a row begin. */
static int64_t scale_row(const struct tare_module *module, int64_t row)
{
    const struct tare_tensor *scales = module->part[TARE_PART_SCALES];
    int64_t at = 0, stride = axis_of(scales, module->rank, module->rank - 1);
    for (int k = module->rank - 2; k >= 0; k--) {
        const int64_t index = row % module->shape[k], size = axis_of(scales, module->rank, k);
        row /= module->shape[k];
        if (module->block[0] && k == module->rank - 2)
            at += index / module->block[0] * stride;
        else
            at += size == 1 ? 0 : index * stride;
        stride *= size;
    }
    return at;
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const struct tare_tensor *scales = module->part[TARE_PART_SCALES];
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module);
    const bool one = !module->block[1] && axis_of(scales, module->rank, module->rank - 1) == 1;
    memcpy(codes->code, (const unsigned char *)part[TARE_PART_WEIGHT] + row * in, (size_t)(rows * in));
    for (int64_t r = 0; r < rows; r++) {
        const int64_t at = scale_row(module, row + r);
        for (int64_t g = 0; g < groups; g++) {
            const int64_t column = g * module->group_size;
            codes->scale[r * groups + g] = scale_at(part[TARE_PART_SCALES], scales->dtype,
                                                    at + (one                ? 0
                                                          : module->block[1] ? column / module->block[1]
                                                                             : column));
        }
    }
}

const struct tare_packing tare_packing_fp8_block = {
    .name = "fp8-block",
    .suffix = {"", "_scale_inv"},
    .key = TARE_PART_SCALES,
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
    .by_name = true,
    .codes = TARE_CODE_E4M3,
    .mode = TARE_MLX_DENSE,
    .which = which_scale,
    .shape = shape,
    .decode = decode,
    .suspect = &tare_suspect_rows,
};
