/* SPDX-License-Identifier: MIT
 * calibrate.c - tare_calibrate: layer after layer, from what goes into its linears to codes. Start reading here.
 */
#include "quantize/calibrate/calibrate.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/locale.h"
#include "base/text.h"
#include "models/model.h"
#include "save/account.h"

/* ---- one part of a layer --------------------------------------------------------------------------------------- */

/* GPTQ, set after set of linears: each sees what comes out of those that are quantized already. */
static enum tare_code solve_set(struct tare_part_work *work, const struct tare_integer_asked *asked, size_t set,
                                struct tare_error *err)
{
    const struct tare_pass *pass = &work->walk->runner->pass;
    struct tare_gptq_job job = {
        .order = asked->order, .damp = asked->damp, .kernels = &pass->kernels, .pool = pass->pool};
    struct tare_gptq_factor factor = {0};
    enum tare_code code = tare_part_observe(work, set, 1, err);
    job.gram = work->sets[set].gram;
    for (size_t k = 0; k < work->n && !code; k++) {
        struct tare_subject *s = &work->subjects[k];
        struct tare_outcome_arrays to;
        if (s->set != set)
            continue;
        job.form = &s->form;
        job.dtype = s->dtype;
        if ((!factor.n && (code = tare_gptq_factor(&factor, &job, s->parameter->name, err))) ||
            (code = tare_part_room(work, s, asked->order == TARE_ORDER_FULL, &to, err)))
            break;
        code = tare_gptq_solve(&job, &factor, s->w, s->parameter->shape[0], &to, err);
    }
    tare_gptq_release(&factor);
    tare_gram_free(work->sets[set].gram);
    work->sets[set].gram = NULL;
    return code;
}

static enum tare_code by_gptq(struct tare_part_work *work, const struct tare_integer_asked *asked,
                              struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    for (size_t set = 0; set < work->n_sets && !code; set++)
        code = solve_set(work, asked, set, err);
    return code;
}

static enum tare_code by_awq(struct tare_part_work *work, const struct tare_integer_asked *asked,
                             struct tare_error *err)
{
    enum tare_code code = tare_part_observe(work, 0, work->n_sets, err);
    if (!code)
        code = tare_awq_fold(work, asked, err);
    for (size_t k = 0; k < work->n && !code; k++) {
        struct tare_outcome_arrays to;
        if (!(code = tare_part_room(work, &work->subjects[k], false, &to, err)))
            code = tare_awq_clip(work, &work->subjects[k], &to, err);
    }
    return code;
}

static enum tare_code do_part(struct tare_walk *walk, struct tare_quantizing *q, const struct tare_model *model,
                              int64_t layer, int part, struct tare_outcome_record *record, struct tare_error *err)
{
    const struct tare_integer_asked *asked = q->own;
    struct tare_part_work *work = calloc(1, sizeof *work);
    if (!work)
        return tare_fail_memory(err);
    work->walk = walk;
    work->layer = layer;
    work->part = part;
    work->record = record;
    enum tare_code code = tare_part_find(work, q, model, err);
    if (!code && work->n)
        code = (asked->method == TARE_BY_AWQ ? by_awq : by_gptq)(work, asked, err);
    if (!code)
        code = tare_walk_part(walk, layer, part, walk->sequences, NULL, walk->x, err);
    tare_part_release(work);
    free(work);
    return code;
}

/* ---- a layer that an earlier run has done ---------------------------------------------------------------------- */

struct expanding {
    const struct tare_outcome *found;
    const struct tare_parameter *p;
    float *w;
};

static void expand_row(void *user, size_t i, int worker)
{
    (void)worker;
    const struct expanding *e = user;
    const struct tare_outcome *f = e->found;
    const int64_t in = e->p->shape[1], group = in / f->groups, row = (int64_t)i;
    uint8_t code[256];
    const size_t bytes = tare_outcome_row(in, f->bits);
    for (int64_t at = 0; at < in; at += (int64_t)sizeof code) {
        const int64_t n = in - at < (int64_t)sizeof code ? in - at : (int64_t)sizeof code;
        tare_outcome_unpack(f->codes + i * bytes + (size_t)(at / 8 * f->bits), f->bits, n, code);
        for (int64_t k = 0; k < n; k++) {
            const int64_t g = row * f->groups + (f->g_idx ? f->g_idx[at + k] : (at + k) / group);
            e->w[row * in + at + k] = f->scale[g] * (float)(code[k] - f->zero[g]);
        }
    }
}

/* The walk multiplies by what was found of one parameter. *w is the caller's to free. */
static enum tare_code take_found(struct tare_walk *walk, const struct tare_parameter *p,
                                 const struct tare_outcome *found, float **w, struct tare_error *err)
{
    if (found->vector) {
        walk->loaded.vectors[p->index] = (float *)(uintptr_t)found->vector; /* it is only read */
        return TARE_OK;
    }
    *w = malloc((size_t)p->shape[0] * (size_t)p->shape[1] * sizeof **w);
    if (!*w)
        return tare_fail_memory(err);
    struct expanding e = {.found = found, .p = p, .w = *w};
    tare_pool_run(walk->runner->pass.pool, (size_t)p->shape[0], expand_row, &e);
    tare_walk_matrix(walk, p, *w);
    return TARE_OK;
}

/* With what the layer found then, the same comes out of it now. */
static enum tare_code redo_layer(struct tare_walk *walk, const struct tare_calibration *calibration,
                                 const struct tare_model *model, int64_t layer, struct tare_error *err)
{
    float **w = calloc(model->tree.n + 1, sizeof *w);
    enum tare_code code = w ? TARE_OK : tare_fail_memory(err);
    for (size_t k = 0; k < calibration->n && !code; k++) {
        const struct tare_outcome *found = &calibration->found[k];
        if (found->layer == layer && (found->codes || found->vector))
            code = take_found(walk, model->tree.parameters[k], found, &w[k], err);
    }
    for (int part = 0; part < 2 && !code; part++)
        code = tare_walk_part(walk, layer, part, walk->sequences, NULL, walk->x, err);
    for (size_t k = 0; w && k < model->tree.n; k++) {
        if (w[k])
            tare_walk_matrix(walk, model->tree.parameters[k], NULL);
        free(w[k]);
    }
    memcpy(walk->loaded.vectors, walk->stored->vectors, walk->stored->n * sizeof(float *));
    free(w);
    return code;
}

/* ---- all layers ------------------------------------------------------------------------------------------------ */

static enum tare_code do_layer(struct tare_walk *walk, struct tare_quantizing *q, const struct tare_model *model,
                               int64_t layer, struct tare_error *err)
{
    const struct tare_integer_asked *asked = q->own;
    struct tare_calibration *calibration = asked->calibration;
    struct tare_outcome_record record = {0};
    enum tare_code code = tare_walk_layer(walk, layer, err);
    if (!code && layer < calibration->layers)
        return redo_layer(walk, calibration, model, layer, err);
    for (int part = 0; part < 2 && !code; part++)
        code = do_part(walk, q, model, layer, part, &record, err);
    if (!code)
        code = tare_outcome_keep(calibration, &record, model, err);
    free(record.bytes);
    return code;
}

/* Layers can be taken one after another where nothing but x goes from one to the next. */
static enum tare_code check_model(const struct tare_model *model, struct tare_error *err)
{
    const struct tare_decoder *d = model->decoder;
    const char *why = !model->runs || !tare_decoder_runs(d) ? "cannot be run yet" : NULL;
    for (int64_t i = 0; !why && i < d->n_layers; i++)
        if (d->layers[i].borrows)
            why = "has layers that attend over what others have kept";
    for (int k = 0; !why && k < TARE_SLICES; k++)
        if (d->slices[k])
            why = "carries more from layer to layer than the residual stream";
    if (!why && (d->stream.begin || d->stream.read || d->stream.write || d->before.run))
        why = "ties its blocks to the residual stream in a way of its own";
    for (int64_t i = 1; !why && i < d->n_layers; i++)
        if (d->layers[i].mixer.self == d->layers[0].mixer.self)
            why = "goes through the same layers several times";
    return why ? tare_fail(err, TARE_E_TARGET, model->model_type ? model->model_type : "config.json",
                           "%s, and so tare does not calibrate it; without a text all is rounded to nearest", why)
               : TARE_OK;
}

/* All that the codes depend on. */
static enum tare_code identify(const struct tare_quantizing *q, const struct tare_model *model,
                               const struct tare_kernels *kernels, unsigned char identity[16], char sum[33],
                               struct tare_error *err)
{
    const struct tare_quantize_options *o = q->options;
    const struct tare_integer_asked *asked = q->own;
    struct tare_text text = {0};
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(o->calibrate, o->n_calibrate * sizeof *o->calibrate));
    for (int k = 0; k < 16; k++)
        tare_format(sum + 2 * k, 3, "%02x", hash.digest[k]);
    const enum tare_code code = tare_identity_checkpoint(&model->checkpoint, identity, err);
    if (code)
        return code;
    for (int k = 0; k < 16; k++)
        tare_text_format(&text, "%02x", identity[k]);
    tare_text_format(&text, " %s %s %s %d %lld %d %d %d %d %a %lld %s", sum, kernels->name, q->target->name,
                     asked->form.bits, (long long)asked->form.group_size, asked->form.symmetric, asked->form.least,
                     (int)asked->method, (int)asked->order, asked->damp, (long long)asked->length,
                     o->dtype ? o->dtype : "");
    for (size_t k = 0; k < o->n_rules; k++)
        tare_text_format(&text, " %s", o->rules[k]);
    if (text.failed)
        return tare_fail_memory(err);
    XXH128_canonicalFromHash(&hash, XXH3_128bits(text.data, text.size));
    memcpy(identity, hash.digest, sizeof hash.digest);
    tare_text_release(&text);
    return TARE_OK;
}

static enum tare_code calibrate(struct tare_walk *walk, struct tare_quantizing *q, struct tare_layout *layout,
                                struct tare_model *model, char sum[33], struct tare_error *err)
{
    const struct tare_integer_asked *asked = q->own;
    unsigned char identity[16];
    enum tare_code code;
    if ((code = tare_walk_open(walk, model, q->options, asked->length, asked->method == TARE_BY_AWQ, err)) ||
        (code = identify(q, model, &walk->runner->pass.kernels, identity, sum, err)) ||
        (code = tare_outcome_open(asked->calibration, layout->folder, model, identity, err)))
        return code;
    walk->all = (uint64_t)walk->decoder->n_layers;
    for (int64_t i = 0; i < walk->decoder->n_layers && !code; i++) {
        walk->done = (uint64_t)i;
        code = do_layer(walk, q, model, i, err);
    }
    return code;
}

enum tare_code tare_calibrate(struct tare_quantizing *q, struct tare_layout *layout, struct tare_model *model,
                              char sum[33], struct tare_error *err)
{
    struct tare_integer_asked *asked = q->own;
    struct tare_walk walk = {0};
    enum tare_code code = model->code ? model->code : check_model(model, err);
    if (model->code && err)
        *err = model->error;
    if (code)
        return code;
    asked->calibration = calloc(1, sizeof *asked->calibration);
    if (!asked->calibration)
        return tare_fail_memory(err);
    asked->calibration->fd = -1;
    code = calibrate(&walk, q, layout, model, sum, err);
    tare_walk_close(&walk);
    if (code == TARE_E_CANCELLED)
        layout->folder->keep = true;
    return code;
}

void tare_calibration_free(struct tare_calibration *calibration)
{
    if (!calibration)
        return;
    tare_outcome_close(calibration);
    free(calibration);
}
