/* SPDX-License-Identifier: MIT
 * awq_fast.c - AWQ as gemv_fast (AutoAWQ) and llm-awq write it, 4 bits: qweight I16 (out / 4, in), scales (8 * words,
 * out), and zeros as floats of the same shape, named qzeros or scaled_zeros; rows padded as in gemv (awq_gemv.c).
 *
 *     weight[out][in] = scale[group][out] * code[out][in] + bias[group][out]       bias = fp16(-zero * scale), as
 * stored. The zero point itself is gone; MLX's biases are these very numbers. Four rows of the weight share a row of
 * words; every 64 columns are 64 of them, which are 256 nibbles in a run, 64 a row. Of each 32 of those, the nibble at
 * 8 * a + e holds column 8 * (d / 2) + 2 * a + d % 2, where d = {0, 2, 4, 6, 1, 3, 5, 7}[e]. Source: docs/layouts.md,
 * "AWQ, gemv_fast and llm-awq".
 */
#include <string.h>

#include "base/awq_order.h"
#include "base/half.h"
#include "packing/awq/awq.h"
#include "packing/fault.h"
#include "packing/mlx/to_mlx.h"

static bool announced_fast(const struct tare_quant *quant)
{
    return tare_awq_announced(quant, "gemv_fast");
}

static bool announced_llm(const struct tare_quant *quant)
{
    return tare_awq_announced(quant, "llm-awq");
}

static bool fit(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const struct tare_tensor *zeros = module->part[TARE_PART_ZEROS];
    if (weight->rank != 2 || scales->rank != 2 || weight->shape[0] < 1 || weight->shape[0] > INT64_MAX / 4 ||
        4 * weight->shape[0] != scales->shape[1] || weight->shape[1] < 1 || weight->shape[1] % 64) {
        tare_module_fault(
            module, arena, TARE_E_SHAPE, weight,
            "qweight is %s and scales %s, %s needs [out / 4, in] and [groups, padded, out], in a multiple "
            "of 64",
            tare_shape_text(arena, weight->rank, weight->shape), tare_shape_text(arena, scales->rank, scales->shape),
            module->packing->name);
        return false;
    }
    const int64_t out = scales->shape[1], in = weight->shape[1];
    const int64_t words = tare_awq_padded(module, quant, arena, in);
    if (!words)
        return false;
    if (!tare_awq_scales_fit(module, quant, arena, in, (const int64_t[]){8 * words, out}))
        return false;
    if (zeros->rank != 2 || zeros->shape[0] != scales->shape[0] || zeros->shape[1] != out) {
        tare_module_fault(module, arena, TARE_E_SHAPE, zeros, "%s is %s, %s needs the shape of scales, %s",
                          tare_part_word(module, TARE_PART_ZEROS), tare_shape_text(arena, zeros->rank, zeros->shape),
                          module->packing->name, tare_shape_text(arena, 2, scales->shape));
        return false;
    }
    int64_t *logical = tare_module_shape(module, arena, 2);
    if (logical) {
        logical[0] = out;
        logical[1] = in;
    }
    return true;
}

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    module->dtype = tare_dtype_is_float(scales->dtype) ? scales->dtype : TARE_F16;
    module->bits = 4;
    module->rank = weight->rank;
    module->shape = weight->shape;
    if (tare_part_check(module, arena, TARE_PART_WEIGHT, 1u << TARE_I16) &&
        tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES) &&
        tare_part_check(module, arena, TARE_PART_ZEROS, 1u << scales->dtype) && fit(module, quant, arena))
        tare_awq_agree(module, quant, arena);
}

/* Columns [0, in) of one row. */
static void unpack_row(const unsigned char *qweight, int64_t in, int64_t row, uint8_t *code)
{
    const unsigned char *words = qweight + 2 * in * (row / 4);
    for (int64_t block = 0; block < in; block += 64)
        for (int k = 0; k < 64; k++) {
            const int64_t nibble = 4 * block + 64 * (row % 4) + k; /* a word holds four nibbles, and a block 64 words */
            const int a = k % 32 / 8, d = tare_awq_column[k % 8];
            code[block + k / 32 * 32 + 8 * (d / 2) + 2 * a + d % 2] = words[nibble / 2] >> 4 * (nibble % 2) & 15;
        }
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const int64_t out = module->shape[0], in = module->shape[1], groups = in / module->group_size;
    for (int64_t r = 0; r < rows; r++) {
        unpack_row(part[TARE_PART_WEIGHT], in, row + r, codes->code + r * in);
        for (int64_t g = 0; g < groups; g++) {
            const int64_t at = g * out + row + r;
            codes->scale[r * groups + g] = tare_float_at(part[TARE_PART_SCALES], module->dtype, at);
            codes->offset[r * groups + g] = tare_float_at(part[TARE_PART_ZEROS], module->dtype, at);
        }
    }
}

#define AWQ_FAST(symbol, word, zeros, is_announced)                                                                    \
    const struct tare_packing tare_packing_##symbol = {                                                                \
        .name = word,                                                                                                  \
        .suffix = {".qweight", ".scales", zeros},                                                                      \
        .key = TARE_PART_WEIGHT,                                                                                       \
        .biases = true,                                                                                                \
        .casts = true,                                                                                                 \
        .announced = is_announced,                                                                                     \
        .shape = shape,                                                                                                \
        .decode = decode,                                                                                              \
    }
AWQ_FAST(awq_gemv_fast, "awq-gemv-fast", ".qzeros", announced_fast);
AWQ_FAST(awq_llm, "llm-awq", ".scaled_zeros", announced_llm);
