/* SPDX-License-Identifier: MIT
 * diff.c - tare_diff_open: two plans held against each other, parameter by parameter.
 *
 * First by bytes, where both sides have the same modules in the same places; what is not equal then is compared by
 * tiles. Results do not depend on the number of threads.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "audit/compare.h"
#include "base/sized.h"

#define CHUNK ((uint64_t)8 << 20) /* bytes of a part that one task compares */

struct pair {
    const struct tare_parameter *parameter[2];
    struct tare_readable view[2];
    struct tare_grid grid;
    struct tare_finding_of_tile found;
    bool alike;         /* may be compared by bytes */
    atomic_bool unlike; /* and was: they differ */
    size_t row;
};

/* One task: bytes of one part of one piece, or a tile. */
struct task {
    struct pair *pair;
    size_t piece; /* or the number of the tile */
    int part;
    uint64_t at;
    double apart, whole; /* of a tile; added up in the order of tiles, so that threads change no bit */
};

struct tare_diff {
    struct tare_arena arena;
    struct tare_diff_report report;
    struct tare_diff_row *rows;
    struct tare_diff_side *sides; /* two of each row */
    size_t counts[TARE_SAMENESS_COUNT];
    struct pair *pairs; /* heap */
    size_t n_pairs;
};

struct run {
    struct tare_diff *diff;
    const struct tare_diff_options *options;
    struct task *tasks; /* heap */
    size_t n_tasks, room;
    struct tare_comparer *comparers;
    pthread_mutex_t lock; /* of what follows, and of the pairs' findings */
    uint64_t done, total; /* elements */
    uint64_t bytes;       /* of the first model, for progress */
    struct tare_error error;
    atomic_bool stop;
};

static void settle(struct run *run, enum tare_code code, uint64_t elements, struct tare_error *error)
{
    run->done += elements;
    const double part = run->total ? (double)run->done / (double)run->total : 1;
    if (!code && !run->error.code && run->options->progress &&
        run->options->progress(run->options->user, "diff", (uint64_t)(part * (double)run->bytes), run->bytes))
        code = tare_fail(error, TARE_E_CANCELLED, "", "cancelled");
    if (code && !run->error.code)
        run->error = *error;
    if (code)
        atomic_store_explicit(&run->stop, true, memory_order_relaxed);
}

static void run_bytes(void *user, size_t index, int worker)
{
    struct run *run = user;
    const struct task *task = &run->tasks[index];
    struct pair *pair = task->pair;
    (void)worker;
    if (atomic_load_explicit(&pair->unlike, memory_order_relaxed) ||
        atomic_load_explicit(&run->stop, memory_order_relaxed))
        return;
    const uint64_t size = pair->view[0].flat.pieces[task->piece].module->part[task->part]->size, left = size - task->at;
    const uint64_t n = left < CHUNK ? left : CHUNK;
    const unsigned char *bytes[2];
    struct tare_holds holds = {0};
    struct tare_error error = {0};
    enum tare_code code = TARE_OK;
    for (int k = 0; k < 2 && !code; k++) {
        const struct tare_readable *view = &pair->view[k];
        const struct tare_tensor *tensor = view->flat.pieces[task->piece].module->part[task->part];
        bytes[k] = (const unsigned char *)view->parts[task->piece][task->part] + task->at;
        if (!tare_part_is_copied((enum tare_part)task->part))
            code = tare_holds_add(&holds, view->checkpoint, tensor, task->at, task->at + n, &error);
    }
    if (!code && memcmp(bytes[0], bytes[1], (size_t)n))
        atomic_store_explicit(&pair->unlike, true, memory_order_relaxed);
    tare_holds_release(&holds);
    if (!code)
        return;
    pthread_mutex_lock(&run->lock);
    settle(run, code, 0, &error);
    pthread_mutex_unlock(&run->lock);
}

static void run_tile(void *user, size_t index, int worker)
{
    struct run *run = user;
    struct pair *pair = run->tasks[index].pair;
    struct tare_finding_of_tile found = {0};
    struct tare_error error = {0};
    if (atomic_load_explicit(&run->stop, memory_order_relaxed))
        return;
    const struct tare_tile tile = tare_grid_tile(&pair->grid, (int64_t)run->tasks[index].piece);
    const enum tare_code code = tare_tiles_compare(pair->view, &tile, &run->comparers[worker], &found, &error);
    pthread_mutex_lock(&run->lock);
    tare_found_add(&pair->found, &found);
    run->tasks[index].apart = found.apart;
    run->tasks[index].whole = found.whole;
    settle(run, code, (uint64_t)tile.count, &error);
    pthread_mutex_unlock(&run->lock);
}

static bool add_task(struct run *run, struct task task)
{
    if (!tare_grow(&run->tasks, &run->room, run->n_tasks + 1, sizeof *run->tasks))
        return false;
    run->tasks[run->n_tasks++] = task;
    return true;
}

/* The chunks of all parts of a pair. A module that several pieces share is compared once where they follow each other.
 */
static bool add_bytes(struct run *run, struct pair *pair)
{
    for (size_t k = 0; k < pair->view[0].flat.n; k++) {
        const struct tare_module *a = pair->view[0].flat.pieces[k].module, *b = pair->view[1].flat.pieces[k].module;
        if (k && a == pair->view[0].flat.pieces[k - 1].module && b == pair->view[1].flat.pieces[k - 1].module)
            continue;
        for (int part = 0; part < TARE_PARTS; part++)
            for (uint64_t at = 0; a->part[part] && at < a->part[part]->size; at += CHUNK)
                if (!add_task(run, (struct task){.pair = pair, .piece = k, .part = part, .at = at}))
                    return false;
    }
    return true;
}

static bool add_tiles(struct run *run, struct pair *pair)
{
    for (int64_t k = 0; k < pair->grid.n; k++)
        if (!add_task(run, (struct task){.pair = pair, .piece = (size_t)k}))
            return false;
    return true;
}

static enum tare_code compare_all(struct run *run, struct tare_pool *pool, struct tare_error *err)
{
    struct tare_diff *diff = run->diff;
    run->n_tasks = 0;
    for (size_t k = 0; k < diff->n_pairs; k++)
        if (diff->pairs[k].alike && !add_bytes(run, &diff->pairs[k]))
            return tare_fail_memory(err);
    tare_pool_run(pool, run->n_tasks, run_bytes, run);
    run->n_tasks = 0;
    for (size_t k = 0; k < diff->n_pairs; k++) {
        struct pair *pair = &diff->pairs[k];
        if (pair->alike && !atomic_load(&pair->unlike))
            continue;
        run->total += diff->rows[pair->row].elements;
        if (!add_tiles(run, pair))
            return tare_fail_memory(err);
    }
    tare_pool_run(pool, run->n_tasks, run_tile, run);
    for (size_t k = 0; k < run->n_tasks; k++) {
        run->tasks[k].pair->found.apart += run->tasks[k].apart;
        run->tasks[k].pair->found.whole += run->tasks[k].whole;
    }
    if (run->error.code && err)
        *err = run->error;
    return run->error.code;
}

/* ---- rows ---------------------------------------------------------------------------------------------------- */

static void first_module(void *user, const struct tare_module *module)
{
    const struct tare_module **first = user;
    if (!*first)
        *first = module;
}

static void add_bytes_of(void *user, const struct tare_module *module)
{
    uint64_t *bytes = user;
    for (int part = 0; part < TARE_PARTS; part++)
        *bytes += module->part[part] ? module->part[part]->size : 0;
}

static struct tare_diff_side side_of(const struct tare_parameter *parameter)
{
    const struct tare_module *module = NULL;
    tare_recipe_leaves(parameter->entry->recipe, first_module, &module);
    uint64_t bytes = 0;
    tare_recipe_leaves(parameter->entry->recipe, add_bytes_of, &bytes);
    return (struct tare_diff_side){tare_packing_word(module->packing, module->dtype),
                                   module->bits,
                                   module->group_size,
                                   parameter->rank,
                                   parameter->shape,
                                   bytes};
}

static bool bound(const struct tare_parameter *parameter)
{
    return parameter && parameter->active && parameter->entry;
}

static uint64_t elements_of(const struct tare_parameter *parameter)
{
    const int64_t n = tare_shape_count(parameter->rank, parameter->shape);
    return n < 0 ? 0 : (uint64_t)n;
}

static bool same_shape(const struct tare_parameter *a, const struct tare_parameter *b)
{
    return a->rank == b->rank && (!a->rank || !memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape));
}

/* Adds one row to the report. A parameter that both sides have in one shape becomes a pair to compare. */
static enum tare_code add_row(struct tare_diff *diff, struct tare_model *const model[2],
                              const struct tare_parameter *first, const struct tare_parameter *second,
                              struct tare_error *err)
{
    const struct tare_parameter *const parameter[2] = {first, second};
    const size_t at = diff->report.n_rows++;
    struct tare_diff_row *row = &diff->rows[at];
    row->sameness = !second ? TARE_ONLY_FIRST : !first ? TARE_ONLY_SECOND : TARE_DIFFERENT_SHAPE;
    for (int k = 0; k < 2; k++)
        row->side[k] = &diff->sides[2 * at + (size_t)k];
    for (int k = 0; k < 2; k++)
        if (parameter[k]) {
            diff->sides[2 * at + (size_t)k] = side_of(parameter[k]);
            row->name = parameter[k]->name;
            row->elements = elements_of(parameter[k]);
        }
    if (!first || !second || !same_shape(first, second))
        return TARE_OK;
    struct pair *pair = &diff->pairs[diff->n_pairs++];
    row->sameness = TARE_SAME_BYTES;
    pair->row = diff->report.n_rows - 1;
    for (int k = 0; k < 2; k++) {
        pair->parameter[k] = parameter[k];
        const enum tare_code code = tare_readable_make(
            &pair->view[k], &model[k]->checkpoint, parameter[k]->entry->recipe, parameter[k]->name, &diff->arena, err);
        if (code)
            return code;
    }
    const bool codes = pair->view[0].codes || pair->view[1].codes;
    pair->grid = tare_grid_make(pair->view[0].rank, pair->view[0].shape, codes);
    pair->alike = tare_views_alike(&pair->view[0], &pair->view[1]);
    return TARE_OK;
}

static enum tare_code add_rows(struct tare_diff *diff, struct tare_model *const model[2], struct tare_error *err)
{
    const size_t n[2] = {model[0]->tree.n, model[1]->tree.n};
    enum tare_code code = TARE_OK;
    diff->report.rows = diff->rows = tare_arena_array(&diff->arena, n[0] + n[1], sizeof *diff->rows);
    diff->pairs = calloc(n[0] + 1, sizeof *diff->pairs);
    diff->sides = tare_arena_array(&diff->arena, 2 * (n[0] + n[1]), sizeof *diff->sides);
    diff->report.rows_stride = sizeof *diff->rows;
    diff->report.size = sizeof diff->report;
    diff->report.counts = diff->counts;
    diff->report.n_counts = TARE_SAMENESS_COUNT;
    if (!diff->rows || !diff->pairs || !diff->sides)
        return tare_fail_memory(err);
    for (size_t k = 0; k < n[0] && !code; k++) {
        const struct tare_parameter *p = model[0]->tree.parameters[k],
                                    *other = tare_tree_find(&model[1]->tree, p->name);
        if (bound(p))
            code = add_row(diff, model, p, bound(other) ? other : NULL, err);
    }
    for (size_t k = 0; k < n[1] && !code; k++) {
        const struct tare_parameter *p = model[1]->tree.parameters[k];
        if (bound(p) && !bound(tare_tree_find(&model[0]->tree, p->name)))
            code = add_row(diff, model, NULL, p, err);
    }
    return code;
}

static double ratio_of(double apart, double whole)
{
    return whole > 0 ? sqrt(apart / whole) : apart > 0 ? INFINITY : 0;
}

static void judge_pair(struct tare_diff *diff, const struct pair *pair)
{
    const struct tare_finding_of_tile *found = &pair->found;
    struct tare_diff_row *row = &diff->rows[pair->row];
    const int64_t columns = pair->grid.shape[pair->grid.rank - 1];
    if ((pair->alike && !atomic_load(&pair->unlike)) || !row->elements)
        return;
    row->sameness = found->differing                 ? TARE_DIFFERENT
                    : !found->codes && !found->zeros ? TARE_SAME_CODES
                    : found->bits                    ? TARE_SAME_VALUES
                                                     : TARE_SAME_BYTES;
    if (!found->differing)
        return;
    row->codes = !found->codes;
    row->differing = found->differing;
    row->largest = found->largest;
    row->relative = isfinite(found->apart) && isfinite(found->whole) ? ratio_of(found->apart, found->whole) : INFINITY;
    row->value[0] = found->value[0];
    row->value[1] = found->value[1];
    row->row = found->at / columns;
    row->column = found->at % columns;
}

static void judge(struct tare_diff *diff)
{
    struct tare_diff_report *report = &diff->report;
    for (size_t k = 0; k < diff->n_pairs; k++)
        judge_pair(diff, &diff->pairs[k]);
    report->largest = report->n_rows;
    report->equal = true;
    for (size_t k = 0; k < report->n_rows; k++) {
        const struct tare_diff_row *row = &report->rows[k];
        diff->counts[row->sameness]++;
        report->equal &= row->sameness < TARE_DIFFERENT;
        if (row->sameness == TARE_DIFFERENT &&
            (report->largest == report->n_rows || row->largest > report->rows[report->largest].largest))
            report->largest = k;
    }
}

static enum tare_code run_all(struct tare_diff *diff, struct tare_model *first, const struct tare_diff_options *options,
                              struct tare_error *err)
{
    struct run run = {.diff = diff, .options = options, .bytes = first->report.bytes};
    struct tare_pool *pool = NULL;
    enum tare_code code = tare_plan_pool(&pool, first, options->pool, options->threads, err);
    if (code)
        return code;
    const int workers = tare_pool_threads(pool);
    run.comparers = calloc((size_t)workers, sizeof *run.comparers);
    for (int k = 0; run.comparers && k < workers; k++)
        run.comparers[k].sums = options->relative;
    atomic_init(&run.stop, false);
    if (run.comparers && !pthread_mutex_init(&run.lock, NULL)) {
        code = compare_all(&run, pool, err);
        pthread_mutex_destroy(&run.lock);
    } else {
        code = tare_fail_memory(err);
    }
    for (int k = 0; run.comparers && k < workers; k++)
        tare_comparer_release(&run.comparers[k]);
    free(run.comparers);
    free(run.tasks);
    tare_pool_free(pool);
    return code;
}

enum tare_code tare_diff_open(tare_diff **diff, tare_model *first, tare_model *second,
                              const struct tare_diff_options *given, struct tare_error *err)
{
    struct tare_diff_options options;
    struct tare_model *const model[2] = {first, second};
    if (diff)
        *diff = NULL;
    if (!diff || !first || !second)
        return tare_fail(err, TARE_E_ARGUMENT, "", "a diff needs a place for it, and two models");
    enum tare_code code = tare_sized_read(&options, sizeof options, given, "options", err);
    if (code)
        return code;
    for (int k = 0; k < 2; k++)
        if (model[k]->code) {
            if (err)
                *err = model[k]->error;
            return model[k]->code;
        }
    struct tare_diff *made = calloc(1, sizeof *made);
    if (!made)
        return tare_fail_memory(err);
    made->report.model[0] = first->report.model;
    made->report.model[1] = second->report.model;
    code = add_rows(made, model, err);
    if (!code)
        code = run_all(made, first, &options, err);
    if (code) {
        tare_diff_free(made);
        return code;
    }
    judge(made);
    *diff = made;
    return TARE_OK;
}

void tare_diff_free(tare_diff *diff)
{
    if (!diff)
        return;
    free(diff->pairs);
    tare_arena_release(&diff->arena);
    free(diff);
}

const struct tare_diff_report *tare_diff_report(const tare_diff *diff)
{
    return diff ? &diff->report : NULL;
}

void tare_diff_options_init(struct tare_diff_options *options, size_t size)
{
    tare_sized_init(options, size);
}
