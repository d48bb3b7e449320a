/* SPDX-License-Identifier: MIT
 * mxfp4_e8m0.c - e2m1 nibbles with e8m0 scales. MLX's mxfp4 has the same bytes: the low nibble is the first column in
 * both.
 *
 * mxfp4-blocks: X_blocks U8 (n, out, in / 32, 16) and X_scales U8 (n, out, in / 32), in gpt_oss.
 * mxfp4-rows:   X.weight (.., out, in / 2) bytes and X.scale (.., out, in / 32), in deepseek_v41.
 * mxfp4-packed: X.weight_packed U8 and X.weight_scale U8 of the same shapes, in compressed-tensors and kimi_k3.
 * Source: mlx_lm/models/gpt_oss.py, deepseek_v41.py (_repack), kimi_k3.py.
 */
#include "packing/compressed/compressed.h"
#include "packing/fault.h"
#include "packing/microscaled.h"
#include "packing/suspect.h"

/* "_blocks" is a common end of a name. Without scales beside it, only bytes of more than two axes are taken for a
 * module that lacks its scales. */
static const struct tare_packing *which(const struct tare_module *module, const struct tare_quant *quant)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT];
    (void)quant;
    return module->part[TARE_PART_SCALES] || (weight->dtype == TARE_U8 && weight->rank > 2) ? &tare_packing_mxfp4_blocks
                                                                                            : NULL;
}

static void shape_blocks(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT];
    const int rank = weight->rank - 1; /* of the logical shape */
    (void)quant;
    if (!tare_part_check(module, arena, TARE_PART_WEIGHT, 1u << TARE_U8) ||
        !tare_part_check(module, arena, TARE_PART_SCALES, TARE_E8M0_DTYPES))
        return;
    if ((rank != 2 && rank != 3) || weight->shape[rank] != 16 || weight->shape[rank - 1] > INT64_MAX / 32) {
        tare_module_fault(module, arena, TARE_E_SHAPE, weight,
                          "blocks is %s, mxfp4 needs [n, out, in / 32, 16] or [out, in / 32, 16]",
                          tare_shape_text(arena, weight->rank, weight->shape));
        return;
    }
    tare_micro_fit(module, arena, rank, weight->shape, 32 * weight->shape[rank - 1], 1, 32);
}

static void shape_rows(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    (void)quant;
    if (tare_part_check(module, arena, TARE_PART_WEIGHT, TARE_BYTE_DTYPES) &&
        tare_part_check(module, arena, TARE_PART_SCALES, TARE_E8M0_DTYPES))
        tare_micro_fit_rows(module, arena);
}

static void shape_packed(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    if (tare_compressed_announced(module, quant, arena, "mxfp4-pack-quantized", NULL))
        shape_rows(module, quant, arena);
    tare_compressed_agree(module, quant, arena);
}

const struct tare_packing tare_packing_mxfp4_blocks = {
    .name = "mxfp4",
    .suffix = {"_blocks", "_scales"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .by_name = true,
    .which = which,
    .codes = TARE_CODE_E2M1,
    .mode = TARE_MLX_MXFP4,
    .table = &tare_micro_table,
    .shape = shape_blocks,
    .decode = tare_micro_decode,
    .factoring = &tare_micro_powers,
    .suspect = &tare_suspect_rows,
    .to_mlx = tare_micro_to_mlx,
};

const struct tare_packing tare_packing_mxfp4_rows = {
    .name = "mxfp4",
    .suffix = {".weight", ".scale"},
    .key = TARE_PART_SCALES,
    .rowwise = true,
    .codes = TARE_CODE_E2M1,
    .mode = TARE_MLX_MXFP4,
    .table = &tare_micro_table,
    .shape = shape_rows,
    .decode = tare_micro_decode,
    .factoring = &tare_micro_powers,
    .suspect = &tare_suspect_rows,
    .to_mlx = tare_micro_to_mlx,
};

const struct tare_packing tare_packing_mxfp4_packed = {
    .name = "mxfp4",
    .suffix = {[TARE_PART_WEIGHT] = ".weight_packed",
               [TARE_PART_SCALES] = ".weight_scale",
               [TARE_PART_SHAPE] = ".weight_shape"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_E2M1,
    .mode = TARE_MLX_MXFP4,
    .table = &tare_micro_table,
    .shape = shape_packed,
    .decode = tare_micro_decode,
    .factoring = &tare_micro_powers,
    .suspect = &tare_suspect_rows,
    .to_mlx = tare_micro_to_mlx,
};
