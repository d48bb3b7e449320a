/* SPDX-License-Identifier: MIT
 * session.c - one text going through a model: its caches, its scratch, its threads. */
#include <stdlib.h>
#include <string.h>

#include "run/measure.h"
#include "run/pass.h"

#define CONTEXT_DEFAULT 4096
#define PASS_TOKENS                                                                                                    \
    256 /* a longer feed goes through in parts: scratch stays small, and weights are unpacked once a part */

struct tare_session {
    tare_model *model; /* a reference of its own */
    const struct tare_decoder *decoder;
    struct tare_pass pass;
    int64_t context, length;
    void **states; /* two a layer */
    struct tare_matrix head; /* of decoder->head */
    float *memory; /* x, y, normed, scratch of a pass */
    int64_t room;  /* tokens that memory has room for */
    float **work;  /* one a thread */
    size_t work_room;
};

static const struct tare_block *block_at(const struct tare_decoder *d, int64_t i)
{
    const struct tare_layer *layer = &d->layers[i / 2];
    return i % 2 ? &layer->ffn : &layer->mixer;
}

/* Weights are loaded by the first session. Two that open at once may both load; the later one gives its own up. */
static enum tare_code share_loaded(tare_session *s, struct tare_error *err)
{
    tare_model *model = s->model;
    void *shared = __atomic_load_n(&model->loaded, __ATOMIC_ACQUIRE);
    if (!shared) {
        struct tare_loaded *own = NULL;
        const enum tare_code code = tare_loaded_open(&own, model, s->pass.pool, err);
        if (code)
            return code;
        model->loaded_free = tare_loaded_free;
        if (__atomic_compare_exchange_n(&model->loaded, &shared, own, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            shared = own;
        else
            tare_loaded_free(own);
    }
    s->pass.loaded = shared;
    return TARE_OK;
}

/* The head, or the embedding where the model is tied. */
static void choose_head(tare_session *s)
{
    const struct tare_parameter *plain = s->decoder->head;
    if (plain) {
        s->head = (struct tare_matrix){.storage = TARE_STORE_F32,
                                       .rows = plain->shape[0],
                                       .in = plain->shape[1],
                                       .stride = (size_t)plain->shape[1] * sizeof(float),
                                       .data = (const void *)tare_loaded_vector(s->pass.loaded, plain)};
        s->pass.head = &s->head;
        return;
    }
    const struct tare_head *head = &s->model->tree.head;
    const bool own = head->weight && head->weight->active;
    s->pass.head = tare_loaded_matrix(s->pass.loaded, own ? head->weight : s->decoder->embedding);
    if (own && head->bias && head->bias->active)
        s->pass.head_bias = tare_loaded_vector(s->pass.loaded, head->bias);
}

static enum tare_code choose_context(tare_session *s, int64_t asked, struct tare_error *err)
{
    const struct tare_decoder *d = s->decoder;
    const int64_t most = d->positions ? d->positions->shape[0] - d->position_offset : INT64_MAX / 64;
    const int64_t usual = d->context > 0 && d->context < CONTEXT_DEFAULT ? d->context : CONTEXT_DEFAULT;
    s->context = asked > 0 ? asked : usual < most ? usual : most;
    if (asked < 0 || s->context > most || s->context < 1)
        return tare_fail(err, TARE_E_ARGUMENT, "context", "%lld tokens were asked for; this model takes 1 to %lld",
                         (long long)asked, (long long)most);
    return TARE_OK;
}

static enum tare_code open_states(tare_session *s, struct tare_error *err)
{
    const int64_t n = 2 * s->decoder->n_layers;
    s->states = calloc((size_t)n, sizeof *s->states);
    for (int64_t i = 0; s->states && i < n; i++) {
        const struct tare_block *b = block_at(s->decoder, i);
        if (b->ops->state_size && !(s->states[i] = calloc(1, b->ops->state_size(b->self, s->context))))
            return tare_fail_memory(err);
    }
    s->work = calloc((size_t)tare_pool_threads(s->pass.pool), sizeof *s->work);
    return s->states && s->work ? TARE_OK : tare_fail_memory(err);
}

static enum tare_code check_model(const tare_model *model, struct tare_error *err)
{
    if (model->code != TARE_OK)
        return tare_fail(err, model->code, model->error.where, "%s", model->error.text);
    if (!model->runs || !tare_decoder_runs(model->decoder))
        return tare_fail(err, TARE_E_UNKNOWN, "config.json", "%s can be checked and converted, but not run yet",
                         model->model_type ? model->model_type : "this model");
    return TARE_OK;
}

static enum tare_code open_session(tare_session *s, const struct tare_session_options *options, struct tare_error *err)
{
    const int threads = options->threads ? options->threads : s->model->options.threads;
    enum tare_code code;
    if ((code = choose_context(s, options->context, err)) || (code = tare_pool_open(&s->pass.pool, threads, err)) ||
        (code = share_loaded(s, err)) || (code = open_states(s, err)))
        return code;
    tare_kernels_pick(&s->pass.kernels, NULL);
    s->pass.cancel = options->cancel;
    choose_head(s);
    return TARE_OK;
}

enum tare_code tare_session_open(tare_session **session, tare_model *model, const struct tare_session_options *options,
                                 struct tare_error *err)
{
    struct tare_session_options own = TARE_SESSION_OPTIONS_INIT;
    *session = NULL;
    if (options)
        memcpy(&own, options, options->size < sizeof own ? options->size : sizeof own);
    enum tare_code code =
        model ? check_model(model, err) : tare_fail(err, TARE_E_ARGUMENT, "model", "no model was given");
    if (code)
        return code;
    tare_session *s = calloc(1, sizeof *s);
    if (!s)
        return tare_fail_memory(err);
    tare_model_retain(model);
    s->model = model;
    s->decoder = model->decoder;
    code = open_session(s, &own, err);
    if (code)
        tare_session_free(s);
    else
        *session = s;
    return code;
}

void tare_session_free(tare_session *s)
{
    if (!s)
        return;
    for (int64_t i = 0; s->states && i < 2 * s->decoder->n_layers; i++) {
        const struct tare_block *b = block_at(s->decoder, i);
        if (s->states[i] && b->ops->state_release)
            b->ops->state_release(b->self, s->states[i]);
        free(s->states[i]);
    }
    for (int i = 0; s->work && i < tare_pool_threads(s->pass.pool); i++)
        free(s->work[i]);
    free(s->work);
    free(s->states);
    free(s->memory);
    tare_pool_free(s->pass.pool);
    tare_model_free(s->model);
    free(s);
}

int64_t tare_session_vocabulary(const tare_session *s)
{
    return s->pass.head->rows;
}

uint64_t tare_session_weights(const tare_session *s)
{
    return tare_token_bytes(s->pass.loaded, &s->model->tree, s->decoder, s->pass.head);
}

int64_t tare_session_context(const tare_session *s)
{
    return s->context;
}

int64_t tare_session_length(const tare_session *s)
{
    return s->length;
}

static enum tare_code check_ids(const tare_session *s, const int32_t *ids, size_t n, struct tare_error *err)
{
    const int64_t rows = s->decoder->embedding->shape[0];
    if (!ids || !n)
        return tare_fail(err, TARE_E_ARGUMENT, "ids", "no ids were given");
    if (n > (uint64_t)(s->context - s->length))
        return tare_fail(err, TARE_E_ARGUMENT, "context",
                         "%zu more tokens do not fit: %lld of the context's %lld are used", n, (long long)s->length,
                         (long long)s->context);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= rows)
            return tare_fail(err, TARE_E_ARGUMENT, "ids",
                             "id %ld, number %zu of those given, is not in the vocabulary: 0 to %lld", (long)ids[i], i,
                             (long long)rows - 1);
    return TARE_OK;
}

/* Memory for a pass of so many tokens. What is there stays as it is after a failure. */
static enum tare_code reserve_pass(tare_session *s, int64_t tokens, struct tare_error *err)
{
    if (tokens <= s->room)
        return TARE_OK;
    const size_t scratch = tare_decoder_scratch(s->decoder, tokens);
    size_t rows, floats, side;
    if (__builtin_mul_overflow((size_t)tokens * 5, (size_t)s->decoder->dim, &rows) ||
        __builtin_mul_overflow((size_t)tokens, (size_t)s->decoder->side.width, &side) ||
        __builtin_add_overflow(rows, scratch, &floats) || __builtin_add_overflow(floats, side, &floats) ||
        floats > SIZE_MAX / 16)
        return tare_fail_memory(err);
    float *memory = malloc(floats * sizeof *memory);
    if (!memory)
        return tare_fail_memory(err);
    free(s->memory);
    s->memory = memory;
    s->room = tokens;
    const int64_t plane = tokens * s->decoder->dim;
    s->pass.x = memory;
    s->pass.y = memory + plane;
    s->pass.normed[0] = memory + 2 * plane;
    s->pass.normed[1] = memory + 3 * plane;
    s->pass.embedded = s->decoder->layers->skip ? memory + 4 * plane : NULL;
    s->pass.side = memory + 5 * plane;
    s->pass.scratch = memory + 5 * plane + tokens * s->decoder->side.width;
    return TARE_OK;
}

static enum tare_code reserve_work(tare_session *s, int64_t length, struct tare_error *err)
{
    const size_t need = tare_decoder_work(s->decoder, length);
    if (need <= s->work_room)
        return TARE_OK;
    const size_t room = need > 2 * s->work_room ? need : 2 * s->work_room;
    for (int i = 0; i < tare_pool_threads(s->pass.pool); i++) {
        float *work = realloc(s->work[i], room * sizeof *work);
        if (!work)
            return tare_fail_memory(err); /* those that grew may stay: work_room says what all have */
        s->work[i] = work;
    }
    s->work_room = room;
    s->pass.work = s->work;
    return TARE_OK;
}

static enum tare_code reserve(tare_session *s, int64_t n, struct tare_error *err)
{
    enum tare_code code;
    if ((code = reserve_pass(s, n < PASS_TOKENS ? n : PASS_TOKENS, err)) ||
        (code = reserve_work(s, s->length + n, err)))
        return code;
    for (int64_t i = 0; i < 2 * s->decoder->n_layers; i++) {
        const struct tare_block *b = block_at(s->decoder, i);
        if (b->ops->state_reserve && (code = b->ops->state_reserve(b->self, s->states[i], s->length + n, err)))
            return code;
    }
    return TARE_OK;
}

enum tare_code tare_session_feed(tare_session *s, const int32_t *ids, size_t n, bool all, float *logits,
                                 struct tare_error *err)
{
    enum tare_code code;
    if ((code = check_ids(s, ids, n, err)) || (code = reserve(s, (int64_t)n, err)))
        return code;
    /* What a failed feed leaves in the caches lies beyond length, where nobody looks. */
    for (int64_t done = 0, tokens; done < (int64_t)n; done += tokens) {
        tokens = (int64_t)n - done < PASS_TOKENS ? (int64_t)n - done : PASS_TOKENS;
        s->pass.tokens = tokens;
        s->pass.start = s->length + done;
        s->pass.fed = s->length;
        s->pass.total = s->length + (int64_t)n;
        float *into = all && logits ? logits + done * s->pass.head->rows : logits;
        const bool wanted = all || done + tokens == (int64_t)n;
        code = tare_decoder_forward(s->decoder, &s->pass, ids + done, s->states, all, wanted ? into : NULL, err);
        if (code)
            return code;
    }
    s->length += (int64_t)n;
    return TARE_OK;
}
