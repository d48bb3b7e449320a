/* SPDX-License-Identifier: MIT
 * strict.c - stage 7, strict: every live entry is bound to a parameter, and what is missing, unexpected or misshapen
 * goes into one report. */
#include "plan/stages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define SHAPE_SHOWN 6 /* axes of a shape in a message: a hostile header may give a tensor thousands */

static bool push(void *array, size_t *room, size_t *n, const void *item, size_t size)
{
    char **items = array;
    if (!tare_grow(array, room, *n + 1, size))
        return false;
    memcpy(*items + (*n)++ * size, item, size);
    return true;
}

static bool fits(const struct tare_parameter *p, const struct tare_recipe *r)
{
    return p->rank == r->rank && (!p->rank || !memcmp(p->shape, r->shape, (size_t)p->rank * sizeof *p->shape));
}

static void first_fault(void *user, const struct tare_module *module)
{
    const struct tare_module **fault = user;
    if (module->fault && !*fault)
        *fault = module;
}

static void first_unusable(void *user, const struct tare_module *module)
{
    const struct tare_module **unusable = user;
    if (module->unusable && !*unusable)
        *unusable = module;
}

static void first_tensor(void *user, const struct tare_module *module)
{
    const struct tare_tensor **tensor = user;
    for (int k = 0; k < TARE_PARTS && !*tensor; k++)
        *tensor = module->part[k];
}

/* The plain name of the file in which an entry's first tensor lies. */
static const char *file_of(const struct tare_model *model, const struct tare_entry *entry)
{
    const struct tare_tensor *tensor = NULL;
    tare_recipe_leaves(entry->recipe, first_tensor, &tensor);
    return tensor ? model->checkpoint.files[tensor->file].name : "?";
}

static void fault_finding(struct tare_model *model, const struct tare_entry *entry)
{
    const struct tare_module *fault = NULL;
    tare_recipe_leaves(entry->recipe, first_fault, &fault);
    if (fault)
        tare_plan_finding(model, TARE_ERROR, fault->fault_code ? fault->fault_code : TARE_E_FORMAT, "module-fault",
                          fault->fault_name ? fault->fault_name : fault->name, "%s: %s", file_of(model, entry),
                          fault->fault);
}

/* P7: two live entries have one name. */
static void twice(struct tare_model *model, const struct tare_parameter *p, const struct tare_entry *entry)
{
    tare_plan_finding(
        model, TARE_ERROR, TARE_E_STRICT, "two-forms", p->name,
        "there are two tensors for this parameter (%s and %s); one form a module is expected, remove the other",
        tare_packing_word(p->entry->recipe->module ? p->entry->recipe->module->packing : &tare_packing_plain,
                          p->entry->recipe->dtype),
        tare_packing_word(entry->recipe->module ? entry->recipe->module->packing : &tare_packing_plain,
                          entry->recipe->dtype));
}

static bool bind(struct tare_model *model, const struct tare_entry *entry)
{
    struct tare_parameter *p = tare_tree_find(&model->tree, entry->name);
    if (!p || !p->active || p->entry) {
        if (p && p->active)
            twice(model, p, entry);
        return push(&model->unexpected, &model->unexpected_room, &model->n_unexpected, &entry, sizeof entry);
    }
    p->entry = entry;
    const struct tare_module *fault = NULL, *unusable = NULL;
    tare_recipe_leaves(entry->recipe, first_fault, &fault);
    tare_recipe_leaves(entry->recipe, first_unusable, &unusable);
    if (unusable)
        tare_plan_finding(model, TARE_WARNING, TARE_OK, "unusable", p->name,
                          "%s: %s; it loads, but neither conversion nor running can read it", file_of(model, entry),
                          unusable->unusable);
    if (fault)
        fault_finding(model, entry);
    else if (!fits(p, entry->recipe)) {
        const struct tare_misshapen row = {p, entry};
        return push(&model->misshapen, &model->misshapen_room, &model->n_misshapen, &row, sizeof row);
    } else if (!tare_dtype_is_float(entry->recipe->dtype) &&
               p->kind != TARE_KIND_INTEGERS) { /* docs/bad-input.md, P8 */
        tare_plan_finding(model, TARE_ERROR, TARE_E_SHAPE, "dtype", p->name, "%s: stored as %s; a float was expected%s",
                          file_of(model, entry), tare_dtype_name(entry->recipe->dtype),
                          entry->recipe->dtype == TARE_U32 || entry->recipe->dtype == TARE_I32
                              ? "; packed codes need their scales and a quantization_config"
                              : "");
    }
    return true;
}

static void shape_text(struct tare_text *text, int rank, const int64_t *shape)
{
    tare_text_puts(text, "[");
    for (int i = 0; i < rank && i < SHAPE_SHOWN; i++)
        tare_text_format(text, "%s%lld", i ? ", " : "", (long long)shape[i]);
    tare_text_puts(text, rank > SHAPE_SHOWN ? ", ...]" : "]");
}

/* The likely cause of an unexpected tensor, and what to do. */
static const char *cause(const struct tare_model *model, const char *name)
{
    if (strstr(name, "lm_head."))
        return "nothing authoritative says that this output head is the embedding; if it is, \"tie_word_embeddings\": "
               "true in "
               "config.json says so, if it is a head of its own, false does, where the architecture has a place for "
               "one; `tare repair` compares the two and sets it";
    if (tare_ends_with(name, ".qweight") || tare_ends_with(name, ".qzeros"))
        return "packed tensors, but config.json has no quantization_config that announces them; `tare repair` "
               "makes one where the tensors leave no doubt";
    if (tare_ends_with(name, ".bias"))
        return "the architecture has no such bias; one that is all zero `tare repair` drops";
    if (tare_ends_with(name, ".scales"))
        return model->quant.method == TARE_METHOD_NONE
                   ? "scales, but config.json announces no quantization; add quantization_config, or remove the tensor"
                   : "scales without a packed weight beside them; remove the tensor or fetch the checkpoint again";
    if (strstr(name, "layers.") || strstr(name, "h."))
        return "config.json describes no such layer or part; is it the config of this checkpoint?";
    return "the architecture has no such parameter; is config.json that of this checkpoint?";
}

static void unexpected_finding(struct tare_model *model)
{
    struct tare_text text = {0};
    if (!model->n_unexpected)
        return;
    for (size_t i = 0; i < model->n_unexpected; i++)
        fault_finding(model, model->unexpected[i]);
    for (size_t i = 0; i < model->n_unexpected && i < 3; i++)
        tare_text_format(&text, "%s%s", i ? ", " : "", model->unexpected[i]->name);
    tare_plan_finding(model, TARE_ERROR, TARE_E_STRICT, "unexpected", model->unexpected[0]->name,
                      "%s: %zu tensor%s the model has no parameter for: %s%s; %s", file_of(model, model->unexpected[0]),
                      model->n_unexpected, model->n_unexpected == 1 ? "" : "s", text.data ? text.data : "",
                      model->n_unexpected > 3 ? ", ..." : "", cause(model, model->unexpected[0]->name));
    tare_text_release(&text);
}

static void missing_finding(struct tare_model *model)
{
    struct tare_text text = {0};
    if (!model->n_missing)
        return;
    for (size_t i = 0; i < model->n_missing && i < 3; i++)
        tare_text_format(&text, "%s%s", i ? ", " : "", model->missing[i]->name);
    tare_plan_finding(model, TARE_ERROR, TARE_E_STRICT, "missing", model->missing[0]->name,
                      "%zu parameter%s without a tensor: %s%s; %s", model->n_missing, model->n_missing == 1 ? "" : "s",
                      text.data ? text.data : "", model->n_missing > 3 ? ", ..." : "",
                      model->n_unexpected ? "the names above may be theirs in another spelling"
                                          : "the checkpoint is incomplete, or config.json is not its own");
    tare_text_release(&text);
}

static void misshapen_findings(struct tare_model *model)
{
    for (size_t i = 0; i < model->n_misshapen && i < 8; i++) {
        const struct tare_misshapen *m = &model->misshapen[i];
        struct tare_text got = {0}, want = {0};
        shape_text(&got, m->entry->recipe->rank, m->entry->recipe->shape);
        shape_text(&want, m->parameter->rank, m->parameter->shape);
        tare_plan_finding(model, TARE_ERROR, TARE_E_SHAPE, "misshapen", m->parameter->name,
                          "%s: shape %s, config.json asks for %s; is it the config of this checkpoint?",
                          file_of(model, m->entry), got.data ? got.data : "?", want.data ? want.data : "?");
        tare_text_release(&got);
        tare_text_release(&want);
    }
}

/* Binds an entry that mlx-lm sets aside and running needs. One that does not fit must not be left out in silence. */
static void bind_aside(struct tare_model *model, const struct tare_entry *entry)
{
    struct tare_parameter *p = tare_tree_find(&model->tree, entry->name);
    if (!p || !p->optional || p->aside)
        return;
    const struct tare_recipe *recipe = entry->recipe;
    if (tare_dtype_is_float(recipe->dtype) &&
        tare_shape_count(recipe->rank, recipe->shape) == tare_shape_count(p->rank, p->shape)) {
        p->aside = entry;
        return;
    }
    model->runs = false;
    tare_plan_finding(model, TARE_WARNING, TARE_OK, "unusable", p->name,
                      "%s: it has another shape or type than running needs, so this checkpoint cannot be run",
                      file_of(model, entry));
}

enum tare_code tare_plan_close(struct tare_model *model, struct tare_error *err)
{
    for (size_t i = 0; i < model->weights.n; i++) {
        const struct tare_entry *entry = &model->weights.entries[i];
        if (!entry->rule && !entry->absorbed && !bind(model, entry))
            return tare_fail_memory(err);
        if (entry->rule)
            bind_aside(model, entry);
    }
    for (size_t i = 0; i < model->tree.n; i++) {
        const struct tare_parameter *p = model->tree.parameters[i];
        if (p->active && !p->entry && !push(&model->missing, &model->missing_room, &model->n_missing, &p, sizeof p))
            return tare_fail_memory(err);
    }
    misshapen_findings(model);
    unexpected_finding(model);
    missing_finding(model);
    if (model->code && err)
        *err = model->error;
    return model->code ? model->code : tare_plan_fold(model, err);
}
