/* SPDX-License-Identifier: MIT
 * report.c - the plan as plain arrays, and its account: sources = used + set aside + unexpected (+ misshapen),
 * parameters = bound + missing (+ misshapen). */
#include <assert.h>
#include <string.h>

#include "plan/plan.h"

enum fate { FATE_NONE, FATE_SET_ASIDE, FATE_UNEXPECTED, FATE_USED };

struct reporting {
    struct tare_model *m;
    struct tare_report *r;
    unsigned char *fate;          /* of each module */
    const struct tare_entry **by; /* the entry that decided it */
    enum fate mark;
    const struct tare_entry *entry;
};

static void mark(void *user, const struct tare_module *module)
{
    struct reporting *g = user;
    const size_t at = (size_t)(module - g->m->modules);
    if (g->fate[at] < g->mark) {
        g->fate[at] = (unsigned char)g->mark;
        g->by[at] = g->entry;
    }
}

static void mark_entry(struct reporting *g, const struct tare_entry *entry, enum fate fate)
{
    g->mark = fate;
    g->entry = entry;
    tare_recipe_leaves(entry->recipe, mark, g);
}

/* A module that feeds two entries counts by its best fate: used before misshapen before unexpected before set aside. */
static void mark_all(struct reporting *g)
{
    struct tare_model *m = g->m;
    for (size_t i = 0; i < m->weights.n; i++)
        if (m->weights.entries[i].rule)
            mark_entry(g, &m->weights.entries[i], FATE_SET_ASIDE);
    for (size_t i = 0; i < m->n_unexpected; i++)
        mark_entry(g, m->unexpected[i], FATE_UNEXPECTED);
    for (size_t i = 0; i < m->tree.n; i++)
        if (m->tree.parameters[i]->entry)
            mark_entry(g, m->tree.parameters[i]->entry, FATE_USED);
}

static size_t parts_of(const struct tare_module *module)
{
    size_t n = 0;
    for (int k = 0; k < TARE_PARTS; k++)
        n += module->part[k] != NULL;
    return n;
}

static struct tare_report_tensor row_of(const struct reporting *g, const struct tare_tensor *t, const char *name)
{
    return (struct tare_report_tensor){.name = name,
                                       .rank = t->rank,
                                       .shape = t->shape,
                                       .dtype = tare_dtype_name(t->dtype),
                                       .file = g->m->checkpoint.files[t->file].name,
                                       .offset = t->offset};
}

/* The rewritten name of one part: that of the entry, with the part's own suffix. */
static const char *part_name(struct reporting *g, const struct tare_entry *entry, const struct tare_module *module,
                             int part)
{
    const char *weight = module->packing->suffix[TARE_PART_WEIGHT], *end = strrchr(entry->name, '.');
    if (end && !(weight && *weight == '.')) /* "experts.gate_up_proj" and "_scale_inv": nothing to take off */
        end += strlen(end);
    if (module->packing == &tare_packing_plain || !end || entry->recipe->op != TARE_OP_TAKE)
        return module->packing == &tare_packing_plain && entry->recipe->op == TARE_OP_TAKE ? entry->name
                                                                                           : module->part[part]->name;
    return tare_arena_format(&g->m->arena, "%.*s%s", (int)(end - entry->name), entry->name,
                             module->packing->suffix[part]);
}

static bool list_sources(struct reporting *g)
{
    struct tare_model *m = g->m;
    const size_t n = m->checkpoint.n_tensors;
    struct tare_report_tensor *aside = tare_arena_array(&m->arena, n, sizeof *aside);
    struct tare_report_tensor *over = tare_arena_array(&m->arena, n, sizeof *over);
    if (!aside || !over)
        return false;
    for (size_t i = 0; i < m->n_modules; i++) {
        const struct tare_module *module = &m->modules[i];
        for (int k = 0; k < TARE_PARTS; k++) {
            if (!module->part[k])
                continue;
            if (g->fate[i] == FATE_SET_ASIDE) {
                struct tare_report_tensor *row = &aside[g->r->n_set_aside++];
                *row = row_of(g, module->part[k], tare_tensor_own_name(module->part[k]));
                row->rule = g->by[i]->rule;
                row->evidence = g->by[i]->evidence;
            } else if (g->fate[i] == FATE_UNEXPECTED) {
                over[g->r->n_unexpected++] = row_of(g, module->part[k], part_name(g, g->by[i], module, k));
            }
        }
        g->r->used += g->fate[i] == FATE_USED ? parts_of(module) : 0;
    }
    g->r->set_aside = aside;
    g->r->unexpected = over;
    return true;
}

struct sources {
    const char **names;
    size_t n;
    const struct tare_module *first;
};

static void count_source(void *user, const struct tare_module *module)
{
    struct sources *s = user;
    s->n += parts_of(module);
}

static void add_source(void *user, const struct tare_module *module)
{
    struct sources *s = user;
    if (!s->first)
        s->first = module;
    for (int k = 0; k < TARE_PARTS; k++)
        if (module->part[k])
            s->names[s->n++] = tare_tensor_own_name(module->part[k]);
}

static bool parameter_row(struct reporting *g, const struct tare_parameter *p, struct tare_report_tensor *row)
{
    struct sources s = {0};
    tare_recipe_leaves(p->entry->recipe, count_source, &s);
    s.names = tare_arena_array(&g->m->arena, s.n, sizeof *s.names);
    if (!s.names)
        return false;
    s.n = 0;
    tare_recipe_leaves(p->entry->recipe, add_source, &s);
    const struct tare_tensor *first = s.first->part[0];
    for (int k = 1; k < TARE_PARTS && !first; k++)
        first = s.first->part[k];
    /* groups of the neutral form are no fact of the file where scales lie in blocks, or one covers the whole row */
    const bool whole = s.first->packing->mode == TARE_MLX_DENSE;
    *row = (struct tare_report_tensor){.name = p->name,
                                       .rank = p->rank,
                                       .shape = p->shape,
                                       .dtype = tare_dtype_name(first->dtype),
                                       .packing = tare_packing_word(s.first->packing, s.first->dtype),
                                       .bits = s.first->bits,
                                       .group_size = s.first->block[1] ? s.first->block[1]
                                                     : whole           ? 0
                                                                       : s.first->group_size,
                                       .file = g->m->checkpoint.files[first->file].name,
                                       .offset = first->offset,
                                       .sources = s.names,
                                       .n_sources = s.n,
                                       .rule = tare_recipe_text(&g->m->arena, p->entry->recipe)};
    return row->rule != NULL;
}

static bool list_parameters(struct reporting *g)
{
    struct tare_model *m = g->m;
    struct tare_report *r = g->r;
    struct tare_report_tensor *bound = tare_arena_array(&m->arena, m->tree.n, sizeof *bound);
    struct tare_report_tensor *missing = tare_arena_array(&m->arena, m->n_missing, sizeof *missing);
    struct tare_report_tensor *off = tare_arena_array(&m->arena, m->n_misshapen, sizeof *off);
    bool *misshapen = tare_arena_array(&m->arena, m->tree.n, sizeof *misshapen);
    if (!bound || !missing || !off || !misshapen)
        return false;
    for (size_t i = 0; i < m->n_misshapen; i++)
        misshapen[m->misshapen[i].parameter->index] = true;
    for (size_t i = 0; i < m->tree.n; i++) {
        const struct tare_parameter *p = m->tree.parameters[i];
        r->declared += p->active;
        if (!p->entry || misshapen[i])
            continue;
        if (!parameter_row(g, p, &bound[r->n_parameters++]))
            return false;
        r->elements += (uint64_t)tare_shape_count(p->rank, p->shape);
    }
    for (size_t i = 0; i < m->n_missing; i++)
        missing[i] = (struct tare_report_tensor){
            .name = m->missing[i]->name, .rank = m->missing[i]->rank, .shape = m->missing[i]->shape};
    for (size_t i = 0; i < m->n_misshapen; i++) {
        const struct tare_misshapen *row = &m->misshapen[i];
        off[i] = (struct tare_report_tensor){.name = row->parameter->name,
                                             .rank = row->entry->recipe->rank,
                                             .shape = row->entry->recipe->shape,
                                             .expected = row->parameter->shape,
                                             .expected_rank = row->parameter->rank};
    }
    r->parameters = bound;
    r->missing = missing;
    r->misshapen = off;
    r->bound = r->n_parameters;
    r->n_missing = m->n_missing;
    r->n_misshapen = m->n_misshapen;
    return true;
}

/* One row a packing, bits and group size, of the bound parameters. */
static bool list_formats(struct reporting *g)
{
    struct tare_report *r = g->r;
    struct tare_report_format *list = tare_arena_array(&g->m->arena, r->n_parameters, sizeof *list);
    if (!list)
        return false;
    for (size_t i = 0; i < r->n_parameters; i++) {
        const struct tare_report_tensor *p = &r->parameters[i];
        size_t k = 0;
        while (k < r->n_formats && (strcmp(list[k].packing, p->packing) != 0 || list[k].bits != p->bits ||
                                    list[k].group_size != p->group_size))
            k++;
        if (k == r->n_formats)
            list[r->n_formats++] = (struct tare_report_format){p->packing, p->bits, p->group_size, 0};
        list[k].modules++;
    }
    r->formats = list;
    return true;
}

static bool list_heads(struct reporting *g)
{
    static const char *const decisions[] = {"load", "drop", "preserve"};
    static const char *const proofs[] = {NULL, "equal", "differs"};
    struct tare_model *m = g->m;
    struct tare_report_head *list = tare_arena_array(&m->arena, m->tie.n, sizeof *list);
    struct tare_report_finding *findings = tare_arena_array(&m->arena, m->n_findings, sizeof *findings);
    if (!list || !findings)
        return false;
    for (size_t i = 0; i < m->tie.n; i++) {
        const struct tare_head_decision *h = &m->tie.heads[i];
        if (!h->dense)
            list[g->r->n_heads++] = (struct tare_report_head){h->prefix, decisions[h->decision], h->owner, h->evidence,
                                                              h->where,  proofs[h->proof]};
    }
    for (size_t i = 0; i < m->n_findings; i++)
        findings[i] = (struct tare_report_finding){m->findings[i].level, m->findings[i].code, m->findings[i].where,
                                                   m->findings[i].text};
    g->r->heads = list;
    g->r->findings = findings;
    g->r->n_findings = m->n_findings;
    return true;
}

/* Planning may end before strict: then nothing is bound, and every source that nobody set aside is counted as
 * unexpected. */
static void close_account(struct reporting *g)
{
    struct tare_model *m = g->m;
    struct tare_report *r = g->r;
    /* A misshapen parameter claims one of its sources; its companions (scales, zeros) stay counted as used. */
    r->misshapen_sources = m->n_misshapen < r->used ? m->n_misshapen : r->used;
    r->used -= r->misshapen_sources;
    r->sources = r->used + r->n_set_aside + r->n_unexpected + r->misshapen_sources;
    if (!r->bound && !r->n_missing && !r->n_misshapen)
        r->declared = 0; /* planning ended before strict: no parameter was judged */
    assert(!m->n_modules || r->sources == m->checkpoint.n_tensors);
    assert(r->declared == r->bound + r->n_missing + r->n_misshapen);
}

enum tare_code tare_plan_report(struct tare_model *m)
{
    struct reporting g = {.m = m, .r = &m->report};
    *g.r = (struct tare_report){.size = sizeof *g.r,
                                .model = m->checkpoint.path,
                                .model_type = m->model_type,
                                .loads = !m->code,
                                .code = m->code,
                                .formats_stride = sizeof *g.r->formats,
                                .heads_stride = sizeof *g.r->heads,
                                .tensors_stride = sizeof *g.r->parameters,
                                .findings_stride = sizeof *g.r->findings};
    for (size_t i = 0; i < m->checkpoint.n_files; i++)
        g.r->bytes += m->checkpoint.files[i].size;
    g.fate = tare_arena_alloc(&m->arena, m->n_modules);
    g.by = tare_arena_array(&m->arena, m->n_modules, sizeof *g.by);
    if (!g.fate || !g.by)
        return TARE_E_MEMORY;
    mark_all(&g);
    for (size_t i = 0; i < m->weights.n; i++) /* only where strict was not reached */
        if (!m->weights.entries[i].absorbed && !m->weights.entries[i].rule)
            mark_entry(&g, &m->weights.entries[i], FATE_UNEXPECTED);
    if (!list_sources(&g) || !list_parameters(&g) || !list_formats(&g) || !list_heads(&g))
        return TARE_E_MEMORY;
    close_account(&g);
    return m->arena.failed ? TARE_E_MEMORY : TARE_OK;
}
