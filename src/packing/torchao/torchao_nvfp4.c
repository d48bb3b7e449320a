/* SPDX-License-Identifier: MIT
 * torchao_nvfp4.c - torchao's NVFP4Tensor: X._weight_qdata U8 (out, in / 2), the even column in the low half;
 * X._weight_scale F8_E4M3, one for each 16 columns; X._weight_per_tensor_scale F32, which may be absent.
 *
 *     weight[out][in] = e2m1[out][in] * (scale[out][in / 16] * per_tensor_scale)
 * Scales lie as (out, in / 16), or swizzled: tiles of 128 rows and 4 scales, in row-major order and padded with zeros,
 * each stored as 32 x 16: row t and scale c of a tile at [t % 32][4 * (t / 32) + c]. The shape of the swizzled ones,
 * (32 * tiles of rows, 16 * tiles of columns), is never that of the plain ones, because a tile has four times as many
 * columns as it has scales. Source: torchao/prototype/mx_formats (nvfp4_tensor.py, utils.py: to_blocked).
 */
#include "base/small_float.h"
#include "packing/fault.h"
#include "packing/microscaled.h"
#include "packing/mlx/to_mlx.h"
#include "packing/to_tiles.h"

#define GROUP 16

static int64_t ceil_of(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

static bool is_plain(const struct tare_module *module)
{
    const struct tare_tensor *scales = module->part[TARE_PART_SCALES];
    return scales->rank == 2 && scales->shape[0] == module->shape[0] && scales->shape[1] == module->shape[1] / GROUP;
}

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const struct tare_tensor *global = module->part[TARE_PART_GLOBAL];
    int64_t *shape = tare_module_shape(module, arena, 2);
    (void)quant;
    if (!shape || !tare_part_check(module, arena, TARE_PART_WEIGHT, 1u << TARE_U8) ||
        !tare_part_check(module, arena, TARE_PART_SCALES, 1u << TARE_F8_E4M3) ||
        (global && !tare_part_check(module, arena, TARE_PART_GLOBAL, 1u << TARE_F32)))
        return;
    shape[0] = weight->rank == 2 ? weight->shape[0] : 0;
    shape[1] = weight->rank == 2 && weight->size ? 2 * weight->shape[1] : 0;
    module->bits = 4;
    module->dtype = TARE_BF16;
    module->group_size = GROUP;
    const int64_t padded = ceil_of(shape[0], 128) * 128 * ceil_of(shape[1], 4 * GROUP) * 4;
    if (weight->rank != 2 || shape[0] < 1 || shape[1] < GROUP || shape[1] % GROUP)
        tare_module_fault(module, arena, TARE_E_SHAPE, weight, "qdata is %s, rows of whole groups of 16 are needed",
                          tare_shape_text(arena, weight->rank, weight->shape));
    else if (!is_plain(module) && tare_shape_count(scales->rank, scales->shape) != padded)
        tare_module_fault(module, arena, TARE_E_SHAPE, scales,
                          "scale is %s over %s; it needs one for each 16 columns, or %lld in tiles of 128 x 4",
                          tare_shape_text(arena, scales->rank, scales->shape), tare_shape_text(arena, 2, shape),
                          (long long)padded);
    else if (global && tare_shape_count(global->rank, global->shape) != 1)
        tare_module_fault(module, arena, TARE_E_SHAPE, global, "per_tensor_scale is %s, one number is needed",
                          tare_shape_text(arena, global->rank, global->shape));
}

static uint8_t scale_of(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                        int64_t group)
{
    const uint8_t *scales = part[TARE_PART_SCALES];
    const int64_t groups = tare_module_groups(module), t = row % 128;
    if (is_plain(module))
        return scales[row * groups + group];
    const int64_t tile = row / 128 * ceil_of(groups, 4) + group / 4;
    return scales[tile * 512 + t % 32 * 16 + 4 * (t / 32) + group % 4];
}

static float over(const struct tare_module *module, const void *const part[TARE_PARTS])
{
    return module->part[TARE_PART_GLOBAL] ? tare_float_at(part[TARE_PART_GLOBAL], TARE_F32, 0) : 1.0f;
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module);
    const float factor = over(module, part);
    tare_mlx_unpack((const unsigned char *)part[TARE_PART_WEIGHT] + row * in / 2, 4, rows * in, codes->code);
    for (int64_t k = 0; k < rows * groups; k++)
        codes->scale[k] = tare_from_e4m3(scale_of(module, part, row + k / groups, k % groups)) * factor;
}

static void factored_rows(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                          int64_t rows, struct tare_factored *to)
{
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module);
    tare_mlx_unpack((const unsigned char *)part[TARE_PART_WEIGHT] + row * in / 2, 4, rows * in, to->code);
    for (int64_t r = 0; r < rows; r++)
        to->scale[r] = over(module, part);
    for (int64_t k = 0; k < rows * groups; k++)
        to->factor[k] = scale_of(module, part, row + k / groups, k % groups);
}

static const struct tare_factoring factoring = {TARE_FACTORS_E4M3, 0, TARE_F32, factored_rows};

static void to_mlx(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   const struct tare_mlx_rows *to)
{
    const int64_t bytes = tare_module_columns(module) / 2, groups = tare_module_groups(module);
    memcpy(to->weight, (const unsigned char *)part[TARE_PART_WEIGHT] + row * bytes, (size_t)(rows * bytes));
    for (int64_t k = 0; k < rows * groups; k++)
        ((uint8_t *)to->scales)[k] = scale_of(module, part, row + k / groups, k % groups);
}

static float global(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row)
{
    (void)row;
    return over(module, part) * TARE_NVFP4_LARGEST;
}

const struct tare_packing tare_packing_torchao_nvfp4 = {
    .name = "torchao-nvfp4",
    .suffix = {"._weight_qdata", "._weight_scale",
               "._weight_zero_point", [TARE_PART_GLOBAL] = "._weight_per_tensor_scale"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_E2M1,
    .mode = TARE_MLX_NVFP4,
    .shape = shape,
    .table = &tare_micro_table,
    .decode = decode,
    .factoring = &factoring,
    .to_mlx = to_mlx,
    .global = global,
};
