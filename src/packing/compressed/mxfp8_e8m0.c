/* SPDX-License-Identifier: MIT
 * mxfp8_e8m0.c - e4m3 bytes (.., out, in) with e8m0 scales, as in MLX's mxfp8.
 *
 * mxfp8-inverse: X and X_scale_inv (.., out, in / 32), in minimax_m3 (the scale multiplies, in spite of its name).
 * mxfp8-tiles:   X.weight and X.scale (.., out / tile, in / 32 or 128), tiles of 1, 32 or 128 rows, in deepseek_v41;
 * mxfp8-weight:  X.weight and X.weight_scale (.., out, in / 32), compressed-tensors' mxfp8-quantized.
 * MLX has scales for each row, so those of a tile are repeated. Source: mlx_lm/models/minimax_m3_vl.py, deepseek_v41.py
 * (_repack).
 */
#include "packing/compressed/compressed.h"
#include "packing/fault.h"
#include "packing/microscaled.h"
#include "packing/suspect.h"

static void shape_rows(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    (void)quant;
    if (tare_part_check(module, arena, TARE_PART_WEIGHT, TARE_E4M3_DTYPES) &&
        tare_part_check(module, arena, TARE_PART_SCALES, TARE_E8M0_DTYPES))
        tare_micro_fit_rows(module, arena);
}

static void shape_weight(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    if (tare_compressed_announced(module, quant, arena, "mxfp8-quantized", NULL))
        shape_rows(module, quant, arena);
    tare_compressed_agree(module, quant, arena);
}

/* The side of a tile, 128 or 32, by how many scales cover `size`. A number that fits neither is reported against 32. */
static int64_t tile_of(int64_t size, int64_t scales)
{
    return size / 128 + (size % 128 != 0) == scales ? 128 : 32;
}

static void shape_tiles(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const int rank = weight->rank;
    (void)quant;
    if (!tare_part_check(module, arena, TARE_PART_WEIGHT, TARE_E4M3_DTYPES) ||
        !tare_part_check(module, arena, TARE_PART_SCALES, TARE_E8M0_DTYPES))
        return;
    if ((rank != 2 && rank != 3) || scales->rank != rank) {
        tare_module_fault(module, arena, TARE_E_SHAPE, scales, "scale is %s over weight %s, it needs as many axes",
                          tare_shape_text(arena, scales->rank, scales->shape),
                          tare_shape_text(arena, rank, weight->shape));
        return;
    }
    const int64_t out = weight->shape[rank - 2], in = weight->shape[rank - 1];
    const int64_t rows = scales->shape[rank - 2] == out ? 1 : tile_of(out, scales->shape[rank - 2]);
    tare_micro_fit(module, arena, rank, weight->shape, in, rows, tile_of(in, scales->shape[rank - 1]));
}

const struct tare_packing tare_packing_mxfp8_inverse = {
    .name = "mxfp8",
    .suffix = {"", "_scale_inv"},
    .key = TARE_PART_SCALES,
    .rowwise = true,
    .codes = TARE_CODE_E4M3,
    .mode = TARE_MLX_MXFP8,
    .exact = TARE_BF16,
    .shape = shape_rows,
    .decode = tare_micro_decode,
    .suspect = &tare_suspect_rows,
    .to_mlx = tare_micro_to_mlx,
};

const struct tare_packing tare_packing_mxfp8_tiles = {
    .name = "mxfp8",
    .suffix = {".weight", ".scale"},
    .key = TARE_PART_SCALES,
    .rowwise = true,
    .codes = TARE_CODE_E4M3,
    .mode = TARE_MLX_MXFP8,
    .exact = TARE_BF16,
    .shape = shape_tiles,
    .decode = tare_micro_decode,
    .suspect = &tare_suspect_rows,
    .to_mlx = tare_micro_to_mlx,
};

const struct tare_packing tare_packing_mxfp8_weight = {
    .name = "mxfp8",
    .suffix = {".weight", ".weight_scale"},
    .key = TARE_PART_SCALES,
    .rowwise = true,
    .codes = TARE_CODE_E4M3,
    .mode = TARE_MLX_MXFP8,
    .exact = TARE_BF16,
    .shape = shape_weight,
    .decode = tare_micro_decode,
    .to_mlx = tare_micro_to_mlx,
};
