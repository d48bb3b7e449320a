/* SPDX-License-Identifier: MIT
 * flatten.c - a recipe laid flat: boxes of the output, each an affine view of one module.
 *
 * The pieces of a node are those of its inputs, moved: a transpose reorders the axes of each, a slice intersects and
 * shifts, a join shifts, a stack puts an axis in front. So nothing is evaluated, and any nesting comes out as one list.
 * Recipes are built by verbs, a few deep: recursion needs no limit.
 */
#include <stdlib.h>
#include <string.h>

#include "names/module.h"

/* A piece in the making. */
struct box {
    const struct tare_module *module;
    int rank;
    int64_t *at, *shape, *stride; /* arena, rank numbers each */
    int64_t start;
    double addend;
};

struct boxes {
    struct tare_arena *arena;
    struct box *box; /* heap */
    size_t n, room;
    struct tare_error *err;
};

/* Room for `rank` numbers in each array of a box. */
static bool box_arrays(struct boxes *b, struct box *box, int rank)
{
    const size_t each = (size_t)rank + 1;
    int64_t *numbers = tare_arena_array(b->arena, each * 3, sizeof *numbers);
    if (!numbers)
        return false;
    box->rank = rank;
    box->at = numbers;
    box->shape = numbers + each;
    box->stride = numbers + 2 * each;
    return true;
}

static enum tare_code take(struct boxes *b, const struct tare_recipe *r)
{
    const struct tare_module *module = r->module;
    if (module->fault)
        return tare_fail(b->err, module->fault_code ? module->fault_code : TARE_E_SHAPE,
                         module->fault_name ? module->fault_name : module->name, "%s", module->fault);
    for (int k = 0; k < r->rank; k++)
        if (r->shape[k] <= 0) /* no element, no piece */
            return TARE_OK;
    struct box box = {.module = module};
    if (!box_arrays(b, &box, r->rank) || !tare_grow(&b->box, &b->room, b->n + 1, sizeof *b->box))
        return tare_fail_memory(b->err);
    int64_t stride = 1;
    for (int k = r->rank - 1; k >= 0; k--) {
        box.shape[k] = r->shape[k];
        box.stride[k] = stride;
        if (stride > INT64_MAX / r->shape[k])
            return tare_fail(b->err, TARE_E_SHAPE, module->name, "more elements than 2^63");
        stride *= r->shape[k];
    }
    b->box[b->n++] = box;
    return TARE_OK;
}

static enum tare_code transpose(struct boxes *b, const struct tare_recipe *r, size_t first)
{
    for (size_t i = first; i < b->n; i++) {
        const struct box from = b->box[i];
        struct box *to = &b->box[i];
        if (!box_arrays(b, to, r->rank))
            return tare_fail_memory(b->err);
        for (int k = 0; k < r->rank; k++) {
            to->at[k] = from.at[r->order[k]];
            to->shape[k] = from.shape[r->order[k]];
            to->stride[k] = from.stride[r->order[k]];
        }
    }
    return TARE_OK;
}

static void slice(struct boxes *b, const struct tare_recipe *r, size_t first)
{
    const int k = r->axis;
    const int64_t begin = r->start, end = begin + r->shape[k];
    size_t kept = first;
    for (size_t i = first; i < b->n; i++) {
        struct box box = b->box[i];
        const int64_t low = box.at[k] > begin ? box.at[k] : begin;
        const int64_t high = box.at[k] + box.shape[k] < end ? box.at[k] + box.shape[k] : end;
        if (low >= high)
            continue;
        box.start += (low - box.at[k]) * box.stride[k];
        box.at[k] = low - begin;
        box.shape[k] = high - low;
        b->box[kept++] = box;
    }
    b->n = kept;
}

/* The pieces of one input of a stack: index `index` of a new first axis. */
static enum tare_code deepen(struct boxes *b, int rank, int64_t index, size_t first)
{
    for (size_t i = first; i < b->n; i++) {
        const struct box from = b->box[i];
        struct box *to = &b->box[i];
        if (!box_arrays(b, to, rank))
            return tare_fail_memory(b->err);
        const size_t size = (size_t)from.rank * sizeof *to->at;
        memcpy(to->at + 1, from.at, size);
        memcpy(to->shape + 1, from.shape, size);
        memcpy(to->stride + 1, from.stride, size);
        to->at[0] = index;
        to->shape[0] = 1;
    }
    return TARE_OK;
}

static const struct tare_module *first_leaf(const struct tare_recipe *r)
{
    while (r->op != TARE_OP_TAKE)
        r = r->inputs[0];
    return r->module;
}

static enum tare_code add(struct boxes *b, const struct tare_recipe *r, size_t first)
{
    if (!tare_dtype_is_float(r->dtype))
        return tare_fail(b->err, TARE_E_SHAPE, first_leaf(r)->name,
                         "stored as %s, a float is needed: %g is added to it", tare_dtype_name(r->dtype), r->addend);
    for (size_t i = first; i < b->n; i++)
        b->box[i].addend += r->addend;
    return TARE_OK;
}

/* Append the pieces of r. */
static enum tare_code collect(struct boxes *b, const struct tare_recipe *r)
{
    const size_t first = b->n;
    int64_t offset = 0;
    enum tare_code code = TARE_OK;
    if (r->op == TARE_OP_TAKE)
        return take(b, r);
    for (size_t i = 0; i < r->n_inputs && !code; i++) {
        const size_t own = b->n;
        code = collect(b, r->inputs[i]);
        if (r->op == TARE_OP_STACK && !code)
            code = deepen(b, r->rank, (int64_t)i, own);
        if (r->op != TARE_OP_JOIN || code)
            continue;
        for (size_t j = own; j < b->n; j++)
            b->box[j].at[r->axis] += offset;
        offset += r->inputs[i]->shape[r->axis];
    }
    if (code)
        return code;
    if (r->op == TARE_OP_SLICE)
        slice(b, r, first);
    return r->op == TARE_OP_TRANSPOSE ? transpose(b, r, first) : r->op == TARE_OP_ADD ? add(b, r, first) : TARE_OK;
}

static int by_corner(const void *left, const void *right)
{
    const struct box *a = left, *b = right;
    for (int k = 0; k < a->rank; k++)
        if (a->at[k] != b->at[k])
            return a->at[k] < b->at[k] ? -1 : 1;
    return 0;
}

static enum tare_code finish(struct boxes *b, struct tare_flat *flat)
{
    flat->pieces = tare_arena_array(b->arena, b->n, sizeof *flat->pieces);
    if (!flat->pieces)
        return tare_fail_memory(b->err);
    if (b->n > 1)
        qsort(b->box, b->n, sizeof *b->box, by_corner);
    for (size_t i = 0; i < b->n; i++) {
        const struct box *box = &b->box[i];
        flat->pieces[i] = (struct tare_piece){.module = box->module,
                                              .at = box->at,
                                              .shape = box->shape,
                                              .start = box->start,
                                              .stride = box->stride,
                                              .addend = box->addend};
    }
    flat->n = b->n;
    return TARE_OK;
}

enum tare_code tare_recipe_flatten(const struct tare_recipe *recipe, struct tare_arena *arena, struct tare_flat *flat,
                                   struct tare_error *err)
{
    struct boxes b = {.arena = arena, .err = err};
    *flat = (struct tare_flat){.rank = recipe->rank, .shape = recipe->shape, .dtype = recipe->dtype};
    enum tare_code code = collect(&b, recipe);
    if (!code)
        code = finish(&b, flat);
    free(b.box);
    return code;
}
