/* SPDX-License-Identifier: MIT
 * content.c - tare_verify_open: the content of a checkpoint, by tasks: one hashes a file, one looks at a stretch of
 * floats, one at the bits of a packed weight. Hashes come first: a file is one thread's, and takes longest. Then the
 * rows of weights in which a group is suspected to be dead are decoded.
 *
 * Stretches are read into a buffer that stays in the cache: that takes two thirds of the time of a mapping, whose pages
 * have to be made one by one. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "audit/content.h"
#include "base/sized.h"

#define CHUNK ((uint64_t)4 << 20)     /* bytes of one task on floats or bits */
#define STEP ((uint64_t)256 << 10)    /* of them read at once */
#define UNIT_MOST ((uint64_t)4 << 20) /* a longer one is looked at where it is mapped */
#define CODES ((int64_t)16 << 20)     /* codes of one task that decodes */

enum kind { HASH, NUMBERS, BITS, GROUPS };

struct task {
    enum kind kind;
    int part;
    size_t index; /* of the file, or the module */
    uint64_t at;  /* byte, unit or row */
};

struct worker {
    struct tare_arena work;
    unsigned char *buffer; /* heap */
    uint64_t room;
    struct tare_holds holds; /* of the task */
};

struct run {
    struct tare_verify *verify;
    const struct tare_verify_options *options;
    struct task *tasks; /* heap */
    size_t n_tasks, room;
    struct worker *workers;
    struct tare_bytes *files; /* the model's, open; without a name: read where they are mapped */
    pthread_mutex_t lock;     /* of what follows, and of what was found */
    uint64_t done, total;     /* bytes */
    struct tare_error error;
    atomic_bool stop;
};

/* Adds to the progress, under the lock. False: the caller cancelled, or another task failed. */
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

/* The n bytes of a part from byte `at`, read into the buffer, or where they are; NULL: they cannot be read. */
static const unsigned char *stretch_of(struct run *run, struct worker *worker, const struct tare_inspected *in,
                                       int part, uint64_t at, uint64_t n, struct tare_error *err)
{
    const struct tare_tensor *tensor = in->module->part[part];
    const struct tare_bytes *file = &run->files[tensor->file];
    if (!file->name || file->memory || n > UNIT_MOST) {
        if (!tare_part_is_copied((enum tare_part)part) &&
            tare_holds_add(&worker->holds, &run->verify->model->checkpoint, tensor, at, at + n, err))
            return NULL;
        return (const unsigned char *)in->part[part] + at;
    }
    if (worker->room < n) {
        free(worker->buffer);
        worker->buffer = malloc((size_t)n);
        worker->room = worker->buffer ? n : 0;
    }
    if (!worker->buffer)
        tare_fail_memory(err);
    else if (!tare_bytes_read(file, worker->buffer, (size_t)n, tensor->offset + at, err))
        return worker->buffer;
    return NULL;
}

static void fail(struct run *run, const struct tare_error *error)
{
    pthread_mutex_lock(&run->lock);
    if (!run->error.code)
        run->error = *error;
    advance(run, 0);
    pthread_mutex_unlock(&run->lock);
}

static void look_at_numbers(struct run *run, const struct task *task, struct worker *worker)
{
    struct tare_inspected *in = &run->verify->inspected[task->index];
    const enum tare_dtype dtype = tare_part_numbers(in->module, (enum tare_part)task->part);
    const uint64_t size = tare_dtype_size(dtype),
                   end = task->at + least(CHUNK, in->module->part[task->part]->size - task->at);
    const bool scale = task->part == TARE_PART_SCALES && in->module->packing != &tare_packing_plain;
    struct tare_specials found = {0};
    struct tare_error error = {0};
    for (uint64_t at = task->at; at < end; at += STEP) {
        const uint64_t n = least(STEP, end - at);
        const unsigned char *data = stretch_of(run, worker, in, task->part, at, n, &error);
        if (!data) {
            fail(run, &error);
            return;
        }
        tare_specials_find(data, dtype, at / size, n / size, scale, &found);
    }
    pthread_mutex_lock(&run->lock);
    tare_specials_add(&in->specials[task->part], &found);
    run->verify->report.bytes_scanned += end - task->at;
    advance(run, end - task->at);
    pthread_mutex_unlock(&run->lock);
}

/* How the bits of a packed weight are cut: the number and size of its units, and how many a task and a reading have. */
struct units {
    int64_t n, task, step;
    uint64_t size;
};

static struct units units_of(const struct tare_module *module)
{
    const struct tare_suspect *suspect = module->packing->suspect;
    struct units units = {.n = suspect ? suspect->units(module) : 0};
    if (!units.n)
        return units;
    units.size = module->part[TARE_PART_WEIGHT]->size / (uint64_t)units.n;
    units.step = units.size && units.size < STEP ? (int64_t)(STEP / units.size) : 1;
    units.task = units.size && units.size < CHUNK ? (int64_t)(CHUNK / units.size) : 1;
    return units;
}

/* Holds the parts beside the weight, which a look at its bits may take too. */
static enum tare_code hold_beside(struct run *run, const struct tare_module *module, struct worker *worker,
                                  struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    for (int k = TARE_PART_WEIGHT + 1; k < TARE_PARTS && !code; k++)
        if (module->part[k])
            code = tare_holds_add(&worker->holds, &run->verify->model->checkpoint, module->part[k], 0,
                                  module->part[k]->size, err);
    return code;
}

static void look_at_bits(struct run *run, const struct task *task, struct worker *worker)
{
    struct tare_inspected *in = &run->verify->inspected[task->index];
    const struct units units = units_of(in->module);
    const int64_t first = (int64_t)task->at, end = units.n - first < units.task ? units.n : first + units.task;
    struct tare_error error = {0};
    if (hold_beside(run, in->module, worker, &error)) {
        fail(run, &error);
        return;
    }
    for (int64_t at = first; at < end && !atomic_load_explicit(&in->suspected, memory_order_relaxed);
         at += units.step) {
        const int64_t n = end - at < units.step ? end - at : units.step;
        const unsigned char *data =
            stretch_of(run, worker, in, TARE_PART_WEIGHT, (uint64_t)at * units.size, (uint64_t)n * units.size, &error);
        if (!data) {
            fail(run, &error);
            return;
        }
        if (in->module->packing->suspect->look(in->module, in->part, data, at, n))
            atomic_store_explicit(&in->suspected, true, memory_order_relaxed);
    }
    tick(run, (uint64_t)(end - first) * units.size);
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

static void look_at_groups(struct run *run, const struct task *task, struct worker *worker)
{
    struct tare_inspected *in = &run->verify->inspected[task->index];
    const int64_t all = tare_module_rows(in->module), row = (int64_t)task->at, most = rows_of_task(in->module);
    const int64_t rows = all - row < most ? all - row : most;
    struct tare_groups_found found = {0};
    struct tare_error error = {0};
    if (tare_module_hold(&worker->holds, &run->verify->model->checkpoint, in->module, row, rows, &error) ||
        tare_groups_inspect(in->module, in->part, row, rows, &worker->work, &found, &error)) {
        fail(run, &error);
        return;
    }
    pthread_mutex_lock(&run->lock);
    tare_groups_add(&in->groups, &found);
    advance(run, 0);
    pthread_mutex_unlock(&run->lock);
}

static void hash(struct run *run, const struct task *task)
{
    struct tare_digest *digest = &run->verify->digests.digests[task->index];
    struct tare_error error = {0};
    if (tare_digest_make(&run->verify->digests, digest, tick, run, &error) && error.code)
        fail(run, &error);
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
        look_at_numbers(run, task, &run->workers[worker]);
    else if (task->kind == BITS)
        look_at_bits(run, task, &run->workers[worker]);
    else
        look_at_groups(run, task, &run->workers[worker]);
    tare_holds_let_go(&run->workers[worker].holds);
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

static bool has_groups(const struct tare_module *module)
{
    return module->packing != &tare_packing_plain && module->group_size &&
           tare_shape_count(module->rank, module->shape) > 0;
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
    const struct units units = has_groups(m) ? units_of(m) : (struct units){0};
    for (int64_t at = 0; at < units.n; at += units.task)
        if (!add(run, (struct task){BITS, 0, index, (uint64_t)at}, 0))
            return false;
    run->verify->report.bytes_scanned += units.size * (uint64_t)units.n;
    run->total += units.size * (uint64_t)units.n;
    return true;
}

/* Adds tasks for modules that must be decoded: a group is suspected, a scale is 0, or their bits cannot be looked at.
 */
static bool add_suspects(struct run *run)
{
    for (size_t k = 0; k < run->verify->n_inspected; k++) {
        const struct tare_inspected *in = &run->verify->inspected[k];
        const struct tare_module *m = in->module;
        if (!has_groups(m) ||
            (units_of(m).n && !atomic_load(&in->suspected) && !in->specials[TARE_PART_SCALES].count[TARE_IS_ZERO]))
            continue;
        if (!units_of(m).n)
            run->verify->report.bytes_scanned += size_of(m, TARE_PART_WEIGHT);
        const int64_t rows = tare_module_rows(m), step = rows_of_task(m);
        for (int64_t row = 0; row < rows; row += step)
            if (!add(run, (struct task){GROUPS, 0, k, (uint64_t)row}, 0))
                return false;
    }
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

/* Opens every file once. One that cannot be opened is read through its mapping. */
static bool open_files(struct run *run)
{
    const struct tare_checkpoint *checkpoint = &run->verify->model->checkpoint;
    run->files = calloc(checkpoint->n_files + 1, sizeof *run->files);
    for (size_t k = 0; run->files && k < checkpoint->n_files; k++)
        run->files[k].fd = -1;
    for (size_t k = 0; run->files && k < checkpoint->n_files; k++) {
        const struct tare_file *file = &checkpoint->files[k];
        if (tare_checkpoint_bytes(checkpoint, file->name, &run->files[k], NULL) || run->files[k].size != file->size)
            tare_bytes_close(&run->files[k]);
    }
    return run->files != NULL;
}

static void release(struct run *run, int workers)
{
    for (size_t k = 0; run->files && k < run->verify->model->checkpoint.n_files; k++)
        tare_bytes_close(&run->files[k]);
    for (int k = 0; run->workers && k < workers; k++) {
        tare_arena_release(&run->workers[k].work);
        tare_holds_release(&run->workers[k].holds);
        free(run->workers[k].buffer);
    }
    free(run->files);
    free(run->workers);
}

static enum tare_code run_pool(struct run *run, struct tare_pool *pool, struct tare_error *err)
{
    const int workers = tare_pool_threads(pool);
    run->workers = calloc((size_t)workers, sizeof *run->workers);
    if (!run->workers || !open_files(run) || pthread_mutex_init(&run->lock, NULL)) {
        release(run, workers);
        return tare_fail_memory(err);
    }
    atomic_init(&run->stop, false);
    tare_pool_run(pool, run->n_tasks, run_task, run);
    run->n_tasks = 0;
    if (!run->error.code && !add_suspects(run))
        tare_fail_memory(&run->error);
    if (!run->error.code)
        tare_pool_run(pool, run->n_tasks, run_task, run);
    pthread_mutex_destroy(&run->lock);
    release(run, workers);
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
        code = tare_plan_pool(&pool, v->model, options->pool, options->threads, err);
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
    struct tare_verify_options options;
    if (verify)
        *verify = NULL;
    if (!verify || !model)
        return tare_fail(err, TARE_E_ARGUMENT, "", "verifying needs a place for what is found, and a model");
    enum tare_code code = tare_sized_read(&options, sizeof options, given, "options", err);
    if (code)
        return code;
    if (model->code) {
        if (err)
            *err = model->error;
        return model->code;
    }
    struct tare_verify *made = calloc(1, sizeof *made);
    if (!made)
        return tare_fail_memory(err);
    made->model = model;
    code = run_all(made, &options, err);
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

const struct tare_verify_report *tare_verify_report(const tare_verify *verify)
{
    return verify ? &verify->report : NULL;
}

char *tare_verify_json(const tare_verify *verify)
{
    static const char *const levels[] = {"note", "warning", "error"};
    const struct tare_verify_report *report = tare_verify_report(verify);
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

void tare_verify_options_init(struct tare_verify_options *options, size_t size)
{
    tare_sized_init(options, size);
}
