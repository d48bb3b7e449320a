/* SPDX-License-Identifier: MIT
 * flatten.c - a recipe laid flat: boxes of the output, each an affine view of one module.
 *
 * The pieces of a node are those of its inputs, moved: a transpose reorders the axes of each, a slice intersects and
 * shifts, a join shifts, a stack puts an axis in front. So nothing is evaluated, and any nesting comes out as one list.
 * Recipes are built by verbs, a few deep: recursion needs no limit.
 */
#include <stdlib.h>
#include <string.h>

#include "module/module.h"

/* A piece in the making. */
struct box {
    const struct tare_module *module;
    int rank;
    int64_t *at, *shape, *stride; /* arena, rank numbers each */
    int64_t start;
    const struct tare_value *value;
    enum tare_dtype dtype;
};

struct boxes {
    struct tare_arena *arena;
    struct box *box; /* heap */
    size_t n, room;
    struct tare_error *err;
};

/* Gives a box three arrays of `rank` numbers each. One number more is allocated, so that a rank of 0 has an array. */
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
    struct box box = {.module = module, .dtype = r->dtype};
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
    const int64_t begin = r->start, step = r->step;
    size_t kept = first;
    for (size_t i = first; i < b->n; i++) {
        struct box box = b->box[i];
        const int64_t after = box.at[k] - begin, end = after + box.shape[k];
        const int64_t low = after > 0 ? (after + step - 1) / step : 0;
        const int64_t high = end <= 0 ? 0 : (end - 1) / step + 1 < r->shape[k] ? (end - 1) / step + 1 : r->shape[k];
        if (low >= high)
            continue;
        box.start += (low * step - after) * box.stride[k];
        box.at[k] = low;
        box.shape[k] = high - low;
        box.stride[k] *= step;
        b->box[kept++] = box;
    }
    b->n = kept;
}

static const struct tare_module *first_leaf(const struct tare_recipe *r)
{
    while (r->op != TARE_OP_TAKE)
        r = r->inputs[0];
    return r->module;
}

/* ---- other axes ---- */

enum { BOXES_MOST = 1 << 22 }; /* a rewriting that needs more pieces is no rewriting of a model */

/*
 * Makes a box of rank `rank` with the axes of `from` before k at its start and those from `end` on at its end. The
 * caller fills in the axes between.
 */
static bool respaced(struct boxes *b, const struct box *from, int rank, int k, int end, struct box *to)
{
    *to = *from;
    if (!box_arrays(b, to, rank))
        return false;
    for (int i = 0; i < k; i++) {
        to->at[i] = from->at[i];
        to->shape[i] = from->shape[i];
        to->stride[i] = from->stride[i];
    }
    for (int i = end, j = rank - (from->rank - end); i < from->rank; i++, j++) {
        to->at[j] = from->at[i];
        to->shape[j] = from->shape[i];
        to->stride[j] = from->stride[i];
    }
    return true;
}

static enum tare_code put(struct boxes *b, const struct box *box)
{
    if (b->n >= BOXES_MOST)
        return tare_fail(b->err, TARE_E_SHAPE, box->module->name, "reordering it takes more than %d pieces",
                         BOXES_MOST);
    if (!tare_grow(&b->box, &b->room, b->n + 1, sizeof *b->box))
        return tare_fail_memory(b->err);
    b->box[b->n++] = *box;
    return TARE_OK;
}

/*
 * Axes k and k + 1 become one axis; `length` is the length of axis k + 1 in the whole space. Index (i, j) becomes
 * i * length + j. A box that has all of axis k + 1 and steps evenly stays one box; else each of its rows becomes one.
 */
static enum tare_code merge_box(struct boxes *b, const struct box *from, int k, int64_t length)
{
    const bool whole = from->at[k + 1] == 0 && from->shape[k + 1] == length;
    const bool even = whole && (from->shape[k] == 1 || from->stride[k] == from->stride[k + 1] * length);
    const int64_t n = even ? 1 : from->shape[k];
    enum tare_code code = TARE_OK;
    for (int64_t i = 0; i < n && !code; i++) {
        struct box to;
        if (!respaced(b, from, from->rank - 1, k, k + 2, &to))
            return tare_fail_memory(b->err);
        to.at[k] = (from->at[k] + i) * length + from->at[k + 1];
        to.shape[k] = even ? from->shape[k] * length : from->shape[k + 1];
        to.stride[k] = from->stride[k + 1];
        to.start = from->start + i * from->stride[k];
        code = put(b, &to);
    }
    return code;
}

/* Puts a range of axis k, from index `at` on, as a box of rows by columns of the two axes that replace it. */
static enum tare_code put_rows(struct boxes *b, const struct box *from, int k, int64_t length, int64_t at, int64_t rows,
                               int64_t columns)
{
    struct box to;
    if (!respaced(b, from, from->rank + 1, k, k + 1, &to))
        return tare_fail_memory(b->err);
    to.at[k] = at / length;
    to.at[k + 1] = at % length;
    to.shape[k] = rows;
    to.shape[k + 1] = columns;
    to.stride[k] = from->stride[k] * length;
    to.stride[k + 1] = from->stride[k];
    to.start = from->start + (at - from->at[k]) * from->stride[k];
    return put(b, &to);
}

/*
 * Axis k becomes two axes, the second of them `length` long: index i becomes (i / length, i % length). A range of
 * indices is a box only when it consists of whole rows, so it is cut into a first partial row, whole rows, and a last
 * one.
 */
static enum tare_code split_box(struct boxes *b, const struct box *from, int k, int64_t length)
{
    int64_t at = from->at[k];
    const int64_t end = at + from->shape[k];
    enum tare_code code = TARE_OK;
    while (at < end && !code) {
        const int64_t left = end - at, column = at % length;
        const int64_t columns = column == 0 && left >= length ? length
                                : length - column < left      ? length - column
                                                              : left;
        const int64_t rows = columns == length ? left / length : 1;
        code = put_rows(b, from, k, length, at, rows, columns);
        at += rows * columns;
    }
    return code;
}

/* A single number gets one axis of length 1. */
static enum tare_code number_box(struct boxes *b, const struct box *from, int k, int64_t length)
{
    struct box to = *from;
    if (!box_arrays(b, &to, 1))
        return tare_fail_memory(b->err);
    to.at[k] = 0;
    to.shape[k] = to.stride[k] = length;
    return put(b, &to);
}

/* Applies a step to all boxes from `first` on; the boxes that it puts replace them. */
static enum tare_code each_box(struct boxes *b, size_t first, int k, int64_t length,
                               enum tare_code (*step)(struct boxes *, const struct box *, int, int64_t))
{
    const size_t n = b->n - first;
    struct box *before = malloc((n + 1) * sizeof *before);
    if (!before)
        return tare_fail_memory(b->err);
    if (n)
        memcpy(before, b->box + first, n * sizeof *before);
    b->n = first;
    enum tare_code code = TARE_OK;
    for (size_t i = 0; i < n && !code; i++)
        code = step(b, &before[i], k, length);
    free(before);
    return code;
}

/*
 * From the left: axes of the input are joined, those of the output split off, until both agree. `now` is the shape of
 * the space that the boxes lie in; its axes before k are done.
 */
static enum tare_code reshape(struct boxes *b, const struct tare_recipe *r, size_t first)
{
    const struct tare_recipe *input = r->inputs[0];
    int64_t now[TARE_RANK_MOST + TARE_RANK_MOST];
    int rank = input->rank, k = 0;
    enum tare_code code = TARE_OK;
    if (b->n == first)
        return TARE_OK;
    if (rank > TARE_RANK_MOST || r->rank > TARE_RANK_MOST)
        return tare_fail(b->err, TARE_E_SHAPE, first_leaf(r)->name, "more than %d axes", TARE_RANK_MOST);
    memcpy(now, input->shape, (size_t)rank * sizeof *now);
    if (rank == 0 && r->rank > 0) { /* a number becomes axes of length 1 */
        code = each_box(b, first, 0, 1, number_box);
        now[rank++] = 1;
    }
    for (size_t i = first; r->rank == 0 && i < b->n; i++) /* and back */
        b->box[i].rank = 0;
    while (!code && k < r->rank) {
        const int64_t wanted = r->shape[k];
        const bool last = k + 1 == r->rank;
        if (rank >= 2 * TARE_RANK_MOST)
            return tare_fail(b->err, TARE_E_INTERNAL, first_leaf(r)->name, "its axes cannot be regrouped");
        if (k == rank) { /* only axes of length 1 are left to make */
            code = each_box(b, first, k - 1, 1, split_box);
            now[rank++] = 1;
        } else if (k + 1 < rank && (last || now[k] % wanted)) {
            code = each_box(b, first, k, now[k + 1], merge_box);
            now[k] *= now[k + 1];
            memmove(now + k + 1, now + k + 2, (size_t)(rank - k - 2) * sizeof *now);
            rank--;
        } else if (now[k] != wanted) {
            const int64_t length = now[k] / wanted;
            code = each_box(b, first, k, length, split_box);
            memmove(now + k + 2, now + k + 1, (size_t)(rank - k - 1) * sizeof *now);
            now[k + 1] = length;
            now[k] = wanted;
            rank++;
        } else {
            k++;
        }
    }
    return code;
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

static enum tare_code compute(struct boxes *b, const struct tare_recipe *r, size_t first)
{
    if (!tare_dtype_is_float(r->inputs[0]->dtype))
        return tare_fail(b->err, TARE_E_SHAPE, first_leaf(r)->name,
                         "stored as %s, a float is needed: its values are computed with",
                         tare_dtype_name(r->inputs[0]->dtype));
    for (size_t i = first; i < b->n; i++) {
        struct tare_value *value = tare_arena_alloc(b->arena, sizeof *value);
        if (!value)
            return tare_fail_memory(b->err);
        *value = r->value;
        value->before = b->box[i].value;
        b->box[i].value = value;
        b->box[i].dtype = r->dtype;
    }
    return TARE_OK;
}

/* Appends the boxes of r: first those of its inputs, one input after another, then moved by what r does. */
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
    switch (r->op) {
    case TARE_OP_SLICE:
        slice(b, r, first);
        return TARE_OK;
    case TARE_OP_TRANSPOSE:
        return transpose(b, r, first);
    case TARE_OP_RESHAPE:
        return reshape(b, r, first);
    case TARE_OP_VALUE:
        return compute(b, r, first);
    default:
        return TARE_OK;
    }
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
                                              .value = box->value,
                                              .dtype = box->dtype};
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
