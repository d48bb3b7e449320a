/* SPDX-License-Identifier: MIT
 * runner.c - holds what running a model needs besides the texts: threads, work memory and weights. */
#include "run/session/runner.h"

#include <stdlib.h>

#include "blocks/scratch.h"
#include "run/session/shared.h"
#include "run/weights/budget.h"
#include "run/weights/head8.h"
#include "run/weights/loaded.h"

/* Takes the decoder's own head, or the tree's, or the embedding where the model is tied. */
static void choose_head(struct tare_runner *r)
{
    const struct tare_parameter *plain = r->decoder->head;
    if (plain) {
        r->head = (struct tare_matrix){.storage = TARE_STORE_F32,
                                       .rows = plain->shape[0],
                                       .in = plain->shape[1],
                                       .stride = (size_t)plain->shape[1] * sizeof(float),
                                       .data = (const void *)tare_loaded_vector(r->pass.loaded, plain)};
        r->pass.head = &r->head;
        r->pass.head_weight = plain;
        return;
    }
    const struct tare_head *head = &r->model->tree.head;
    const bool own = head->weight && head->weight->active;
    r->pass.head_weight = own ? head->weight : r->decoder->embedding;
    r->pass.head = tare_loaded_matrix(r->pass.loaded, r->pass.head_weight);
    if (own && head->bias && head->bias->active)
        r->pass.head_bias = tare_loaded_vector(r->pass.loaded, head->bias);
}

static void give_head_back(void *user)
{
    const struct tare_runner *r = user;
    tare_loaded_give_back(r->model, r->pass.head_weight);
}

/* The dense head in 8 bits, for sessions that are not exact. What the head has from the file is not needed any more, but
 * for rows of an embedding. */
static enum tare_code take_head8(struct tare_runner *r, struct tare_loaded *loaded, struct tare_error *err)
{
    if (r->pass.head == &r->head || !tare_head8_fits(r->pass.head))
        return TARE_OK;
    if (!loaded->head8) {
        const struct tare_head_source source = {r->pass.head, give_head_back, r};
        const enum tare_code code = tare_head8_make(&loaded->head8, &source, &r->pass.kernels, r->pass.pool, err);
        if (code)
            return code;
    }
    r->pass.head = &loaded->head8->matrix;
    return TARE_OK;
}

/* Takes from *loaded what it has, and makes what it lacks. The caller may change what is there. */
static enum tare_code take_weights(struct tare_runner *r, struct tare_loaded **loaded,
                                   const struct tare_runner_options *options, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    if (!*loaded && ((code = tare_budget_check(r->model, options->states, options->context, options->memory, err)) ||
                     (code = tare_loaded_open(loaded, r->model, r->pass.pool, options->cancel, err))))
        return code;
    r->pass.loaded = *loaded;
    choose_head(r);
    return options->exact ? TARE_OK : take_head8(r, *loaded, err);
}

/* Those of the model, which its sessions share; only who may not wait for them lays out its own. */
static enum tare_code share_weights(struct tare_runner *r, const struct tare_runner_options *options,
                                    struct tare_error *err)
{
    tare_model *model = r->model;
    enum tare_laying how;
    enum tare_code code = tare_laying_begin(model, options->cancel, &how, err);
    if (code)
        return code;
    struct tare_loaded *shared = how == TARE_LAYING_SHARED ? model->loaded : NULL;
    code = take_weights(r, &shared, options, err);
    if (how == TARE_LAYING_SHARED) {
        model->loaded = shared;
        model->loaded_free = tare_loaded_free;
    } else {
        r->alone = shared;
    }
    tare_laying_end(model, how);
    return code;
}

/* The threads asked for, else the plan's, else those that sessions of the model have together. */
static enum tare_code open_pool(struct tare_runner *r, const struct tare_runner_options *options,
                                struct tare_error *err)
{
    const struct tare_options *planned = &r->model->options;
    struct tare_threads *threads = options->pool ? options->pool : options->threads ? NULL : planned->pool;
    if (threads)
        return tare_pool_open_on(&r->pass.pool, threads, 0, err);
    const int n = options->threads ? options->threads : planned->threads;
    const enum tare_code code = tare_common_take(&r->common, r->model, n, err);
    return code ? code : tare_pool_open_on(&r->pass.pool, r->common->threads, 0, err);
}

enum tare_code tare_runner_open(struct tare_runner **runner, tare_model *model,
                                const struct tare_runner_options *options, struct tare_error *err)
{
    struct tare_runner *r = *runner = calloc(1, sizeof *r);
    if (!r)
        return tare_fail_memory(err);
    tare_model_retain(model);
    r->holders = 1;
    r->model = model;
    r->decoder = model->decoder;
    tare_kernels_pick(&r->pass.kernels, NULL);
    r->pass.kernels.exact = options->exact;
    enum tare_code code = open_pool(r, options, err);
    if (!code && !(r->work = calloc((size_t)tare_pool_threads(r->pass.pool), sizeof *r->work)))
        code = tare_fail_memory(err);
    if (!code)
        code = share_weights(r, options, err);
    if (code) {
        tare_runner_free(r);
        *runner = NULL;
    }
    return code;
}

void tare_runner_hold(struct tare_runner *r)
{
    __atomic_add_fetch(&r->holders, 1, __ATOMIC_RELAXED);
}

void tare_runner_free(struct tare_runner *r)
{
    if (!r || __atomic_sub_fetch(&r->holders, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (int i = 0; r->work && i < tare_pool_threads(r->pass.pool); i++)
        free(r->work[i]);
    free(r->work);
    free(r->memory);
    tare_pool_free(r->pass.pool);
    tare_common_give(r->common, r->model);
    tare_loaded_free(r->alone);
    tare_model_free(r->model);
    free(r);
}

/* The work memory of a pass. The blocks' scratch comes first, since some of them begin it with what needs more
 * alignment than a float. */
static size_t lay_out(const struct tare_decoder *d, int64_t tokens, float *memory, struct tare_pass *pass)
{
    struct tare_scratch s = {memory, 0};
    pass->scratch = tare_scratch_take(&s, 1, (int64_t)tare_decoder_scratch(d, tokens));
    pass->x = tare_scratch_take(&s, tokens, d->dim);
    pass->y = tare_scratch_take(&s, tokens, d->dim);
    pass->normed[0] = tare_scratch_take(&s, tokens, d->dim);
    pass->normed[1] = tare_scratch_take(&s, tokens, d->dim);
    for (int i = 0; i < TARE_SLICES; i++)
        pass->slice[i] = tare_scratch_take(&s, tokens, d->slices[i]);
    pass->turned = tare_scratch_take(&s, tokens, d->turned);
    return s.floats;
}

static enum tare_code reserve_pass(struct tare_runner *r, int64_t tokens, struct tare_error *err)
{
    if (tokens <= r->room)
        return TARE_OK;
    const struct tare_decoder *d = r->decoder;
    struct tare_pass counted;
    const size_t floats = lay_out(d, tokens, NULL, &counted);
    float *memory = floats <= SIZE_MAX / 16 ? malloc(floats * sizeof *memory) : NULL;
    if (!memory)
        return tare_fail_memory(err);
    free(r->memory);
    r->memory = memory;
    r->room = tokens;
    lay_out(d, tokens, memory, &r->pass);
    return TARE_OK;
}

static enum tare_code reserve_work(struct tare_runner *r, int64_t length, struct tare_error *err)
{
    const size_t need = tare_decoder_work(r->decoder, length);
    if (need <= r->work_room)
        return TARE_OK;
    const size_t room = need > 2 * r->work_room ? need : 2 * r->work_room;
    for (int i = 0; i < tare_pool_threads(r->pass.pool); i++) {
        float *work = realloc(r->work[i], room * sizeof *work);
        if (!work)
            return tare_fail_memory(err); /* those that grew may stay, as work_room is what all of them have */
        r->work[i] = work;
    }
    r->work_room = room;
    r->pass.work = r->work;
    return TARE_OK;
}

enum tare_code tare_runner_reserve(struct tare_runner *r, int64_t tokens, int64_t length, struct tare_error *err)
{
    int64_t widest = 0;
    for (size_t i = 0; i < r->pass.loaded->n; i++)
        widest = r->pass.loaded->matrices[i].in > widest ? r->pass.loaded->matrices[i].in : widest;
    enum tare_code code = reserve_pass(r, tokens, err);
    if (!code)
        code = reserve_work(r, length, err);
    return code ? code : tare_pool_reserve(r->pass.pool, tare_matmul_scratch(widest, tokens), err);
}

enum tare_code tare_runner_pass(struct tare_runner *r, const struct tare_span *spans, int64_t n_spans,
                                const int32_t *ids, const struct tare_wanted *wanted, struct tare_error *err)
{
    int32_t span_of[TARE_PASS_TOKENS];
    r->pass.tokens = 0;
    for (int64_t i = 0; i < n_spans; i++)
        for (int64_t t = 0; t < spans[i].tokens; t++)
            span_of[r->pass.tokens++] = (int32_t)i;
    r->pass.spans = spans;
    r->pass.n_spans = n_spans;
    r->pass.span_of = span_of;
    return tare_decoder_forward(r->decoder, &r->pass, ids, wanted, err);
}
