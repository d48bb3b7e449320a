/* SPDX-License-Identifier: MIT
 * recipe.c - how a parameter is made of modules: nodes that never change once made, and their one line for explain.
 *
 * Shapes come from checkpoints and may be hostile, so a constructor that is asked for what its inputs do not have
 * (unlike shapes, an axis too many, a cut too far) gives its first input back: strict loading then reports that shape.
 */
#include "module/module.h"

#include <string.h>

#include "base/text.h"

/* What stands for a recipe when memory ran out. */
static const int64_t no_shape[1];
static const struct tare_module no_module = {
    .name = "",
    .shape = no_shape,
    .fault = "out of memory",
    .fault_name = "",
    .fault_code = TARE_E_MEMORY,
};
static const struct tare_recipe dummy = {.op = TARE_OP_TAKE, .shape = no_shape, .module = &no_module};

/* A node of its own with a copy of `shape`; NULL: no memory, and the arena says so. */
static struct tare_recipe *node(struct tare_arena *arena, enum tare_op op, int rank, const int64_t *shape,
                                int64_t **own)
{
    struct tare_recipe *r = tare_arena_alloc(arena, sizeof *r);
    *own = tare_arena_array(arena, (size_t)rank + 1, sizeof **own);
    if (!r || !*own)
        return NULL;
    if (rank && shape)
        memcpy(*own, shape, (size_t)rank * sizeof **own);
    *r = (struct tare_recipe){.op = op, .rank = rank, .shape = *own};
    return r;
}

/* A node over inputs, which are copied; it begins as a likeness of the first. */
static struct tare_recipe *node_over(struct tare_arena *arena, enum tare_op op, const struct tare_recipe *const *inputs,
                                     size_t n, int64_t **own)
{
    const struct tare_recipe *first = inputs[0];
    struct tare_recipe *r = node(arena, op, first->rank, first->shape, own);
    const struct tare_recipe **copy = tare_arena_array(arena, n, sizeof *copy);
    if (!r || !copy)
        return NULL;
    memcpy(copy, inputs, n * sizeof *copy);
    r->inputs = copy;
    r->n_inputs = n;
    r->dtype = first->dtype;
    r->packed = first->packed;
    return r;
}

/* Of its first leaf; of a packed recipe that is the packing of all. */
static const struct tare_packing *packing_of(const struct tare_recipe *r)
{
    while (r->op != TARE_OP_TAKE)
        r = r->inputs[0];
    return r->module->packing;
}

static bool all_packed(const struct tare_recipe *const *inputs, size_t n)
{
    const struct tare_packing *packing = packing_of(inputs[0]);
    for (size_t i = 0; i < n; i++)
        if (!inputs[i]->packed || packing_of(inputs[i]) != packing)
            return false;
    return true;
}

/* The same shape, but for one axis (-1: for none). */
static bool alike(const struct tare_recipe *a, const struct tare_recipe *b, int but)
{
    if (a->rank != b->rank)
        return false;
    for (int k = 0; k < a->rank; k++)
        if (k != but && a->shape[k] != b->shape[k])
            return false;
    return true;
}

const struct tare_recipe *tare_recipe_take(struct tare_arena *arena, const struct tare_module *module)
{
    int64_t *shape;
    struct tare_recipe *r =
        node(arena, TARE_OP_TAKE, module->shape && module->rank > 0 ? module->rank : 0, module->shape, &shape);
    if (!r)
        return &dummy;
    r->dtype = module->dtype;
    r->packed = module->packed;
    r->module = module;
    return r;
}

/* Is order a permutation of 0 .. rank - 1, and does it move anything? `order` is copied to *copy. */
static bool permutes(struct tare_arena *arena, const int *order, int rank, int **copy, bool *moves)
{
    bool *seen = tare_arena_array(arena, (size_t)rank + 1, sizeof *seen);
    *copy = tare_arena_array(arena, (size_t)rank + 1, sizeof **copy);
    *moves = false;
    if (!seen || !*copy)
        return false;
    for (int k = 0; k < rank; k++) {
        if (order[k] < 0 || order[k] >= rank || seen[order[k]])
            return false;
        seen[order[k]] = true;
        (*copy)[k] = order[k];
        *moves |= order[k] != k;
    }
    return true;
}

const struct tare_recipe *tare_recipe_transpose(struct tare_arena *arena, const struct tare_recipe *input,
                                                const int *order)
{
    int *copy;
    bool moves;
    int64_t *shape;
    if (!permutes(arena, order, input->rank, &copy, &moves) || !moves)
        return arena->failed ? &dummy : input;
    struct tare_recipe *r = node_over(arena, TARE_OP_TRANSPOSE, &input, 1, &shape);
    if (!r)
        return &dummy;
    for (int k = 0; k < r->rank; k++)
        shape[k] = input->shape[copy[k]];
    r->order = copy;
    r->packed = false;
    return r;
}

const struct tare_recipe *tare_recipe_stack(struct tare_arena *arena, const struct tare_recipe *const *inputs, size_t n)
{
    if (!n)
        return &dummy;
    for (size_t i = 1; i < n; i++)
        if (!alike(inputs[0], inputs[i], -1))
            return inputs[0];
    int64_t *shape;
    struct tare_recipe *r = node_over(arena, TARE_OP_STACK, inputs, n, &shape);
    if (!r)
        return &dummy;
    /* node() left room for one axis more */
    memmove(shape + 1, shape, (size_t)r->rank * sizeof *shape);
    shape[0] = (int64_t)n;
    r->rank++;
    r->packed = all_packed(inputs, n);
    return r;
}

const struct tare_recipe *tare_recipe_join(struct tare_arena *arena, const struct tare_recipe *const *inputs, size_t n,
                                           int axis)
{
    if (!n)
        return &dummy;
    if (n == 1 || axis < 0 || axis >= inputs[0]->rank)
        return inputs[0];
    int64_t length = 0;
    for (size_t i = 0; i < n; i++) {
        if (!alike(inputs[0], inputs[i], axis) || inputs[i]->shape[axis] > INT64_MAX - length)
            return inputs[0];
        length += inputs[i]->shape[axis];
    }
    int64_t *shape;
    struct tare_recipe *r = node_over(arena, TARE_OP_JOIN, inputs, n, &shape);
    if (!r)
        return &dummy;
    shape[axis] = length;
    r->axis = axis;
    r->packed = axis < r->rank - 1 && all_packed(inputs, n);
    return r;
}

static const struct tare_recipe *cut(struct tare_arena *arena, const struct tare_recipe *input, int axis, int64_t start,
                                     int64_t step, int64_t count)
{
    int64_t *shape;
    struct tare_recipe *r = node_over(arena, TARE_OP_SLICE, &input, 1, &shape);
    if (!r)
        return &dummy;
    shape[axis] = count;
    r->axis = axis;
    r->start = start;
    r->step = step;
    r->packed = axis < r->rank - 1 && input->packed;
    return r;
}

const struct tare_recipe *tare_recipe_slice(struct tare_arena *arena, const struct tare_recipe *input, int axis,
                                            int64_t start, int64_t count)
{
    if (axis < 0 || axis >= input->rank || start < 0 || count < 0 || start > input->shape[axis] ||
        count > input->shape[axis] - start || count == input->shape[axis])
        return input;
    return cut(arena, input, axis, start, 1, count);
}

const struct tare_recipe *tare_recipe_alternate(struct tare_arena *arena, const struct tare_recipe *input, int axis,
                                                int64_t start, int64_t step)
{
    if (axis < 0 || axis >= input->rank || start < 0 || step < 1 || start >= input->shape[axis] || step == 1)
        return input;
    return cut(arena, input, axis, start, step, (input->shape[axis] - start - 1) / step + 1);
}

/* The product of all axes, -1 when it does not fit. */
static int64_t count_of(int rank, const int64_t *shape)
{
    int64_t n = 1;
    for (int k = 0; k < rank; k++)
        if (shape[k] < 0 || __builtin_mul_overflow(n, shape[k], &n))
            return -1;
    return n;
}

const struct tare_recipe *tare_recipe_reshape(struct tare_arena *arena, const struct tare_recipe *input, int rank,
                                              const int64_t *shape)
{
    const int64_t n = count_of(rank, shape);
    bool same = rank == input->rank;
    for (int k = 0; same && k < rank; k++)
        same = shape[k] == input->shape[k];
    if (rank < 0 || n < 0 || n != count_of(input->rank, input->shape) || same)
        return input;
    int64_t *old, *own = tare_arena_array(arena, (size_t)rank + 1, sizeof *own);
    struct tare_recipe *r = own ? node_over(arena, TARE_OP_RESHAPE, &input, 1, &old) : NULL;
    if (!r)
        return &dummy;
    memcpy(own, shape, (size_t)rank * sizeof *own);
    r->packed = input->packed && input->rank > 0 && rank > 0 && own[rank - 1] == input->shape[input->rank - 1];
    r->rank = rank;
    r->shape = own;
    return r;
}

const struct tare_recipe *tare_recipe_value(struct tare_arena *arena, const struct tare_recipe *input,
                                            const struct tare_value *value, enum tare_dtype dtype)
{
    const bool nothing = (value->function == TARE_ADD && value->operand == 0) ||
                         (value->function == TARE_MULTIPLY && value->operand == 1) ||
                         (value->function == TARE_DIVIDE_BY_NORM && (input->op != TARE_OP_TAKE || input->rank != 2));
    int64_t *shape;
    struct tare_recipe *r = nothing ? NULL : node_over(arena, TARE_OP_VALUE, &input, 1, &shape);
    if (!r)
        return nothing ? input : &dummy;
    r->value = *value;
    r->dtype = dtype;
    r->packed = false;
    return r;
}

void tare_recipe_leaves(const struct tare_recipe *recipe, void (*visit)(void *user, const struct tare_module *module),
                        void *user)
{
    if (recipe->op == TARE_OP_TAKE)
        visit(user, recipe->module);
    for (size_t i = 0; i < recipe->n_inputs; i++)
        tare_recipe_leaves(recipe->inputs[i], visit, user);
}

static void say(struct tare_text *text, const struct tare_recipe *r);

/* An input within a sentence: a module by its name. */
static void say_input(struct tare_text *text, const struct tare_recipe *r)
{
    if (r->op == TARE_OP_TAKE)
        tare_text_puts(text, r->module->name);
    else
        say(text, r);
}

static void say_order(struct tare_text *text, const struct tare_recipe *r)
{
    tare_text_puts(text, "transpose (");
    for (int k = 0; k < r->rank; k++)
        tare_text_format(text, k ? ", %d" : "%d", r->order[k]);
    tare_text_puts(text, ") of ");
    say_input(text, r->inputs[0]);
}

static void say_reshape(struct tare_text *text, const struct tare_recipe *r)
{
    tare_text_puts(text, "shape (");
    for (int k = 0; k < r->rank; k++)
        tare_text_format(text, k ? ", %lld" : "%lld", (long long)r->shape[k]);
    tare_text_puts(text, ") of ");
    say_input(text, r->inputs[0]);
}

static void say_value(struct tare_text *text, const struct tare_recipe *r)
{
    if (r->inputs[0]->op != TARE_OP_TAKE) {
        say(text, r->inputs[0]);
        tare_text_puts(text, ", ");
    }
    switch (r->value.function) {
    case TARE_ADD:
        tare_text_format(text, "plus %.12g", r->value.operand);
        break;
    case TARE_MULTIPLY:
        tare_text_format(text, "times %.12g", r->value.operand);
        break;
    case TARE_DIVIDE_BY_NORM:
        tare_text_format(text, "each %s divided by its norm", r->value.axis ? "row" : "column");
        break;
    case TARE_GATE_KEEP:
        tare_text_puts(text, "the share of the stream, of a residual gate");
        break;
    case TARE_GATE_TAKE:
        tare_text_puts(text, "the share of the branch, of a residual gate");
        break;
    }
}

static void say_slice(struct tare_text *text, const struct tare_recipe *r)
{
    if (r->step > 1) {
        tare_text_format(text, "each %lldth from %lld along axis %d of ", (long long)r->step, (long long)r->start,
                         r->axis);
        say_input(text, r->inputs[0]);
        return;
    }
    const long long first = (long long)r->start, last = first + (long long)r->shape[r->axis] - 1;
    if (r->rank > 1 && r->axis == r->rank - 1)
        tare_text_format(text, "columns %lld .. %lld of ", first, last);
    else if (r->rank > 1 && r->axis == r->rank - 2)
        tare_text_format(text, "rows %lld .. %lld of ", first, last);
    else
        tare_text_format(text, "%lld .. %lld along axis %d of ", first, last, r->axis);
    say_input(text, r->inputs[0]);
}

/* Many inputs: how many, and the first unless it is a plain module. */
static void say_many(struct tare_text *text, const struct tare_recipe *r)
{
    if (r->op == TARE_OP_STACK)
        tare_text_format(text, "stack of %zu", r->n_inputs);
    else
        tare_text_format(text, "join of %zu along axis %d", r->n_inputs, r->axis);
    if (r->inputs[0]->op == TARE_OP_TAKE)
        return;
    tare_text_puts(text, " (the first: ");
    say(text, r->inputs[0]);
    tare_text_puts(text, ")");
}

/* A packed module of a GGUF file may have its rows in ggml's order. They are read in ours, without a step of its own. */
static void say_take(struct tare_text *text, const struct tare_module *module)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT];
    tare_text_puts(text, "as stored");
    if (module->packed && weight && weight->heads)
        tare_text_format(text, ", the permuted rows of %lld heads put back in order", (long long)weight->heads);
}

static void say(struct tare_text *text, const struct tare_recipe *r)
{
    switch (r->op) {
    case TARE_OP_TAKE:
        say_take(text, r->module);
        break;
    case TARE_OP_TRANSPOSE:
        say_order(text, r);
        break;
    case TARE_OP_SLICE:
        say_slice(text, r);
        break;
    case TARE_OP_STACK:
    case TARE_OP_JOIN:
        say_many(text, r);
        break;
    case TARE_OP_RESHAPE:
        say_reshape(text, r);
        break;
    case TARE_OP_VALUE:
        say_value(text, r);
        break;
    }
}

const char *tare_recipe_text(struct tare_arena *arena, const struct tare_recipe *recipe)
{
    struct tare_text text = {0};
    say(&text, recipe);
    const char *line = text.failed ? NULL : tare_arena_copy(arena, text.data, text.size);
    arena->failed |= !line;
    tare_text_release(&text);
    return line ? line : "";
}
