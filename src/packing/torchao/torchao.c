/* SPDX-License-Identifier: MIT
 * torchao.c - torchao's tensors as safetensors files hold them: X.weight as X._weight_qdata, X._weight_scale and
 * X._weight_zero_point. Dtypes and shapes tell the kind as the header's own metadata ("_type") does:
 *
 *     Int8Tensor, IntxUnpackedToInt8Tensor   qdata I8 (out, in), scale (out, in / group) or (out, 1), zeros integers:
 *                                            weight = (q - zero) * scale
 *     Float8Tensor                           qdata F8_E4M3 (out, in), scale (out, 1), (1, 1) or by blocks: q * scale
 *     Int4Tensor, packing "plain"            qdata I8 or U8 (out, in / 2), the even column in the low half, signed; scale
 *                                            and zero_point are floats and lie transposed, (in / group, out):
 *                                            weight = q * scale + zero_point
 *     NVFP4Tensor                            torchao_nvfp4.c
 * Source: torchao/prototype/safetensors, quantization/quantize_/workflows.
 */
#include "packing/fault.h"
#include "packing/grid_scales.h"

static void shape_int8(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    (void)quant;
    tare_grid_shape(module, arena, 1u << TARE_I8);
}

static void shape_e4m3(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    (void)quant;
    tare_grid_shape(module, arena, 1u << TARE_F8_E4M3);
    module->dtype = module->part[TARE_PART_SCALES]->dtype == TARE_F16 ? TARE_F16 : TARE_BF16;
}

static void shape_int4(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const struct tare_tensor *zeros = module->part[TARE_PART_ZEROS];
    int64_t *shape = tare_module_shape(module, arena, 2);
    (void)quant;
    if (!shape)
        return;
    shape[0] = weight->rank == 2 ? weight->shape[0] : 0;
    shape[1] = weight->rank == 2 && weight->shape[1] < INT64_MAX / 2 ? 2 * weight->shape[1] : 0;
    module->bits = 4;
    module->dtype = scales->dtype;
    if (!tare_part_check(module, arena, TARE_PART_WEIGHT, 1u << TARE_I8 | 1u << TARE_U8) ||
        !tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES))
        return;
    if (weight->rank != 2 || shape[0] < 1 || shape[1] < 1)
        tare_module_fault(module, arena, TARE_E_SHAPE, weight, "qdata is %s, two axes are needed",
                          tare_shape_text(arena, weight->rank, weight->shape));
    else if (scales->rank != 2 || scales->shape[1] != shape[0] || scales->shape[0] < 1 || shape[1] % scales->shape[0] ||
             zeros->rank != 2 || zeros->shape[0] != scales->shape[0] || zeros->shape[1] != scales->shape[1])
        tare_module_fault(module, arena, TARE_E_SHAPE, scales,
                          "scale is %s and zero_point %s; int4 of %s needs both as (in / group, out)",
                          tare_shape_text(arena, scales->rank, scales->shape),
                          tare_shape_text(arena, zeros->rank, zeros->shape), tare_shape_text(arena, 2, shape));
    else
        module->group_size = shape[1] / scales->shape[0];
}

/* The scale and the zero point of a group of a row. */
static void numbers_of(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t group,
                       float number[2])
{
    const int64_t at = group * module->shape[0] + row;
    number[0] = tare_float_at(part[TARE_PART_SCALES], module->part[TARE_PART_SCALES]->dtype, at);
    number[1] = tare_float_at(part[TARE_PART_ZEROS], module->part[TARE_PART_ZEROS]->dtype, at);
}

/* Code = q + 8. A bias takes the 8 off again, which rounds; floats_int4() has the producer's own order. */
static void decode_int4(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                        struct tare_codes *codes)
{
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module);
    const uint8_t *bytes = (const uint8_t *)part[TARE_PART_WEIGHT] + row * in / 2;
    for (int64_t k = 0; k < rows * in / 2; k++) {
        codes->code[2 * k] = (bytes[k] & 15) ^ 8;
        codes->code[2 * k + 1] = (uint8_t)(bytes[k] >> 4 ^ 8);
    }
    for (int64_t k = 0; k < rows * groups; k++) {
        float number[2];
        numbers_of(module, part, row + k / groups, k % groups, number);
        codes->scale[k] = number[0];
        codes->offset[k] = number[1] - 8 * number[0];
    }
}

static bool floats_int4(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                        float *dst, struct tare_arena *work)
{
    const int64_t in = tare_module_columns(module), size = module->group_size;
    const uint8_t *bytes = (const uint8_t *)part[TARE_PART_WEIGHT] + row * in / 2;
    (void)work;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < in; i++) {
            float number[2];
            const int64_t k = r * in + i;
            const int nibble = (k & 1 ? bytes[k / 2] >> 4 : bytes[k / 2] & 15) ^ 8;
            numbers_of(module, part, row + r, i / size, number);
            const float product = (float)(nibble - 8) * number[0];
            dst[k] = product + number[1];
        }
    return true;
}

/* Where the config speaks of torchao, a module that lacks its scales is a packed one too. */
static const struct tare_packing *which(const struct tare_module *module, const struct tare_quant *quant)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const struct tare_tensor *zeros = module->part[TARE_PART_ZEROS];
    (void)quant;
    if (scales && scales->dtype == TARE_F8_E4M3)
        return &tare_packing_torchao_nvfp4;
    if (weight->dtype == TARE_F8_E4M3)
        return &tare_packing_torchao_float8;
    if (zeros && TARE_SCALE_DTYPES & 1u << zeros->dtype && scales && scales->rank == 2 && weight->rank == 2 &&
        scales->shape[1] == weight->shape[0] && scales->shape[0] <= weight->shape[1] / 4)
        return &tare_packing_torchao_int4;
    return &tare_packing_torchao_int8;
}

#define TORCHAO(word, known, kind, form, own_shape, own_decode, ...)                                                   \
    const struct tare_packing tare_packing_torchao_##word = {                                                          \
        .name = known,                                                                                                 \
        .suffix = {"._weight_qdata", "._weight_scale",                                                                 \
                   "._weight_zero_point", [TARE_PART_GLOBAL] = "._weight_per_tensor_scale"},                           \
        .key = TARE_PART_WEIGHT,                                                                                       \
        .rowwise = true,                                                                                               \
        .codes = kind,                                                                                                 \
        .mode = form,                                                                                                  \
        .shape = own_shape,                                                                                            \
        .decode = own_decode,                                                                                          \
        __VA_ARGS__}
TORCHAO(int8, "torchao-int8", TARE_CODE_INTEGER, TARE_MLX_AFFINE, shape_int8, tare_grid_decode_int8, .by_name = true,
        .which = which);
TORCHAO(float8, "torchao-float8", TARE_CODE_E4M3, TARE_MLX_DENSE, shape_e4m3, tare_grid_decode_e4m3, .by_name = false);
TORCHAO(int4, "torchao-int4", TARE_CODE_INTEGER, TARE_MLX_DENSE, shape_int4, decode_int4, .biases = true,
        .floats = floats_int4);
