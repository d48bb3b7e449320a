/* SPDX-License-Identifier: MIT
 * sources.c - the view by source module: what of the checkpoint goes into a folder that keeps its names.
 */
#include <stdlib.h>

#include "save/save.h"

struct list {
    struct tare_source *sources; /* heap */
    size_t n, room;
    enum tare_kind kind; /* of the next ones */
    bool failed;
};

static void visit(void *user, const struct tare_module *module)
{
    struct list *list = user;
    if (!tare_grow(&list->sources, &list->room, list->n + 1, sizeof *list->sources)) {
        list->failed = true;
        return;
    }
    list->sources[list->n++] = (struct tare_source){.module = module, .kind = list->kind};
}

static const struct tare_tensor *first_part(const struct tare_module *module)
{
    const struct tare_tensor *first = NULL;
    for (int k = 0; k < TARE_PARTS && !first; k++)
        first = module->part[k];
    return first;
}

/* In the order of the files; of one module the embedding first, a head that is tied to it is a user of it. */
static int by_place(const void *a, const void *b)
{
    const struct tare_source *x = a, *y = b;
    const struct tare_tensor *one = first_part(x->module), *two = first_part(y->module);
    if (one->file != two->file)
        return one->file < two->file ? -1 : 1;
    if (one->offset != two->offset)
        return one->offset < two->offset ? -1 : 1;
    if (x->module != y->module) /* tensors without elements share an offset */
        return x->module < y->module ? -1 : 1;
    return x->kind == y->kind ? 0 : x->kind == TARE_KIND_EMBEDDING || y->kind == TARE_KIND_PLAIN ? -1 : 1;
}

static int by_module(const void *a, const void *b)
{
    const struct tare_module *x = *(const struct tare_module *const *)a, *y = *(const struct tare_module *const *)b;
    return x == y ? 0 : x < y ? -1 : 1;
}

static bool mark_turned(const struct tare_model *model, struct tare_source *sources, size_t n)
{
    const struct tare_module **turned = NULL;
    size_t room = 0, m = 0;
    for (const struct tare_turned *t = model->weights.turned; t; t = t->before) {
        if (!tare_grow(&turned, &room, m + 1, sizeof *turned)) {
            free(turned);
            return false;
        }
        turned[m++] = t->module;
    }
    if (m)
        qsort(turned, m, sizeof *turned, by_module);
    for (size_t k = 0; m && k < n; k++)
        sources[k].turned = bsearch(&sources[k].module, turned, m, sizeof *turned, by_module) != NULL;
    free(turned);
    return true;
}

enum tare_code tare_source_modules(const struct tare_model *model, struct tare_source **sources, size_t *n,
                                   struct tare_error *err)
{
    const struct tare_entry *bound = model->tie.bound;
    const struct tare_module *head = bound && bound->recipe->op == TARE_OP_TAKE ? bound->recipe->module : NULL;
    struct list list = {.kind = TARE_KIND_PLAIN};
    for (size_t k = 0; k < model->weights.n; k++) {
        const struct tare_entry *entry = &model->weights.entries[k];
        if (!entry->absorbed && !entry->redundant)
            tare_recipe_leaves(entry->recipe, visit, &list);
    }
    for (size_t k = 0; k < model->tree.n; k++) {
        const struct tare_parameter *parameter = model->tree.parameters[k];
        list.kind = parameter->kind;
        if (parameter->active && parameter->entry)
            tare_recipe_leaves(parameter->entry->recipe, visit, &list);
    }
    if (list.n)
        qsort(list.sources, list.n, sizeof *list.sources, by_place);
    *sources = list.sources;
    *n = 0;
    for (size_t k = 0; k < list.n; k++) {
        const struct tare_source source = list.sources[k];
        const struct tare_module *module = source.module;
        if (*n && (*sources)[*n - 1].module == module)
            continue;
        if (module->fault) /* set aside, or the plan would not load */
            return tare_fail(err, module->fault_code, module->fault_name ? module->fault_name : module->name,
                             "mlx-lm has no use for it, the other formats do: %s", module->fault);
        (*sources)[*n] = source;
        if (module == head) /* it serves as the embedding, and is stored as a head */
            (*sources)[*n].kind = TARE_KIND_LINEAR;
        ++*n;
    }
    return list.failed || !mark_turned(model, *sources, *n) ? tare_fail_memory(err) : TARE_OK;
}
