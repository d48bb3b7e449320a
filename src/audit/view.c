/* SPDX-License-Identifier: MIT
 * view.c - a parameter as something to read: its recipe laid flat, its modules mapped; and how it is cut into tiles. */
#include "audit/audit.h"

#include <string.h>

#include "base/number.h"
#include "packing/value.h"

static bool is_plain(const struct tare_module *module)
{
    return module->packing == &tare_packing_plain;
}

/* What all pieces have in common. */
static void judge(struct tare_view *view, bool packed)
{
    const struct tare_flat *flat = &view->flat;
    view->first = flat->n ? flat->pieces[0].module : NULL;
    view->dtype = view->first ? view->first->dtype : flat->dtype;
    view->plain = view->codes = view->first != NULL;
    for (size_t k = 0; k < flat->n; k++) {
        const struct tare_piece *piece = &flat->pieces[k];
        const struct tare_module *module = piece->module, *first = view->first;
        const bool plain = is_plain(module);
        view->group_size = !k ? module->group_size : tare_common_divisor(view->group_size, module->group_size);
        if (!plain && !tare_module_even(module))
            view->group_size = 1;
        view->wide |= plain && !piece->value && (module->dtype == TARE_F64 || !tare_dtype_is_float(module->dtype));
        view->plain &= plain && !piece->value && module->dtype == first->dtype;
        view->codes &= packed && !plain && !piece->value && module->bits == first->bits && flat->rank >= 2 &&
                       module->packing->codes == first->packing->codes &&
                       module->packing->biases == first->packing->biases && piece->stride[flat->rank - 1] == 1 &&
                       piece->shape[flat->rank - 1] == tare_module_columns(module);
    }
}

enum tare_code tare_view_make(struct tare_view *view, struct tare_model *model, const struct tare_parameter *parameter,
                              struct tare_arena *arena, struct tare_error *err)
{
    *view = (struct tare_view){0};
    struct tare_flat *flat = &view->flat;
    enum tare_code code = tare_recipe_flatten(parameter->entry->recipe, arena, flat, err);
    if (code)
        return code;
    if (flat->rank > TARE_AUDIT_AXES)
        return tare_fail(err, TARE_E_INTERNAL, parameter->name, "a parameter of %d axes", flat->rank);
    view->rank = flat->rank ? flat->rank : 1;
    for (int k = 0; k < view->rank; k++)
        view->shape[k] = flat->rank ? flat->shape[k] : 1;
    view->parts = tare_arena_array(arena, flat->n, sizeof *view->parts);
    view->norms = tare_arena_array(arena, flat->n, sizeof *view->norms);
    if (!view->parts || !view->norms)
        return tare_fail_memory(err);
    for (size_t k = 0; k < flat->n && !code; k++) {
        const struct tare_piece *piece = &flat->pieces[k];
        code = tare_module_data(&model->checkpoint, piece->module, view->parts[k], err);
        if (!code)
            code = tare_value_norms(piece->value, piece->module, view->parts[k], arena, &view->norms[k], err);
    }
    judge(view, parameter->entry->recipe->packed);
    return code;
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
    for (; grid.axis < last && size > TARE_AUDIT_TILE; grid.axis++)
        size /= (double)shape[grid.axis + 1];
    grid.step = size < TARE_AUDIT_TILE ? (int64_t)(TARE_AUDIT_TILE / (size < 1 ? 1 : size)) : 1;
    if (grid.step > 128) /* Rows that share a cache line in AWQ stay together. */
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
