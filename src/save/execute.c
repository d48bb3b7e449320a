/* SPDX-License-Identifier: MIT
 * execute.c - run the tasks of a layout: each makes one tile of one parameter and writes it to its own place.
 *
 * A tile is one worker's, and no two share a byte of the output, so the result does not depend on the number of
 * threads. Whoever writes the last tile of a job closes its account. The first error, or a cancelled progress report,
 * stops the others at their next task.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "save/frontier.h"

struct turn;

struct run {
    const struct tare_layout *layout;
    const struct tare_convert_options *options;
    struct tare_account *account;
    struct tare_worker *workers;
    struct turn *turns;   /* of each task, where they are made as the source goes by; NULL: in their own order */
    pthread_mutex_t lock; /* of what follows */
    size_t *left;         /* of each job: its tiles that are not written */
    uint64_t done;
    struct tare_error error;
    atomic_bool stop;
};

/* A task, and the place of the source that it waits for (frontier.h). */
struct turn {
    uint64_t place;
    size_t task;
};

void *tare_buffer_room(struct tare_buffer *buffer, size_t size)
{
    if (size <= buffer->room && buffer->data)
        return buffer->data;
    free(buffer->data);
    buffer->data = malloc(size ? size : 1);
    buffer->room = buffer->data ? size : 0;
    return buffer->data;
}

static const struct tare_job *job_of(const struct tare_layout *layout, size_t task)
{
    size_t low = 0, high = layout->n_jobs;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (layout->jobs[middle].first_task <= task)
            low = middle;
        else
            high = middle;
    }
    return &layout->jobs[low];
}

/* The part of a parameter that a task makes. */
static struct tare_box box_of(const struct tare_job *job, size_t task)
{
    struct tare_box box;
    int64_t leading = (int64_t)(task - job->first_task) / job->tiles;
    const int64_t tile = (int64_t)(task - job->first_task) % job->tiles;
    for (int k = job->rank - 1; k > job->axis; k--) {
        box.low[k] = 0;
        box.high[k] = job->shape[k];
    }
    box.low[job->axis] = tile * job->step;
    box.high[job->axis] = box.low[job->axis] + job->step;
    if (box.high[job->axis] > job->shape[job->axis])
        box.high[job->axis] = job->shape[job->axis];
    for (int k = job->axis - 1; k >= 0; k--) {
        box.low[k] = leading % job->shape[k];
        box.high[k] = box.low[k] + 1;
        leading /= job->shape[k];
    }
    return box;
}

static int by_place(const void *a, const void *b)
{
    const struct turn *x = a, *y = b;
    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    return x->task < y->task ? -1 : x->task > y->task;
}

/* Tasks that are made as the source goes by, in the order of the last byte that each needs. */
static enum tare_code take_turns(struct run *run, struct tare_error *err)
{
    const struct tare_layout *layout = run->layout;
    if (!run->account->frontier)
        return TARE_OK;
    run->turns = calloc(layout->n_tasks + 1, sizeof *run->turns);
    if (!run->turns)
        return tare_fail_memory(err);
    for (size_t task = 0; task < layout->n_tasks; task++) {
        const struct tare_job *job = job_of(layout, task);
        const struct tare_box box = box_of(job, task);
        run->turns[task] = (struct turn){tare_frontier_place(run->account->frontier, job, &box), task};
    }
    qsort(run->turns, layout->n_tasks, sizeof *run->turns, by_place);
    return TARE_OK;
}

/* The function that makes the tiles of a job. */
static tare_tile_fn *tile_of(const struct tare_layout *layout, const struct tare_job *job)
{
    if (job->target.packed)
        return layout->format->tile;
    return job->module && job->module->packing != &tare_packing_plain ? tare_dequantized_tile : tare_dense_tile;
}

/* Jobs that an earlier run has done are not done again; those without tiles are done at once. */
static enum tare_code begin(struct run *run, struct tare_error *err)
{
    const struct tare_layout *layout = run->layout;
    run->left = calloc(layout->n_jobs + 1, sizeof *run->left);
    if (!run->left)
        return tare_fail_memory(err);
    enum tare_code code = TARE_OK;
    for (size_t k = 0; !code && k < layout->n_jobs; k++) {
        const struct tare_job *job = &layout->jobs[k];
        run->left[k] = (size_t)(job->leading * job->tiles);
        if (run->account->records[k].kept)
            for (int i = 0; i < TARE_PARTS; i++)
                run->done += job->saved[i] ? job->saved[i]->size : 0;
        else if (!run->left[k])
            code = tare_account_close(run->account, k, &run->workers[0], err);
    }
    return code;
}

enum tare_code tare_job_runs(const struct tare_job *job, const struct tare_box *box, size_t number, int64_t columns,
                             int64_t most, tare_run *visit, void *user)
{
    const struct tare_piece *piece = &job->flat.pieces[number];
    const int axis = job->axis;
    int64_t start = piece->start;
    for (int k = 0; k < axis; k++) { /* one index each */
        if (box->low[k] < piece->at[k] || box->low[k] >= piece->at[k] + piece->shape[k])
            return TARE_OK;
        start += (box->low[k] - piece->at[k]) * piece->stride[k];
    }
    const int64_t low = box->low[axis] > piece->at[axis] ? box->low[axis] : piece->at[axis];
    const int64_t end = piece->at[axis] + piece->shape[axis], high = box->high[axis] < end ? box->high[axis] : end;
    const int64_t step = piece->stride[axis] / columns; /* rows of the module to the next row of the output */
    enum tare_code code = TARE_OK;
    for (int64_t row = low, n; row < high && !code; row += n) {
        n = step != 1 ? 1 : high - row < most ? high - row : most;
        code = visit(user, number, start / columns + (row - piece->at[axis]) * step, row - box->low[axis], n);
    }
    return code;
}

enum tare_code tare_tile_hold(const struct tare_layout *layout, const struct tare_job *job, const struct tare_box *box,
                              struct tare_worker *worker, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    for (size_t k = 0; layout->checkpoint->windowed && k < job->flat.n && !code; k++) {
        const struct tare_piece *piece = &job->flat.pieces[k];
        code = job->rank == job->flat.rank
                   ? tare_piece_hold(&worker->holds, layout->checkpoint, piece, job->rank, box->low, box->high, err)
                   : tare_module_hold_all(&worker->holds, layout->checkpoint, piece->module, err);
    }
    return code;
}

/* Makes a tile, and closes the account of its job when it is the last. */
static enum tare_code make_tile(struct run *run, const struct tare_job *job, size_t task, struct tare_worker *worker,
                                uint64_t *bytes, struct tare_error *err)
{
    const size_t number = (size_t)(job - run->layout->jobs);
    const struct tare_box box = box_of(job, task);
    tare_arena_reset(&worker->arena);
    worker->tally = (struct tare_tally){0};
    enum tare_code code = tare_tile_hold(run->layout, job, &box, worker, err);
    if (!code)
        code = tile_of(run->layout, job)(run->layout, job, &box, worker, bytes, err);
    tare_holds_let_go(&worker->holds);
    pthread_mutex_lock(&run->lock);
    tare_tally_join(&run->account->records[number].tally, &worker->tally);
    const bool last = !code && --run->left[number] == 0;
    pthread_mutex_unlock(&run->lock);
    return last ? tare_account_close(run->account, number, worker, err) : code;
}

/* More bytes are written: true when the caller wants no more. The lock is held. */
static bool cancelled(struct run *run)
{
    const struct tare_convert_options *options = run->options;
    if (run->account->frontier)
        return tare_frontier_report(run->account->frontier);
    return options->progress && options->progress(options->user, "convert", run->done, run->layout->bytes);
}

static void run_task(void *user, size_t turn, int number)
{
    struct run *run = user;
    const size_t task = run->turns ? run->turns[turn].task : turn;
    const struct tare_job *job = job_of(run->layout, task);
    if (atomic_load_explicit(&run->stop, memory_order_relaxed) || run->account->records[job - run->layout->jobs].kept)
        return;
    struct tare_error error = {0};
    uint64_t bytes = 0;
    enum tare_code code =
        run->turns ? tare_frontier_reach(run->account->frontier, run->turns[turn].place, &error) : TARE_OK;
    if (!code)
        code = make_tile(run, job, task, &run->workers[number], &bytes, &error);
    pthread_mutex_lock(&run->lock);
    run->done += bytes;
    if (!code && !run->error.code && cancelled(run))
        code = tare_fail(&error, TARE_E_CANCELLED, "", "cancelled");
    if (code && !run->error.code)
        run->error = error;
    pthread_mutex_unlock(&run->lock);
    if (code)
        atomic_store_explicit(&run->stop, true, memory_order_relaxed);
}

void tare_worker_release(struct tare_worker *worker)
{
    struct tare_buffer *const buffers[] = {&worker->tile,     &worker->scales,   &worker->biases, worker->stage,
                                           worker->stage + 1, worker->stage + 2, &worker->floats};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        free(buffers[i]->data);
    tare_holds_release(&worker->holds);
    tare_arena_release(&worker->arena);
}

static void release_workers(struct tare_worker *workers, int n)
{
    for (int k = 0; k < n; k++)
        tare_worker_release(&workers[k]);
    free(workers);
}

enum tare_code tare_layout_execute(const struct tare_layout *layout, struct tare_account *account,
                                   struct tare_pool *pool, const struct tare_convert_options *options,
                                   struct tare_error *err)
{
    const int threads = tare_pool_threads(pool);
    struct run run = {.layout = layout,
                      .options = options,
                      .account = account,
                      .workers = calloc((size_t)threads, sizeof *run.workers)};
    if (!run.workers)
        return tare_fail_memory(err);
    if (pthread_mutex_init(&run.lock, NULL)) {
        free(run.workers);
        return tare_fail_memory(err);
    }
    atomic_init(&run.stop, false);
    if (!begin(&run, &run.error) && !take_turns(&run, &run.error))
        tare_pool_run(pool, layout->n_tasks, run_task, &run);
    pthread_mutex_destroy(&run.lock);
    release_workers(run.workers, threads);
    free(run.left);
    free(run.turns);
    if (run.error.code && err)
        *err = run.error;
    return run.error.code;
}
