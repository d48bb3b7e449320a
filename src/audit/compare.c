/* SPDX-License-Identifier: MIT
 * compare.c - one tile of two parameters: first as codes, where both have them, then as numbers.
 *
 * Zeros and biases are two spellings of one thing: a bias is the zero of its group when it is -zero * scale in float32.
 */
#include "audit/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

void tare_comparer_release(struct tare_comparer *c)
{
    tare_arena_release(&c->arena[0]);
    tare_arena_release(&c->arena[1]);
    tare_arena_release(&c->work);
    free(c->numbers[0]);
    free(c->numbers[1]);
    *c = (struct tare_comparer){0};
}

static bool same_tensor(const struct tare_tensor *a, const struct tare_tensor *b)
{
    return (!a && !b) || (a && b && a->dtype == b->dtype && a->rank == b->rank && a->size == b->size &&
                          (!a->rank || !memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape)));
}

/* Do the small tensors that say how both are stored hold the same bytes? The packing is the same one. */
static bool same_told(const struct tare_module *a, const struct tare_module *b)
{
    for (size_t k = 0; a->told && b->told && a->packing->told[k]; k++) {
        const struct tare_told *one = &a->told[k], *other = &b->told[k];
        if (!same_tensor(one->tensor, other->tensor) ||
            (one->tensor && memcmp(one->data, other->data, (size_t)one->tensor->size) != 0))
            return false;
    }
    return !a->told == !b->told;
}

static bool same_value(const struct tare_value *a, const struct tare_value *b)
{
    for (; a && b; a = a->before, b = b->before)
        if (a->function != b->function || a->operand < b->operand || a->operand > b->operand || a->axis != b->axis)
            return false;
    return !a && !b;
}

bool tare_views_alike(const struct tare_readable *first, const struct tare_readable *second)
{
    if (first->flat.n != second->flat.n || first->flat.rank != second->flat.rank)
        return false;
    const size_t axes = (size_t)first->flat.rank * sizeof(int64_t);
    for (size_t k = 0; k < first->flat.n; k++) {
        const struct tare_piece *a = &first->flat.pieces[k], *b = &second->flat.pieces[k];
        if (a->module->packing != b->module->packing || a->module->bits != b->module->bits ||
            a->module->group_size != b->module->group_size || a->start != b->start || a->dtype != b->dtype ||
            !same_value(a->value, b->value))
            return false;
        if (axes &&
            (memcmp(a->at, b->at, axes) || memcmp(a->shape, b->shape, axes) || memcmp(a->stride, b->stride, axes)))
            return false;
        for (int i = 0; i < TARE_PARTS; i++)
            if (!same_tensor(a->module->part[i], b->module->part[i]))
                return false;
        if (!same_told(a->module, b->module))
            return false;
    }
    return true;
}

/* ---- codes --------------------------------------------------------------------------------------------------- */

static bool same_float(float a, float b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* Do both sides mean the same zero, whether they store zeros or biases? */
static bool same_zero(const struct tare_packing *const packing[2], const float scale[2], const float offset[2])
{
    if (packing[0]->codes != TARE_CODE_INTEGER)
        return true;
    if (packing[0]->biases == packing[1]->biases)
        return same_float(offset[0], offset[1]);
    const int zero = packing[0]->biases ? 1 : 0;
    return same_float(-offset[zero] * scale[zero], offset[!zero]);
}

static void compare_groups(const struct tare_readable side[2], const struct tare_codes codes[2], int64_t rows,
                           int64_t columns, struct tare_finding_of_tile *found)
{
    const struct tare_packing *const packing[2] = {side[0].first->packing, side[1].first->packing};
    const int64_t size[2] = {side[0].group_size, side[1].group_size};
    const int64_t groups[2] = {columns / size[0], columns / size[1]}, step = tare_common_divisor(size[0], size[1]);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < columns; i += step) {
            float scale[2], offset[2];
            for (int k = 0; k < 2; k++) {
                const int64_t at = r * groups[k] + i / size[k];
                scale[k] = codes[k].scale[at];
                offset[k] = codes[k].offset[at];
            }
            found->codes |= !same_float(scale[0], scale[1]);
            found->zeros |= !same_zero(packing, scale, offset);
        }
}

/* Room for the codes of a tile, from the arena. */
static bool codes_room(struct tare_codes *codes, const struct tare_readable *side, int64_t count,
                       struct tare_arena *arena)
{
    const size_t groups = (size_t)(count / side->group_size);
    codes->code = tare_arena_alloc(arena, (size_t)count);
    codes->scale = tare_arena_array(arena, groups, sizeof *codes->scale);
    codes->offset = tare_arena_array(arena, groups, sizeof *codes->offset);
    return codes->code && codes->scale && codes->offset;
}

static enum tare_code compare_codes(const struct tare_readable side[2], const struct tare_tile *tile,
                                    struct tare_comparer *c, struct tare_codes codes[2],
                                    struct tare_finding_of_tile *found, struct tare_error *err)
{
    const int64_t columns = side[0].shape[side[0].rank - 1];
    for (int k = 0; k < 2; k++) {
        tare_arena_reset(&c->arena[k]);
        if (!codes_room(&codes[k], &side[k], tile->count, &c->arena[k]))
            return tare_fail_memory(err);
        const enum tare_code code = tare_readable_codes(&side[k], tile, &codes[k], &c->arena[k], err);
        if (code)
            return code;
    }
    found->codes = memcmp(codes[0].code, codes[1].code, (size_t)tile->count) != 0;
    compare_groups(side, codes, tile->count / columns, columns, found);
    return TARE_OK;
}

/* ---- numbers ------------------------------------------------------------------------------------------------- */

static void compare_one(double a, double b, int64_t at, struct tare_finding_of_tile *found)
{
    if (a == b || (isnan(a) && isnan(b)))
        return;
    const double distance = isnan(a) || isnan(b) ? INFINITY : fabs(a - b);
    if (!found->differing++ || distance > found->largest) {
        found->largest = distance;
        found->value[0] = a;
        found->value[1] = b;
        found->at = at;
    }
}

static void add_squares(void *const numbers[2], bool wide, size_t n, struct tare_finding_of_tile *found)
{
    for (size_t i = 0; i < n; i++) {
        const double a = wide ? ((double *)numbers[0])[i] : (double)((float *)numbers[0])[i];
        const double b = wide ? ((double *)numbers[1])[i] : (double)((float *)numbers[1])[i];
        found->apart += (a - b) * (a - b);
        found->whole += a * a;
    }
}

static enum tare_code compare_numbers(const struct tare_readable side[2], const struct tare_tile *tile,
                                      struct tare_comparer *c, const struct tare_codes *codes,
                                      struct tare_finding_of_tile *found, struct tare_error *err)
{
    const bool wide = side[0].wide || side[1].wide;
    const size_t n = (size_t)tile->count, size = wide ? sizeof(double) : sizeof(float);
    for (int k = 0; k < 2; k++) {
        tare_arena_reset(&c->work);
        if (codes && !side[k].first->packing->floats && side[k].group_size == side[k].first->group_size &&
            tare_module_even(side[k].first)) { /* at hand */
            tare_codes_floats(side[k].first, &codes[k], tile->count / side[k].shape[side[k].rank - 1], c->numbers[k]);
            continue;
        }
        const enum tare_code code = wide ? tare_readable_doubles(&side[k], tile, c->numbers[k], &c->work, err)
                                         : tare_readable_floats(&side[k], tile, c->numbers[k], &c->work, err);
        if (code)
            return code;
    }
    if (c->sums)
        add_squares(c->numbers, wide, n, found);
    if (!memcmp(c->numbers[0], c->numbers[1], n * size))
        return TARE_OK;
    found->bits = true;
    if (wide)
        for (size_t i = 0; i < n; i++)
            compare_one(((double *)c->numbers[0])[i], ((double *)c->numbers[1])[i], tile->first + (int64_t)i, found);
    else
        for (size_t i = 0; i < n; i++)
            compare_one((double)((float *)c->numbers[0])[i], (double)((float *)c->numbers[1])[i],
                        tile->first + (int64_t)i, found);
    return TARE_OK;
}

enum tare_code tare_tiles_compare(const struct tare_readable side[2], const struct tare_tile *tile,
                                  struct tare_comparer *c, struct tare_finding_of_tile *found, struct tare_error *err)
{
    const bool both = side[0].codes && side[1].codes && side[0].first->bits == side[1].first->bits &&
                      side[0].first->packing->codes == side[1].first->packing->codes &&
                      side[0].first->packing->codes != TARE_CODE_TABLE;
    *found = (struct tare_finding_of_tile){.codes = !both,
                                           .bits = !side[0].plain || !side[1].plain || side[0].dtype != side[1].dtype};
    struct tare_codes codes[2];
    enum tare_code code = both ? compare_codes(side, tile, c, codes, found, err) : TARE_OK;
    if (code || (both && !found->codes && !found->zeros && !c->sums))
        return code;
    if (c->room < (size_t)tile->count) {
        for (int k = 0; k < 2; k++) {
            free(c->numbers[k]);
            c->numbers[k] = malloc((size_t)tile->count * sizeof(double));
        }
        c->room = c->numbers[0] && c->numbers[1] ? (size_t)tile->count : 0;
        if (!c->room)
            return tare_fail_memory(err);
    }
    return compare_numbers(side, tile, c, both ? codes : NULL, found, err);
}

void tare_found_add(struct tare_finding_of_tile *sum, const struct tare_finding_of_tile *found)
{
    const bool first = found->differing && (!sum->differing || found->largest > sum->largest ||
                                            (!(found->largest < sum->largest) && found->at < sum->at));
    if (first) {
        sum->largest = found->largest;
        sum->value[0] = found->value[0];
        sum->value[1] = found->value[1];
        sum->at = found->at;
    }
    sum->differing += found->differing;
    sum->bits |= found->bits;
    sum->codes |= found->codes;
    sum->zeros |= found->zeros;
}
