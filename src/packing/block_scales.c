/* SPDX-License-Identifier: MIT
 * block_scales.c - scales that rows and columns share: by blocks, or of any shape that broadcasts. */
#include "packing/block_scales.h"

#include <string.h>

#include "base/number.h"
#include "packing/fault.h"

/* Are there axes of 1 behind those of the blocks, (out / 128, 1, in / 128, 1), as ModelOpt's FP8_PB_WO has them? */
static bool has_gaps(const struct tare_tensor *scales, int rank)
{
    return rank == 2 && scales->rank == 4 && scales->shape[1] == 1 && scales->shape[3] == 1;
}

/* One axis over a matrix is that of the rows where a packing writes one scale a row (ModelOpt's
 * FP8_PER_CHANNEL_PER_TOKEN, quanto); else it would be that of the columns, as numpy broadcasts. */
static bool is_by_row(const struct tare_module *module)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const char *suffix = module->packing->suffix[TARE_PART_SCALES];
    return weight->rank == 2 && scales->rank == 1 && scales->shape[0] == weight->shape[0] && scales->shape[0] > 1 &&
           !strcmp(suffix, ".weight_scale");
}

/* The size of the scales' axis that belongs to axis k of the weight; an axis missing in front counts as 1. */
static int64_t axis_of(const struct tare_module *module, int rank, int k)
{
    const struct tare_tensor *scales = module->part[TARE_PART_SCALES];
    if (is_by_row(module))
        return k ? 1 : scales->shape[0];
    if (has_gaps(scales, rank))
        return scales->shape[2 * k];
    const int at = k - (rank - scales->rank);
    return at < 0 ? 1 : scales->shape[at];
}

/* Is each axis of the scales 1 or that of the weight, as numpy's broadcasting asks? */
static bool broadcasts(const struct tare_module *module)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    for (int k = 0; k < weight->rank; k++)
        if (axis_of(module, weight->rank, k) != 1 && axis_of(module, weight->rank, k) != weight->shape[k])
            return false;
    return scales->rank <= weight->rank || has_gaps(scales, weight->rank);
}

/* Are the scales one for each block of the last two axes, for every matrix? Blocks beyond the weight's end are padding
 * (mimo_v2_flash's sanitize pads the weight to them). */
static bool in_blocks(const struct tare_module *module, const int64_t block[2])
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const int rank = weight->rank;
    if (scales->rank != rank && !has_gaps(scales, rank))
        return false;
    for (int k = 0; k < rank - 2; k++)
        if (scales->shape[k] != weight->shape[k])
            return false;
    for (int k = 0; k < 2; k++) {
        const int64_t size = weight->shape[rank - 2 + k];
        if (axis_of(module, rank, rank - 2 + k) < size / block[k] + (size % block[k] != 0))
            return false;
    }
    return true;
}

/* The columns of a group in neutral form, which must divide all columns: 576 columns in blocks of 128 make groups of
 * 64. */
static int64_t group_of(const struct tare_module *module, int64_t columns)
{
    const int64_t last = axis_of(module, module->rank, module->rank - 1);
    if (module->block[1])
        return columns <= module->block[1] ? columns : tare_common_divisor(columns, module->block[1]);
    return last == 1 ? columns : 1;
}

bool tare_blocks_fit(struct tare_module *module, struct tare_arena *arena, const int64_t block[2])
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    if ((weight->rank != 2 && weight->rank != 3) || tare_shape_count(weight->rank, weight->shape) < 1) {
        tare_module_fault(module, arena, TARE_E_SHAPE, weight, "%s is %s, %s needs two or three axes",
                          tare_part_word(module, TARE_PART_WEIGHT), tare_shape_text(arena, weight->rank, weight->shape),
                          module->packing->name);
        return false;
    }
    const bool whole = broadcasts(module);
    if (!whole && !in_blocks(module, block)) {
        tare_module_fault(module, arena, TARE_E_SHAPE, scales,
                          "%s is %s over a weight %s, %s needs one scale for each block of %lld x %lld, or a shape "
                          "that broadcasts",
                          tare_part_word(module, TARE_PART_SCALES), tare_shape_text(arena, scales->rank, scales->shape),
                          tare_shape_text(arena, weight->rank, weight->shape), module->packing->name,
                          (long long)block[0], (long long)block[1]);
        return false;
    }
    module->block[0] = whole ? 0 : block[0];
    module->block[1] = whole ? 0 : block[1];
    module->group_size = group_of(module, weight->shape[weight->rank - 1]);
    return true;
}

/* Where the scales of a row begin. */
static int64_t scale_row(const struct tare_module *module, int64_t row)
{
    int64_t at = 0, stride = axis_of(module, module->rank, module->rank - 1);
    for (int k = module->rank - 2; k >= 0; k--) {
        const int64_t index = row % module->shape[k], size = axis_of(module, module->rank, k);
        row /= module->shape[k];
        if (module->block[0] && k == module->rank - 2)
            at += index / module->block[0] * stride;
        else
            at += size == 1 ? 0 : index * stride;
        stride *= size;
    }
    return at;
}

int64_t tare_blocks_at(const struct tare_module *module, int64_t row, int64_t group)
{
    const int64_t column = group * module->group_size;
    if (!module->block[1] && axis_of(module, module->rank, module->rank - 1) == 1)
        return scale_row(module, row);
    return scale_row(module, row) + (module->block[1] ? column / module->block[1] : column);
}
