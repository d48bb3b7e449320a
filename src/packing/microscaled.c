/* SPDX-License-Identifier: MIT
 * microscaled.c - mxfp4, mxfp8, nvfp4: shapes, values, and the copy into MLX's layout, which has the same bytes.
 *
 *     weight[out][in] = scale[out][in / group] * value(code[out][in])
 * mxfp4: e2m1 codes, low nibble first, 32 to an e8m0 scale. mxfp8: e4m3 codes, 32 to an e8m0 scale. nvfp4: e2m1 codes,
 * 16 to an e4m3 scale, all times global_scale / 2688 where there is one. Source: docs/layouts.md, "MLX".
 */
#include "packing/microscaled.h"

#include <string.h>

#include "base/small_float.h"
#include "packing/fault.h"
#include "packing/mlx/to_mlx.h"
#include "packing/to_tiles.h"

/* Bits of a code in a mode of small floats. */
static int code_bits(enum tare_mlx_mode mode)
{
    return mode == TARE_MLX_MXFP8 ? 8 : 4;
}

/* Columns that share a scale in a mode of small floats. */
static int64_t group_columns(enum tare_mlx_mode mode)
{
    return mode == TARE_MLX_NVFP4 ? 16 : 32;
}

/* e2m1 codes are multiples of a half: twice each is a whole number, to which 12 is added so that none is negative. */
const struct tare_code_table tare_micro_table = {
    .value = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0},
    .factor = 0.5f,
    .zero = 12,
};

static int64_t ceil_div(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

/* The shape that scales should have, as text: "[4, 64, 2]". */
static const char *wanted_text(struct tare_arena *arena, int rank, const int64_t *leading, int64_t last,
                               int64_t tile_rows)
{
    int64_t *shape = tare_arena_array(arena, (size_t)rank, sizeof *shape);
    if (!shape)
        return "another shape";
    memcpy(shape, leading, (size_t)(rank - 1) * sizeof *shape);
    shape[rank - 2] = ceil_div(shape[rank - 2], tile_rows);
    shape[rank - 1] = last;
    return tare_shape_text(arena, rank, shape);
}

static bool fits(const struct tare_tensor *scales, int rank, const int64_t *leading, int64_t last, int64_t tile_rows)
{
    if (scales->rank != rank || scales->shape[rank - 1] != last ||
        scales->shape[rank - 2] != ceil_div(leading[rank - 2], tile_rows))
        return false;
    for (int k = 0; k < rank - 2; k++)
        if (scales->shape[k] != leading[k])
            return false;
    return true;
}

bool tare_micro_fit(struct tare_module *module, struct tare_arena *arena, int rank, const int64_t *leading,
                    int64_t columns, int64_t tile_rows, int64_t tile_columns)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const int64_t group = group_columns(module->packing->mode);
    module->bits = code_bits(module->packing->mode);
    module->group_size = group;
    module->dtype = TARE_BF16; /* mlx's dequantize gives this dtype */
    module->block[0] = tile_rows;
    module->block[1] = tile_columns;
    if (columns < 1 || columns % group) {
        tare_module_fault(module, arena, TARE_E_SHAPE, weight,
                          "%s is %s: %lld input columns, which groups of %lld do not divide",
                          tare_part_word(module, TARE_PART_WEIGHT), tare_shape_text(arena, weight->rank, weight->shape),
                          (long long)columns, (long long)group);
        return false;
    }
    if (!fits(scales, rank, leading, ceil_div(columns, tile_columns), tile_rows)) {
        tare_module_fault(module, arena, TARE_E_SHAPE, scales, "%s is %s, %s over %s %s needs %s",
                          tare_part_word(module, TARE_PART_SCALES), tare_shape_text(arena, scales->rank, scales->shape),
                          module->packing->name, tare_part_word(module, TARE_PART_WEIGHT),
                          tare_shape_text(arena, weight->rank, weight->shape),
                          wanted_text(arena, rank, leading, ceil_div(columns, tile_columns), tile_rows));
        return false;
    }
    int64_t *logical = tare_module_shape(module, arena, rank);
    if (!logical)
        return false;
    memcpy(logical, leading, (size_t)(rank - 1) * sizeof *logical);
    logical[rank - 1] = columns;
    return true;
}

bool tare_micro_fit_rows(struct tare_module *module, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT];
    const int rank = weight->rank, bits = code_bits(module->packing->mode);
    const int64_t codes = (int64_t)tare_dtype_size(weight->dtype) * 8 / bits; /* codes in one element of the tensor */
    if (rank != 2 && rank != 3) {
        tare_module_fault(module, arena, TARE_E_SHAPE, weight, "%s is %s, %s packs two or three axes",
                          tare_part_word(module, TARE_PART_WEIGHT), tare_shape_text(arena, rank, weight->shape),
                          module->packing->name);
        return false;
    }
    if (weight->shape[rank - 1] > INT64_MAX / codes) {
        tare_module_fault(module, arena, TARE_E_SHAPE, weight, "more columns than 2^63");
        return false;
    }
    return tare_micro_fit(module, arena, rank, weight->shape, weight->shape[rank - 1] * codes, 1,
                          group_columns(module->packing->mode));
}

bool tare_micro_fit_global(struct tare_module *module, struct tare_arena *arena, int64_t most)
{
    const struct tare_tensor *global = module->part[TARE_PART_GLOBAL];
    const int64_t matrices = module->rank == 3 ? module->shape[0] : 1, rows = module->shape[module->rank - 2];
    const int64_t count = tare_shape_count(global->rank, global->shape);
    const int64_t parts = count > 0 && matrices > 0 && count % matrices == 0 ? count / matrices : 0;
    if (parts > 0 && parts <= most && rows % parts == 0)
        return true;
    tare_module_fault(module, arena, TARE_E_SHAPE, global, "%s is %s, one number for each of %lld matrices is needed",
                      tare_part_word(module, TARE_PART_GLOBAL), tare_shape_text(arena, global->rank, global->shape),
                      (long long)matrices);
    return false;
}

/* Where the scales of a row begin; all rows of a tile share them. */
static const uint8_t *scales_of(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row)
{
    const int64_t out = module->shape[module->rank - 2], tiles = ceil_div(out, module->block[0]);
    const int64_t at = row / out * tiles + row % out / module->block[0];
    return (const uint8_t *)part[TARE_PART_SCALES] + at * ceil_div(tare_module_columns(module), module->block[1]);
}

void tare_micro_decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                       struct tare_codes *codes)
{
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module), bytes = in * module->bits / 8;
    const int64_t repeat = module->block[1] / module->group_size;
    const bool e4m3 = module->packing->mode == TARE_MLX_NVFP4;
    tare_mlx_unpack((const unsigned char *)part[TARE_PART_WEIGHT] + row * bytes, module->bits, rows * in, codes->code);
    for (int64_t r = 0; r < rows; r++) {
        const uint8_t *from = scales_of(module, part, row + r);
        const float factor = part[TARE_PART_GLOBAL] && module->packing->global
                                 ? module->packing->global(module, part, row + r) / TARE_NVFP4_LARGEST
                                 : 1.0f;
        for (int64_t g = 0; g < groups; g++)
            codes->scale[r * groups + g] =
                e4m3 ? tare_from_e4m3(from[g / repeat]) * factor : tare_from_e8m0(from[g / repeat]);
    }
}

static void factored_rows(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                          int64_t rows, struct tare_factored *to)
{
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module), bytes = in * module->bits / 8;
    const int64_t repeat = module->block[1] / module->group_size;
    const bool e4m3 = module->packing->mode == TARE_MLX_NVFP4;
    tare_mlx_unpack((const unsigned char *)part[TARE_PART_WEIGHT] + row * bytes, module->bits, rows * in, to->code);
    for (int64_t r = 0; r < rows; r++) {
        const uint8_t *from = scales_of(module, part, row + r);
        to->scale[r] = e4m3 && part[TARE_PART_GLOBAL] && module->packing->global
                           ? module->packing->global(module, part, row + r) / TARE_NVFP4_LARGEST
                           : 1.0f;
        for (int64_t g = 0; g < groups; g++)
            to->factor[r * groups + g] = from[g / repeat];
    }
}

const struct tare_factoring tare_micro_powers = {TARE_FACTORS_E8M0, 0, TARE_BF16, factored_rows};
const struct tare_factoring tare_micro_floats = {TARE_FACTORS_E4M3, 0, TARE_F32, factored_rows};

void tare_micro_to_mlx(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                       const struct tare_mlx_rows *to)
{
    const int64_t bytes = tare_module_columns(module) * module->bits / 8, groups = tare_module_groups(module);
    const int64_t repeat = module->block[1] / module->group_size;
    memcpy(to->weight, (const unsigned char *)part[TARE_PART_WEIGHT] + row * bytes, (size_t)(rows * bytes));
    if (module->block[0] == 1 && repeat == 1) {
        memcpy(to->scales, (const unsigned char *)part[TARE_PART_SCALES] + row * groups, (size_t)(rows * groups));
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        const uint8_t *from = scales_of(module, part, row + r);
        for (int64_t g = 0; g < groups; g++)
            ((uint8_t *)to->scales)[r * groups + g] = from[g / repeat];
    }
}
