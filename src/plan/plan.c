/* SPDX-License-Identifier: MIT
 * plan.c - how a plan is made, kept and freed, and how findings get into it. */
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/sized.h"
#include "module/pattern.h"
#include "plan/stages.h"

void tare_plan_finding(struct tare_model *model, enum tare_level level, enum tare_code code, const char *word,
                       const char *where, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = tare_arena_vformat(&model->arena, format, args);
    va_end(args);
    if (level == TARE_ERROR && !model->code) {
        model->code = code ? code : TARE_E_INTERNAL;
        tare_fail(&model->error, model->code, where, "%s", text ? text : "out of memory");
    }
    char *place = tare_arena_text(&model->arena, where ? where : "");
    if (!text || !place ||
        !tare_grow(&model->findings, &model->findings_room, model->n_findings + 1, sizeof *model->findings)) {
        model->arena.failed = true;
        return;
    }
    model->findings[model->n_findings++] = (struct tare_finding){level, word, place, text};
}

enum tare_code tare_plan_keep(struct tare_model *model, const struct tare_error *error)
{
    static const char *const words[] = {
        [TARE_E_IO] = "io",
        [TARE_E_ABSENT] = "file-absent",
        [TARE_E_FORMAT] = "file-format",
        [TARE_E_CONFIG] = "config",
        [TARE_E_UNKNOWN] = "unknown",
        [TARE_E_SHAPE] = "shape",
        [TARE_E_STRICT] = "strict",
        [TARE_E_HEAD] = "head",
        [TARE_E_MEMORY] = "memory",
        [TARE_E_INTERNAL] = "internal",
    };
    const size_t n = sizeof words / sizeof *words;
    if (error->code && model->code != error->code)
        tare_plan_finding(model, TARE_ERROR, error->code,
                          (size_t)error->code < n && words[error->code] ? words[error->code] : "error", error->where,
                          "%s", error->text);
    return error->code;
}

bool tare_dense_asked(const char *patterns, const char *name)
{
    char pattern[256];
    for (size_t n; patterns && *patterns; patterns += n + (patterns[n] == ',')) {
        n = strcspn(patterns, ",");
        if (!n || n >= sizeof pattern)
            continue;
        memcpy(pattern, patterns, n);
        pattern[n] = 0;
        const struct tare_pattern read = tare_pattern_read(pattern, false);
        if (tare_pattern_match(&read, name, true, NULL))
            return true;
    }
    return false;
}

/* What opening found worth saying becomes findings of the plan. */
static void keep_remarks(struct tare_model *m)
{
    for (size_t i = 0; i < m->checkpoint.n_remarks; i++) {
        const struct tare_remark *r = &m->checkpoint.remarks[i];
        tare_plan_finding(m, r->level, TARE_OK, r->code, r->where, "%s", r->text);
    }
}

enum tare_code tare_plan_make(struct tare_model **model, const char *path, const struct tare_options *options,
                              const struct tare_edits *edits, tare_stages_fn *stages, struct tare_error *err)
{
    struct tare_error error = {0};
    struct tare_options own;
    if (!model)
        return tare_fail(err, TARE_E_ARGUMENT, "model", "tare_plan needs a place for the model");
    *model = NULL;
    const enum tare_code code = tare_sized_read(&own, sizeof own, options, "options", err);
    if (code)
        return code;
    struct tare_model *m = *model = calloc(1, sizeof *m);
    if (!m)
        return tare_fail_memory(err);
    if (pthread_mutex_init(&m->lock, NULL) || pthread_cond_init(&m->laid, NULL)) { /* Linux never refuses these */
        free(m);
        *model = NULL;
        return tare_fail_memory(err);
    }
    m->references = 1;
    m->checkpoint.edits = edits;
    m->options = own;
    m->options.dequantize = tare_arena_text(&m->arena, own.dequantize); /* conversions and readers read it, too */
    tare_threads_hold(own.pool);
    if (!path && !m->options.n_files && !m->options.host)
        tare_fail(&error, TARE_E_ARGUMENT, "", "tare_plan needs a path");
    else
        stages(m, path ? path : m->options.host ? "host" : "memory", &error);
    m->options.host = NULL; /* borrowed for the call: the checkpoint has what it needs of it */
    tare_plan_keep(m, &error);
    keep_remarks(m);
    /* When memory ran out, a stage may have left half of its results: such a plan is thrown away. */
    if (m->code == TARE_E_MEMORY || m->arena.failed || tare_plan_report(m)) {
        tare_model_free(m);
        *model = NULL;
        return tare_fail_memory(err);
    }
    if (m->code && err)
        *err = m->error;
    return m->code;
}

void tare_model_retain(struct tare_model *model)
{
    __atomic_add_fetch(&model->references, 1, __ATOMIC_RELAXED);
}

void tare_model_free(struct tare_model *model)
{
    if (!model || __atomic_sub_fetch(&model->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (model->loaded && model->loaded_free)
        model->loaded_free(model->loaded);
    free(model->findings);
    free(model->missing);
    free(model->unexpected);
    free(model->misshapen);
    free(model->weights.entries);
    tare_tree_release(&model->tree);
    json_decref(model->inner_copy);
    json_decref(model->config);
    json_decref(model->generation);
    tare_checkpoint_release(&model->checkpoint);
    tare_arena_release(&model->arena);
    tare_threads_free(model->options.pool);
    pthread_cond_destroy(&model->laid);
    pthread_mutex_destroy(&model->lock);
    free(model);
}

enum tare_code tare_plan_pool(struct tare_pool **pool, const struct tare_model *model, struct tare_threads *asked,
                              int n, struct tare_error *err)
{
    struct tare_threads *threads = asked ? asked : n ? NULL : model->options.pool;
    return tare_pool_open_on(pool, threads, n ? n : model->options.threads, err);
}

const struct tare_report *tare_model_report(const struct tare_model *model)
{
    return model ? &model->report : NULL;
}

void tare_options_init(struct tare_options *options, size_t size)
{
    tare_sized_init(options, size);
}

void tare_host_init(struct tare_host *host, size_t size)
{
    tare_sized_init(host, size);
}
