/* SPDX-License-Identifier: MIT
 * mlx_floats.c - MLX's own mxfp4, mxfp8 and nvfp4: weight U32 (.., out, in * bits / 32), scales U8 (.., out, groups),
 * no biases; nvfp4 maybe with global_scale F32, one number a matrix. mlx_affine.c tells them apart, as
 * the suffixes are the same.
 */
#include <string.h>

#include "packing/fault.h"
#include "packing/microscaled.h"
#include "packing/mlx/to_mlx.h"
#include "packing/suspect.h"

const struct tare_packing *tare_mlx_floats_of(const struct tare_module *module)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const int64_t words = weight && weight->rank ? weight->shape[weight->rank - 1] : 0;
    const int64_t groups = scales->rank ? scales->shape[scales->rank - 1] : 0;
    /* A group takes 2 words of 32 bits in nvfp4 (16 nibbles), 8 in mxfp8 (32 bytes), 4 in mxfp4 (32 nibbles). mlx-lm's
     * infer_quant_config() decides in the same way. */
    if (groups > 0 && words % groups == 0 && words / groups == 2)
        return &tare_packing_mlx_nvfp4;
    return groups > 0 && words % groups == 0 && words / groups == 8 ? &tare_packing_mlx_mxfp8 : &tare_packing_mlx_mxfp4;
}

/* Holds an entry of the config for this very path against the shapes. The general entry does not count: mlx-lm infers
 * the mode where the config has no entry for a path. */
static void agree(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const char *path = tare_module_path(module, arena), *place = quant->place ? quant->place : "quantization";
    const struct tare_quant_override *said = tare_quant_of(quant, path);
    const char *mode = module->packing->name + strlen("mlx-");
    if (!said)
        return;
    if (!said->quantized)
        tare_module_fault(module, arena, TARE_E_CONFIG, module->part[TARE_PART_SCALES],
                          "%s says \"%s\": false, but scales are there; %s", place, path, TARE_REMEDY);
    else if ((said->mode && strcmp(said->mode, mode)) || (said->bits && said->bits != module->bits) ||
             (said->group_size && said->group_size != module->group_size))
        tare_module_fault(module, arena, TARE_E_CONFIG, module->part[TARE_PART_SCALES],
                          "%s says mode %s, %d bits and group_size %lld of %s, its shapes are those of %s; %s", place,
                          said->mode ? said->mode : "affine", said->bits, (long long)said->group_size, path, mode,
                          TARE_REMEDY);
}

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    if (!tare_part_check(module, arena, TARE_PART_WEIGHT, 1u << TARE_U32) ||
        !tare_part_check(module, arena, TARE_PART_SCALES, 1u << TARE_U8) || !tare_micro_fit_rows(module, arena))
        return;
    const struct tare_tensor *global = module->part[TARE_PART_GLOBAL];
    if (global && module->packing->mode != TARE_MLX_NVFP4)
        tare_module_fault(module, arena, TARE_E_FORMAT, global, "%s has no global_scale; nvfp4 has",
                          module->packing->name);
    else if (!global || (tare_part_check(module, arena, TARE_PART_GLOBAL, 1u << TARE_F32) &&
                         tare_micro_fit_global(module, arena, 1)))
        agree(module, quant, arena);
}

static float global(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row)
{
    const struct tare_tensor *tensor = module->part[TARE_PART_GLOBAL];
    const int64_t count = tare_shape_count(tensor->rank, tensor->shape), rows = tare_module_rows(module);
    return tare_float_at(part[TARE_PART_GLOBAL], TARE_F32, row / (rows / count));
}

const struct tare_packing tare_packing_mlx_mxfp4 = {
    .name = "mlx-mxfp4",
    .suffix = {".weight", ".scales", [TARE_PART_GLOBAL] = ".global_scale"},
    .key = TARE_PART_SCALES,
    .rowwise = true,
    .codes = TARE_CODE_E2M1,
    .mode = TARE_MLX_MXFP4,
    .table = &tare_micro_table,
    .shape = shape,
    .decode = tare_micro_decode,
    .factoring = &tare_micro_powers,
    .suspect = &tare_suspect_rows,
    .to_mlx = tare_micro_to_mlx,
    .global = global,
};

const struct tare_packing tare_packing_mlx_mxfp8 = {
    .name = "mlx-mxfp8",
    .suffix = {".weight", ".scales", [TARE_PART_GLOBAL] = ".global_scale"},
    .key = TARE_PART_SCALES,
    .rowwise = true,
    .codes = TARE_CODE_E4M3,
    .mode = TARE_MLX_MXFP8,
    .exact = TARE_BF16,
    .shape = shape,
    .decode = tare_micro_decode,
    .suspect = &tare_suspect_rows,
    .to_mlx = tare_micro_to_mlx,
    .global = global,
};

const struct tare_packing tare_packing_mlx_nvfp4 = {
    .name = "mlx-nvfp4",
    .suffix = {".weight", ".scales", [TARE_PART_GLOBAL] = ".global_scale"},
    .key = TARE_PART_SCALES,
    .rowwise = true,
    .codes = TARE_CODE_E2M1,
    .mode = TARE_MLX_NVFP4,
    .exact = TARE_BF16,
    .table = &tare_micro_table,
    .shape = shape,
    .decode = tare_micro_decode,
    .factoring = &tare_micro_floats,
    .suspect = &tare_suspect_rows,
    .to_mlx = tare_micro_to_mlx,
    .global = global,
};
