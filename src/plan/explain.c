/* SPDX-License-Identifier: MIT
 * explain.c - the plan in JSON (docs/json.md is the contract), and the way of one tensor in words or JSON. */
#include <string.h>

#include "base/text.h"
#include "plan/plan.h"
#include "plan/put_json.h"

static void put_shape(struct tare_text *t, const char *name, int rank, const int64_t *shape)
{
    tare_put_key(t, name);
    tare_text_puts(t, "[");
    for (int i = 0; i < rank; i++)
        tare_text_format(t, "%s%lld", i ? ", " : "", (long long)shape[i]);
    tare_text_puts(t, "]");
}

static void open_list(struct tare_text *t, const char *name)
{
    tare_text_puts(t, ",\n ");
    tare_text_json(t, name);
    tare_text_puts(t, ": [");
}

static void open_row(struct tare_text *t)
{
    tare_text_puts(t, t->size && t->data[t->size - 1] == '[' ? "\n  {" : ",\n  {");
}

static void put_parameter(struct tare_text *t, const struct tare_report_tensor *p)
{
    open_row(t);
    tare_put_text(t, "name", p->name);
    put_shape(t, "shape", p->rank, p->shape);
    tare_put_text(t, "dtype", p->dtype);
    tare_put_text(t, "packing", p->packing);
    tare_put_number(t, "bits", (uint64_t)p->bits);
    tare_put_number(t, "group_size", (uint64_t)p->group_size);
    tare_put_key(t, "sources");
    tare_text_puts(t, "[");
    for (size_t i = 0; i < p->n_sources; i++)
        tare_put_text(t, NULL, p->sources[i]);
    tare_text_puts(t, "]");
    tare_put_text(t, "recipe", p->rule);
    tare_text_puts(t, "}");
}

static void put_stored(struct tare_text *t, const struct tare_report_tensor *row, bool rule)
{
    open_row(t);
    tare_put_text(t, "name", row->name);
    put_shape(t, "shape", row->rank, row->shape);
    tare_put_text(t, "dtype", row->dtype);
    tare_put_text(t, "file", row->file);
    if (rule) {
        tare_put_text(t, "rule", row->rule);
        tare_put_text(t, "evidence", row->evidence);
    }
    tare_text_puts(t, "}");
}

static void put_formats(struct tare_text *t, const struct tare_report *r)
{
    open_list(t, "formats");
    for (size_t i = 0; i < r->n_formats; i++) {
        open_row(t);
        tare_put_text(t, "packing", r->formats[i].packing);
        tare_put_number(t, "bits", (uint64_t)r->formats[i].bits);
        tare_put_number(t, "group_size", (uint64_t)r->formats[i].group_size);
        tare_put_number(t, "modules", r->formats[i].modules);
        tare_text_puts(t, "}");
    }
    tare_text_puts(t, "]");
}

static void put_counts(struct tare_text *t, const struct tare_report *r)
{
    tare_text_puts(t, ",\n \"counts\": {");
    tare_put_number(t, "sources", r->sources);
    tare_put_number(t, "used", r->used);
    tare_put_number(t, "set_aside", r->n_set_aside);
    tare_put_number(t, "parameters", r->declared);
    tare_put_number(t, "bound", r->bound);
    tare_put_number(t, "missing", r->n_missing);
    tare_put_number(t, "unexpected", r->n_unexpected);
    tare_put_number(t, "misshapen", r->n_misshapen);
    tare_text_puts(t, "}");
}

static void put_heads(struct tare_text *t, const struct tare_report *r)
{
    open_list(t, "head");
    for (size_t i = 0; i < r->n_heads; i++) {
        const struct tare_report_head *h = &r->heads[i];
        open_row(t);
        tare_put_text(t, "prefix", h->prefix);
        tare_put_text(t, "decision", h->decision);
        tare_put_text(t, "owner", h->owner);
        tare_put_text(t, "evidence", h->evidence);
        tare_put_text(t, "where", h->where);
        tare_put_text(t, "proof", h->proof);
        tare_text_puts(t, "}");
    }
    tare_text_puts(t, "]");
}

static void put_differences(struct tare_text *t, const struct tare_report *r)
{
    open_list(t, "set_aside");
    for (size_t i = 0; i < r->n_set_aside; i++)
        put_stored(t, &r->set_aside[i], true);
    tare_text_puts(t, "]");
    open_list(t, "missing");
    for (size_t i = 0; i < r->n_missing; i++) {
        open_row(t);
        tare_put_text(t, "name", r->missing[i].name);
        put_shape(t, "shape", r->missing[i].rank, r->missing[i].shape);
        tare_text_puts(t, "}");
    }
    tare_text_puts(t, "]");
    open_list(t, "unexpected");
    for (size_t i = 0; i < r->n_unexpected; i++)
        put_stored(t, &r->unexpected[i], false);
    tare_text_puts(t, "]");
    open_list(t, "misshapen");
    for (size_t i = 0; i < r->n_misshapen; i++) {
        open_row(t);
        tare_put_text(t, "name", r->misshapen[i].name);
        put_shape(t, "shape", r->misshapen[i].rank, r->misshapen[i].shape);
        put_shape(t, "expected", r->misshapen[i].expected_rank, r->misshapen[i].expected);
        tare_text_puts(t, "}");
    }
    tare_text_puts(t, "]");
}

static void put_findings(struct tare_text *t, const struct tare_report *r)
{
    static const char *const levels[] = {"note", "warning", "error"};
    open_list(t, "findings");
    for (size_t i = 0; i < r->n_findings; i++) {
        open_row(t);
        tare_put_text(t, "level", levels[r->findings[i].level]);
        tare_put_text(t, "code", r->findings[i].code);
        tare_put_text(t, "where", r->findings[i].where);
        tare_put_text(t, "text", r->findings[i].text);
        tare_text_puts(t, "}");
    }
    tare_text_puts(t, "]");
}

/* Exit status of check: findings of a loading model make it 1. explain gives 0 there; its JSON says what check says. */
static int exit_of(const struct tare_report *r)
{
    if (!r->loads)
        return tare_code_exit(r->code);
    for (size_t i = 0; i < r->n_findings; i++)
        if (r->findings[i].level != TARE_NOTE)
            return 1;
    return 0;
}

char *tare_model_json(const tare_model *model, bool parameters)
{
    struct tare_text t = {0};
    if (!model)
        return NULL;
    const struct tare_report *r = &model->report;
    tare_text_puts(&t, "{");
    tare_put_text(&t, "tare", tare_version());
    tare_put_text(&t, "model", r->model);
    tare_put_text(&t, "model_type", r->model_type);
    tare_put_bool(&t, "loads", r->loads);
    tare_put_number(&t, "exit", (uint64_t)exit_of(r));
    put_formats(&t, r);
    put_counts(&t, r);
    put_heads(&t, r);
    if (parameters) {
        open_list(&t, "parameters");
        for (size_t i = 0; i < r->n_parameters; i++)
            put_parameter(&t, &r->parameters[i]);
        tare_text_puts(&t, "]");
    }
    put_differences(&t, r);
    put_findings(&t, r);
    tare_text_puts(&t, "}\n");
    if (t.failed)
        tare_text_release(&t);
    return t.data;
}

/* ---- the way of one tensor ---- */

struct search {
    const char *name;
    const struct tare_module *found;
    struct tare_text *text;
    const struct tare_model *model;
    bool json;
};

static void look(void *user, const struct tare_module *module)
{
    struct search *s = user;
    if (!strcmp(module->name, s->name))
        s->found = module;
    for (int k = 0; k < TARE_PARTS && !s->found; k++)
        if (module->part[k] &&
            (!strcmp(module->part[k]->name, s->name) || !strcmp(tare_tensor_own_name(module->part[k]), s->name)))
            s->found = module;
}

/* The entry that has this name, or that is made of the tensor of this name; live ones first. */
static const struct tare_entry *entry_of(const struct tare_model *m, const char *name)
{
    const struct tare_entry *aside = NULL;
    for (size_t i = 0; i < m->weights.n; i++) {
        const struct tare_entry *e = &m->weights.entries[i];
        struct search s = {.name = name};
        tare_recipe_leaves(e->recipe, look, &s);
        if (e->absorbed || (!s.found && strcmp(e->name, name) != 0))
            continue;
        if (!e->rule)
            return e;
        aside = e;
    }
    return aside;
}

static void say_source(void *user, const struct tare_module *module)
{
    struct search *s = user;
    for (int k = 0; k < TARE_PARTS; k++) {
        const struct tare_tensor *t = module->part[k];
        if (!t)
            continue;
        const char *file = s->model->checkpoint.files[t->file].name;
        if (s->json) {
            open_row(s->text);
            tare_put_text(s->text, "name", tare_tensor_own_name(t));
            tare_put_text(s->text, "dtype", tare_dtype_name(t->dtype));
            put_shape(s->text, "shape", t->rank, t->shape);
            tare_put_text(s->text, "file", file);
            tare_put_number(s->text, "offset", t->offset);
            tare_put_number(s->text, "size", t->size);
            tare_text_puts(s->text, "}");
        } else {
            tare_text_format(s->text, "  from    %s  %s ", tare_tensor_own_name(t), tare_dtype_name(t->dtype));
            tare_text_puts(s->text, "[");
            for (int i = 0; i < t->rank; i++)
                tare_text_format(s->text, "%s%lld", i ? ", " : "", (long long)t->shape[i]);
            tare_text_format(s->text, "]  %s, offset %llu, %llu bytes\n", file, (unsigned long long)t->offset,
                             (unsigned long long)t->size);
        }
    }
}

/* Steps are kept last one first. */
static void say_steps(struct tare_text *t, const struct tare_step *step, bool json)
{
    if (!step)
        return;
    say_steps(t, step->before, json);
    if (json)
        tare_put_text(t, NULL, step->text);
    else
        tare_text_format(t, "  step    %s\n", step->text);
}

static const struct tare_head_decision *head_of(const struct tare_model *m, const struct tare_entry *entry)
{
    for (size_t k = 0; k < m->tie.n; k++)
        if (strrchr(entry->name, '.') && tare_head_has(&m->tie.heads[k], entry))
            return &m->tie.heads[k];
    return NULL;
}

static const char *fate_of(const struct tare_model *m, const struct tare_entry *entry)
{
    const struct tare_parameter *p = tare_tree_find(&m->tree, entry->name);
    return entry->rule ? "set aside" : p && p->entry == entry ? "parameter" : "unexpected";
}

static void explain_words(const struct tare_model *m, const struct tare_entry *e, struct tare_text *t)
{
    struct search s = {.text = t, .model = m};
    const struct tare_head_decision *head = head_of(m, e);
    tare_text_format(t, "%s: %s\n", e->name, fate_of(m, e));
    tare_recipe_leaves(e->recipe, say_source, &s);
    say_steps(t, e->steps, false);
    struct tare_arena work = {0};
    const char *recipe = tare_recipe_text(&work, e->recipe);
    tare_text_format(t, "  recipe  %s\n", recipe ? recipe : "");
    tare_arena_release(&work);
    if (e->rule)
        tare_text_format(t, "  rule    %s (%s)\n", e->rule, e->evidence ? e->evidence : "");
    if (head && head->where)
        tare_text_format(t, "  where   %s\n", head->where);
}

static void explain_json(const struct tare_model *m, const struct tare_entry *e, struct tare_text *t)
{
    struct search s = {.text = t, .model = m, .json = true};
    const struct tare_head_decision *head = head_of(m, e);
    struct tare_arena work = {0};
    tare_text_puts(t, "{");
    tare_put_text(t, "name", e->name);
    tare_put_text(t, "fate", fate_of(m, e));
    open_list(t, "sources");
    tare_recipe_leaves(e->recipe, say_source, &s);
    tare_text_puts(t, "]");
    open_list(t, "steps");
    say_steps(t, e->steps, true);
    tare_text_puts(t, "]");
    tare_put_text(t, "recipe", tare_recipe_text(&work, e->recipe));
    tare_put_text(t, "rule", e->rule);
    tare_put_text(t, "evidence", e->evidence);
    tare_put_text(t, "where", head ? head->where : NULL);
    tare_text_puts(t, "}\n");
    tare_arena_release(&work);
}

char *tare_model_explain(const tare_model *model, const char *name, bool json)
{
    struct tare_text t = {0};
    const struct tare_entry *entry = model && name ? entry_of(model, name) : NULL;
    if (!entry)
        return NULL;
    if (json)
        explain_json(model, entry, &t);
    else
        explain_words(model, entry, &t);
    if (t.failed)
        tare_text_release(&t);
    return t.data;
}
