/* SPDX-License-Identifier: MIT
 * part.c - the linears of one part of a layer: who they are and which of them read one input is seen from what asks for
 * products while the part runs, so no list of names is needed.
 */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "quantize/calibrate/calibrate.h"

struct finding {
    struct tare_part_work *work;
    struct tare_quantizing *quantizing;
    const struct tare_model *model;
    struct tare_error *err;
    enum tare_code code;
};

/* Whether a linear's weight is one module of floats that is to be quantized. */
static bool is_subject(struct finding *f, const struct tare_linear *linear, struct tare_integer_form *form)
{
    const struct tare_parameter *p = linear->weight;
    const struct tare_matrix *m = tare_loaded_matrix(f->work->walk->stored, p);
    if (!p->active || !p->entry || p->entry->recipe->op != TARE_OP_TAKE || p->rank != 2 || p->signs ||
        m->storage > TARE_STORE_BF16 || m->order)
        return false;
    const struct tare_module *module = p->entry->recipe->module;
    const struct tare_job job = {.name = module->name, .module = module, .kind = p->kind};
    f->code = tare_integer_form_of(f->quantizing, f->model, &job, form, f->err);
    return !f->code && form->bits;
}

/* Rows of x are the same for linears that read one input. */
static size_t find_set(struct tare_part_work *work, const struct tare_pass *pass, int64_t in, const float *x,
                       int64_t ldx)
{
    uint64_t hash = (uint64_t)in;
    for (int64_t t = 0; t < pass->tokens; t++)
        hash = XXH3_64bits_withSeed(x + t * ldx, (size_t)in * sizeof *x, hash);
    size_t k = 0;
    while (k < work->n_sets && (work->sets[k].hash != hash || work->sets[k].in != in))
        k++;
    if (k == work->n_sets)
        work->sets[work->n_sets++] = (struct tare_set){.in = in, .hash = hash};
    return k;
}

static bool see_first(void *user, const struct tare_pass *pass, const struct tare_linear *linear, const float *x,
                      int64_t ldx)
{
    struct finding *f = user;
    struct tare_part_work *work = f->work;
    struct tare_integer_form form;
    for (size_t k = 0; k < work->n; k++)
        if (work->subjects[k].parameter == linear->weight)
            return true;
    if (f->code || work->n == TARE_SUBJECTS || !is_subject(f, linear, &form))
        return true;
    work->subjects[work->n++] = (struct tare_subject){
        .linear = linear,
        .parameter = linear->weight,
        .form = form,
        .dtype = tare_integer_dtype(f->quantizing->options, linear->weight->entry->recipe->module->dtype),
        .set = find_set(work, pass, linear->in, x, ldx)};
    return true;
}

struct loading {
    const struct tare_walk *walk;
    const struct tare_subject *subject;
    bool finite;
};

static void load_row(void *user, size_t i, int worker)
{
    (void)worker;
    const struct loading *l = user;
    const struct tare_parameter *p = l->subject->parameter;
    tare_matrix_row(&l->walk->runner->pass.kernels, tare_loaded_matrix(l->walk->stored, p), (int64_t)i,
                    l->subject->w + (int64_t)i * p->shape[1]);
}

static enum tare_code load(struct tare_part_work *work, struct tare_subject *s, struct tare_error *err)
{
    const int64_t rows = s->parameter->shape[0], in = s->parameter->shape[1];
    s->w = malloc((size_t)rows * (size_t)in * sizeof *s->w);
    if (!s->w)
        return tare_fail_memory(err);
    tare_pool_run(work->walk->runner->pass.pool, (size_t)rows, load_row,
                  &(struct loading){.walk = work->walk, .subject = s});
    const struct tare_job job = {.name = s->parameter->entry->recipe->module->name};
    for (int64_t r = 0; r < rows; r++) {
        const enum tare_code code = tare_quantizing_finite(&job, s->w + r * in, in, r, err);
        if (code)
            return code;
    }
    tare_walk_matrix(work->walk, s->parameter, s->w);
    return TARE_OK;
}

enum tare_code tare_part_find(struct tare_part_work *work, struct tare_quantizing *quantizing,
                              const struct tare_model *model, struct tare_error *err)
{
    struct finding f = {.work = work, .quantizing = quantizing, .model = model, .err = err};
    const struct tare_observer observer = {see_first, &f};
    struct tare_walk *walk = work->walk;
    enum tare_code code = tare_walk_part(walk, work->layer, work->part, 1, &observer, NULL, err);
    code = code ? code : f.code;
    for (size_t k = 0; k < work->n && !code; k++)
        code = load(work, &work->subjects[k], err);
    return code;
}

/* ---- what goes in ------------------------------------------------------------------------------------------------ */

struct observing {
    struct tare_part_work *work;
    size_t first, n; /* sets */
    size_t seen;     /* how many of them this pass has shown, */
    uint64_t passes; /* which is this one */
    bool has[TARE_SUBJECTS];
};

/* Each set is added once a pass, by the first linear that reads it; what comes after the last one is not needed. */
static bool see_input(void *user, const struct tare_pass *pass, const struct tare_linear *linear, const float *x,
                      int64_t ldx)
{
    struct observing *o = user;
    struct tare_part_work *work = o->work;
    if (o->passes != work->walk->passes) {
        memset(o->has, 0, sizeof o->has);
        o->passes = work->walk->passes;
        o->seen = 0;
    }
    for (size_t k = 0; k < work->n; k++) {
        const struct tare_subject *s = &work->subjects[k];
        if (s->parameter != linear->weight || s->set < o->first || s->set >= o->first + o->n || o->has[s->set])
            continue;
        tare_gram_add(work->sets[s->set].gram, &pass->kernels, pass->pool, x, ldx, pass->tokens);
        o->has[s->set] = true;
        o->seen++;
    }
    return o->seen < o->n;
}

enum tare_code tare_part_observe(struct tare_part_work *work, size_t first, size_t n, struct tare_error *err)
{
    struct tare_walk *walk = work->walk;
    struct observing o = {.work = work, .first = first, .n = n};
    const struct tare_observer observer = {see_input, &o};
    const struct tare_pass *pass = &walk->runner->pass;
    for (size_t k = first; k < first + n; k++)
        if (!tare_gram_open(&work->sets[k].gram, work->sets[k].in))
            return tare_fail_memory(err);
    const enum tare_code code = tare_walk_part(walk, work->layer, work->part, walk->sequences, &observer, NULL, err);
    for (size_t k = first; k < first + n && !code; k++)
        tare_gram_finish(work->sets[k].gram, &pass->kernels, pass->pool);
    return code;
}

enum tare_code tare_part_room(const struct tare_part_work *work, const struct tare_subject *s, bool ordered,
                              struct tare_outcome_arrays *arrays, struct tare_error *err)
{
    const int64_t in = s->parameter->shape[1];
    const struct tare_outcome_head head = {.parameter = s->parameter->index,
                                           .kind = ordered ? TARE_OUTCOME_ORDERED : TARE_OUTCOME_MATRIX,
                                           .rows = s->parameter->shape[0],
                                           .columns = in,
                                           .groups = s->form.group_size ? in / s->form.group_size : 1,
                                           .bits = s->form.bits};
    return tare_outcome_add(work->record, &head, arrays) ? TARE_OK : tare_fail_memory(err);
}

void tare_part_release(struct tare_part_work *work)
{
    for (size_t k = 0; k < work->n; k++) {
        tare_walk_matrix(work->walk, work->subjects[k].parameter, NULL);
        free(work->subjects[k].w);
    }
    for (size_t k = 0; k < work->n_sets; k++)
        tare_gram_free(work->sets[k].gram);
    memcpy(work->walk->loaded.vectors, work->walk->stored->vectors, work->walk->stored->n * sizeof(float *));
    for (size_t k = 0; k < work->n_vectors; k++)
        free(work->vectors[k]);
    *work = (struct tare_part_work){0};
}
