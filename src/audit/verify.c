/* SPDX-License-Identifier: MIT
 * verify.c - tare_verify_open: the content of a checkpoint, by tasks: one hashes a file, one looks at a stretch of
 * floats, one at rows of groups. Hashes come first: a file is one thread's, and takes longest. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "audit/verify.h"

#define CHUNK ((uint64_t)4 << 20) /* bytes of one task on floats */
#define CODES ((int64_t)16 << 20) /* codes of one task on groups */

enum kind { HASH, NUMBERS, GROUPS };

struct task {
    enum kind kind;
    int part;
    size_t index; /* of the file, or the module */
    uint64_t at;  /* byte, or row */
};

struct run {
    struct tare_verify *verify;
    const struct tare_verify_options *options;
    struct task *tasks; /* heap */
    size_t n_tasks, room;
    struct tare_arena *work; /* a worker's */
    pthread_mutex_t lock;    /* of what follows, and of what was found */
    uint64_t done, total;    /* bytes */
    struct tare_error error;
    atomic_bool stop;
};

/* Add to the progress; false: cancelled, or somebody failed. Under the lock. */
static bool advance(struct run *run, uint64_t bytes)
{
    run->done += bytes;
    if (!run->error.code && run->options->progress &&
        run->options->progress(run->options->user, "verify", run->done, run->total))
        tare_fail(&run->error, TARE_E_CANCELLED, "", "cancelled");
    if (run->error.code)
        atomic_store_explicit(&run->stop, true, memory_order_relaxed);
    return !run->error.code;
}

static bool tick(void *user, uint64_t bytes)
{
    struct run *run = user;
    pthread_mutex_lock(&run->lock);
    const bool on = advance(run, bytes);
    pthread_mutex_unlock(&run->lock);
    return on;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void look_at_numbers(struct run *run, const struct task *task)
{
    struct tare_inspected *in = &run->verify->inspected[task->index];
    const enum tare_dtype dtype = tare_part_numbers(in->module, (enum tare_part)task->part);
    const uint64_t size = tare_dtype_size(dtype), n = least(CHUNK, in->module->part[task->part]->size - task->at);
    const bool scale = task->part == TARE_PART_SCALES && in->module->packing != &tare_packing_plain;
    struct tare_specials found = {0};
    tare_specials_find((const unsigned char *)in->part[task->part] + task->at, dtype, task->at / size, n / size, scale,
                       &found);
    pthread_mutex_lock(&run->lock);
    tare_specials_add(&in->specials[task->part], &found);
    run->verify->report.bytes_scanned += n;
    advance(run, n);
    pthread_mutex_unlock(&run->lock);
}

static int64_t rows_of_task(const struct tare_module *module)
{
    const int64_t rows = CODES / tare_module_columns(module);
    return rows > 128 ? rows - rows % 128 : rows > 8 ? rows - rows % 8 : 8;
}

static uint64_t size_of(const struct tare_module *module, int part)
{
    return module->part[part] ? module->part[part]->size : 0;
}

static void look_at_groups(struct run *run, const struct task *task, int worker)
{
    struct tare_inspected *in = &run->verify->inspected[task->index];
    const int64_t all = tare_module_rows(in->module), row = (int64_t)task->at, most = rows_of_task(in->module);
    const int64_t rows = all - row < most ? all - row : most;
    struct tare_groups_found found = {0};
    struct tare_error error = {0};
    const enum tare_code code =
        tare_groups_inspect(in->module, in->part, row, rows, &run->work[worker], &found, &error);
    const double share = (double)rows / (double)all * (double)size_of(in->module, TARE_PART_WEIGHT);
    pthread_mutex_lock(&run->lock);
    tare_groups_add(&in->groups, &found);
    run->verify->report.bytes_scanned += (uint64_t)share;
    if (code && !run->error.code)
        run->error = error;
    advance(run, (uint64_t)share);
    pthread_mutex_unlock(&run->lock);
}

static void hash(struct run *run, const struct task *task)
{
    struct tare_digest *digest = &run->verify->digests.digests[task->index];
    struct tare_error error = {0};
    const enum tare_code code = tare_digest_make(&run->verify->digests, digest, tick, run, &error);
    if (!code)
        return;
    pthread_mutex_lock(&run->lock);
    if (!run->error.code)
        run->error = error;
    advance(run, 0);
    pthread_mutex_unlock(&run->lock);
}

static void run_task(void *user, size_t index, int worker)
{
    struct run *run = user;
    const struct task *task = &run->tasks[index];
    if (atomic_load_explicit(&run->stop, memory_order_relaxed))
        return;
    if (task->kind == HASH)
        hash(run, task);
    else if (task->kind == NUMBERS)
        look_at_numbers(run, task);
    else
        look_at_groups(run, task, worker);
}

/* ---- tasks --------------------------------------------------------------------------------------------------- */

static bool add(struct run *run, struct task task, uint64_t bytes)
{
    if (!tare_grow(&run->tasks, &run->room, run->n_tasks + 1, sizeof *run->tasks))
        return false;
    run->tasks[run->n_tasks++] = task;
    run->total += bytes;
    return true;
}

static enum tare_code add_files(struct run *run, struct tare_error *err)
{
    struct tare_verify *v = run->verify;
    const enum tare_code code = tare_digests_list(&v->digests, &v->model->checkpoint, err);
    for (size_t k = 0; k < v->digests.n && !code; k++)
        if (!v->digests.digests[k].absent &&
            !add(run, (struct task){.kind = HASH, .index = k}, v->digests.digests[k].size))
            return tare_fail_memory(err);
    return code;
}

static bool has_elements(const struct tare_module *module)
{
    return tare_shape_count(module->rank, module->shape) > 0;
}

static bool add_module(struct run *run, size_t index)
{
    const struct tare_module *m = run->verify->inspected[index].module;
    for (int part = 0; part < TARE_PARTS; part++) {
        const uint64_t size = size_of(m, part);
        if (tare_part_numbers(m, (enum tare_part)part) == TARE_BOOL)
            continue;
        for (uint64_t at = 0; at < size; at += CHUNK)
            if (!add(run, (struct task){NUMBERS, part, index, at}, least(CHUNK, size - at)))
                return false;
    }
    if (m->packing == &tare_packing_plain || !has_elements(m) || !m->group_size)
        return true;
    const int64_t rows = tare_module_rows(m), step = rows_of_task(m);
    for (int64_t row = 0; row < rows; row += step)
        if (!add(run, (struct task){GROUPS, 0, index, (uint64_t)row}, 0))
            return false;
    run->total += size_of(m, TARE_PART_WEIGHT);
    return true;
}

static enum tare_code add_modules(struct run *run, struct tare_error *err)
{
    struct tare_verify *v = run->verify;
    v->inspected = calloc(v->model->n_modules + 1, sizeof *v->inspected);
    if (!v->inspected)
        return tare_fail_memory(err);
    for (size_t k = 0; k < v->model->n_modules; k++) {
        const struct tare_module *module = &v->model->modules[k];
        if (module->fault || module->unusable) /* set aside: the plan has said why */
            continue;
        struct tare_inspected *in = &v->inspected[v->n_inspected++];
        in->module = module;
        const enum tare_code code = tare_module_data(&v->model->checkpoint, module, in->part, err);
        if (code)
            return code;
        if (!add_module(run, v->n_inspected - 1))
            return tare_fail_memory(err);
    }
    return TARE_OK;
}

static enum tare_code run_pool(struct run *run, struct tare_pool *pool, struct tare_error *err)
{
    const int workers = tare_pool_threads(pool);
    run->work = calloc((size_t)workers, sizeof *run->work);
    if (!run->work || pthread_mutex_init(&run->lock, NULL)) {
        free(run->work);
        return tare_fail_memory(err);
    }
    atomic_init(&run->stop, false);
    tare_pool_run(pool, run->n_tasks, run_task, run);
    pthread_mutex_destroy(&run->lock);
    for (int k = 0; k < workers; k++)
        tare_arena_release(&run->work[k]);
    free(run->work);
    if (run->error.code && err)
        *err = run->error;
    return run->error.code;
}

static enum tare_code run_all(struct tare_verify *v, const struct tare_verify_options *options, struct tare_error *err)
{
    struct run run = {.verify = v, .options = options};
    struct tare_pool *pool = NULL;
    enum tare_code code = options->no_hash ? TARE_OK : add_files(&run, err);
    if (!code && !options->no_values)
        code = add_modules(&run, err);
    if (!code)
        code = tare_pool_open(&pool, options->threads ? options->threads : v->model->options.threads, err);
    if (!code)
        code = run_pool(&run, pool, err);
    tare_pool_free(pool);
    free(run.tasks);
    if (!code && !tare_verify_say(v, !options->no_hash))
        code = tare_fail_memory(err);
    return code;
}

enum tare_code tare_verify_open(tare_verify **verify, tare_model *model, const struct tare_verify_options *given,
                                struct tare_error *err)
{
    struct tare_verify_options options = TARE_VERIFY_OPTIONS_INIT;
    if (verify)
        *verify = NULL;
    if (!verify || !model || (given && given->size < sizeof given->size))
        return tare_fail(err, TARE_E_ARGUMENT, "",
                         "verifying needs a place for what is found, a model, and options made "
                         "by TARE_VERIFY_OPTIONS_INIT");
    if (given)
        memcpy(&options, given, given->size < sizeof options ? given->size : sizeof options);
    if (model->code) {
        if (err)
            *err = model->error;
        return model->code;
    }
    struct tare_verify *made = calloc(1, sizeof *made);
    if (!made)
        return tare_fail_memory(err);
    made->model = model;
    const enum tare_code code = run_all(made, &options, err);
    if (code)
        tare_verify_free(made);
    else
        *verify = made;
    return code;
}

void tare_verify_free(tare_verify *verify)
{
    if (!verify)
        return;
    tare_digests_release(&verify->digests);
    free(verify->inspected);
    free(verify->findings);
    tare_arena_release(&verify->arena);
    free(verify);
}

const struct tare_verify_report *tare_verify_report_of(const tare_verify *verify)
{
    return verify ? &verify->report : NULL;
}

char *tare_verify_json(const tare_verify *verify)
{
    static const char *const levels[] = {"note", "warning", "error"};
    const struct tare_verify_report *report = tare_verify_report_of(verify);
    struct tare_text t = {0};
    if (!report)
        return NULL;
    tare_text_puts(&t, "{");
    tare_put_text(&t, "tare", tare_version());
    tare_put_text(&t, "model", report->model);
    tare_put_number(&t, "exit", report->n_findings ? 1 : 0);
    tare_put_number(&t, "bytes_hashed", report->bytes_hashed);
    tare_put_number(&t, "bytes_scanned", report->bytes_scanned);
    tare_text_puts(&t, ",\n \"files\": [");
    for (size_t k = 0; k < report->n_files; k++) {
        const struct tare_verify_file *f = &report->files[k];
        tare_text_puts(&t, k ? ",\n  {" : "\n  {");
        tare_put_text(&t, "name", f->name);
        tare_put_number(&t, "size", f->size);
        tare_put_text(&t, "sha256", *f->sha256 ? f->sha256 : NULL);
        tare_put_text(&t, "expected", f->expected);
        tare_put_text(&t, "source", f->source);
        tare_put_bool(&t, "matches", f->matches);
        tare_text_puts(&t, "}");
    }
    tare_text_puts(&t, "],\n \"findings\": [");
    for (size_t k = 0; k < report->n_findings; k++) {
        const struct tare_report_finding *f = &report->findings[k];
        tare_text_puts(&t, k ? ",\n  {" : "\n  {");
        tare_put_text(&t, "level", levels[f->level]);
        tare_put_text(&t, "code", f->code);
        tare_put_text(&t, "where", f->where);
        tare_put_text(&t, "text", f->text);
        tare_text_puts(&t, "}");
    }
    tare_text_puts(&t, "]}\n");
    if (t.failed)
        tare_text_release(&t);
    return t.data;
}
