/* SPDX-License-Identifier: MIT
 * mlx_affine.c - MLX's affine layout, 2, 3, 4, 5, 6 or 8 bits: weight U32 (.., out, in * bits / 32), scales and biases
 * (.., out, groups); (n, out, ..) for stacked experts.
 *
 * A row is one bit stream, least significant bit first; 3, 5 and 6 bits straddle words.
 *     weight[out][in] = scale[out][group] * code[out][in] + bias[out][group]       group = in / group_size
 * Source: docs/layouts.md, "MLX".
 */
#include <string.h>

#include "base/half.h"
#include "packing/fault.h"
#include "packing/mlx/to_mlx.h"
#include "packing/suspect.h"

/* Tells whether config.json names a mode of MLX that is known; no name means affine. */
static bool mode_known(const char *mode)
{
    return !mode || !strcmp(mode, "affine") || !strcmp(mode, "mxfp4") || !strcmp(mode, "mxfp8") ||
           !strcmp(mode, "nvfp4");
}

static bool announced(const struct tare_quant *quant)
{
    return quant->method == TARE_METHOD_MLX && mode_known(quant->mode);
}

/* Only affine has biases, and scales that are floats; the scales of the other modes are bytes. */
static const struct tare_packing *which(const struct tare_module *module, const struct tare_quant *quant)
{
    const struct tare_tensor *scales = module->part[TARE_PART_SCALES];
    (void)quant;
    return scales && scales->dtype == TARE_U8 && !module->part[TARE_PART_ZEROS] ? tare_mlx_floats_of(module)
                                                                                : &tare_packing_mlx_affine;
}

bool tare_mlx_bits(int bits)
{
    return bits == 2 || bits == 3 || bits == 4 || bits == 5 || bits == 6 || bits == 8;
}

/* Takes bits and group size of this module from the config; returns false after recording a fault. */
static bool said(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *there = module->part[TARE_PART_SCALES];
    const char *path = tare_module_path(module, arena), *place = quant->place ? quant->place : "quantization";
    const struct tare_quant_override *override = tare_quant_of(quant, path);
    const char *mode = override && override->mode ? override->mode : quant->mode;
    module->bits = override && override->bits ? override->bits : quant->bits;
    module->group_size = override && override->group_size ? override->group_size : quant->group_size;
    if (override && !override->quantized)
        tare_module_fault(module, arena, TARE_E_CONFIG, there, "%s says \"%s\": false, but scales are there; %s", place,
                          path, TARE_REMEDY);
    else if (mode && strcmp(mode, "affine"))
        tare_module_fault(module, arena, TARE_E_CONFIG, there,
                          "%s says mode \"%s\" of %s, scales of %s are those of affine; %s", place, mode, path,
                          tare_dtype_name(there->dtype), TARE_REMEDY);
    else if (module->part[TARE_PART_GLOBAL])
        tare_module_fault(module, arena, TARE_E_FORMAT, module->part[TARE_PART_GLOBAL],
                          "affine has no global_scale; nvfp4 has");
    else if (!tare_mlx_bits(module->bits))
        tare_module_fault(module, arena, TARE_E_CONFIG, there, "%s says %d bits of %s; affine has 2, 3, 4, 5, 6 and 8",
                          place, module->bits, path);
    else if (module->group_size < 1)
        tare_module_fault(module, arena, TARE_E_CONFIG, there, "%s says group_size %lld of %s", place,
                          (long long)module->group_size, path);
    return !module->fault;
}

static bool same_but_last(const struct tare_tensor *a, const struct tare_tensor *b)
{
    if (a->rank != b->rank)
        return false;
    for (int k = 0; k + 1 < a->rank; k++)
        if (a->shape[k] != b->shape[k])
            return false;
    return true;
}

/* Checks that the shapes of the parts fit each other and the config, and fills the logical shape; else a fault. */
static void fit(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const struct tare_tensor *biases = module->part[TARE_PART_ZEROS];
    const int rank = weight->rank;
    if (rank != 2 && rank != 3) {
        tare_module_fault(module, arena, TARE_E_SHAPE, weight, "weight is %s, mlx packs two or three axes",
                          tare_shape_text(arena, rank, weight->shape));
        return;
    }
    if (!same_but_last(weight, scales) || !same_but_last(scales, biases) ||
        scales->shape[rank - 1] != biases->shape[rank - 1]) {
        tare_module_fault(module, arena, TARE_E_SHAPE, scales,
                          "weight is %s, scales %s, biases %s: all axes but the last of weight must agree",
                          tare_shape_text(arena, rank, weight->shape),
                          tare_shape_text(arena, scales->rank, scales->shape),
                          tare_shape_text(arena, biases->rank, biases->shape));
        return;
    }
    const int64_t words = weight->shape[rank - 1], groups = scales->shape[rank - 1];
    if (words < 1 || groups < 1 || words > INT64_MAX / 32 || words * 32 % module->bits ||
        words * 32 / module->bits % groups || words * 32 / module->bits / groups != module->group_size) {
        tare_module_fault(module, arena, TARE_E_CONFIG, scales,
                          "%s says %d bits and group_size %lld of %s, weight %s and scales %s do not fit that; %s",
                          quant->place ? quant->place : "quantization", module->bits, (long long)module->group_size,
                          tare_module_path(module, arena), tare_shape_text(arena, rank, weight->shape),
                          tare_shape_text(arena, rank, scales->shape), TARE_REMEDY);
        return;
    }
    int64_t *logical = tare_module_shape(module, arena, rank);
    if (!logical)
        return;
    memcpy(logical, weight->shape, (size_t)rank * sizeof *logical);
    logical[rank - 1] = words * 32 / module->bits;
}

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    module->dtype = scales && tare_dtype_is_float(scales->dtype) ? scales->dtype : TARE_F16;
    if (weight) { /* reports show this much of a module with a fault */
        module->rank = weight->rank;
        module->shape = weight->shape;
    }
    /* mlx compares only shapes, and so loads floats where codes should be. Plans accept that too, but the data is of no
     * use. */
    if (weight && tare_dtype_is_float(weight->dtype))
        module->unusable =
            tare_arena_format(arena, "weight is %s, mlx-affine needs U32", tare_dtype_name(weight->dtype));
    if (!tare_part_check(module, arena, TARE_PART_WEIGHT, 1u << TARE_U32 | TARE_SCALE_DTYPES) ||
        !tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES) ||
        !tare_part_check(module, arena, TARE_PART_ZEROS, 1u << scales->dtype))
        return;
    if (said(module, quant, arena))
        fit(module, quant, arena);
}

void tare_mlx_unpack(const void *words, int bits, int64_t n, uint8_t *code)
{
    const unsigned char *bytes = words;
    const uint32_t mask = (1u << bits) - 1;
    uint32_t held = 0;
    int have = 0;
    for (int64_t i = 0; i < n; i++) {
        if (have < bits) {
            held |= (uint32_t)*bytes++ << have;
            have += 8;
        }
        code[i] = (uint8_t)(held & mask);
        held >>= bits;
        have -= bits;
    }
}

void tare_mlx_pack(const uint8_t *code, int bits, int64_t n, void *words)
{
    unsigned char *bytes = words;
    uint32_t held = 0;
    int have = 0;
    for (int64_t i = 0; i < n; i++) {
        held |= (uint32_t)code[i] << have;
        have += bits;
        while (have >= 8) {
            *bytes++ = (unsigned char)held;
            held >>= 8;
            have -= 8;
        }
    }
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module), bytes = in * module->bits / 8;
    for (int64_t r = 0; r < rows; r++)
        tare_mlx_unpack((const unsigned char *)part[TARE_PART_WEIGHT] + (row + r) * bytes, module->bits, in,
                        codes->code + r * in);
    for (int64_t k = 0; k < rows * groups; k++) {
        codes->scale[k] = tare_float_at(part[TARE_PART_SCALES], module->dtype, row * groups + k);
        codes->offset[k] = tare_float_at(part[TARE_PART_ZEROS], module->dtype, row * groups + k);
    }
}

static void to_mlx(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   const struct tare_mlx_rows *to)
{
    const int64_t bytes = tare_module_columns(module) * module->bits / 8;
    const int64_t scale_bytes = tare_module_groups(module) * (int64_t)tare_dtype_size(module->dtype);
    memcpy(to->weight, (const unsigned char *)part[TARE_PART_WEIGHT] + row * bytes, (size_t)(rows * bytes));
    memcpy(to->scales, (const unsigned char *)part[TARE_PART_SCALES] + row * scale_bytes, (size_t)(rows * scale_bytes));
    memcpy(to->biases, (const unsigned char *)part[TARE_PART_ZEROS] + row * scale_bytes, (size_t)(rows * scale_bytes));
}

const struct tare_packing tare_packing_mlx_affine = {
    .name = "mlx-affine",
    .suffix = {".weight", ".scales", ".biases", [TARE_PART_GLOBAL] = ".global_scale"},
    .key = TARE_PART_SCALES,
    .rowwise = true,
    .biases = true,
    .announced = announced,
    .which = which,
    .shape = shape,
    .decode = decode,
    .suspect = &tare_suspect_rows,
    .to_mlx = to_mlx,
    .to_tiles = tare_mlx_to_tiles,
};
