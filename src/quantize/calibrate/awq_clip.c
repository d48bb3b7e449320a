/* SPDX-License-Identifier: MIT
 * awq_clip.c - AWQ's bounds: the largest weights of a group are cut off where the finer steps of all others make up for it. The
 * error of a group is d G d^T, with the part of the Gram matrix that belongs to its columns.
 *
 * Each group of each row tries 1, 19/20, ... 11/20 of its largest |w|.
 */
#include <math.h>
#include <stdlib.h>

#include "quantize/calibrate/calibrate.h"

#define ROWS 16
#define STEPS 10
#define OF 20

struct clipping {
    const struct tare_subject *s;
    const struct tare_gram *gram; /* NULL: nothing is cut off */
    const struct tare_kernels *kernels;
    const struct tare_outcome_arrays *to;
    int64_t in, group, groups;
    float **room; /* of each worker: (3, ROWS, group) */
    uint8_t **codes;
};

static float largest(const float *w, int64_t n)
{
    float most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(w[i]));
    return most;
}

static struct tare_integer_grid grid_within(const struct tare_subject *s, const float *w, int64_t n, float bound)
{
    float low = 0, high = 0;
    for (int64_t i = 0; i < n; i++) {
        low = fminf(low, fmaxf(w[i], -bound));
        high = fmaxf(high, fminf(w[i], bound));
    }
    return tare_integer_grid_of(&s->form, s->dtype, low, high);
}

/* What a group would be less what it is. */
static void differ(const struct tare_subject *s, const float *w, int64_t n, float bound, float *d)
{
    const struct tare_integer_grid grid = grid_within(s, w, n, bound);
    const int most = (1 << s->form.bits) - 1;
    const float inverse = 1 / grid.scale;
    for (int64_t i = 0; i < n; i++)
        d[i] = grid.scale * (float)(tare_integer_grid_code(&grid, most, inverse, w[i]) - grid.zero) - w[i];
}

/* The best bound of one group for each of some rows. */
static void search(const struct clipping *c, int64_t first, int64_t rows, int64_t g, float *room, float bound[ROWS])
{
    const int64_t at = g * c->group, n = c->group;
    float *d = room, *product = room + ROWS * n;
    double least[ROWS];
    float most[ROWS];
    for (int64_t r = 0; r < rows; r++) {
        bound[r] = most[r] = largest(c->s->w + (first + r) * c->in + at, n);
        least[r] = INFINITY;
    }
    for (int step = 0; step < (c->gram ? STEPS : 0); step++) {
        const float part = 1 - (float)step / OF;
        for (int64_t r = 0; r < rows; r++)
            differ(c->s, c->s->w + (first + r) * c->in + at, n, most[r] * part, d + r * n);
        c->kernels->panel(c->gram->sum + at * c->in + at, c->in, n, d, n, rows, n, product, n, false);
        for (int64_t r = 0; r < rows; r++) {
            double error = 0;
            for (int64_t i = 0; i < n; i++)
                error += (double)d[r * n + i] * (double)product[r * n + i];
            if (error < least[r]) {
                least[r] = error;
                bound[r] = most[r] * part;
            }
        }
    }
}

static void clip_rows(void *user, size_t i, int worker)
{
    const struct clipping *c = user;
    const struct tare_subject *s = c->s;
    const int64_t first = (int64_t)i * ROWS, all = s->parameter->shape[0],
                  rows = all - first < ROWS ? all - first : ROWS;
    const int most = (1 << s->form.bits) - 1;
    uint8_t *codes = c->codes[worker]; /* (ROWS, in) */
    for (int64_t g = 0; g < c->groups; g++) {
        float bound[ROWS];
        search(c, first, rows, g, c->room[worker], bound);
        for (int64_t r = 0; r < rows; r++) {
            float *w = s->w + (first + r) * c->in + g * c->group;
            const struct tare_integer_grid grid = grid_within(s, w, c->group, bound[r]);
            const float inverse = 1 / grid.scale;
            for (int64_t k = 0; k < c->group; k++) {
                const int code = tare_integer_grid_code(&grid, most, inverse, w[k]);
                codes[r * c->in + g * c->group + k] = (uint8_t)code;
                w[k] = grid.scale * (float)(code - grid.zero);
            }
            c->to->scale[(first + r) * c->groups + g] = grid.scale;
            c->to->zero[(first + r) * c->groups + g] = (uint8_t)grid.zero;
        }
    }
    for (int64_t r = 0; r < rows; r++)
        tare_outcome_pack(codes + r * c->in, s->form.bits, c->in,
                          c->to->codes + (size_t)(first + r) * tare_outcome_row(c->in, s->form.bits));
}

/* Queries and keys are not cut: their products meet each other before they meet anything else (AWQ's own rule). What the
 * block says of its first readers tells them: those whose output no fold has as its `before`. */
static bool cuts(const struct tare_part_work *work, const struct tare_subject *s)
{
    const struct tare_layer *layer = &work->walk->decoder->layers[work->layer];
    const struct tare_block *block = &layer->mixer;
    struct tare_fold folds[TARE_FOLDS];
    const int n = block->ops->folds ? block->ops->folds(block->self, folds) : 0;
    for (int k = 0; k < TARE_FOLD_READERS && n > 0; k++)
        if (folds[0].reader[k] && folds[0].reader[k]->weight == s->parameter)
            return n > 1 && folds[1].before && folds[1].before->weight == s->parameter && !folds[1].first;
    return true;
}

enum tare_code tare_awq_clip(struct tare_part_work *work, struct tare_subject *s, const struct tare_outcome_arrays *to,
                             struct tare_error *err)
{
    const struct tare_pass *pass = &work->walk->runner->pass;
    const int threads = tare_pool_threads(pass->pool);
    struct clipping c = {.s = s, .kernels = &pass->kernels, .to = to, .in = s->parameter->shape[1]};
    c.gram = cuts(work, s) ? work->sets[s->set].gram : NULL;
    c.group = s->form.group_size ? s->form.group_size : c.in;
    c.groups = c.in / c.group;
    c.room = calloc((size_t)threads, sizeof *c.room);
    c.codes = calloc((size_t)threads, sizeof *c.codes);
    bool memory = c.room && c.codes;
    for (int k = 0; memory && k < threads; k++) {
        c.room[k] = malloc((size_t)(2 * ROWS * c.group) * sizeof *c.room[k]);
        c.codes[k] = malloc((size_t)(ROWS * c.in));
        memory = c.room[k] && c.codes[k];
    }
    if (memory)
        tare_pool_run(pass->pool, (size_t)((s->parameter->shape[0] + ROWS - 1) / ROWS), clip_rows, &c);
    for (int k = 0; k < threads; k++) {
        free(c.room ? c.room[k] : NULL);
        free(c.codes ? c.codes[k] : NULL);
    }
    free(c.room);
    free(c.codes);
    return memory ? TARE_OK : tare_fail_memory(err);
}
