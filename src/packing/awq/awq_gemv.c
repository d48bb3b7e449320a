/* SPDX-License-Identifier: MIT
 * awq_gemv.c - AutoAWQ's gemv layout, 4 bits: qweight I32 (out, in / 8), qzeros I32 (out, words), scales
 * (out, 8 * words).
 *
 *     weight[out][in] = scale[out][group] * (code[out][in] - zero[out][group])     eight a word, the lowest first
 * Words of zeros are padded for the kernel, and scales to as many: words = ceil(ceil(groups / 8) / m) * m, m = 4, 2, 1
 * for groups of 32, 64 and more columns. So the shapes do not tell the group size; the config does. The codes are
 * MLX's. Source: docs/layouts.md, "AWQ, gemv".
 */
#include <string.h>

#include "base/half.h"
#include "packing/awq/awq.h"
#include "packing/fault.h"
#include "packing/mlx/to_mlx.h"
#include "packing/suspect.h"

static bool announced(const struct tare_quant *quant)
{
    return tare_awq_announced(quant, "gemv");
}

/* How many scales a row has in the file, with its padding. */
static int64_t padded(const struct tare_module *module)
{
    return module->part[TARE_PART_SCALES]->shape[1];
}

static bool fit(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const struct tare_tensor *zeros = module->part[TARE_PART_ZEROS];
    if (weight->rank != 2 || scales->rank != 2 || weight->shape[0] != scales->shape[0] ||
        weight->shape[1] > INT64_MAX / 8 || weight->shape[0] < 1 || weight->shape[1] < 1) {
        tare_module_fault(module, arena, TARE_E_SHAPE, weight,
                          "qweight is %s and scales %s, awq gemv needs [out, in / 8] and [out, groups, padded]",
                          tare_shape_text(arena, weight->rank, weight->shape),
                          tare_shape_text(arena, scales->rank, scales->shape));
        return false;
    }
    const int64_t out = weight->shape[0], in = 8 * weight->shape[1];
    const int64_t words = tare_awq_padded(module, quant, arena, in);
    if (!words)
        return false;
    if (!tare_awq_scales_fit(module, quant, arena, in, (const int64_t[]){out, 8 * words}))
        return false;
    if (zeros && (zeros->rank != 2 || zeros->shape[0] != out || zeros->shape[1] != words)) {
        tare_module_fault(module, arena, TARE_E_SHAPE, zeros, "qzeros is %s, awq gemv needs [%lld, %lld] here",
                          tare_shape_text(arena, zeros->rank, zeros->shape), (long long)out, (long long)words);
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
    if (tare_part_check(module, arena, TARE_PART_WEIGHT, 1u << TARE_I32) &&
        tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES) &&
        (!module->part[TARE_PART_ZEROS] || tare_part_check(module, arena, TARE_PART_ZEROS, 1u << TARE_I32)) &&
        fit(module, quant, arena))
        tare_awq_agree(module, quant, arena);
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const int64_t in = module->shape[1], groups = in / module->group_size, stride = padded(module);
    const unsigned char *zeros = part[TARE_PART_ZEROS];
    tare_mlx_unpack((const unsigned char *)part[TARE_PART_WEIGHT] + row * in / 2, 4, rows * in, codes->code);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t g = 0; g < groups; g++) {
            const int64_t at = (row + r) * stride + g;
            codes->scale[r * groups + g] = tare_float_at(part[TARE_PART_SCALES], module->dtype, at);
            codes->offset[r * groups + g] = zeros ? (float)(zeros[at / 2] >> 4 * (at % 2) & 15) : 8.0f;
        }
}

static void to_mlx(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   const struct tare_mlx_rows *to)
{
    const int64_t in = module->shape[1], groups = in / module->group_size, stride = padded(module);
    const unsigned char *zeros = part[TARE_PART_ZEROS];
    memcpy(to->weight, (const unsigned char *)part[TARE_PART_WEIGHT] + row * in / 2, (size_t)(rows * in / 2));
    for (int64_t r = 0; r < rows; r++)
        for (int64_t g = 0; g < groups; g++) {
            const int64_t at = (row + r) * stride + g;
            const float scale = tare_float_at(part[TARE_PART_SCALES], module->dtype, at);
            const float zero = zeros ? (float)(zeros[at / 2] >> 4 * (at % 2) & 15) : 8.0f;
            tare_float_put(to->scales, module->dtype, r * groups + g, scale);
            tare_float_put(to->biases, module->dtype, r * groups + g, -zero * scale);
        }
}

const struct tare_packing tare_packing_awq_gemv = {
    .name = "awq-gemv",
    .suffix = {".qweight", ".scales", ".qzeros"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .casts = true,
    .announced = announced,
    .shape = shape,
    .decode = decode,
    .suspect = &tare_suspect_rows,
    .to_mlx = to_mlx,
};
