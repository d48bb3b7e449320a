/* SPDX-License-Identifier: MIT
 * session.c - one text on its way through a model: its ids and its states. Sessions that were forked from one another
 * share a runner, which has threads, work memory and weights. */
#include <stdlib.h>
#include <string.h>

#include "base/sized.h"
#include "run/session/generate.h"
#include "run/session/measure.h"
#include "run/session/prompt_cache.h"
#include "run/session/runner.h"

#define CONTEXT_DEFAULT 4096

struct tare_session {
    struct tare_runner *runner;
    const struct tare_decoder *decoder;
    const volatile int *cancel;
    int64_t context, length;
    int32_t *ids;               /* those that were fed; there is room for `context` ids */
    struct tare_state **states; /* two for each layer: of its mixer and of its feed-forward block */
    /* Sums exist twice: in this turn they include the first summed[turn] ids, in the other turn the first
     * summed[1 - turn] ids. -1: the other turn has none. */
    int64_t summed[2];
    int turn;
    bool sums;   /* some state has sums */
    int kv_bits; /* of a number in the attention cache: 32, 16, 8 or 4 */
};

static const struct tare_block *block_at(const struct tare_decoder *d, int64_t i)
{
    const struct tare_layer *layer = &d->layers[i / 2];
    return i % 2 ? &layer->ffn : &layer->mixer;
}

int64_t tare_model_context(const tare_model *model)
{
    const struct tare_decoder *d = model ? model->decoder : NULL;
    if (!d)
        return 0;
    return d->positions ? d->positions->shape[0] - d->position_offset : d->context;
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

static enum tare_code choose_bits(tare_session *s, const struct tare_session_options *options, struct tare_error *err)
{
    s->kv_bits = options->kv_bits ? options->kv_bits : options->exact ? 32 : 16;
    if (s->kv_bits != 32 && s->kv_bits != 16 && s->kv_bits != 8 && s->kv_bits != 4)
        return tare_fail(err, TARE_E_ARGUMENT, "kv_bits", "is %d; keys and values are kept in 32, 16, 8 or 4 bits",
                         s->kv_bits);
    return TARE_OK;
}

static enum tare_cache cache_of(int bits)
{
    return bits == 32 ? TARE_CACHE_F32 : bits == 16 ? TARE_CACHE_F16 : bits == 8 ? TARE_CACHE_Q8 : TARE_CACHE_Q4;
}

static enum tare_code open_states(tare_session *s, struct tare_error *err)
{
    const int64_t n = 2 * s->decoder->n_layers;
    s->states = calloc((size_t)n, sizeof(struct tare_state *));
    s->ids = calloc((size_t)s->context, sizeof *s->ids);
    if (!s->states || !s->ids)
        return tare_fail_memory(err);
    enum tare_code code = TARE_OK;
    for (int64_t i = 0; i < n && code == TARE_OK; i++) {
        const struct tare_block *b = block_at(s->decoder, i);
        struct tare_state_part parts[TARE_STATE_PARTS];
        const int has = b->ops->state ? b->ops->state(b->self, parts) : 0;
        if (has > 0)
            code = tare_state_open(&s->states[i], parts, has, s->context, err);
        if (s->states[i])
            tare_state_keep(s->states[i], cache_of(s->kv_bits));
        s->sums = s->sums || (s->states[i] && tare_state_sums(s->states[i]));
    }
    return code;
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

static enum tare_code open_session(tare_session *s, tare_model *model, const struct tare_session_options *options,
                                   struct tare_error *err)
{
    s->decoder = model->decoder;
    s->cancel = options->cancel;
    s->summed[1] = -1;
    enum tare_code code;
    if ((code = choose_bits(s, options, err)) || (code = choose_context(s, options->context, err)) ||
        (code = open_states(s, err)))
        return code;
    const uint64_t states = tare_session_bytes(s, s->context);
    struct tare_kernels kernels;
    if (options->kernels && !tare_kernels_pick(&kernels, options->kernels))
        return tare_fail(err, TARE_E_ARGUMENT, "kernels",
                         "\"%s\" is none of scalar, avx2, avx512, amx and neon, or this processor lacks it",
                         options->kernels);
    const struct tare_runner_options needs = {.pool = options->pool,
                                              .threads = options->threads,
                                              .exact = options->exact,
                                              .cancel = options->cancel,
                                              .states = states,
                                              .memory = options->memory,
                                              .context = s->context};
    if (!(code = tare_runner_open(&s->runner, model, &needs, err)) && options->kernels) {
        s->runner->pass.kernels = kernels;
        s->runner->pass.kernels.exact = options->exact;
    }
    return code;
}

enum tare_code tare_session_open(tare_session **session, tare_model *model, const struct tare_session_options *options,
                                 struct tare_error *err)
{
    struct tare_session_options own;
    if (session)
        *session = NULL;
    if (!session || !model)
        return tare_fail(err, TARE_E_ARGUMENT, model ? "session" : "model",
                         "a session needs a place for it, and a model");
    enum tare_code code;
    if ((code = tare_sized_read(&own, sizeof own, options, "options", err)) || (code = check_model(model, err)))
        return code;
    tare_session *s = calloc(1, sizeof *s);
    if (!s)
        return tare_fail_memory(err);
    code = open_session(s, model, &own, err);
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
    for (int64_t i = 0; s->states && i < 2 * s->decoder->n_layers; i++)
        tare_state_free(s->states[i]);
    free(s->states);
    free(s->ids);
    tare_runner_free(s->runner);
    free(s);
}

int64_t tare_session_vocabulary(const tare_session *s)
{
    if (!s)
        return 0;
    return s->runner->pass.head->rows;
}

int64_t tare_session_width(const tare_session *s)
{
    if (!s)
        return 0;
    return s->decoder->dim;
}

const char *tare_session_kernels(const tare_session *s)
{
    if (!s)
        return NULL;
    return s->runner->pass.kernels.name;
}

uint64_t tare_session_weights(const tare_session *s)
{
    if (!s)
        return 0;
    const struct tare_pass *pass = &s->runner->pass;
    return tare_measure_token(pass->loaded, &s->runner->model->tree, s->decoder, pass->head);
}

int64_t tare_session_context(const tare_session *s)
{
    if (!s)
        return 0;
    return s->context;
}

int64_t tare_session_length(const tare_session *s)
{
    if (!s)
        return 0;
    return s->length;
}

uint64_t tare_session_bytes(const tare_session *s, int64_t tokens)
{
    if (!s)
        return 0;
    uint64_t bytes = 0;
    for (int64_t i = 0; i < 2 * s->decoder->n_layers; i++)
        if (s->states[i] && __builtin_add_overflow(bytes, tare_state_size(s->states[i], tokens), &bytes))
            return UINT64_MAX;
    return bytes;
}

static enum tare_code reserve_states(const tare_session *s, int64_t length, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    for (int64_t k = 0; k < 2 * s->decoder->n_layers && code == TARE_OK; k++)
        if (s->states[k])
            code = tare_state_reserve(s->states[k], s->length, length, err);
    return code;
}

enum tare_code tare_session_reserve(tare_session *s, int64_t tokens, struct tare_error *err)
{
    if (!s)
        return tare_fail(err, TARE_E_ARGUMENT, "session", "it is NULL");
    if (tokens < s->length || tokens > s->context)
        return tare_fail(err, TARE_E_ARGUMENT, "tokens", "%lld tokens: this session takes %lld to %lld",
                         (long long)tokens, (long long)s->length, (long long)s->context);
    return reserve_states(s, tokens, err);
}

static enum tare_code check_ids(const struct tare_feed *f, struct tare_error *err)
{
    const tare_session *s = f->session;
    const int64_t rows = s->decoder->embedding->shape[0];
    if (!f->ids || !f->n)
        return tare_fail(err, TARE_E_ARGUMENT, "ids", "no ids were given");
    if (f->n > (uint64_t)(s->context - s->length))
        return tare_fail(err, TARE_E_ARGUMENT, "context",
                         "%zu more tokens do not fit: %lld of the context's %lld are used", f->n, (long long)s->length,
                         (long long)s->context);
    for (size_t i = 0; i < f->n; i++)
        if (f->ids[i] < 0 || f->ids[i] >= rows)
            return tare_fail(err, TARE_E_ARGUMENT, "ids",
                             "id %ld, number %zu of those given, is not in the vocabulary: 0 to %lld", (long)f->ids[i],
                             i, (long long)rows - 1);
    if (f->later > (uint64_t)(s->context - s->length) - f->n)
        return tare_fail(err, TARE_E_ARGUMENT, "later", "%zu later tokens do not fit the context of %lld", f->later,
                         (long long)s->context);
    return TARE_OK;
}

const volatile int *tare_session_cancel(const tare_session *s)
{
    return s->cancel;
}

struct tare_pool *tare_session_pool(const tare_session *s)
{
    return s->runner->pass.pool;
}

/* The head of sessions that are not exact is another matrix, and their kernels round. */
bool tare_session_joins(const tare_session *a, const tare_session *b)
{
    const struct tare_pass *x = &a->runner->pass, *y = &b->runner->pass;
    return a->runner->model == b->runner->model && x->kernels.exact == y->kernels.exact &&
           !strcmp(x->kernels.name, y->kernels.name);
}

/* Copies the host's feeds, which may be of another version, and checks them. */
static enum tare_code check_feeds(struct tare_feed *feeds, const struct tare_feed *given, size_t n, size_t stride,
                                  struct tare_error *err)
{
    enum tare_code listed = tare_sized_list_check(given, n, stride, sizeof *feeds, "feeds", err);
    if (listed)
        return listed;
    for (size_t i = 0; i < n; i++)
        memcpy(&feeds[i], tare_sized_at(given, i, stride, sizeof *feeds), sizeof *feeds);
    for (size_t i = 0; i < n; i++) {
        if (!feeds[i].session || !tare_session_joins(feeds[0].session, feeds[i].session))
            return tare_fail(err, TARE_E_ARGUMENT, "session",
                             "the sessions of one step are of one model and computed alike; number %zu is not", i);
        for (size_t k = 0; k < i; k++)
            if (feeds[k].session == feeds[i].session)
                return tare_fail(err, TARE_E_ARGUMENT, "session",
                                 "a session is fed once a step; number %zu comes twice", i);
        const enum tare_code code = check_ids(&feeds[i], err);
        if (code)
            return code;
    }
    return TARE_OK;
}

/* A step of several sessions. It consists of passes of at most TARE_PASS_TOKENS tokens, each of which takes what is
 * left of each session's ids in turn. */
struct step {
    struct tare_feed *feeds;
    size_t n;
    size_t *done; /* how many ids of each feed have gone through */
    struct tare_span *spans;
    struct tare_feed **of; /* the feed that each span belongs to */
    int64_t n_spans;
    int32_t ids[TARE_PASS_TOKENS], rows[TARE_PASS_TOKENS];
    float *logits[TARE_PASS_TOKENS], *hidden[TARE_PASS_TOKENS];
    struct tare_wanted wanted;
    int64_t tokens;
};

static void want(struct step *step, const struct tare_feed *f, size_t from, size_t n)
{
    const size_t columns = (size_t)f->session->runner->pass.head->rows, dim = (size_t)f->session->decoder->dim;
    for (size_t k = 0; (f->logits || f->hidden) && k < n; k++) {
        if (!f->all && from + k + 1 < f->n)
            continue;
        const size_t row = f->all ? from + k : 0;
        const int64_t i = step->wanted.n++;
        step->rows[i] = (int32_t)(step->tokens + (int64_t)k);
        step->logits[i] = f->logits ? f->logits + row * columns : NULL;
        step->hidden[i] = f->hidden ? f->hidden + row * dim : NULL;
    }
}

static void fill_pass(struct step *step)
{
    step->n_spans = step->tokens = 0;
    step->wanted = (struct tare_wanted){step->rows, step->logits, step->hidden, 0};
    for (size_t i = 0; i < step->n && step->tokens < TARE_PASS_TOKENS; i++) {
        struct tare_feed *f = &step->feeds[i];
        const size_t left = f->n - step->done[i], room = (size_t)(TARE_PASS_TOKENS - step->tokens);
        const size_t n = left < room ? left : room;
        if (n == 0)
            continue;
        const tare_session *s = f->session;
        want(step, f, step->done[i], n);
        memcpy(step->ids + step->tokens, f->ids + step->done[i], n * sizeof *step->ids);
        step->of[step->n_spans] = f;
        step->spans[step->n_spans++] = (struct tare_span){.first = step->tokens,
                                                          .tokens = (int64_t)n,
                                                          .start = s->length,
                                                          .total = s->length + (int64_t)(left + f->later),
                                                          .states = s->states,
                                                          .turn = s->turn};
        step->tokens += (int64_t)n;
    }
}

/* Notes that the sums of the turn before are lost: a pass writes in their place, whether it succeeds or not. */
static void begin_pass(const struct step *step)
{
    for (int64_t i = 0; i < step->n_spans; i++) {
        tare_session *s = step->of[i]->session;
        s->summed[1 - s->turn] = -1;
    }
}

/* After a pass has succeeded, adds its tokens to the sessions. */
static void keep_pass(struct step *step)
{
    for (int64_t i = 0; i < step->n_spans; i++) {
        const struct tare_span *span = &step->spans[i];
        tare_session *s = step->of[i]->session;
        memcpy(s->ids + s->length, step->ids + span->first, (size_t)span->tokens * sizeof *s->ids);
        s->length += span->tokens;
        s->turn = 1 - s->turn;
        s->summed[s->turn] = s->length;
        step->done[step->of[i] - step->feeds] += (size_t)span->tokens;
    }
}

enum tare_code tare_feed_prepare(const struct tare_feed *feed, struct tare_error *err)
{
    const enum tare_code code = check_ids(feed, err);
    return code ? code : reserve_states(feed->session, feed->session->length + (int64_t)feed->n, err);
}

static enum tare_code reserve(const struct step *step, struct tare_error *err)
{
    int64_t tokens = 0, longest = 0;
    enum tare_code code = TARE_OK;
    for (size_t i = 0; i < step->n && code == TARE_OK; i++) {
        const struct tare_feed *f = &step->feeds[i];
        const int64_t length = f->session->length + (int64_t)f->n;
        tokens = (int64_t)f->n < TARE_PASS_TOKENS - tokens ? tokens + (int64_t)f->n : TARE_PASS_TOKENS;
        longest = length > longest ? length : longest;
        code = reserve_states(f->session, length, err);
    }
    return code ? code : tare_runner_reserve(step->feeds->session->runner, tokens, longest, err);
}

static enum tare_code run_step(struct step *step, const volatile int *cancel, struct tare_error *err)
{
    struct tare_runner *runner = step->feeds->session->runner;
    enum tare_code code = reserve(step, err);
    runner->pass.cancel = cancel;
    while (code == TARE_OK) {
        fill_pass(step);
        if (step->tokens == 0)
            break;
        begin_pass(step);
        code = tare_runner_pass(runner, step->spans, step->n_spans, step->ids, &step->wanted, err);
        if (code == TARE_OK)
            keep_pass(step);
    }
    return code;
}

enum tare_code tare_feed_run(struct tare_feed *feeds, size_t n, const volatile int *cancel, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    struct step *step = calloc(1, sizeof *step);
    size_t *done = calloc(n, sizeof *done);
    struct tare_span *spans = calloc(n, sizeof *spans);
    struct tare_feed **of = calloc(n, sizeof(struct tare_feed *));
    if (step && done && spans && of) {
        *step = (struct step){.feeds = feeds, .n = n, .done = done, .spans = spans, .of = of};
        code = run_step(step, cancel, err);
    } else {
        code = tare_fail_memory(err);
    }
    free(of);
    free(spans);
    free(done);
    free(step);
    return code;
}

enum tare_code tare_session_feed_each(const struct tare_feed *given, size_t n, size_t stride, struct tare_error *err)
{
    if (!n || !given)
        return tare_fail(err, TARE_E_ARGUMENT, "feeds", "no sessions were given");
    struct tare_feed *feeds = calloc(n, sizeof *feeds);
    enum tare_code code = feeds ? check_feeds(feeds, given, n, stride, err) : tare_fail_memory(err);
    if (!code)
        code = tare_feed_run(feeds, n, feeds->session->cancel, err);
    free(feeds);
    return code;
}

enum tare_code tare_session_feed(tare_session *s, const int32_t *ids, size_t n, bool all, float *logits,
                                 struct tare_error *err)
{
    const struct tare_feed feed = {.session = s, .ids = ids, .n = n, .all = all, .logits = logits};
    return tare_session_feed_each(&feed, 1, sizeof feed, err);
}

enum tare_code tare_session_hidden(tare_session *s, const int32_t *ids, size_t n, bool all, float *hidden,
                                   struct tare_error *err)
{
    const struct tare_feed feed = {.session = s, .ids = ids, .n = n, .all = all, .hidden = hidden};
    if (!hidden)
        return tare_fail(err, TARE_E_ARGUMENT, "hidden", "it is NULL");
    return tare_session_feed_each(&feed, 1, sizeof feed, err);
}

enum tare_code tare_session_fork(tare_session **fork, const tare_session *s, struct tare_error *err)
{
    if (!fork || !s)
        return tare_fail_null(err, "tare_session_fork");
    tare_session *f = *fork = NULL;
    const int64_t n = 2 * s->decoder->n_layers;
    if (!(f = malloc(sizeof *f)))
        return tare_fail_memory(err);
    *f = *s;
    tare_runner_hold(f->runner);
    f->states = calloc((size_t)n, sizeof(struct tare_state *));
    f->ids = malloc((size_t)f->context * sizeof *f->ids);
    enum tare_code code = f->states && f->ids ? TARE_OK : tare_fail_memory(err);
    for (int64_t i = 0; i < n && code == TARE_OK; i++)
        if (s->states[i])
            code = tare_state_fork(&f->states[i], s->states[i], err);
    if (code) {
        tare_session_free(f);
        return code;
    }
    memcpy(f->ids, s->ids, (size_t)s->length * sizeof *f->ids);
    *fork = f;
    return TARE_OK;
}

const int32_t *tare_session_ids(const tare_session *s)
{
    if (!s)
        return NULL;
    return s->ids;
}

static struct tare_saved_session saved_of(const tare_session *s)
{
    return (struct tare_saved_session){.length = s->length,
                                       .n_states = 2 * s->decoder->n_layers,
                                       .ids = s->ids,
                                       .states = s->states,
                                       .turn = s->turn,
                                       .kv_bits = s->kv_bits};
}

enum tare_code tare_session_save(const tare_session *s, const char *path, struct tare_error *err)
{
    if (!s || !path)
        return tare_fail_null(err, "tare_session_save");
    const struct tare_saved_session saved = saved_of(s);
    return tare_prompt_cache_write(path, s->runner->model, &saved, err);
}

enum tare_code tare_session_load(tare_session *s, const char *path, struct tare_error *err)
{
    if (!s || !path)
        return tare_fail_null(err, "tare_session_load");
    struct tare_saved_session saved = saved_of(s);
    const enum tare_code code = tare_prompt_cache_read(path, s->runner->model, &saved, s->context, err);
    s->length = code ? 0 : saved.length;
    s->turn = code ? 0 : saved.turn;
    s->summed[s->turn] = s->length;
    s->summed[1 - s->turn] = -1;
    for (int64_t i = 0; code && i < saved.n_states; i++)
        if (s->states[i])
            tare_state_clear(s->states[i], s->turn);
    return code;
}

/* Rewinds the sums, from which no token can be subtracted: to the last turn that does not go beyond `length`, or to the
 * beginning of the text. */
static void turn_back(tare_session *s, int64_t length)
{
    if (s->summed[s->turn] <= length)
        return;
    const int64_t other = s->summed[1 - s->turn];
    s->summed[s->turn] = -1;
    if (other >= 0 && other <= length) {
        s->turn = 1 - s->turn;
    } else {
        for (int64_t i = 0; i < 2 * s->decoder->n_layers; i++)
            if (s->states[i])
                tare_state_clear(s->states[i], s->turn);
        s->summed[s->turn] = 0;
    }
    s->length = s->summed[s->turn];
}

enum tare_code tare_session_rewind(tare_session *s, int64_t length, struct tare_error *err)
{
    if (!s)
        return tare_fail_null(err, "tare_session_rewind");
    if (length < 0 || length > s->length)
        return tare_fail(err, TARE_E_ARGUMENT, "length", "a session of %lld tokens cannot be rewound to %lld",
                         (long long)s->length, (long long)length);
    if (!s->sums) {
        s->length = s->summed[s->turn] = length;
        return TARE_OK;
    }
    turn_back(s, length);
    if (s->length >= length) {
        s->length = length;
        return TARE_OK;
    }
    const size_t n = (size_t)(length - s->length);
    int32_t *again = malloc(n * sizeof *again);
    if (!again)
        return tare_fail_memory(err);
    memcpy(again, s->ids + s->length, n * sizeof *again);
    const enum tare_code code = tare_session_feed(s, again, n, false, NULL, err);
    free(again);
    return code;
}

void tare_session_options_init(struct tare_session_options *options, size_t size)
{
    tare_sized_init(options, size);
}
