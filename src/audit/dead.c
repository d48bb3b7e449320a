/* SPDX-License-Identifier: MIT
 * dead.c - groups that hold nothing (their scale is 0, or all their codes are the zero), and zeros beyond the bits.
 *
 * Groups are decoded only where the packing suspects one, or a scale is 0: that is seldom.
 */
#include <math.h>
#include <string.h>

#include "audit/content.h"

#define ROWS 64 /* decoded at once */

enum tare_dtype tare_part_numbers(const struct tare_module *module, enum tare_part part)
{
    const struct tare_tensor *tensor = module->part[part];
    const struct tare_packing *packing = module->packing;
    if (!tensor || part == TARE_PART_G_IDX || part == TARE_PART_SHAPE || part == TARE_PART_MASK)
        return TARE_BOOL;
    if (tare_dtype_is_float(tensor->dtype))
        return tensor->dtype;
    if (packing != &tare_packing_plain && part == TARE_PART_WEIGHT && packing->codes == TARE_CODE_E4M3)
        return TARE_F8_E4M3;
    if (packing == &tare_packing_plain || part != TARE_PART_SCALES || tensor->dtype != TARE_U8 ||
        packing->codes == TARE_CODE_TABLE)
        return TARE_BOOL;
    return packing->mode == TARE_MLX_NVFP4 ? TARE_F8_E4M3 : TARE_F8_E8M0; /* scales of a byte */
}

/* A bias is -zero * scale, rounded to its dtype. */
static float slack_of(enum tare_dtype dtype)
{
    return dtype == TARE_BF16 ? 0x1p-8f : dtype == TARE_F16 ? 0x1p-11f : 0x1p-24f;
}

/* What was seen so far of one group of one row. */
struct seen {
    bool any, unlike; /* a code was seen; one was not zero (integers: not equal to the first) */
    uint8_t first;
};

static void see(const struct tare_packing *packing, const float *table, struct seen *seen, uint8_t code)
{
    const uint8_t mask = packing->codes == TARE_CODE_E2M1 ? 7 : 0x7f; /* -0 is zero too */
    if (table)
        seen->unlike |= table[code & 15] != 0;
    else if (packing->codes != TARE_CODE_INTEGER)
        seen->unlike |= (code & mask) != 0;
    else if (seen->any)
        seen->unlike |= code != seen->first;
    else
        seen->first = code;
    seen->any = true;
}

/* A group that is a run of columns, by a loop that vectorises. */
static struct seen see_run(const struct tare_packing *packing, const uint8_t *code, int64_t n)
{
    const bool integers = packing->codes == TARE_CODE_INTEGER;
    const uint8_t mask = integers ? 0xff : packing->codes == TARE_CODE_E2M1 ? 7 : 0x7f, first = integers ? code[0] : 0;
    uint8_t differs = 0;
    for (int64_t i = 0; i < n; i++)
        differs |= (uint8_t)((code[i] ^ first) & mask);
    return (struct seen){.any = true, .unlike = differs != 0, .first = first};
}

static bool is_dead(const struct tare_module *module, const struct seen *seen, float scale, float offset)
{
    const struct tare_packing *packing = module->packing;
    const float first = (float)seen->first;
    if (!seen->any || scale == 0 || seen->unlike)
        return seen->any && scale == 0;
    if (packing->codes != TARE_CODE_INTEGER)
        return true;
    if (!packing->biases)
        return first == offset;
    return fabsf(scale * first + offset) <= fabsf(offset) * slack_of(module->dtype);
}

static bool is_beyond(const struct tare_module *module, float offset)
{
    return module->packing->codes == TARE_CODE_INTEGER && !module->packing->biases && !module->packing->real_zeros &&
           !(offset >= 0 && offset <= (float)((1 << module->bits) - 1));
}

static void note(struct tare_groups_found *found, enum tare_group_fault fault, uint64_t at, float scale, float zero)
{
    if (found->count[fault]++)
        return;
    found->first[fault] = at;
    found->scale[fault] = scale;
    found->zero[fault] = zero;
}

static void inspect_row(const struct tare_module *module, const void *const part[TARE_PARTS],
                        const struct tare_codes *codes, int64_t row, int64_t r, struct seen *seen,
                        struct tare_groups_found *found)
{
    const int64_t groups = tare_module_groups(module), columns = tare_module_columns(module);
    const float least = module->dtype == TARE_F16 ? 0x1p-14f : 0x1p-126f; /* that is not denormal */
    const uint8_t *code = codes->code + r * columns;
    const float *table = module->packing->numbers ? module->packing->numbers(module) : NULL;
    if (tare_module_even(module) && !table) {
        for (int64_t g = 0; g < groups; g++)
            seen[g] = see_run(module->packing, code + g * module->group_size, module->group_size);
    } else {
        memset(seen, 0, (size_t)groups * sizeof *seen);
        for (int64_t i = 0; i < columns; i++)
            see(module->packing, table, &seen[tare_module_group(module, part, i)], code[i]);
    }
    for (int64_t g = 0; g < groups; g++) {
        const float scale = codes->scale[r * groups + g], offset = codes->offset[r * groups + g];
        const uint64_t at = (uint64_t)((row + r) * groups + g);
        if (is_dead(module, &seen[g], scale, offset))
            note(found, TARE_GROUP_DEAD, at, scale, offset);
        if (is_beyond(module, offset))
            note(found, TARE_GROUP_BEYOND, at, scale, offset);
        if (module->part[TARE_PART_SCALES]) /* Scales that are a tensor of their own are checked as numbers
                                               (specials.c). */
            continue;
        if (!isfinite(scale) || (module->packing->biases && !isfinite(offset)))
            note(found, TARE_GROUP_NAN, at, scale, offset);
        else if (scale != 0 && fabsf(scale) < least)
            note(found, TARE_GROUP_DENORMAL, at, scale, offset);
    }
}

enum tare_code tare_groups_inspect(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                                   int64_t rows, struct tare_arena *work, struct tare_groups_found *found,
                                   struct tare_error *err)
{
    const struct tare_packing *packing = module->packing;
    const size_t columns = (size_t)tare_module_columns(module), groups = (size_t)tare_module_groups(module);
    if (packing->codes == TARE_CODE_NONE)
        return TARE_OK;
    tare_arena_reset(work);
    struct tare_codes codes = {
        .code = tare_arena_array(work, columns, ROWS),
        .scale = tare_arena_array(work, groups * ROWS, sizeof *codes.scale),
        .offset = tare_arena_array(work, groups * ROWS, sizeof *codes.offset),
    };
    struct seen *seen = tare_arena_array(work, groups, sizeof *seen);
    if (!codes.code || !codes.scale || !codes.offset || !seen)
        return tare_fail_memory(err);
    for (int64_t r = 0; r < rows; r += ROWS) {
        const int64_t n = rows - r < ROWS ? rows - r : ROWS;
        packing->decode(module, part, row + r, n, &codes);
        for (int64_t i = 0; i < n; i++)
            inspect_row(module, part, &codes, row + r, i, seen, found);
    }
    return TARE_OK;
}

void tare_groups_add(struct tare_groups_found *sum, const struct tare_groups_found *found)
{
    for (int k = 0; k < TARE_GROUP_FAULTS; k++) {
        if (found->count[k] && (!sum->count[k] || found->first[k] < sum->first[k])) {
            sum->first[k] = found->first[k];
            sum->scale[k] = found->scale[k];
            sum->zero[k] = found->zero[k];
        }
        sum->count[k] += found->count[k];
    }
}
