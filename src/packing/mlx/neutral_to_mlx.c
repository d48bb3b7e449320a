/* SPDX-License-Identifier: MIT
 * neutral_to_mlx.c - any packing into MLX's layout through the neutral form: the reference for every to_mlx(). */
#include <string.h>

#include "base/small_float.h"
#include "packing/mlx/to_mlx.h"

bool tare_neutral_to_mlx(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                         int64_t rows, enum tare_dtype dtype, const struct tare_mlx_rows *to, struct tare_arena *work)
{
    const int64_t columns = tare_module_columns(module), groups = tare_module_groups(module);
    const int64_t bytes = columns * module->bits / 8;
    struct tare_codes codes = {
        .code = tare_arena_array(work, (size_t)rows, (size_t)columns),
        .scale = tare_arena_array(work, (size_t)(rows * groups), sizeof *codes.scale),
        .offset = tare_arena_array(work, (size_t)(rows * groups), sizeof *codes.offset),
    };
    if (!codes.code || !codes.scale || !codes.offset)
        return false;
    module->packing->decode(module, part, row, rows, &codes);
    for (int64_t r = 0; r < rows; r++)
        tare_mlx_pack(codes.code + r * columns, module->bits, columns, (unsigned char *)to->weight + r * bytes);
    if (module->packing->codes != TARE_CODE_INTEGER) {
        for (int64_t k = 0; k < rows * groups; k++)
            ((uint8_t *)to->scales)[k] = tare_to_e8m0(codes.scale[k]);
        return true;
    }
    for (int64_t k = 0; k < rows * groups; k++) {
        const float scale = codes.scale[k], offset = codes.offset[k];
        tare_float_put(to->scales, dtype, k, scale);
        tare_float_put(to->biases, dtype, k, module->packing->biases ? offset : -offset * scale);
    }
    return true;
}
