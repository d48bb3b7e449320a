/* SPDX-License-Identifier: MIT
 * readable.c - a parameter as something to read: its recipe laid flat, its modules mapped; and how it is cut into tiles.
 */
#include "read/readable.h"

#include <string.h>

#include "base/number.h"
#include "packing/value.h"

static bool is_plain(const struct tare_module *module)
{
    return module->packing == &tare_packing_plain;
}

/* Have all modules the same groups of columns as the first one, and are these no runs of group_size columns? */
static bool same_order(const struct tare_readable *reading)
{
    const struct tare_module *first = reading->first;
    if (!first || tare_module_even(first))
        return false;
    for (size_t k = 1; k < reading->flat.n; k++) {
        const struct tare_module *module = reading->flat.pieces[k].module;
        if (module == first)
            continue;
        if (tare_module_columns(module) != tare_module_columns(first) || module->group_size != first->group_size)
            return false;
        for (int64_t i = 0; i < tare_module_columns(first); i++)
            if (tare_module_group(module, reading->parts[k], i) != tare_module_group(first, reading->parts[0], i))
                return false;
    }
    return true;
}

/* Do codes of both stand for the same numbers, where a table says for which? */
static bool same_numbers(const struct tare_module *a, const struct tare_module *b)
{
    if (!a->packing->numbers || !b->packing->numbers)
        return a->packing->numbers == b->packing->numbers;
    return !memcmp(a->packing->numbers(a), b->packing->numbers(b), 16 * sizeof(float));
}

/* What all pieces have in common. */
static void judge(struct tare_readable *reading, bool packed)
{
    const struct tare_flat *flat = &reading->flat;
    reading->first = flat->n ? flat->pieces[0].module : NULL;
    reading->dtype = reading->first ? reading->first->dtype : flat->dtype;
    reading->plain = reading->codes = reading->first != NULL;
    for (size_t k = 0; k < flat->n; k++) {
        const struct tare_piece *piece = &flat->pieces[k];
        const struct tare_module *module = piece->module, *first = reading->first;
        const bool plain = is_plain(module);
        reading->group_size = !k ? module->group_size : tare_common_divisor(reading->group_size, module->group_size);
        if (!plain && !tare_module_even(module))
            reading->group_size = 1;
        reading->wide |= plain && !piece->value && (module->dtype == TARE_F64 || !tare_dtype_is_float(module->dtype));
        reading->plain &= plain && !piece->value && module->dtype == first->dtype;
        reading->codes &= packed && !plain && !piece->value && module->bits == first->bits && flat->rank >= 2 &&
                          module->packing->codes != TARE_CODE_NONE && same_numbers(module, first) &&
                          module->packing->codes == first->packing->codes &&
                          module->packing->biases == first->packing->biases && piece->stride[flat->rank - 1] == 1 &&
                          piece->shape[flat->rank - 1] == tare_module_columns(module);
    }
    if (reading->codes)
        reading->groups = reading->shape[reading->rank - 1] / reading->group_size;
}

enum tare_code tare_readable_make(struct tare_readable *reading, struct tare_checkpoint *checkpoint,
                                  const struct tare_recipe *recipe, const char *name, struct tare_arena *arena,
                                  struct tare_error *err)
{
    *reading = (struct tare_readable){.checkpoint = checkpoint};
    struct tare_flat *flat = &reading->flat;
    enum tare_code code = tare_recipe_flatten(recipe, arena, flat, err);
    if (code)
        return code;
    if (flat->rank > TARE_READ_AXES)
        return tare_fail(err, TARE_E_INTERNAL, name, "a parameter of %d axes", flat->rank);
    reading->rank = flat->rank ? flat->rank : 1;
    for (int k = 0; k < reading->rank; k++)
        reading->shape[k] = flat->rank ? flat->shape[k] : 1;
    reading->parts = tare_arena_array(arena, flat->n + 1, sizeof *reading->parts);
    reading->norms = tare_arena_array(arena, flat->n + 1, sizeof *reading->norms);
    if (!reading->parts || !reading->norms)
        return tare_fail_memory(err);
    for (size_t k = 0; k < flat->n && !code; k++) {
        const struct tare_piece *piece = &flat->pieces[k];
        code = tare_module_data(checkpoint, piece->module, reading->parts[k], err);
        if (!code)
            code = tare_value_read(piece->value, piece->module, reading->parts[k], checkpoint, arena,
                                   &reading->norms[k], err);
    }
    if (!code)
        judge(reading, recipe->packed);
    return code;
}

void tare_readable_keep_order(struct tare_readable *reading)
{
    if (!reading->codes || !same_order(reading))
        return;
    reading->ordered = true;
    reading->groups = tare_module_groups(reading->first);
}

struct tare_grid tare_grid_make(int rank, const int64_t *shape, bool whole_rows)
{
    struct tare_grid grid = {.rank = rank};
    const int last = whole_rows && rank > 1 ? rank - 2 : rank - 1;
    double size = 1; /* elements of one index of the axis */
    for (int k = 0; k < rank; k++)
        grid.shape[k] = shape[k];
    for (int k = 1; k < rank; k++)
        size *= (double)shape[k];
    for (; grid.axis < last && size > TARE_READ_TILE; grid.axis++)
        size /= (double)shape[grid.axis + 1];
    grid.step = size < TARE_READ_TILE ? (int64_t)(TARE_READ_TILE / (size < 1 ? 1 : size)) : 1;
    if (grid.step > 128) /* rows that share a cache line of awq stay together */
        grid.step -= grid.step % 128;
    else if (grid.step > 8)
        grid.step -= grid.step % 8;
    grid.tiles = (shape[grid.axis] + grid.step - 1) / grid.step;
    grid.n = grid.tiles;
    for (int k = 0; k < grid.axis; k++)
        grid.n *= shape[k];
    for (int k = 0; k < rank; k++)
        if (!shape[k])
            grid.n = 0;
    return grid;
}

struct tare_tile tare_grid_tile(const struct tare_grid *grid, int64_t number)
{
    struct tare_tile tile = {.count = 1};
    int64_t leading = number / grid->tiles;
    const int64_t low = number % grid->tiles * grid->step, end = grid->shape[grid->axis];
    for (int k = grid->rank - 1; k > grid->axis; k--)
        tile.high[k] = grid->shape[k];
    tile.low[grid->axis] = low;
    tile.high[grid->axis] = end - low < grid->step ? end : low + grid->step;
    for (int k = grid->axis - 1; k >= 0; k--) {
        tile.low[k] = leading % grid->shape[k];
        tile.high[k] = tile.low[k] + 1;
        leading /= grid->shape[k];
    }
    for (int k = 0; k < grid->rank; k++) {
        tile.first = tile.first * grid->shape[k] + tile.low[k];
        tile.count *= tile.high[k] - tile.low[k];
    }
    return tile;
}
