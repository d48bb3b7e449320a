/* SPDX-License-Identifier: MIT
 * fold.c - act-order of GPTQ and compressed-tensors, for formats whose groups are runs of columns: the columns are
 * sorted into their groups, and what produces the input gives its outputs in that order. Exact: a sum of the same
 * products.
 *
 *     down(act(gate(x)) * up(x))      between them all is by element: rows of gate and up in the new order
 *     o(attention(q, k, v))           elements of one head mix in no other way: rows of v, where q, k and v have the
 *                                     same heads and no column leaves its head
 * All other inputs (the residual stream) are shared, and their order cannot change.
 */
#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"

/* A linear layer whose columns are to be sorted, and the block in which it lies. */
struct folding {
    struct tare_model *model;
    const struct tare_parameter *to;
    const char *prefix; /* "model.layers.0.mlp." */
    size_t n_prefix;
    /* The module of `to`. */
    const struct tare_module *module;
    /* Column i goes to place[i]; order is the inverse: column order[p] stands at p. */
    int32_t *place, *order;
};

static struct tare_parameter *beside(const struct folding *f, const char *name)
{
    const char *full = tare_arena_format(&f->model->arena, "%.*s%s", (int)f->n_prefix, f->prefix, name);
    struct tare_parameter *p = full ? tare_tree_find(&f->model->tree, full) : NULL;
    return p && p->active && p->entry ? p : NULL;
}

/* Does the block have no other parameter than those named? */
static bool only(const struct folding *f, const char *const *names, size_t n)
{
    for (size_t i = 0; i < f->model->tree.n; i++) {
        const struct tare_parameter *p = f->model->tree.parameters[i];
        bool known = !p->active || strncmp(p->name, f->prefix, f->n_prefix) != 0;
        for (size_t k = 0; !known && k < n; k++)
            known = !strcmp(p->name + f->n_prefix, names[k]);
        if (!known)
            return false;
    }
    return true;
}

/* Can the rows of this matrix be moved? It must have that many rows and come unchanged from a packing that can. */
static bool movable(const struct tare_recipe *recipe, int64_t rows)
{
    return recipe->op == TARE_OP_TAKE && recipe->rank == 2 && recipe->shape[0] == rows &&
           recipe->module->packing->reorders && !recipe->module->fault && !recipe->module->rows;
}

static const struct tare_recipe *moved(const struct folding *f, const struct tare_recipe *recipe)
{
    struct tare_arena *arena = &f->model->arena;
    struct tare_module *module = tare_arena_alloc(arena, sizeof *module);
    if (!module)
        return recipe; /* The arena is marked failed, which the caller reports. */
    *module = *recipe->module;
    module->rows = f->order;
    return tare_recipe_take(arena, module);
}

static bool fold_single(const struct folding *f, struct tare_parameter *p, bool apply)
{
    if (!p || !movable(p->entry->recipe, f->module->shape[1]))
        return false;
    if (apply)
        p->sorted = moved(f, p->entry->recipe);
    return true;
}

/* gate_up_proj, joined from two halves that the checkpoint has one by one (plan/gptq_judge.c). */
static bool fold_halves(const struct folding *f, struct tare_parameter *p, bool apply)
{
    const struct tare_recipe *join = p ? p->entry->recipe : NULL, *half[2];
    if (!join || join->op != TARE_OP_JOIN || join->n_inputs != 2 || join->axis != 0 ||
        !movable(join->inputs[0], f->module->shape[1]) || !movable(join->inputs[1], f->module->shape[1]))
        return false;
    for (int k = 0; apply && k < 2; k++)
        half[k] = moved(f, join->inputs[k]);
    if (apply)
        p->sorted = tare_recipe_join(&f->model->arena, half, 2, 0);
    return true;
}

static bool fold_mlp(const struct folding *f)
{
    static const char *const names[] = {"down_proj.weight", "gate_proj.weight", "up_proj.weight", "gate_up_proj.weight",
                                        "down_proj.bias"};
    struct tare_parameter *gate = beside(f, names[1]), *up = beside(f, names[2]), *both = beside(f, names[3]);
    if (!only(f, names, 5))
        return false;
    if (both)
        return !gate && !up && fold_halves(f, both, false) && fold_halves(f, both, true);
    return fold_single(f, gate, false) && fold_single(f, up, false) && fold_single(f, gate, true) &&
           fold_single(f, up, true);
}

/* Attention qualifies where v goes into o by heads alone: it has no gate on the output and no norm of v, and q, k and v
 * have equally many heads. */
static bool fold_attention(const struct folding *f)
{
    static const char *const names[] = {"o_proj.weight", "v_proj.weight", "q_proj.weight",
                                        "k_proj.weight", "o_proj.bias",   "q_proj.bias",
                                        "k_proj.bias",   "q_norm.weight", "k_norm.weight"};
    const json_t *config = f->model->inner_config ? f->model->inner_config : f->model->config;
    const json_t *number = json_object_get(config, "num_attention_heads");
    const int64_t heads = json_is_integer(number) ? json_integer_value(number) : 0, in = f->module->shape[1];
    const struct tare_parameter *q = beside(f, names[2]), *k = beside(f, names[3]);
    if (heads < 1 || in % heads || !q || !k || q->rank != 2 || k->rank != 2 || q->shape[0] != in || k->shape[0] != in ||
        !only(f, names, sizeof names / sizeof *names))
        return false;
    for (int64_t i = 0; i < in; i++)
        if (f->place[i] / (in / heads) != i / (in / heads))
            return false;
    struct tare_parameter *v = beside(f, names[1]);
    return fold_single(f, v, false) && fold_single(f, v, true);
}

/* Fills place and order: columns go by group, and within a group keep their order. *full is false where a group has
 * fewer or more columns than group_size. */
static enum tare_code sort(struct folding *f, bool *full, struct tare_error *err)
{
    const struct tare_module *m = f->module;
    const int64_t in = m->shape[1], groups = tare_module_groups(m);
    struct tare_arena *arena = &f->model->arena;
    const void *part[TARE_PARTS] = {NULL};
    const enum tare_code code =
        tare_tensor_data(&f->model->checkpoint, m->part[TARE_PART_G_IDX], &part[TARE_PART_G_IDX], err);
    int64_t *next = calloc((size_t)groups, sizeof *next);
    f->place = tare_arena_array(arena, (size_t)in, sizeof *f->place);
    f->order = tare_arena_array(arena, (size_t)in, sizeof *f->order);
    *full = in % m->group_size == 0;
    if (code || !next || !f->place || !f->order) {
        free(next);
        return code ? code : tare_fail_memory(err);
    }
    for (int64_t i = 0; i < in && *full; i++) {
        const int64_t g = tare_module_group(m, part, i);
        *full = next[g] < m->group_size;
        if (!*full)
            break;
        f->place[i] = (int32_t)(g * m->group_size + next[g]++);
        f->order[f->place[i]] = (int32_t)i;
    }
    free(next);
    return TARE_OK;
}

static size_t cut(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n > m && !strcmp(name + n - m, end) ? n - m : 0;
}

static enum tare_code fold(struct tare_model *model, struct tare_parameter *p, bool *folded, struct tare_error *err)
{
    const size_t mlp = cut(p->name, "down_proj.weight"), attention = cut(p->name, "o_proj.weight");
    struct folding f = {.model = model, .to = p, .prefix = p->name, .n_prefix = mlp ? mlp : attention};
    bool full = false;
    *folded = false;
    if (!f.n_prefix || p->name[f.n_prefix - 1] != '.' || p->entry->recipe->op != TARE_OP_TAKE)
        return TARE_OK;
    f.module = p->entry->recipe->module;
    if (!f.module->packing->reorders || f.module->shape[1] > INT32_MAX)
        return TARE_OK;
    const enum tare_code code = sort(&f, &full, err);
    if (code || !full || !(mlp ? fold_mlp(&f) : fold_attention(&f)))
        return code;
    struct tare_module *sorted = tare_arena_alloc(&model->arena, sizeof *sorted);
    if (!sorted)
        return tare_fail_memory(err);
    *sorted = *f.module;
    sorted->act_order = false;
    sorted->place = f.place;
    p->sorted = tare_recipe_take(&model->arena, sorted);
    *folded = true;
    return TARE_OK;
}

const struct tare_recipe *tare_parameter_recipe(const struct tare_parameter *parameter)
{
    return parameter->sorted ? parameter->sorted : parameter->entry->recipe;
}

enum tare_code tare_plan_fold(struct tare_model *model, struct tare_error *err)
{
    const struct tare_parameter *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < model->tree.n && !model->options.no_data; i++) {
        struct tare_parameter *p = model->tree.parameters[i];
        bool folded = false;
        if (!p->active || !p->entry || p->kind != TARE_KIND_LINEAR || p->entry->recipe->op != TARE_OP_TAKE ||
            !p->entry->recipe->module->act_order || tare_dense_asked(model->options.dequantize, p->name))
            continue;
        const enum tare_code code = fold(model, p, &folded, err);
        if (code)
            return code;
        first = first ? first : folded ? p : NULL;
        n += folded;
    }
    if (n)
        tare_plan_finding(model, TARE_NOTE, TARE_OK, "act-order-folded", first->name,
                          "for mlx, columns of %zu module%s in act-order are sorted into groups, and the rows of what "
                          "produces their input follow",
                          n, n == 1 ? "" : "s");
    return model->arena.failed ? tare_fail_memory(err) : TARE_OK;
}
