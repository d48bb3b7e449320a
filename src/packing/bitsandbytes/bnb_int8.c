/* SPDX-License-Identifier: MIT
 * bnb_int8.c - bitsandbytes' LLM.int8: X.weight I8 (out, in), X.SCB F32 (out), the largest number of each row, and
 * X.weight_format U8, 0 for rows.
 *
 *     weight[out][in] = (byte[out][in] * SCB[out]) * float32(1 / 127)      rounded after each product
 * In neutral form the code is byte + 128, the zero 128 and the scale SCB / 127, which may differ from it by one unit in
 * the last place of float32; floats() has the producer's own order. Outliers are of activations, and not stored.
 * Source: bitsandbytes/nn/modules.py, functional.py (int8_vectorwise_dequant).
 */
#include "packing/fault.h"

#define PER_STEP 7.874015718698502e-3f /* 1 / 127 as bitsandbytes writes it */

static const char *const told[] = {".weight_format", NULL};

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const struct tare_told *format = module->told;
    (void)quant;
    module->bits = 8;
    module->rank = weight->rank;
    module->shape = weight->shape;
    module->dtype = TARE_F32;
    if (!tare_part_check(module, arena, TARE_PART_WEIGHT, 1u << TARE_I8) ||
        !tare_part_check(module, arena, TARE_PART_SCALES, 1u << TARE_F32))
        return;
    if (weight->rank != 2 || tare_shape_count(weight->rank, weight->shape) < 1)
        tare_module_fault(module, arena, TARE_E_SHAPE, weight, "weight is %s, two axes are needed",
                          tare_shape_text(arena, weight->rank, weight->shape));
    else if (tare_shape_count(scales->rank, scales->shape) != weight->shape[0])
        tare_module_fault(module, arena, TARE_E_SHAPE, scales, "SCB is %s over a weight %s, one for each row is needed",
                          tare_shape_text(arena, scales->rank, scales->shape),
                          tare_shape_text(arena, weight->rank, weight->shape));
    else if (format->tensor && (format->tensor->size != 1 || *(const uint8_t *)format->data != 0))
        tare_module_fault(module, arena, TARE_E_UNKNOWN, format->tensor,
                          "weight_format is not 0 (row): the bytes lie in the order of one GPU's kernel; saving the "
                          "model anew with bitsandbytes 0.45 or later writes rows");
    module->group_size = weight->rank == 2 ? weight->shape[1] : 0;
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const int64_t in = tare_module_columns(module);
    const uint8_t *bytes = (const uint8_t *)part[TARE_PART_WEIGHT] + row * in;
    for (int64_t k = 0; k < rows * in; k++)
        codes->code[k] = bytes[k] ^ 0x80;
    for (int64_t r = 0; r < rows; r++) {
        codes->scale[r] = tare_float_at(part[TARE_PART_SCALES], TARE_F32, row + r) * PER_STEP;
        codes->offset[r] = 128;
    }
}

static bool floats(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   float *dst, struct tare_arena *work)
{
    const int64_t in = tare_module_columns(module);
    const int8_t *bytes = (const int8_t *)part[TARE_PART_WEIGHT] + row * in;
    (void)work;
    for (int64_t r = 0; r < rows; r++) {
        const float scale = tare_float_at(part[TARE_PART_SCALES], TARE_F32, row + r);
        for (int64_t i = 0; i < in; i++) {
            const float product = (float)bytes[r * in + i] * scale;
            dst[r * in + i] = product * PER_STEP;
        }
    }
    return true;
}

const struct tare_packing tare_packing_bnb_int8 = {
    .name = "bnb-int8",
    .suffix = {".weight", ".SCB"},
    .key = TARE_PART_SCALES,
    .told = told,
    .rowwise = true,
    .by_name = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_DENSE,
    .shape = shape,
    .decode = decode,
    .floats = floats,
};
