/* SPDX-License-Identifier: MIT
 * awq_fold.c - AWQ's scales (Lin et al. 2023): columns of weights that meet large activations are multiplied by numbers, so
 * that rounding harms them less, and what comes before is divided by them.
 *
 *     s[c] = x[c]^a / (w[c]^(1 - a) + 1e-4),  over the root of its largest times its smallest
 *
 * x[c] is the mean of |x| of a column, w[c] that of |w| over the largest of its group. Of a = 0, 1/20, ... and of no scales at
 * all those are kept that give the least error: of what the block gives, where a norm comes before; of the product,
 * which the Gram matrix tells, where a linear does.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quantize/calibrate/calibrate.h"

#define GRID 20 /* steps of a */
#define TASK 64 /* rows of a task */

/* One place to fold into. */
struct folding {
    struct tare_part_work *work;
    const struct tare_integer_asked *asked;
    const struct tare_fold *fold;
    const struct tare_norm *norm; /* before; NULL: a linear is */
    struct tare_subject *before;  /* the linear before; NULL: a norm is */
    struct tare_subject *readers[TARE_FOLD_READERS];
    size_t n_readers;
    int64_t columns;                 /* of the readers */
    double *activation;              /* (columns): the mean of |x| */
    double *weight;                  /* (columns): that of |w| */
    float *scale;                    /* (columns): the candidate */
    float *best;                     /* (columns) */
    float *trial[TARE_FOLD_READERS]; /* (out, columns): of each reader, rounded */
    double *room;                    /* of tare_gram_error() */
};

/* The row of what comes before that column c goes with. */
static int64_t row_before(const struct tare_fold *fold, int64_t c)
{
    return c / fold->width / fold->repeat * fold->width + c % fold->width;
}

static int64_t rows_before(const struct folding *f)
{
    return f->before ? f->columns / f->fold->repeat : f->columns;
}

/* ---- whether it can be done ------------------------------------------------------------------------------------ */

static struct tare_subject *subject_of(struct tare_part_work *work, const struct tare_linear *linear)
{
    for (size_t k = 0; linear && linear->weight && k < work->n; k++)
        if (work->subjects[k].parameter == linear->weight)
            return &work->subjects[k];
    return NULL;
}

/* A parameter that is one plain tensor of floats as it lies in the file, so that others can take its place there. */
static bool is_plain_vector(const struct folding *f, const struct tare_parameter *p)
{
    const struct tare_module *m =
        p && p->entry && p->entry->recipe->op == TARE_OP_TAKE ? p->entry->recipe->module : NULL;
    return m && m->rank == 1 && tare_integer_parameter(f->asked, m) == p &&
           (m->dtype == TARE_F16 || m->dtype == TARE_BF16 || m->dtype == TARE_F32);
}

static bool takes_norm(struct folding *f, const struct tare_layer *layer, int which)
{
    const struct tare_norm *n = &layer->pre[which];
    f->norm = n;
    return (n->kind == TARE_NORM_RMS || n->kind == TARE_NORM_RMS_ONE_PLUS || n->kind == TARE_NORM_LAYER) &&
           !n->rounded && n->row == 0 && n->offset == 0 && layer->residual == TARE_RESIDUAL_SEQUENTIAL &&
           is_plain_vector(f, n->weight) && (!n->bias || is_plain_vector(f, n->bias));
}

static bool takes_linear(struct folding *f)
{
    const struct tare_linear *before = f->fold->before;
    f->before = subject_of(f->work, before);
    return f->before && (!before->bias || is_plain_vector(f, before->bias)) && !before->scale;
}

/* Whether all that is involved is quantized here; else the modules are rounded without scales. */
static bool possible(struct folding *f, const struct tare_layer *layer, int which)
{
    for (int k = 0; k < TARE_FOLD_READERS; k++) {
        const struct tare_linear *linear = f->fold->reader[k];
        if (!linear || !linear->weight)
            continue;
        struct tare_subject *s = subject_of(f->work, linear);
        if (!s || (f->n_readers && s->set != f->readers[0]->set))
            return false;
        f->readers[f->n_readers++] = s;
        f->columns = s->parameter->shape[1];
    }
    return f->n_readers && (f->fold->before ? takes_linear(f) : takes_norm(f, layer, which));
}

/* ---- a candidate ----------------------------------------------------------------------------------------------- */

struct trying {
    const struct folding *f;
    size_t reader;
    bool difference; /* from the weights, in place of what is rounded */
};

/* Rows of a reader, rounded as they would be with the candidate, and divided by it again. */
static void round_rows(void *user, size_t i, int worker)
{
    (void)worker;
    const struct trying *t = user;
    const struct folding *f = t->f;
    const struct tare_subject *s = f->readers[t->reader];
    const int64_t n = f->columns, first = (int64_t)i * TASK, rows = s->parameter->shape[0];
    for (int64_t r = first; r < rows && r < first + TASK; r++) {
        const float *w = s->w + r * n;
        float *to = f->trial[t->reader] + r * n;
        for (int64_t c = 0; c < n; c++)
            to[c] = w[c] * f->scale[c];
        tare_integer_round_row(&s->form, s->dtype, to, n);
        for (int64_t c = 0; c < n; c++)
            to[c] = to[c] / f->scale[c] - (t->difference ? w[c] : 0);
    }
}

static void make_trials(const struct folding *f, bool difference)
{
    for (size_t k = 0; k < f->n_readers; k++)
        tare_pool_run(f->work->walk->runner->pass.pool,
                      (size_t)((f->readers[k]->parameter->shape[0] + TASK - 1) / TASK), round_rows,
                      &(struct trying){f, k, difference});
}

static double square_difference(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

/* The error of what the part gives on the sample, walk->y being what it gives with the weights as they are. */
static enum tare_code block_error(const struct folding *f, double *error, struct tare_error *err)
{
    struct tare_walk *walk = f->work->walk;
    make_trials(f, false);
    for (size_t k = 0; k < f->n_readers; k++)
        tare_walk_matrix(walk, f->readers[k]->parameter, f->trial[k]);
    const enum tare_code code =
        tare_walk_part(walk, f->work->layer, f->work->part, walk->sample, NULL, walk->other, err);
    for (size_t k = 0; k < f->n_readers; k++)
        tare_walk_matrix(walk, f->readers[k]->parameter, f->readers[k]->w);
    *error = square_difference(walk->y, walk->other, walk->sample * walk->length * walk->decoder->dim);
    return code;
}

static double product_error(const struct folding *f)
{
    const struct tare_pass *pass = &f->work->walk->runner->pass;
    double sum = 0;
    make_trials(f, true);
    for (size_t k = 0; k < f->n_readers; k++)
        sum += tare_gram_error(f->work->sets[f->readers[k]->set].gram, f->trial[k], f->readers[k]->parameter->shape[0],
                               &pass->kernels, pass->pool, f->room);
    return sum;
}

/* ---- the search ------------------------------------------------------------------------------------------------ */

/* The mean over all rows of |w| over the largest of its group. */
static void weigh(const struct folding *f)
{
    int64_t rows = 0;
    for (size_t k = 0; k < f->n_readers; k++) {
        const struct tare_subject *s = f->readers[k];
        const int64_t group = s->form.group_size ? s->form.group_size : f->columns;
        rows += s->parameter->shape[0];
        for (int64_t at = 0; at < s->parameter->shape[0] * f->columns; at += group) {
            float most = 0;
            for (int64_t i = 0; i < group; i++)
                most = fmaxf(most, fabsf(s->w[at + i]));
            for (int64_t i = 0; i < group; i++)
                f->weight[(at + i) % f->columns] += (double)fabsf(s->w[at + i]) / ((double)most + 1e-6);
        }
    }
    for (int64_t c = 0; c < f->columns; c++)
        f->weight[c] /= (double)rows;
}

/* Columns that go with one row of what comes before have one number: the mean. */
static void share(const struct folding *f, double *of)
{
    const int64_t n = f->before ? rows_before(f) : 0;
    double *sum = f->room;
    if (!n || f->fold->repeat == 1)
        return;
    memset(sum, 0, (size_t)n * sizeof *sum);
    for (int64_t c = 0; c < f->columns; c++)
        sum[row_before(f->fold, c)] += of[c] / (double)f->fold->repeat;
    for (int64_t c = 0; c < f->columns; c++)
        of[c] = sum[row_before(f->fold, c)];
}

static void set_candidate(const struct folding *f, int step)
{
    const double a = (double)step / GRID;
    double least = INFINITY, most = 0;
    for (int64_t c = 0; c < f->columns; c++) {
        const double s = fmax(1e-4, pow(f->activation[c], a) / (pow(f->weight[c], 1 - a) + 1e-4));
        f->scale[c] = (float)s;
        least = fmin(least, s);
        most = fmax(most, s);
    }
    const double root = sqrt(least * most);
    for (int64_t c = 0; c < f->columns; c++) {
        const float s = (float)((double)f->scale[c] / root);
        f->scale[c] = isfinite(s) && s > 0 && f->activation[c] > 0 ? s : 1;
    }
}

static enum tare_code error_of(const struct folding *f, double *error, struct tare_error *err)
{
    if (f->norm)
        return block_error(f, error, err);
    *error = product_error(f);
    return TARE_OK;
}

/* f->best: all 1 where no candidate is better than none. */
static enum tare_code search(const struct folding *f, bool *found, struct tare_error *err)
{
    struct tare_walk *walk = f->work->walk;
    double least, error;
    enum tare_code code = TARE_OK;
    *found = false;
    weigh(f);
    memcpy(f->activation, f->work->sets[f->readers[0]->set].gram->mean, (size_t)f->columns * sizeof *f->activation);
    share(f, f->activation);
    share(f, f->weight);
    if (f->norm)
        code = tare_walk_part(walk, f->work->layer, f->work->part, walk->sample, NULL, walk->y, err);
    for (int64_t c = 0; c < f->columns; c++)
        f->scale[c] = f->best[c] = 1;
    if (code || (code = error_of(f, &least, err)))
        return code;
    for (int step = 0; step < GRID; step++) {
        set_candidate(f, step);
        if ((code = error_of(f, &error, err)))
            return code;
        if (!(error < least))
            continue;
        least = error;
        *found = true;
        memcpy(f->best, f->scale, (size_t)f->columns * sizeof *f->best);
    }
    return TARE_OK;
}

/* ---- the folding ----------------------------------------------------------------------------------------------- */

/* A vector of our own in the place of a parameter's, in the walk and in the record. */
static float *replace(struct tare_part_work *work, const struct tare_parameter *p, struct tare_outcome_arrays *arrays)
{
    const int64_t n = p->shape[0];
    const struct tare_outcome_head head = {.parameter = p->index, .kind = TARE_OUTCOME_VECTOR, .rows = 1, .columns = n};
    float *vector = work->n_vectors < TARE_SUBJECTS ? malloc((size_t)n * sizeof *vector) : NULL;
    if (!vector || !tare_outcome_add(work->record, &head, arrays)) {
        free(vector);
        return NULL;
    }
    memcpy(vector, tare_loaded_vector(&work->walk->loaded, p), (size_t)n * sizeof *vector);
    work->vectors[work->n_vectors++] = vector;
    tare_walk_vector(work->walk, p, vector);
    return vector;
}

/* Divides a vector by numbers and rounds it to the dtype that the file has. exact: the numbers become those by which it
 * was divided indeed; plus is added to the vector where it is used. */
static enum tare_code divide(struct tare_part_work *work, const struct tare_parameter *p, float *by, float plus,
                             bool exact, struct tare_error *err)
{
    struct tare_outcome_arrays arrays;
    const enum tare_dtype dtype = p->entry->recipe->module->dtype;
    float *vector = replace(work, p, &arrays);
    if (!vector)
        return tare_fail_memory(err);
    for (int64_t i = 0; i < p->shape[0]; i++) {
        const float before = plus + vector[i];
        const float after = tare_float_round(dtype, before / by[i] - plus);
        const float ratio = before / (plus + after);
        const bool usable = isfinite(after) && isfinite(ratio) && ratio > 0;
        if (exact)
            by[i] = usable ? ratio : 1;
        vector[i] = usable || !exact ? after : vector[i];
        arrays.vector[i] = vector[i];
    }
    return TARE_OK;
}

/* The numbers of the rows of what comes before, and that divided by them; f->best follows what rounding made of them. */
static enum tare_code divide_before(const struct folding *f, struct tare_error *err)
{
    const int64_t n = rows_before(f);
    float *by = f->scale;
    enum tare_code code = TARE_OK;
    if (f->norm) {
        memcpy(by, f->best, (size_t)n * sizeof *by);
        code = divide(f->work, f->norm->weight, by, f->norm->kind == TARE_NORM_RMS_ONE_PLUS ? 1 : 0, true, err);
        if (!code && f->norm->bias)
            code = divide(f->work, f->norm->bias, by, 0, false, err);
        memcpy(f->best, by, (size_t)n * sizeof *by);
        return code;
    }
    const struct tare_linear *before = f->before->linear;
    const int64_t rows = f->before->parameter->shape[0], in = f->before->parameter->shape[1];
    float *all = malloc((size_t)rows * sizeof *all);
    if (!all)
        return tare_fail_memory(err);
    for (int64_t r = 0; r < rows; r++)
        all[r] = 1;
    for (int64_t c = 0; c < f->columns; c++)
        all[f->fold->first + row_before(f->fold, c)] = f->best[c];
    for (int64_t k = 0; k < rows * in; k++)
        f->before->w[k] /= all[k / in];
    if (before->bias)
        code = divide(f->work, before->bias, all, 0, false, err);
    free(all);
    return code;
}

static enum tare_code apply(const struct folding *f, struct tare_error *err)
{
    const enum tare_code code = divide_before(f, err);
    if (code)
        return code;
    for (size_t k = 0; k < f->n_readers; k++)
        for (int64_t at = 0; at < f->readers[k]->parameter->shape[0] * f->columns; at++)
            f->readers[k]->w[at] *= f->best[at % f->columns];
    struct tare_gram *gram = f->work->sets[f->readers[0]->set].gram; /* of what goes in from now on */
    for (int64_t r = 0; r < f->columns; r++) {
        for (int64_t c = 0; c < f->columns; c++)
            gram->sum[r * f->columns + c] /= f->best[r] * f->best[c];
        gram->mean[r] /= (double)f->best[r];
    }
    return TARE_OK;
}

static bool make_room(struct folding *f)
{
    const size_t n = (size_t)f->columns;
    size_t rows = n;
    bool made = true;
    f->activation = calloc(n, sizeof *f->activation);
    f->weight = calloc(n, sizeof *f->weight);
    f->scale = calloc(n, sizeof *f->scale);
    f->best = calloc(n, sizeof *f->best);
    for (size_t k = 0; k < f->n_readers; k++) {
        const size_t out = (size_t)f->readers[k]->parameter->shape[0];
        f->trial[k] = calloc(out, n * sizeof *f->trial[k]);
        made &= f->trial[k] != NULL;
        rows = out > rows ? out : rows;
    }
    f->room = calloc(rows, sizeof *f->room);
    return made && f->activation && f->weight && f->scale && f->best && f->room;
}

static void release(struct folding *f)
{
    free(f->activation);
    free(f->weight);
    free(f->scale);
    free(f->best);
    free(f->room);
    for (size_t k = 0; k < f->n_readers; k++)
        free(f->trial[k]);
}

enum tare_code tare_awq_fold(struct tare_part_work *work, const struct tare_integer_asked *asked,
                             struct tare_error *err)
{
    const struct tare_layer *layer = &work->walk->decoder->layers[work->layer];
    enum tare_code code = TARE_OK;
    for (int which = 0; which < 2; which++) {
        const struct tare_block *block = which ? &layer->ffn : &layer->mixer;
        const bool here = layer->residual == TARE_RESIDUAL_PARALLEL ? work->part == 0 : work->part == which;
        struct tare_fold folds[TARE_FOLDS];
        const int n = here && block->ops->folds ? block->ops->folds(block->self, folds) : 0;
        for (int k = 0; k < n && !code; k++) {
            struct folding f = {.work = work, .asked = asked, .fold = &folds[k]};
            bool found = false;
            if (!possible(&f, layer, which))
                continue;
            code = make_room(&f) ? search(&f, &found, err) : tare_fail_memory(err);
            if (!code && found)
                code = apply(&f, err);
            release(&f);
        }
    }
    return code;
}
