/* SPDX-License-Identifier: MIT
 * test_recipe.c - recipes: shapes, what stays packed, words; and flattening, against an evaluator that goes element by
 * element through random trees. */
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "module/module.h"
#include "packing/packing.h"

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    (void)module, (void)part, (void)row, (void)rows, (void)codes;
}

static const struct tare_packing plain = {.name = "plain"};
static const struct tare_packing packing_a = {.name = "a", .decode = decode};
static const struct tare_packing packing_b = {.name = "b", .decode = decode};

static struct tare_arena arena;

static int release(void **state)
{
    (void)state;
    assert_false(arena.failed);
    tare_arena_release(&arena);
    return 0;
}

/* A module of a shape that is copied. */
static struct tare_module *module_of(const char *name, const struct tare_packing *packing, int rank,
                                     const int64_t *shape)
{
    struct tare_module *m = tare_arena_alloc(&arena, sizeof *m);
    int64_t *own = tare_arena_array(&arena, (size_t)rank, sizeof *own);
    for (int k = 0; k < rank; k++)
        own[k] = shape[k];
    *m = (struct tare_module){.name = name, .packing = packing, .rank = rank, .shape = own, .dtype = TARE_F16};
    m->packed = packing->decode != NULL;
    return m;
}

static const struct tare_recipe *matrix(const char *name, const struct tare_packing *packing, int64_t rows,
                                        int64_t columns)
{
    return tare_recipe_take(&arena, module_of(name, packing, 2, (const int64_t[]){rows, columns}));
}

static const struct tare_recipe *plus(const struct tare_recipe *r, double addend)
{
    return tare_recipe_value(&arena, r, &(struct tare_value){.function = TARE_ADD, .operand = addend}, r->dtype);
}

static const struct tare_recipe *cube(const char *name, const struct tare_packing *packing)
{
    return tare_recipe_take(&arena, module_of(name, packing, 3, (const int64_t[]){2, 4, 6}));
}

static void expect_shape(const struct tare_recipe *r, int rank, int64_t a, int64_t b, int64_t c)
{
    const int64_t want[] = {a, b, c};
    assert_int_equal(r->rank, rank);
    for (int k = 0; k < rank; k++)
        assert_int_equal(r->shape[k], want[k]);
}

static const struct tare_recipe *swapped(const struct tare_recipe *input)
{
    return tare_recipe_transpose(&arena, input, (const int[]){1, 0});
}

static const struct tare_recipe *pair(const struct tare_recipe *a, const struct tare_recipe *b)
{
    return tare_recipe_stack(&arena, (const struct tare_recipe *const[]){a, b}, 2);
}

static const struct tare_recipe *joined(const struct tare_recipe *a, const struct tare_recipe *b, int axis)
{
    return tare_recipe_join(&arena, (const struct tare_recipe *const[]){a, b}, 2, axis);
}

static void shapes(void **state)
{
    (void)state;
    const struct tare_recipe *x = matrix("x", &plain, 3, 5), *y = matrix("y", &plain, 4, 5);
    expect_shape(x, 2, 3, 5, 0);
    expect_shape(swapped(x), 2, 5, 3, 0);
    expect_shape(pair(x, x), 3, 2, 3, 5);
    expect_shape(joined(x, y, 0), 2, 7, 5, 0);
    expect_shape(tare_recipe_slice(&arena, x, 1, 2, 3), 2, 3, 3, 0);
    expect_shape(tare_recipe_slice(&arena, x, 0, 3, 0), 2, 0, 5, 0);
    expect_shape(plus(x, 1), 2, 3, 5, 0);
    expect_shape(tare_recipe_transpose(&arena, cube("c", &plain), (const int[]){2, 0, 1}), 3, 6, 2, 4);
    assert_int_equal(pair(x, x)->dtype, TARE_F16);
}

/* What changes nothing makes no node: texts stay short and packed ones packed. */
static void nothing_to_do(void **state)
{
    (void)state;
    const struct tare_recipe *x = matrix("x", &packing_a, 3, 5);
    assert_ptr_equal(tare_recipe_transpose(&arena, x, (const int[]){0, 1}), x);
    assert_ptr_equal(tare_recipe_slice(&arena, x, 0, 0, 3), x);
    assert_ptr_equal(plus(x, 0), x);
    assert_ptr_equal(tare_recipe_join(&arena, &x, 1, 1), x);
}

/* Asked for what the inputs do not have: the first comes back, and nothing is read beyond it. */
static void misuse(void **state)
{
    (void)state;
    const struct tare_recipe *x = matrix("x", &plain, 3, 5), *y = matrix("y", &plain, 4, 5), *c = cube("c", &plain);
    const struct tare_recipe *scalar = tare_recipe_take(&arena, module_of("s", &plain, 0, NULL));
    const struct tare_recipe *huge =
        tare_recipe_take(&arena, module_of("h", &plain, 2, (const int64_t[]){INT64_MAX - 1, 0}));
    assert_ptr_equal(tare_recipe_transpose(&arena, x, (const int[]){0, 2}), x);
    assert_ptr_equal(tare_recipe_transpose(&arena, x, (const int[]){-1, 0}), x);
    assert_ptr_equal(tare_recipe_transpose(&arena, x, (const int[]){1, 1}), x);
    assert_ptr_equal(pair(x, y), x);
    assert_ptr_equal(pair(c, x), c);
    assert_ptr_equal(joined(x, y, 1), x);
    assert_ptr_equal(joined(x, y, 2), x);
    assert_ptr_equal(joined(x, y, -1), x);
    assert_ptr_equal(joined(c, x, 0), c);
    assert_ptr_equal(joined(scalar, scalar, 0), scalar);
    assert_ptr_equal(joined(huge, huge, 0), huge);
    assert_ptr_equal(tare_recipe_slice(&arena, x, 2, 0, 1), x);
    assert_ptr_equal(tare_recipe_slice(&arena, x, -1, 0, 1), x);
    assert_ptr_equal(tare_recipe_slice(&arena, x, 0, -1, 1), x);
    assert_ptr_equal(tare_recipe_slice(&arena, x, 0, 2, 2), x);
    assert_ptr_equal(tare_recipe_slice(&arena, x, 0, 4, 0), x);
    assert_ptr_equal(tare_recipe_slice(&arena, x, 0, 1, INT64_MAX), x);
    assert_ptr_equal(tare_recipe_slice(&arena, scalar, 0, 0, 1), scalar);
    assert_int_equal(tare_recipe_stack(&arena, NULL, 0)->rank, 0);
    assert_int_equal(tare_recipe_join(&arena, NULL, 0, 0)->rank, 0);
}

static void stays_packed(void **state)
{
    (void)state;
    const struct tare_recipe *a = matrix("a", &packing_a, 8, 6), *a2 = matrix("a2", &packing_a, 8, 6);
    const struct tare_recipe *b = matrix("b", &packing_b, 8, 6), *dense = matrix("d", &plain, 8, 6);
    const struct tare_recipe *both = pair(a, a2);
    assert_true(a->packed);
    assert_false(dense->packed);
    assert_true(both->packed);
    assert_true(joined(a, a2, 0)->packed);
    assert_true(joined(both, both, 1)->packed);
    assert_true(tare_recipe_slice(&arena, a, 0, 0, 4)->packed);
    assert_true(tare_recipe_slice(&arena, both, 1, 4, 4)->packed);
    assert_true(tare_recipe_slice(&arena, both, 0, 1, 1)->packed);
    assert_false(pair(a, b)->packed);
    assert_false(pair(a, dense)->packed);
    assert_false(pair(dense, a)->packed);
    assert_false(pair(dense, dense)->packed);
    assert_false(joined(a, b, 0)->packed);
    assert_false(joined(a, a2, 1)->packed);
    assert_false(joined(both, both, 2)->packed);
    assert_false(tare_recipe_slice(&arena, a, 1, 0, 4)->packed);
    assert_false(tare_recipe_slice(&arena, both, 2, 0, 4)->packed);
    assert_false(swapped(a)->packed);
    assert_false(plus(a, 1)->packed);
    assert_false(pair(swapped(a), swapped(a2))->packed);
}

static void expect_text(const struct tare_recipe *r, const char *want)
{
    assert_string_equal(tare_recipe_text(&arena, r), want);
}

static void words(void **state)
{
    (void)state;
    const struct tare_recipe *x = matrix("x", &plain, 128, 32), *c = cube("c", &plain);
    const struct tare_recipe *v = tare_recipe_take(&arena, module_of("v", &plain, 1, (const int64_t[]){8}));
    expect_text(x, "as stored");
    expect_text(swapped(x), "transpose (1, 0) of x");
    expect_text(pair(x, x), "stack of 2");
    expect_text(tare_recipe_slice(&arena, x, 0, 64, 64), "rows 64 .. 127 of x");
    expect_text(tare_recipe_slice(&arena, x, 1, 0, 16), "columns 0 .. 15 of x");
    expect_text(tare_recipe_slice(&arena, c, 0, 1, 1), "1 .. 1 along axis 0 of c");
    expect_text(tare_recipe_slice(&arena, v, 0, 2, 3), "2 .. 4 along axis 0 of v");
    expect_text(joined(x, x, 1), "join of 2 along axis 1");
    expect_text(plus(v, 1), "plus 1");
    expect_text(plus(v, -0.25), "plus -0.25");
    expect_text(plus(swapped(x), 1), "transpose (1, 0) of x, plus 1");
    expect_text(tare_recipe_slice(&arena, pair(x, x), 1, 64, 64), "rows 64 .. 127 of stack of 2");
    expect_text(pair(swapped(x), swapped(x)), "stack of 2 (the first: transpose (1, 0) of x)");
}

static void note_name(void *user, const struct tare_module *module)
{
    strncat(user, module->name, 1);
}

static void leaves_from_left_to_right(void **state)
{
    (void)state;
    char seen[16] = "";
    const struct tare_recipe *x = matrix("x", &plain, 3, 5), *y = matrix("y", &plain, 3, 5);
    tare_recipe_leaves(pair(joined(y, x, 0), joined(x, x, 0)), note_name, seen);
    assert_string_equal(seen, "yxxx");
}

/* ---- flattening ---- */

static void refused(void **state)
{
    (void)state;
    struct tare_flat flat;
    struct tare_error err = {0};
    struct tare_module *integers = module_of("codes", &plain, 2, (const int64_t[]){2, 2});
    struct tare_module *broken = module_of("broken.weight", &plain, 0, NULL);
    integers->dtype = TARE_I32;
    broken->shape = NULL; /* as grouping leaves it */
    broken->fault = "scales are missing";
    broken->fault_name = "broken.qweight";
    broken->fault_code = TARE_E_STRICT;
    const struct tare_recipe *added = plus(tare_recipe_take(&arena, integers), 1);
    fixture_expect(tare_recipe_flatten(added, &arena, &flat, &err), &err, TARE_E_SHAPE, "codes", "I32");
    const struct tare_recipe *taken = tare_recipe_take(&arena, broken);
    assert_int_equal(taken->rank, 0);
    fixture_expect(tare_recipe_flatten(pair(taken, taken), &arena, &flat, &err), &err, TARE_E_STRICT, "broken.qweight",
                   "scales are missing");
}

static void zero_sizes_give_no_pieces(void **state)
{
    (void)state;
    struct tare_flat flat;
    const struct tare_recipe *none =
        tare_recipe_take(&arena, module_of("n", &plain, 3, (const int64_t[]){INT64_MAX, INT64_MAX, 0}));
    const struct tare_recipe *x = matrix("x", &plain, 3, 5);
    assert_int_equal(tare_recipe_flatten(none, &arena, &flat, NULL), TARE_OK);
    assert_int_equal(flat.n, 0);
    assert_int_equal(tare_recipe_flatten(tare_recipe_slice(&arena, x, 0, 1, 0), &arena, &flat, NULL), TARE_OK);
    assert_int_equal(flat.n, 0);
    assert_int_equal(tare_recipe_flatten(joined(matrix("z", &plain, 0, 5), x, 0), &arena, &flat, NULL), TARE_OK);
    assert_int_equal(flat.n, 1);
    assert_string_equal(flat.pieces[0].module->name, "x");
}

/* The halves of stacked gate_up experts: one piece an expert, whole rows. */
static void rows_of_experts(void **state)
{
    (void)state;
    struct tare_flat flat;
    const struct tare_recipe *a = matrix("a", &packing_a, 8, 6), *b = matrix("b", &packing_a, 8, 6);
    const struct tare_recipe *half = tare_recipe_slice(&arena, pair(a, b), 1, 4, 4);
    assert_int_equal(tare_recipe_flatten(half, &arena, &flat, NULL), TARE_OK);
    assert_int_equal(flat.n, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct tare_piece *piece = &flat.pieces[i];
        assert_ptr_equal(piece->module, i ? b->module : a->module);
        assert_int_equal(piece->start, 4 * 6);
        assert_memory_equal(piece->at, ((const int64_t[]){(int64_t)i, 0, 0}), 3 * sizeof(int64_t));
        assert_memory_equal(piece->shape, ((const int64_t[]){1, 4, 6}), 3 * sizeof(int64_t));
        assert_int_equal(piece->stride[1], 6);
        assert_int_equal(piece->stride[2], 1);
    }
}

static uint64_t seed = 88172645463325252u;

static int64_t below(int64_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (int64_t)(seed >> 11) % n;
}

#define RANK_MOST 9

/* Modules made for one tree; element e of module i is i * 10^6 + e. */
static struct tare_module *made[512];
static int64_t n_made;

static const struct tare_recipe *random_tree(int depth, int rank, const int64_t *shape);

static const struct tare_recipe *random_leaf(int rank, const int64_t *shape)
{
    static const struct tare_packing *const packings[] = {&plain, &packing_a, &packing_a, &packing_b};
    if (n_made && below(4) == 0) { /* the same module again */
        const struct tare_module *m = made[below(n_made)];
        if (m->rank == rank && !memcmp(m->shape, shape, (size_t)rank * sizeof *shape))
            return tare_recipe_take(&arena, m);
    }
    assert_true(n_made < (int64_t)FIXTURE_COUNT(made));
    made[n_made] = module_of("m", packings[rank < 2 ? 0 : below(4)], rank, shape);
    return tare_recipe_take(&arena, made[n_made++]);
}

static const struct tare_recipe *random_transpose(int depth, int rank, const int64_t *shape)
{
    int order[RANK_MOST];
    int64_t input[RANK_MOST];
    for (int k = 0; k < rank; k++)
        order[k] = k;
    for (int k = rank - 1; k > 0; k--) {
        const int j = (int)below(k + 1), kept = order[k];
        order[k] = order[j];
        order[j] = kept;
    }
    for (int k = 0; k < rank; k++)
        input[order[k]] = shape[k];
    return tare_recipe_transpose(&arena, random_tree(depth, rank, input), order);
}

static const struct tare_recipe *random_join(int depth, int rank, const int64_t *shape)
{
    const int axis = (int)below(rank);
    const struct tare_recipe *inputs[3];
    const size_t n = 1 + (size_t)below(3);
    int64_t input[RANK_MOST], left = shape[axis];
    memcpy(input, shape, (size_t)rank * sizeof *shape);
    for (size_t i = 0; i < n; i++) {
        input[axis] = i + 1 < n ? below(left + 1) : left;
        left -= input[axis];
        inputs[i] = random_tree(depth, rank, input);
    }
    return tare_recipe_join(&arena, inputs, n, axis);
}

static const struct tare_recipe *random_slice(int depth, int rank, const int64_t *shape)
{
    const int axis = (int)below(rank);
    int64_t input[RANK_MOST];
    memcpy(input, shape, (size_t)rank * sizeof *shape);
    const int64_t start = below(3);
    input[axis] += start + below(3);
    return tare_recipe_slice(&arena, random_tree(depth, rank, input), axis, start, shape[axis]);
}

static const struct tare_recipe *random_stack(int depth, int rank, const int64_t *shape)
{
    const struct tare_recipe *inputs[16];
    for (int64_t i = 0; i < shape[0]; i++)
        inputs[i] = random_tree(depth, rank - 1, shape + 1);
    return tare_recipe_stack(&arena, inputs, (size_t)shape[0]);
}

/* Every second or third element of an axis. */
static const struct tare_recipe *random_alternate(int depth, int rank, const int64_t *shape)
{
    const int axis = (int)below(rank);
    int64_t input[RANK_MOST];
    memcpy(input, shape, (size_t)rank * sizeof *shape);
    const int64_t step = 2 + below(2), start = below(step);
    if (shape[axis] < 1)
        return random_tree(depth, rank, shape);
    input[axis] = start + (shape[axis] - 1) * step + 1 + below(step - start);
    return tare_recipe_alternate(&arena, random_tree(depth, rank, input), axis, start, step);
}

/* An input whose axes are others: two joined, or one cut, or both, or axes of length 1 put in. */
static const struct tare_recipe *random_reshape(int depth, int rank, const int64_t *shape)
{
    int64_t input[RANK_MOST];
    int n = 0;
    for (int k = 0; k < rank; k++) {
        const int64_t factor = 1 + below(4);
        if (n && below(3) == 0 && rank - k < RANK_MOST - n) {
            input[n - 1] *= shape[k];
        } else if (n + 2 + rank - k < 7 && shape[k] % factor == 0) {
            input[n++] = factor;
            input[n++] = shape[k] / factor;
        } else {
            input[n++] = shape[k];
        }
    }
    return tare_recipe_reshape(&arena, random_tree(depth, n, input), rank, shape);
}

/* A tree that has this shape, at most so deep. */
static const struct tare_recipe *random_tree(int depth, int rank, const int64_t *shape)
{
    const int64_t kind = depth ? below(9) : 0;
    if (kind >= 2 && kind <= 3 && rank && shape[0] > 0 && shape[0] <= 16)
        return random_stack(depth - 1, rank, shape);
    if (kind == 1)
        return plus(random_tree(depth - 1, rank, shape), (double)(1 + below(3)) / 8);
    if (kind == 4 && rank)
        return random_transpose(depth - 1, rank, shape);
    if (kind == 5 && rank)
        return random_join(depth - 1, rank, shape);
    if (kind == 6 && rank)
        return random_slice(depth - 1, rank, shape);
    if (kind == 7 && rank)
        return random_alternate(depth - 1, rank, shape);
    if (kind == 8 && rank && rank < 6)
        return random_reshape(depth - 1, rank, shape);
    return random_leaf(rank, shape);
}

static double element(const struct tare_module *module, int64_t at)
{
    for (int64_t i = 0; i < n_made; i++)
        if (made[i] == module)
            return (double)(i * 1000000 + at);
    fail_msg("a module of another tree");
    return 0;
}

/* The element of a recipe at an index, by the definition of each op. */
static double evaluate(const struct tare_recipe *r, const int64_t *index)
{
    int64_t inner[RANK_MOST], at = 0;
    memcpy(inner, index, (size_t)r->rank * sizeof *inner);
    switch (r->op) {
    case TARE_OP_TAKE:
        for (int k = 0; k < r->rank; k++)
            at = at * r->module->shape[k] + index[k];
        return element(r->module, at);
    case TARE_OP_TRANSPOSE:
        for (int k = 0; k < r->rank; k++)
            inner[r->order[k]] = index[k];
        return evaluate(r->inputs[0], inner);
    case TARE_OP_STACK:
        return evaluate(r->inputs[index[0]], index + 1);
    case TARE_OP_SLICE:
        inner[r->axis] = r->start + r->step * inner[r->axis];
        return evaluate(r->inputs[0], inner);
    case TARE_OP_JOIN:
        for (size_t i = 0;; i++) {
            const int64_t length = r->inputs[i]->shape[r->axis];
            if (inner[r->axis] < length)
                return evaluate(r->inputs[i], inner);
            inner[r->axis] -= length;
        }
    case TARE_OP_RESHAPE:
        for (int k = 0; k < r->rank; k++)
            at = at * r->shape[k] + index[k];
        for (int k = r->inputs[0]->rank - 1; k >= 0; k--) {
            inner[k] = at % r->inputs[0]->shape[k];
            at /= r->inputs[0]->shape[k];
        }
        return evaluate(r->inputs[0], inner);
    case TARE_OP_VALUE:
        return evaluate(r->inputs[0], index) + r->value.operand;
    }
    return 0;
}

/* The next index of a box; false after the last. */
static bool advance(int rank, const int64_t *shape, int64_t *index)
{
    for (int k = rank - 1; k >= 0; k--) {
        if (++index[k] < shape[k])
            return true;
        index[k] = 0;
    }
    return false;
}

static int64_t count_of(int rank, const int64_t *shape)
{
    int64_t n = 1;
    for (int k = 0; k < rank; k++)
        n *= shape[k];
    return n;
}

static double sum_of(const struct tare_value *value)
{
    return value ? value->operand + sum_of(value->before) : 0;
}

/* Every element of one piece is what the evaluator says; mark it as covered. */
static void check_piece(const struct tare_recipe *r, const struct tare_piece *piece, unsigned char *covered)
{
    int64_t index[RANK_MOST] = {0};
    assert_true(count_of(r->rank, piece->shape) > 0);
    do {
        int64_t output[RANK_MOST], place = 0, at = piece->start;
        for (int k = 0; k < r->rank; k++) {
            output[k] = piece->at[k] + index[k];
            assert_in_range(output[k], 0, (uintmax_t)r->shape[k] - 1);
            place = place * r->shape[k] + output[k];
            at += index[k] * piece->stride[k];
        }
        assert_true(at >= 0 && at < count_of(piece->module->rank, piece->module->shape));
        assert_int_equal(covered[place]++, 0);
        assert_true(element(piece->module, at) + sum_of(piece->value) == evaluate(r, output));
    } while (advance(r->rank, piece->shape, index));
}

static void check_whole_rows(const struct tare_recipe *r, const struct tare_piece *piece)
{
    const int last = r->rank - 1;
    assert_true(piece->module->packing->decode != NULL);
    assert_int_equal(piece->at[last], 0);
    assert_int_equal(piece->shape[last], r->shape[last]);
    assert_int_equal(piece->shape[last], piece->module->shape[piece->module->rank - 1]);
    assert_int_equal(piece->stride[last], 1);
    assert_int_equal(piece->start % piece->shape[last], 0);
    assert_null(piece->value);
}

static void check_tree(const struct tare_recipe *r)
{
    struct tare_flat flat;
    assert_int_equal(tare_recipe_flatten(r, &arena, &flat, NULL), TARE_OK);
    assert_int_equal(flat.rank, r->rank);
    const int64_t n = count_of(r->rank, r->shape);
    unsigned char *covered = tare_arena_alloc(&arena, (size_t)n + 1);
    for (size_t i = 0; i < flat.n; i++) {
        check_piece(r, &flat.pieces[i], covered);
        if (r->packed)
            check_whole_rows(r, &flat.pieces[i]);
        if (!i)
            continue;
        int k = 0;
        while (k < r->rank && flat.pieces[i].at[k] == flat.pieces[i - 1].at[k])
            k++;
        assert_true(k < r->rank && flat.pieces[i].at[k] > flat.pieces[i - 1].at[k]);
    }
    for (int64_t i = 0; i < n; i++)
        assert_int_equal(covered[i], 1);
}

static void random_trees(void **state)
{
    (void)state;
    size_t packed = 0, nested = 0;
    for (int round = 0; round < 20000; round++) {
        int64_t shape[RANK_MOST];
        const int rank = (int)below(5);
        for (int k = 0; k < rank; k++)
            shape[k] = below(12) ? 1 + below(4) : 0;
        n_made = 0;
        const struct tare_recipe *r = random_tree(4, rank, shape);
        assert_int_equal(r->rank, rank);
        assert_memory_equal(r->shape, shape, (size_t)rank * sizeof *shape);
        packed += r->packed && r->op != TARE_OP_TAKE;
        nested += n_made > 4;
        check_tree(r);
        tare_arena_reset(&arena);
    }
    assert_true(packed > 200 && nested > 2000); /* the trees are worth the name */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(shapes, release),
        cmocka_unit_test_teardown(nothing_to_do, release),
        cmocka_unit_test_teardown(misuse, release),
        cmocka_unit_test_teardown(stays_packed, release),
        cmocka_unit_test_teardown(words, release),
        cmocka_unit_test_teardown(leaves_from_left_to_right, release),
        cmocka_unit_test_teardown(refused, release),
        cmocka_unit_test_teardown(zero_sizes_give_no_pieces, release),
        cmocka_unit_test_teardown(rows_of_experts, release),
        cmocka_unit_test_teardown(random_trees, release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
