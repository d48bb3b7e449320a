/* SPDX-License-Identifier: MIT
 * sources.c - the view by source module: what of the checkpoint goes into a folder that keeps its names. design.md,
 * section 1, "two views".
 */
#include <stdlib.h>

#include "save/save.h"

struct list {
    const struct tare_module **modules; /* heap */
    size_t n, room;
    bool failed;
};

static void visit(void *user, const struct tare_module *module)
{
    struct list *list = user;
    if (!tare_grow(&list->modules, &list->room, list->n + 1, sizeof *list->modules)) {
        list->failed = true;
        return;
    }
    list->modules[list->n++] = module;
}

static const struct tare_tensor *first_part(const struct tare_module *module)
{
    const struct tare_tensor *first = NULL;
    for (int k = 0; k < TARE_PARTS && !first; k++)
        first = module->part[k];
    return first;
}

static int by_place(const void *a, const void *b)
{
    const struct tare_module *x = *(const struct tare_module *const *)a, *y = *(const struct tare_module *const *)b;
    const struct tare_tensor *one = first_part(x), *two = first_part(y);
    if (one->file != two->file)
        return one->file < two->file ? -1 : 1;
    if (one->offset != two->offset)
        return one->offset < two->offset ? -1 : 1;
    return x == y ? 0 : x < y ? -1 : 1; /* tensors without elements share an offset */
}

enum tare_code tare_source_modules(const struct tare_model *model, const struct tare_module ***modules, size_t *n,
                                   struct tare_error *err)
{
    struct list list = {0};
    for (size_t k = 0; k < model->weights.n; k++) {
        const struct tare_entry *entry = &model->weights.entries[k];
        if (!entry->absorbed && !entry->redundant)
            tare_recipe_leaves(entry->recipe, visit, &list);
    }
    if (list.n)
        qsort(list.modules, list.n, sizeof *list.modules, by_place);
    *modules = list.modules;
    *n = 0;
    for (size_t k = 0; k < list.n; k++) {
        const struct tare_module *module = list.modules[k];
        if (*n && (*modules)[*n - 1] == module)
            continue;
        if (module->fault) /* set aside, or the plan would not load */
            return tare_fail(err, module->fault_code, module->fault_name ? module->fault_name : module->name,
                             "mlx-lm has no use for it, the other formats do: %s", module->fault);
        (*modules)[(*n)++] = module;
    }
    return list.failed ? tare_fail_memory(err) : TARE_OK;
}
