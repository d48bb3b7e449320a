/* SPDX-License-Identifier: MIT
 * test_session_threads.c - many sessions at the same time: threads that they share, weights that are laid out once, and
 * logits that are the same to the bit whoever computes them. Meant to be run under ThreadSanitizer too.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fixture.h"
#include "os_threads.h"
#include "plan/plan.h"

#define FABLE TARE_SOURCE_DIR "/models/fable"
#define SESSIONS 8
#define PROMPT 20
#define STEPS 6

static int threads_before; /* of this process, when tare has none */
static float *expected;    /* the logits after each step, of a session alone with one thread */
static int64_t vocabulary;

static tare_model *plan(tare_threads *pool)
{
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_error err = {0};
    tare_model *model = NULL;
    options.threads = 3;
    options.pool = pool;
    if (tare_plan(&model, FABLE, &options, &err))
        fail_msg("%s: %s", err.where, err.text);
    return model;
}

static int32_t id_at(int i)
{
    return (int32_t)(3 + i * 37 % 400);
}

/* Feeds a prompt and then one id after another; false: an error, or other logits than expected. */
static bool speak(tare_session *session, float *keep)
{
    int32_t ids[PROMPT + STEPS];
    float *logits = calloc((size_t)vocabulary, sizeof *logits);
    bool right = logits != NULL;
    for (int i = 0; i < PROMPT + STEPS; i++)
        ids[i] = id_at(i);
    for (int i = 0; right && i <= STEPS; i++) {
        const size_t bytes = (size_t)vocabulary * sizeof *logits;
        const int from = i ? PROMPT + i - 1 : 0, n = i ? 1 : PROMPT;
        right = !tare_session_feed(session, ids + from, (size_t)n, false, logits, NULL);
        if (keep)
            memcpy(keep + i * vocabulary, logits, bytes);
        else
            right = right && !memcmp(expected + i * vocabulary, logits, bytes);
    }
    free(logits);
    return right;
}

static int begin(void **state)
{
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    tare_threads *threads = NULL;
    tare_session *session = NULL;
    (void)state;
    if (tare_threads_open(&threads, 2, NULL)) /* a sanitizer starts a thread of its own beside the first one */
        return -1;
    tare_threads_free(threads);
    os_threads_pause(100000000);
    threads_before = os_threads_count();
    tare_model *model = plan(NULL);
    options.threads = 1;
    assert_int_equal(tare_session_open(&session, model, &options, NULL), TARE_OK);
    vocabulary = tare_session_vocabulary(session);
    expected = calloc((size_t)vocabulary * (STEPS + 1), sizeof *expected);
    assert_true(expected && speak(session, expected));
    tare_session_free(session);
    tare_model_free(model);
    return threads_before ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    free(expected);
    return 0;
}

/* ---- hosts --------------------------------------------------------------------------------------------------- */

typedef void host_task(void *user, int index);

/* A pool of a host that runs tasks one after another. */
struct host {
    atomic_int runs;
    long pause;                        /* nanoseconds a run takes longer */
    void (*first)(struct host *, int); /* called within run(), which says how many there were before; may be NULL */
    tare_model *model;                 /* for first() */
    tare_threads *threads;
    pthread_barrier_t *barrier;
    volatile int cancel;
    pthread_t thread;
    enum tare_code code;
    atomic_bool right;
};

static void host_run(void *user, int n, host_task *task, void *task_user)
{
    struct host *host = user;
    const int before = atomic_fetch_add(&host->runs, 1);
    if (host->first)
        host->first(host, before);
    if (host->pause)
        os_threads_pause(host->pause);
    for (int i = 0; i < n; i++)
        task(task_user, i);
}

static tare_threads *open_host(struct host *host)
{
    struct tare_threads_options options = TARE_THREADS_OPTIONS_INIT;
    options.run = host_run;
    options.user = host;
    options.n = 3;
    assert_int_equal(tare_threads_open_host(&host->threads, &options, NULL), TARE_OK);
    return host->threads;
}

struct piece {
    host_task *task;
    void *user;
    pthread_t thread;
};

static void *piece_main(void *argument)
{
    const struct piece *piece = argument;
    piece->task(piece->user, 0);
    return NULL;
}

/* Another one, which starts threads for each run. */
static void run_at_once(void *user, int n, host_task *task, void *task_user)
{
    struct piece pieces[3];
    (void)user;
    for (int i = 0; i < n; i++) {
        pieces[i] = (struct piece){.task = task, .user = task_user};
        if (pthread_create(&pieces[i].thread, NULL, piece_main, &pieces[i]))
            abort();
    }
    for (int i = 0; i < n; i++)
        pthread_join(pieces[i].thread, NULL);
}

/* ---- sessions at the same time ------------------------------------------------------------------------------- */

struct speaker {
    tare_model *model;
    struct tare_session_options options;
    tare_session *session;
    pthread_barrier_t *start;
    bool silent; /* it only opens */
    enum tare_code code;
    bool right;
    pthread_t thread;
};

static void *speaker_main(void *argument)
{
    struct speaker *s = argument;
    pthread_barrier_wait(s->start);
    if (!s->session)
        s->code = tare_session_open(&s->session, s->model, &s->options, NULL);
    s->right = !s->code && !s->silent && speak(s->session, NULL);
    return NULL;
}

/* Eight threads, each with a session of its own, which is opened before, or by the thread itself. */
static void speak_at_once(tare_model *model, tare_threads *pool, bool opened, int os_threads)
{
    struct speaker speakers[SESSIONS];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, SESSIONS);
    for (int k = 0; k < SESSIONS; k++) {
        speakers[k] = (struct speaker){.model = model, .options = TARE_SESSION_OPTIONS_INIT, .start = &start};
        speakers[k].options.pool = pool;
        if (opened)
            assert_int_equal(tare_session_open(&speakers[k].session, model, &speakers[k].options, NULL), TARE_OK);
    }
    if (opened)
        os_threads_expect(threads_before + os_threads);
    for (int k = 0; k < SESSIONS; k++)
        assert_int_equal(pthread_create(&speakers[k].thread, NULL, speaker_main, &speakers[k]), 0);
    for (int k = 0; k < SESSIONS; k++)
        pthread_join(speakers[k].thread, NULL);
    os_threads_expect(threads_before + os_threads);
    for (int k = 0; k < SESSIONS; k++) {
        assert_int_equal(speakers[k].code, TARE_OK);
        assert_true(speakers[k].right);
        tare_session_free(speakers[k].session);
    }
    pthread_barrier_destroy(&start);
}

static void sessions_of_a_model_share(void **state)
{
    (void)state;
    tare_model *model = plan(NULL);
    os_threads_expect(threads_before);
    speak_at_once(model, NULL, false, 2);
    os_threads_expect(threads_before);
    speak_at_once(model, NULL, true, 2);
    os_threads_expect(threads_before);
    tare_model_free(model);
}

static void sessions_share_a_pool(void **state)
{
    (void)state;
    tare_threads *of_plan = NULL, *of_call = NULL;
    assert_int_equal(tare_threads_open(&of_plan, 4, NULL), TARE_OK);
    tare_model *model = plan(of_plan);
    speak_at_once(model, NULL, true, 3);
    assert_int_equal(tare_threads_open(&of_call, 3, NULL), TARE_OK);
    speak_at_once(model, of_call, true, 5);
    tare_threads_free(of_plan); /* the plan has its own reference */
    tare_threads_free(of_call);
    os_threads_expect(threads_before + 3);
    tare_model_free(model);
    os_threads_expect(threads_before);
}

static void sessions_work_in_a_hosts_pool(void **state)
{
    (void)state;
    struct host host = {0};
    struct tare_threads_options options = TARE_THREADS_OPTIONS_INIT;
    tare_threads *pool = open_host(&host), *other = NULL;
    tare_model *model = plan(NULL);
    speak_at_once(model, pool, true, 0);
    assert_true(atomic_load(&host.runs) > 0);
    options.run = run_at_once;
    options.n = 3;
    assert_int_equal(tare_threads_open_host(&other, &options, NULL), TARE_OK);
    speak_at_once(model, other, false, 0);
    tare_threads_free(pool);
    tare_threads_free(other);
    tare_model_free(model);
}

/* A number given to a session is more particular than the plan's pool; sessions that ask for the same one share. */
static void a_number_counts_before_the_plans_pool(void **state)
{
    (void)state;
    struct host host = {0};
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    tare_threads *pool = open_host(&host);
    tare_session *sessions[4] = {NULL};
    tare_model *model = plan(pool);
    const int planned = atomic_load(&host.runs);
    for (int k = 0; k < 4; k++) {
        options.threads = k < 2 ? 2 : 5;
        assert_int_equal(tare_session_open(&sessions[k], model, &options, NULL), TARE_OK);
        os_threads_expect(threads_before + (k < 2 ? 1 : 1 + 4));
        assert_true(speak(sessions[k], NULL));
    }
    assert_int_equal(atomic_load(&host.runs), planned);
    tare_session_free(sessions[0]);
    tare_session_free(sessions[3]);
    os_threads_expect(threads_before + 5);
    tare_session_free(sessions[2]);
    os_threads_expect(threads_before + 1);
    tare_session_free(sessions[1]);
    os_threads_expect(threads_before);
    tare_threads_free(pool);
    tare_model_free(model);
}

/* ---- weights ------------------------------------------------------------------------------------------------- */

static void count_opening(struct host *host, tare_model *model, int sessions)
{
    struct speaker speakers[SESSIONS];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, (unsigned)sessions);
    for (int k = 0; k < sessions; k++) {
        speakers[k] =
            (struct speaker){.model = model, .options = TARE_SESSION_OPTIONS_INIT, .start = &start, .silent = true};
        speakers[k].options.pool = host->threads;
        assert_int_equal(pthread_create(&speakers[k].thread, NULL, speaker_main, &speakers[k]), 0);
    }
    for (int k = 0; k < sessions; k++)
        pthread_join(speakers[k].thread, NULL);
    for (int k = 0; k < sessions; k++) {
        assert_int_equal(speakers[k].code, TARE_OK);
        if (!k)
            assert_true(speak(speakers[k].session, NULL));
        tare_session_free(speakers[k].session);
    }
    pthread_barrier_destroy(&start);
}

/* Laying weights out takes a number of runs of the host's pool, and opening does nothing else with it. */
static void weights_are_laid_out_once(void **state)
{
    (void)state;
    struct host alone = {.pause = 100000}, together = {.pause = 100000};
    open_host(&alone);
    open_host(&together);
    tare_model *model = plan(NULL);
    count_opening(&alone, model, 1);
    tare_model_free(model);
    model = plan(NULL);
    count_opening(&together, model, SESSIONS);
    assert_true(atomic_load(&alone.runs) > 1);
    assert_int_equal(atomic_load(&together.runs), atomic_load(&alone.runs));
    count_opening(&together, model, SESSIONS); /* and not again */
    tare_model_free(model);
    tare_threads_free(alone.threads);
    tare_threads_free(together.threads);
}

/* Opens a session of host->model and speaks. */
static void *open_main(void *argument)
{
    struct host *host = argument;
    tare_session *session = NULL;
    host->code = tare_session_open(&session, host->model, NULL, NULL);
    atomic_store(&host->right, !host->code && speak(session, NULL));
    tare_session_free(session);
    return NULL;
}

/* While the first session lays out weights, another thread opens one and waits. Then the first one is cancelled. */
static void open_and_cancel(struct host *host, int before)
{
    if (before != 1)
        return;
    if (pthread_create(&host->thread, NULL, open_main, host))
        abort();
    os_threads_pause(50000000);
    __atomic_store_n(&host->cancel, 1, __ATOMIC_RELAXED);
}

static void next_tries_when_the_first_is_cancelled(void **state)
{
    (void)state;
    struct host host = {.first = open_and_cancel, .model = plan(NULL)};
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    struct tare_error err = {0};
    tare_session *session = NULL;
    options.pool = open_host(&host);
    options.cancel = &host.cancel;
    fixture_expect(tare_session_open(&session, host.model, &options, &err), &err, TARE_E_CANCELLED, NULL, "cancelled");
    assert_null(session);
    pthread_join(host.thread, NULL);
    assert_int_equal(host.code, TARE_OK);
    assert_true(atomic_load(&host.right));
    tare_threads_free(host.threads);
    tare_model_free(host.model);
}

/* Is cancelled while it waits. */
static void *cancelled_main(void *argument)
{
    struct host *host = argument;
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    tare_session *session = NULL;
    options.cancel = &host->cancel;
    host->code = tare_session_open(&session, host->model, &options, NULL);
    atomic_store(&host->right, true);
    tare_session_free(session);
    return NULL;
}

static void start_one_that_is_cancelled(struct host *host, int before)
{
    if (before != 1)
        return;
    if (pthread_create(&host->thread, NULL, cancelled_main, host))
        abort();
    os_threads_pause(20000000);
    __atomic_store_n(&host->cancel, 1, __ATOMIC_RELAXED);
    pthread_join(host->thread, NULL); /* it does not wait for this one */
}

static void who_waits_can_be_cancelled(void **state)
{
    (void)state;
    struct host host = {.first = start_one_that_is_cancelled, .model = plan(NULL)};
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    tare_session *session = NULL;
    options.pool = open_host(&host);
    assert_int_equal(tare_session_open(&session, host.model, &options, NULL), TARE_OK);
    assert_int_equal(host.code, TARE_E_CANCELLED);
    assert_true(speak(session, NULL));
    tare_session_free(session);
    tare_threads_free(host.threads);
    tare_model_free(host.model);
}

/* One that may not take the memory fails, and those that wait for it do not. */
static void next_tries_when_the_first_has_no_room(void **state)
{
    (void)state;
    struct speaker speakers[SESSIONS];
    pthread_barrier_t start;
    tare_model *model = plan(NULL);
    pthread_barrier_init(&start, NULL, SESSIONS);
    for (int k = 0; k < SESSIONS; k++) {
        speakers[k] =
            (struct speaker){.model = model, .options = TARE_SESSION_OPTIONS_INIT, .start = &start, .silent = true};
        speakers[k].options.memory = k % 2 ? 0 : 1;
        assert_int_equal(pthread_create(&speakers[k].thread, NULL, speaker_main, &speakers[k]), 0);
    }
    for (int k = 0; k < SESSIONS; k++)
        pthread_join(speakers[k].thread, NULL);
    for (int k = 0; k < SESSIONS; k++) {
        /* Weights that another one has laid out cost nothing. */
        assert_true(speakers[k].code == TARE_OK || (k % 2 == 0 && speakers[k].code == TARE_E_MEMORY));
        assert_true(speakers[k].code || speak(speakers[k].session, NULL));
        tare_session_free(speakers[k].session);
    }
    pthread_barrier_destroy(&start);
    tare_model_free(model);
}

/* ---- hosts that do other work while they wait ---------------------------------------------------------------- */

/* Opens a session of host->model on the thread that is laying out weights; of another model when others do the same. */
static void open_within(struct host *host, int before)
{
    if (before != 1)
        return;
    if (host->barrier)
        pthread_barrier_wait(host->barrier);
    open_main(host);
}

static void opened_by_who_lays_out(void **state)
{
    (void)state;
    struct host host = {.first = open_within, .model = plan(NULL)};
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    tare_session *session = NULL;
    options.pool = open_host(&host);
    assert_int_equal(tare_session_open(&session, host.model, &options, NULL), TARE_OK);
    assert_true(atomic_load(&host.right));
    assert_true(speak(session, NULL));
    tare_session_free(session);
    tare_threads_free(host.threads);
    tare_model_free(host.model);
}

struct crossing {
    struct host host; /* opens the other's model while it lays out its own */
    tare_model *model;
    enum tare_code code;
    bool right;
    pthread_t thread;
};

static void *crossing_main(void *argument)
{
    struct crossing *c = argument;
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    tare_session *session = NULL;
    options.pool = c->host.threads;
    c->code = tare_session_open(&session, c->model, &options, NULL);
    c->right = !c->code && speak(session, NULL);
    tare_session_free(session);
    return NULL;
}

static void opened_crosswise(void **state)
{
    (void)state;
    pthread_barrier_t barrier;
    struct crossing crossings[2];
    pthread_barrier_init(&barrier, NULL, 2);
    for (int k = 0; k < 2; k++) {
        crossings[k] = (struct crossing){.model = plan(NULL)};
        crossings[k].host.first = open_within;
        crossings[k].host.barrier = &barrier;
        open_host(&crossings[k].host);
    }
    for (int k = 0; k < 2; k++) {
        crossings[k].host.model = crossings[1 - k].model;
        assert_int_equal(pthread_create(&crossings[k].thread, NULL, crossing_main, &crossings[k]), 0);
    }
    for (int k = 0; k < 2; k++)
        pthread_join(crossings[k].thread, NULL);
    for (int k = 0; k < 2; k++) {
        assert_true(crossings[k].right);
        assert_true(atomic_load(&crossings[k].host.right));
        tare_threads_free(crossings[k].host.threads);
        tare_model_free(crossings[k].model);
    }
    pthread_barrier_destroy(&barrier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_of_a_model_share),     cmocka_unit_test(sessions_share_a_pool),
        cmocka_unit_test(sessions_work_in_a_hosts_pool), cmocka_unit_test(a_number_counts_before_the_plans_pool),
        cmocka_unit_test(weights_are_laid_out_once),     cmocka_unit_test(next_tries_when_the_first_is_cancelled),
        cmocka_unit_test(who_waits_can_be_cancelled),    cmocka_unit_test(next_tries_when_the_first_has_no_room),
        cmocka_unit_test(opened_by_who_lays_out),        cmocka_unit_test(opened_crosswise),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
