/* SPDX-License-Identifier: MIT
 * mend_tensors.c - tensors under another name, or not at all: a tied checkpoint whose only copy of the matrix lies
 * under the head's name, and biases of zeros on linears that have none.
 */
#include <string.h>

#include "repair/repair.h"
#include "tree/prove.h"

/* ---- a head without an embedding ----------------------------------------------------------------------------- */

/* "model." of the source "layers.0.x" that became "model.layers.0.x": what rewriting puts before names; "" where it
 * leaves them alone, NULL where it cannot be told. */
static const char *prefix_put(const struct tare_model *m, size_t *n)
{
    for (size_t i = 0; i < m->weights.n; i++) {
        const struct tare_entry *e = &m->weights.entries[i];
        if (e->rule || e->absorbed || e == m->tie.bound || e->recipe->op != TARE_OP_TAKE ||
            !tare_tree_find(&m->tree, e->name) || !strcmp(e->name, e->recipe->module->name) ||
            !tare_ends_with(e->name, e->recipe->module->name))
            continue;
        const size_t all = strlen(e->name), own = strlen(e->recipe->module->name);
        *n = all - own;
        return e->name;
    }
    for (size_t i = 0; i < m->weights.n; i++) {
        const struct tare_entry *e = &m->weights.entries[i];
        if (!e->rule && e != m->tie.bound && e->recipe->op == TARE_OP_TAKE &&
            !strcmp(e->name, e->recipe->module->name) && tare_tree_find(&m->tree, e->name)) {
            *n = 0;
            return e->name;
        }
    }
    return NULL;
}

/* The name of the embedding as this checkpoint would spell it; NULL: it cannot be told. */
static const char *embedding_stem(struct tare_repair *r)
{
    const struct tare_model *m = r->model;
    const char *name = m->tie.bound->name; /* the parameter's: "model.embed_tokens.weight" */
    size_t n = 0;
    const char *put = prefix_put(m, &n);
    if (!put || strncmp(name, put, n) != 0 || !tare_ends_with(name + n, ".weight"))
        return NULL;
    return tare_arena_copy(&r->arena, name + n, strlen(name) - n - strlen(".weight"));
}

static enum tare_code mend_only_copy(struct tare_repair *r, bool *changed, struct tare_error *err)
{
    const struct tare_model *m = r->model;
    if (!m->tie.bound)
        return TARE_OK;
    const struct tare_module *module = m->tie.bound->recipe->module;
    const char *stem = embedding_stem(r);
    for (int k = 0; k < TARE_PARTS && stem; k++) {
        const char *dot = module->part[k] ? strrchr(module->part[k]->name, '.') : NULL;
        const char *to = dot ? tare_arena_format(&r->arena, "%s%s", stem, dot) : NULL;
        if (dot && (!to || tare_checkpoint_find(&m->checkpoint, to)))
            stem = NULL;
    }
    if (!stem) {
        tare_repair_note(r, m->tie.bound->name,
                         "the only copy lies under the name of the output head, and what the embedding is called in "
                         "this checkpoint is not certain");
        return TARE_OK;
    }
    for (int k = 0; k < TARE_PARTS; k++) {
        if (!module->part[k])
            continue;
        const char *to = tare_arena_format(&r->arena, "%s%s", stem, strrchr(module->part[k]->name, '.'));
        const enum tare_code code =
            to ? tare_repair_tensor(r, module->part[k], to,
                                    "the model is tied and has no embedding: its only copy lies under the head's name",
                                    changed, err)
               : tare_fail_memory(err);
        if (code)
            return code;
    }
    return TARE_OK;
}

/* ---- biases -------------------------------------------------------------------------------------------------- */

/* Is the entry the bias of a linear that has none? */
static bool is_spare(const struct tare_model *m, const struct tare_entry *entry, struct tare_arena *arena)
{
    if (entry->absorbed || entry->recipe->op != TARE_OP_TAKE || !tare_ends_with(entry->name, ".bias") ||
        entry->recipe->module->packing != &tare_packing_plain || entry->recipe->rank != 1)
        return false;
    const struct tare_parameter *own = tare_tree_find(&m->tree, entry->name);
    const char *weight =
        tare_arena_format(arena, "%.*s.weight", (int)(strlen(entry->name) - strlen(".bias")), entry->name);
    const struct tare_parameter *linear = weight ? tare_tree_find(&m->tree, weight) : NULL;
    return !(own && own->active) && linear && linear->active && linear->kind == TARE_KIND_LINEAR;
}

/* What a sanitize drops (rotary tables, causal masks) is not a bias of a linear. What was proved to be zero is one. */
static enum tare_code mend_biases(struct tare_repair *r, bool *changed, struct tare_error *err)
{
    struct tare_model *m = r->model;
    for (size_t i = 0; i < m->weights.n; i++) {
        const struct tare_entry *entry = &m->weights.entries[i];
        bool zero = false;
        if (!is_spare(m, entry, &r->arena))
            continue;
        const struct tare_tensor *tensor = entry->recipe->module->part[TARE_PART_WEIGHT];
        enum tare_code code = TARE_OK;
        if (r->options.no_data)
            tare_repair_note(r, tensor->name, "the linear has no bias; whether this one is zero was not to be read");
        else if (!tare_dtype_is_float(tensor->dtype))
            continue;
        else if (!(code = tare_module_is_zero(&m->checkpoint, entry->recipe->module, &zero, err)) && !zero)
            tare_repair_note(r, tensor->name,
                             "the linear has no bias and this one is not zero: without it the model would be another");
        else if (!code)
            code = tare_repair_tensor(r, tensor, NULL, "all zero, and the linear has no bias", changed, err);
        if (code)
            return code;
    }
    return TARE_OK;
}

enum tare_code tare_mend_tensors(struct tare_repair *r, bool *changed, struct tare_error *err)
{
    enum tare_code code = mend_only_copy(r, changed, err);
    return code || *changed ? code : mend_biases(r, changed, err);
}
