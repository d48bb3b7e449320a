/* SPDX-License-Identifier: MIT
 * gptq_solve.c - GPTQ (Frantar et al. 2022): columns are rounded one after another, and the error of each is made up for by
 * those that are not rounded yet, by the Cholesky factor U of the inverse of the inputs' Gram matrix:
 *
 *     e = (w[k] - rounded) / U[k][k],    w[j] -= e U[k][j]   for j > k
 *
 * Rows know nothing of each other: a task is a few of them. Columns go by blocks: within one the errors are applied column
 * by column, and to all columns after it at once.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quantize/calibrate/calibrate.h"

#define ROWS 16   /* of a task */
#define BLOCK 128 /* columns, unless a group is smaller */
#define BLOCK_MOST 256
#define TRIES 4 /* of larger and larger damping */

/* ---- the factor ------------------------------------------------------------------------------------------------ */

struct weight {
    float weight;
    int32_t column;
};

static int by_weight(const void *a, const void *b)
{
    const struct weight *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->column < y->column ? -1 : 1;
}

static bool order_columns(struct tare_gptq_factor *f, const struct tare_gptq_job *job)
{
    const int64_t n = f->n;
    struct weight *weights = malloc((size_t)n * sizeof *weights);
    if (!weights)
        return false;
    for (int64_t i = 0; i < n; i++)
        weights[i] = (struct weight){job->gram->sum[i * n + i], (int32_t)i};
    if (job->order != TARE_ORDER_NONE)
        qsort(weights, (size_t)n, sizeof *weights, by_weight);
    for (int64_t i = 0; i < n; i++) {
        f->place[i] = weights[i].column;
        f->dead[i] = !(weights[i].weight > 0);
    }
    free(weights);
    return true;
}

/* The Gram matrix in the factor's order, with its damping. */
static void fill(struct tare_gptq_factor *f, const struct tare_gram *gram, double damp)
{
    const int64_t n = f->n;
    double mean = 0;
    for (int64_t i = 0; i < n; i++)
        mean += (double)(f->dead[i] ? 1 : gram->sum[(int64_t)f->place[i] * n + f->place[i]]) / (double)n;
    for (int64_t i = 0; i < n; i++) {
        const float *from = gram->sum + (int64_t)f->place[i] * n;
        for (int64_t k = 0; k < n; k++)
            f->u[i * n + k] = from[f->place[k]];
        f->u[i * n + i] = (float)((double)(f->dead[i] ? 1 : f->u[i * n + i]) + damp * mean);
    }
}

enum tare_code tare_gptq_factor(struct tare_gptq_factor *f, const struct tare_gptq_job *job, const char *name,
                                struct tare_error *err)
{
    const int64_t n = job->gram->n;
    *f = (struct tare_gptq_factor){.n = n,
                                   .place = calloc((size_t)n, sizeof *f->place),
                                   .u = calloc((size_t)n, (size_t)n * sizeof *f->u),
                                   .dead = calloc((size_t)n, sizeof *f->dead)};
    bool memory = f->place && f->u && f->dead && order_columns(f, job);
    double damp = job->damp;
    for (int k = 0; memory && k < TRIES; k++, damp *= 10) {
        fill(f, job->gram, damp);
        if (tare_factor_inverse(f->u, n, job->kernels, job->pool, &memory))
            return TARE_OK;
    }
    return memory ? tare_fail(err, TARE_E_TARGET, name,
                              "what goes into it on this text has no usable Gram matrix (are there NaN or infinities? "
                              "tare verify looks for them in the weights)")
                  : tare_fail_memory(err);
}

void tare_gptq_release(struct tare_gptq_factor *f)
{
    free(f->place);
    free(f->u);
    free(f->dead);
    *f = (struct tare_gptq_factor){0};
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

struct solving {
    const struct tare_gptq_job *job;
    const struct tare_gptq_factor *f;
    const struct tare_outcome_arrays *to;
    float *w;
    int64_t rows, group, groups, block;
    const int32_t *group_of; /* (n), of the factor's columns */
    float **room;            /* a buffer for each worker */
};

/* A task's memory: rows of w in the factor's order, then those of the errors of a block, negated; the block at work with its
 * columns one after another; codes of a row. */
struct task {
    const struct solving *s;
    int64_t first, n; /* rows */
    float *w, *error;
    float (*at_work)[ROWS], (*errors)[ROWS]; /* (block) each */
    struct tare_integer_grid *grid;          /* (ROWS, groups) */
    uint8_t *code;                           /* (ROWS, columns), in the module's own order */
};

static size_t room_of(const struct solving *s)
{
    const size_t n = (size_t)s->f->n, block = (size_t)s->block;
    return (n + block + 2 * block) * ROWS * sizeof(float) +
           ROWS * (size_t)s->groups * sizeof(struct tare_integer_grid) + ROWS * (n + 8) + 64;
}

static struct task open_task(const struct solving *s, size_t i, float *room)
{
    struct task t = {.s = s, .first = (int64_t)i * ROWS, .w = room};
    t.n = s->rows - t.first < ROWS ? s->rows - t.first : ROWS;
    t.error = t.w + s->f->n * ROWS;
    t.at_work = (float(*)[ROWS])(void *)(t.error + s->block * ROWS);
    t.errors = t.at_work + s->block;
    t.grid = (struct tare_integer_grid *)(void *)(t.errors + s->block);
    t.code = (uint8_t *)(t.grid + ROWS * s->groups);
    return t;
}

/* Grids of one group from the weights as they are now: those of the task's rows at columns [from, from + group) of the
 * factor. */
static void fit_group(const struct task *t, int64_t group, int64_t from)
{
    const struct solving *s = t->s;
    for (int64_t r = 0; r < t->n; r++)
        t->grid[r * s->groups + group] =
            tare_integer_grid_fit(s->job->form, s->job->dtype, t->w + r * s->f->n + from, s->group);
}

/* Grids of all groups from the weights as they were. */
static void fit_all(const struct task *t)
{
    const struct solving *s = t->s;
    for (int64_t r = 0; r < t->n; r++)
        for (int64_t g = 0; g < s->groups; g++)
            t->grid[r * s->groups + g] = tare_integer_grid_fit(
                s->job->form, s->job->dtype, s->w + (t->first + r) * s->f->n + g * s->group, s->group);
}

/* Column k of the factor, column i of the block at work: rounds it for all rows of the task. */
static void round_column(const struct task *t, int64_t k, int64_t i, const float *u)
{
    const struct solving *s = t->s;
    const int most = (1 << s->job->form->bits) - 1;
    float *column = t->at_work[i];
    for (int64_t e = 0; e < i; e++)
        for (int r = 0; r < ROWS; r++)
            column[r] -= t->errors[e][r] * u[e];
    for (int64_t r = 0; r < t->n; r++) {
        const struct tare_integer_grid *grid = &t->grid[r * s->groups + s->group_of[k]];
        const int code = tare_integer_grid_code(grid, most, 1 / grid->scale, column[r]);
        const float rounded = grid->scale * (float)(code - grid->zero);
        t->code[r * s->f->n + s->f->place[k]] = (uint8_t)code;
        t->errors[i][r] = (column[r] - rounded) / u[i];
        column[r] = rounded;
    }
}

static void solve_block(const struct task *t, int64_t at)
{
    const struct solving *s = t->s;
    const int64_t n = s->f->n, end = at + s->block < n ? at + s->block : n, size = end - at;
    memset(t->at_work, 0, (size_t)size * sizeof *t->at_work);
    memset(t->errors, 0, (size_t)size * sizeof *t->errors);
    for (int64_t r = 0; r < t->n; r++)
        for (int64_t i = 0; i < size; i++)
            t->at_work[i][r] = s->f->dead[at + i] ? 0 : t->w[r * n + at + i];
    if (s->job->order != TARE_ORDER_STATIC && at % s->group == 0 && s->groups > 1)
        for (int64_t k = at; k < end; k += s->group)
            fit_group(t, s->group_of[k], k);
    for (int64_t i = 0; i < size; i++)
        round_column(t, at + i, i, s->f->u + (at + i) * n + at);
    for (int64_t r = 0; r < t->n; r++)
        for (int64_t i = 0; i < size; i++) {
            t->w[r * n + at + i] = t->at_work[i][r];
            t->error[r * s->block + i] = -t->errors[i][r];
        }
    if (end < n)
        s->job->kernels->panel(s->f->u + end * n + at, n, n - end, t->error, s->block, t->n, size, t->w + end, n, true);
}

static void keep_rows(const struct task *t)
{
    const struct solving *s = t->s;
    const int64_t n = s->f->n;
    const int bits = s->job->form->bits;
    for (int64_t r = 0; r < t->n; r++) {
        float *w = s->w + (t->first + r) * n;
        for (int64_t k = 0; k < n; k++)
            w[s->f->place[k]] = t->w[r * n + k];
        tare_outcome_pack(t->code + r * n, bits, n, s->to->codes + (size_t)(t->first + r) * tare_outcome_row(n, bits));
        for (int64_t g = 0; g < s->groups; g++) {
            s->to->scale[(t->first + r) * s->groups + g] = t->grid[r * s->groups + g].scale;
            s->to->zero[(t->first + r) * s->groups + g] = (uint8_t)t->grid[r * s->groups + g].zero;
        }
    }
}

static void solve_rows(void *user, size_t i, int worker)
{
    const struct solving *s = user;
    const struct task t = open_task(s, i, s->room[worker]);
    const int64_t n = s->f->n;
    if (s->job->order == TARE_ORDER_STATIC || s->groups == 1)
        fit_all(&t);
    for (int64_t r = 0; r < t.n; r++)
        for (int64_t k = 0; k < n; k++)
            t.w[r * n + k] = s->w[(t.first + r) * n + s->f->place[k]];
    for (int64_t at = 0; at < n; at += s->block)
        solve_block(&t, at);
    keep_rows(&t);
}

/* The group of each column of the factor; and g_idx, where the groups are those of its order. */
static int32_t *list_groups(const struct solving *s)
{
    int32_t *list = malloc((size_t)s->f->n * sizeof *list);
    for (int64_t k = 0; list && k < s->f->n; k++) {
        const bool full = s->job->order == TARE_ORDER_FULL;
        list[k] = (int32_t)((full ? k : s->f->place[k]) / s->group);
        if (full && s->to->g_idx)
            s->to->g_idx[s->f->place[k]] = list[k];
    }
    return list;
}

enum tare_code tare_gptq_solve(const struct tare_gptq_job *job, const struct tare_gptq_factor *f, float *w,
                               int64_t rows, const struct tare_outcome_arrays *to, struct tare_error *err)
{
    struct solving s = {.job = job, .f = f, .to = to, .w = w, .rows = rows};
    const int threads = tare_pool_threads(job->pool);
    s.group = job->form->group_size ? job->form->group_size : f->n;
    s.groups = f->n / s.group;
    /* A block begins where a group does, so that a group's grid sees all errors before it. */
    s.block = s.groups == 1 || s.group > BLOCK_MOST ? BLOCK : s.group;
    if (s.groups > 1 && s.group > BLOCK_MOST)
        s.block = s.group;
    s.room = calloc((size_t)threads, sizeof *s.room);
    s.group_of = list_groups(&s);
    bool memory = s.room && s.group_of;
    for (int k = 0; memory && k < threads; k++)
        memory = (s.room[k] = malloc(room_of(&s))) != NULL;
    if (memory)
        tare_pool_run(job->pool, (size_t)((rows + ROWS - 1) / ROWS), solve_rows, &s);
    for (int k = 0; s.room && k < threads; k++)
        free(s.room[k]);
    free(s.room);
    free((void *)(uintptr_t)s.group_of);
    return memory ? TARE_OK : tare_fail_memory(err);
}
