/* SPDX-License-Identifier: MIT
 * quanto.c - optimum-quanto: 8 bits as X.weight._data (I8 or F8_E4M3) and X.weight._scale, one a row:
 *     weight = q * scale
 * 4 and 2 bits as X.weight._data._data U8, X.weight._scale and X.weight._shift:
 *     weight = q * scale - shift
 * packed by parts of the rows: byte row r has row r in its lowest bits, then r + rows / parts, and so on. Where there is
 * more than one scale a row (group_size), data is grouped before it is packed, which tare does not read.
 * X.input_scale and X.output_scale are for activations. Source: optimum/quanto/tensor (qbytes.py, packed.py).
 */
#include "packing/fault.h"
#include "packing/grid_scales.h"

static void shape_int8(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    (void)quant;
    tare_grid_shape(module, arena, 1u << TARE_I8);
}

static void shape_float8(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    (void)quant;
    tare_grid_shape(module, arena, 1u << TARE_F8_E4M3);
    module->dtype = module->part[TARE_PART_SCALES]->dtype == TARE_F16 ? TARE_F16 : TARE_BF16;
}

static const struct tare_packing *which(const struct tare_module *module, const struct tare_quant *quant)
{
    (void)quant;
    return module->part[TARE_PART_WEIGHT]->dtype == TARE_I8 ? &tare_packing_quanto_int8 : &tare_packing_quanto_float8;
}

/* Rows are told by the scales: one a row. */
static void shape_bits(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const struct tare_tensor *shift = module->part[TARE_PART_ZEROS];
    int64_t *shape = tare_module_shape(module, arena, 2);
    (void)quant;
    if (!shape || !tare_part_check(module, arena, TARE_PART_WEIGHT, 1u << TARE_U8) ||
        !tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES) ||
        !tare_part_check(module, arena, TARE_PART_ZEROS, TARE_SCALE_DTYPES))
        return;
    const int64_t rows = tare_shape_count(scales->rank, scales->shape);
    const int64_t stored = weight->rank == 2 ? weight->shape[0] : 0;
    const int64_t parts = stored > 0 && rows % stored == 0 ? rows / stored : 0;
    shape[0] = rows;
    shape[1] = weight->rank == 2 ? weight->shape[1] : 0;
    module->dtype = scales->dtype;
    module->bits = parts == 2 ? 4 : 2;
    module->group_size = shape[1];
    if ((parts != 2 && parts != 4) || shape[1] < 1 || tare_shape_count(shift->rank, shift->shape) != rows)
        tare_module_fault(
            module, arena, TARE_E_UNKNOWN, weight,
            "_data is %s, _scale %s and _shift %s; tare reads quanto's 4 and 2 bits with one scale a row, "
            "not those in groups. The float checkpoint it was made of can be read",
            tare_shape_text(arena, weight->rank, weight->shape), tare_shape_text(arena, scales->rank, scales->shape),
            tare_shape_text(arena, shift->rank, shift->shape));
}

static void decode_bits(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                        struct tare_codes *codes)
{
    const int64_t in = tare_module_columns(module), stored = module->shape[0] * module->bits / 8;
    const uint8_t mask = (uint8_t)((1 << module->bits) - 1);
    for (int64_t r = 0; r < rows; r++) {
        const uint8_t *bytes = (const uint8_t *)part[TARE_PART_WEIGHT] + (row + r) % stored * in;
        const int shift = (int)((row + r) / stored) * module->bits;
        for (int64_t i = 0; i < in; i++)
            codes->code[r * in + i] = bytes[i] >> shift & mask;
        codes->scale[r] = tare_float_at(part[TARE_PART_SCALES], module->part[TARE_PART_SCALES]->dtype, row + r);
        codes->offset[r] = -tare_float_at(part[TARE_PART_ZEROS], module->part[TARE_PART_ZEROS]->dtype, row + r);
    }
}

const struct tare_packing tare_packing_quanto_int8 = {
    .name = "quanto-int8",
    .suffix = {".weight._data", ".weight._scale"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .by_name = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .which = which,
    .shape = shape_int8,
    .decode = tare_grid_decode_int8,
};

const struct tare_packing tare_packing_quanto_float8 = {
    .name = "quanto-float8",
    .suffix = {".weight._data", ".weight._scale"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_E4M3,
    .mode = TARE_MLX_DENSE,
    .shape = shape_float8,
    .decode = tare_grid_decode_e4m3,
};

const struct tare_packing tare_packing_quanto_bits = {
    .name = "quanto-int",
    .suffix = {".weight._data._data", ".weight._scale", ".weight._shift"},
    .key = TARE_PART_WEIGHT,
    .by_name = true,
    .biases = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .shape = shape_bits,
    .decode = decode_bits,
};
