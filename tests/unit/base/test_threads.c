/* SPDX-License-Identifier: MIT
 * test_threads.c - threads that several callers share, and hosts' pools of every kind; meant to be run under
 * ThreadSanitizer too. Tasks count in plain variables where only one thread may be at work, so that the sanitizer sees
 * it.
 */
#include "base/threads.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/pool.h"
#include "fixture.h"
#include "os_threads.h"

#define TASKS 100
#define CALLERS 8
#define MOST 80 /* callers at the same time; there are 64 places */

static int threads_before; /* of this process, when tare has none */

static int begin(void **state)
{
    struct tare_threads *threads = NULL;
    (void)state;
    if (tare_threads_open(&threads, 2, NULL)) /* a sanitizer starts a thread of its own beside the first one */
        return -1;
    tare_threads_free(threads);
    os_threads_pause(100000000);
    threads_before = os_threads_count();
    return threads_before ? 0 : -1;
}

/* What one caller does: calls of many tasks, one after another. */
struct caller {
    struct tare_threads *threads;
    struct tare_pool *pool;
    unsigned hits[TASKS];
    int *at_work; /* by worker number */
    int count;
    int calls;
    long pause;  /* in each task */
    int nested;  /* how many levels of calls lie within each task */
    int strange; /* calls that did not do each task once, or worker numbers that two had */
    atomic_int wrong;
    pthread_t thread;
};

static void task(void *user, size_t i, int worker);

static void call_once(struct caller *c, int expected)
{
    tare_pool_run(c->pool, TASKS, task, c);
    for (int i = 0; i < TASKS; i++)
        c->strange += c->hits[i] != (unsigned)expected;
}

static void caller_begin(struct caller *c, struct tare_threads *threads)
{
    c->threads = threads;
    c->count = tare_threads_count(threads);
    c->at_work = calloc((size_t)c->count, sizeof *c->at_work);
    assert_non_null(c->at_work);
    assert_int_equal(tare_pool_open_on(&c->pool, threads, 0, NULL), TARE_OK);
}

static void caller_end(struct caller *c)
{
    tare_pool_free(c->pool);
    free(c->at_work);
}

static void task(void *user, size_t i, int worker)
{
    struct caller *c = user;
    if (worker < 0 || worker >= c->count || c->at_work[worker]++) {
        atomic_fetch_add(&c->wrong, 1);
        return;
    }
    c->hits[i]++;
    if (c->nested && i % 25 == 0) {
        struct caller inner = {.nested = c->nested - 1};
        caller_begin(&inner, c->threads);
        call_once(&inner, 1);
        atomic_fetch_add(&c->wrong, inner.strange + atomic_load(&inner.wrong));
        caller_end(&inner);
    }
    if (c->pause)
        os_threads_pause(c->pause);
    c->at_work[worker]--;
}

static void *caller_main(void *argument)
{
    struct caller *c = argument;
    for (int call = 1; call <= c->calls; call++)
        call_once(c, call);
    return NULL;
}

/* n callers at the same time, each in a thread of its own. */
static void call_at_once(struct tare_threads *threads, int n, int calls, int nested, long pause)
{
    struct caller *callers = calloc((size_t)n, sizeof *callers);
    assert_non_null(callers);
    for (int k = 0; k < n; k++) {
        callers[k].calls = calls;
        callers[k].nested = nested;
        callers[k].pause = pause;
        caller_begin(&callers[k], threads);
    }
    for (int k = 0; k < n; k++)
        assert_int_equal(pthread_create(&callers[k].thread, NULL, caller_main, &callers[k]), 0);
    for (int k = 0; k < n; k++)
        pthread_join(callers[k].thread, NULL);
    for (int k = 0; k < n; k++) {
        assert_int_equal(callers[k].strange, 0);
        assert_int_equal(atomic_load(&callers[k].wrong), 0);
        caller_end(&callers[k]);
    }
    free(callers);
}

static void callers_share_workers(void **state)
{
    (void)state;
    struct tare_threads *threads = NULL;
    assert_int_equal(tare_threads_open(&threads, 4, NULL), TARE_OK);
    assert_int_equal(tare_threads_count(threads), 4);
    struct tare_pool *pools[CALLERS];
    for (int k = 0; k < CALLERS; k++)
        assert_int_equal(tare_pool_open_on(&pools[k], threads, 0, NULL), TARE_OK);
    os_threads_expect(threads_before + 3);
    for (int k = 0; k < CALLERS; k++)
        tare_pool_free(pools[k]);
    call_at_once(threads, CALLERS, 200, 0, 0);
    call_at_once(threads, CALLERS, 2, 0, 50000);
    call_at_once(threads, MOST, 5, 0, 20000);
    tare_threads_free(threads);
    os_threads_expect(threads_before);
}

static void calls_within_calls(void **state)
{
    (void)state;
    for (int n = 1; n <= 4; n++) {
        struct tare_threads *threads = NULL;
        assert_int_equal(tare_threads_open(&threads, n, NULL), TARE_OK);
        call_at_once(threads, 1, 3, 2, 0);
        call_at_once(threads, CALLERS, 2, 2, 0);
        tare_threads_free(threads);
    }
}

struct meeting {
    pthread_barrier_t here;
};

/* Waits until the thread of another call is in a task of its own: calls at the same time do not queue. */
static void meet(void *user, size_t i, int worker)
{
    struct meeting *meeting = user;
    (void)worker;
    if (i == 0)
        pthread_barrier_wait(&meeting->here);
}

static struct tare_threads *met_on;
static void *meet_main(void *argument)
{
    int place = 0;
    tare_threads_run(met_on, &place, 4, meet, argument);
    return NULL;
}

static void nobody_queues(void **state)
{
    (void)state;
    struct meeting meeting;
    pthread_t others[CALLERS];
    assert_int_equal(tare_threads_open(&met_on, 2, NULL), TARE_OK);
    pthread_barrier_init(&meeting.here, NULL, CALLERS);
    for (int k = 0; k < CALLERS; k++)
        assert_int_equal(pthread_create(&others[k], NULL, meet_main, &meeting), 0);
    for (int k = 0; k < CALLERS; k++)
        pthread_join(others[k], NULL);
    pthread_barrier_destroy(&meeting.here);
    tare_threads_free(met_on);
}

static void outlive_their_opener(void **state)
{
    (void)state;
    struct caller c = {.calls = 3};
    struct tare_threads *threads = NULL;
    assert_int_equal(tare_threads_open(&threads, 3, NULL), TARE_OK);
    caller_begin(&c, threads);
    tare_threads_free(threads);
    caller_main(&c);
    assert_int_equal(c.strange + atomic_load(&c.wrong), 0);
    caller_end(&c);
    tare_threads_free(NULL);
    assert_int_equal(tare_threads_count(NULL), 0);
}

/* ---- hosts --------------------------------------------------------------------------------------------------- */

typedef void host_task(void *user, int index);

static void run_in_order(void *user, int n, host_task *given, void *task_user)
{
    (void)user;
    for (int i = 0; i < n; i++)
        given(task_user, i);
}

static void run_backwards(void *user, int n, host_task *given, void *task_user)
{
    (void)user;
    for (int i = n - 1; i >= 0; i--)
        given(task_user, i);
}

static void run_none(void *user, int n, host_task *given, void *task_user)
{
    (void)user;
    (void)n;
    (void)given;
    (void)task_user;
}

static void run_last(void *user, int n, host_task *given, void *task_user)
{
    (void)user;
    given(task_user, n - 1);
}

struct piece {
    host_task *task;
    void *user;
    int index;
    pthread_t thread;
};

static void *piece_main(void *argument)
{
    struct piece *piece = argument;
    piece->task(piece->user, piece->index);
    return NULL;
}

static void run_threads(int n, int first, host_task *given, void *task_user)
{
    struct piece pieces[16];
    for (int i = 0; i < n; i++) {
        pieces[i] = (struct piece){given, task_user, first + i, 0};
        if (pthread_create(&pieces[i].thread, NULL, piece_main, &pieces[i]))
            abort();
    }
    for (int i = 0; i < n; i++)
        pthread_join(pieces[i].thread, NULL);
}

static void run_at_once(void *user, int n, host_task *given, void *task_user)
{
    (void)user;
    run_threads(n, 0, given, task_user);
}

/* More calls than were asked for, all with one index. */
static void run_too_many(void *user, int n, host_task *given, void *task_user)
{
    (void)user;
    run_threads(2 * n, 0, given, task_user);
}

/* Within each call the next one. */
struct rest {
    host_task *task;
    void *user;
    int left;
};

static void run_rest(struct rest rest)
{
    if (!rest.left)
        return;
    rest.task(rest.user, rest.left - 1);
    run_rest((struct rest){rest.task, rest.user, rest.left - 1});
}

static void run_nested(void *user, int n, host_task *given, void *task_user)
{
    (void)user;
    run_rest((struct rest){given, task_user, n});
}

/* Returns before its calls have begun. They may come at any later time, as long as the threads live. */
struct late {
    pthread_mutex_t lock;
    struct piece *pieces;
    size_t n, room;
};

static void run_late(void *user, int n, host_task *given, void *task_user)
{
    struct late *late = user;
    pthread_mutex_lock(&late->lock);
    for (int i = 0; i < n && late->n < late->room; i++) {
        struct piece *piece = &late->pieces[late->n];
        *piece = (struct piece){given, task_user, i, 0};
        late->n += !pthread_create(&piece->thread, NULL, piece_main, piece);
    }
    pthread_mutex_unlock(&late->lock);
}

static struct tare_threads *open_host(void (*run)(void *, int, host_task *, void *), void *user, int n)
{
    struct tare_threads_options options = TARE_THREADS_OPTIONS_INIT;
    struct tare_threads *threads = NULL;
    options.run = run;
    options.user = user;
    options.n = n;
    assert_int_equal(tare_threads_open_host(&threads, &options, NULL), TARE_OK);
    assert_int_equal(tare_threads_count(threads), n);
    return threads;
}

static void any_host_is_right(void **state)
{
    (void)state;
    void (*const runs[])(void *, int, host_task *, void *) = {run_in_order, run_backwards, run_none,  run_last,
                                                              run_at_once,  run_too_many,  run_nested};
    for (size_t k = 0; k < FIXTURE_COUNT(runs); k++) {
        struct tare_threads *threads = open_host(runs[k], NULL, 4);
        os_threads_expect(threads_before);
        call_at_once(threads, 1, 20, 0, 0);
        call_at_once(threads, 1, 1, 1, 0);
        call_at_once(threads, CALLERS, 4, 1, 0);
        call_at_once(threads, 3, 1, 0, 100000);
        tare_threads_free(threads);
    }
}

static void late_hosts_too(void **state)
{
    (void)state;
    struct late late = {.room = 4 * 60};
    pthread_mutex_init(&late.lock, NULL);
    late.pieces = calloc(late.room, sizeof *late.pieces);
    struct tare_threads *threads = open_host(run_late, &late, 4);
    call_at_once(threads, 3, 20, 0, 0);
    for (size_t i = 0; i < late.n; i++)
        pthread_join(late.pieces[i].thread, NULL);
    assert_int_equal(late.n, late.room);
    tare_threads_free(threads);
    free(late.pieces);
    pthread_mutex_destroy(&late.lock);
}

static void count_runs(void *user, int n, host_task *given, void *task_user)
{
    int *count = user;
    count[0]++;
    count[1] = n > count[1] ? n : count[1];
    run_in_order(NULL, n, given, task_user);
}

/* A host is asked for as many as are of use, and not at all where that is one. */
static void hosts_are_asked_for_what_helps(void **state)
{
    (void)state;
    struct caller c = {.calls = 1};
    int count[2] = {0}, place = 0;
    struct tare_threads *threads = open_host(count_runs, count, 5);
    caller_begin(&c, threads);
    tare_threads_run(threads, &place, 1, task, &c);
    assert_int_equal(count[0], 0);
    tare_threads_run(threads, &place, 3, task, &c);
    assert_int_equal(count[0], 1);
    assert_int_equal(count[1], 3);
    tare_threads_run(threads, &place, TASKS, task, &c);
    assert_int_equal(count[0], 2);
    assert_int_equal(count[1], 5);
    caller_end(&c);
    tare_threads_free(threads);
    threads = open_host(count_runs, count, 1);
    call_at_once(threads, 1, 1, 0, 0);
    assert_int_equal(count[0], 2);
    tare_threads_free(threads);
}

static void refuses_what_is_no_pool(void **state)
{
    (void)state;
    struct tare_threads *threads = (void *)1;
    struct tare_error err = {0};
    struct tare_threads_options options;
    tare_threads_options_init(&options, sizeof options);
    fixture_expect(tare_threads_open(&threads, -1, &err), &err, TARE_E_ARGUMENT, "threads", "0 (one a core) to 4096");
    assert_null(threads);
    fixture_expect(tare_threads_open(NULL, 1, &err), &err, TARE_E_ARGUMENT, "threads", "no place");
    fixture_expect(tare_threads_open_host(NULL, &options, &err), &err, TARE_E_ARGUMENT, "threads", "no place");
    fixture_expect(tare_threads_open_host(&threads, NULL, &err), &err, TARE_E_ARGUMENT, "run", "is NULL");
    fixture_expect(tare_threads_open_host(&threads, &options, &err), &err, TARE_E_ARGUMENT, "run", "is NULL");
    options.run = run_in_order;
    options.n = 5000;
    fixture_expect(tare_threads_open_host(&threads, &options, &err), &err, TARE_E_ARGUMENT, "threads", "is 5000");
    options.size = 0;
    fixture_expect(tare_threads_open_host(&threads, &options, &err), &err, TARE_E_ARGUMENT, "options", "size");
    assert_null(threads);
    options.size = sizeof options;
    options.n = 0;
    assert_int_equal(tare_threads_open_host(&threads, &options, NULL), TARE_OK);
    assert_true(tare_threads_count(threads) >= 1);
    tare_threads_free(threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callers_share_workers),
        cmocka_unit_test(calls_within_calls),
        cmocka_unit_test(nobody_queues),
        cmocka_unit_test(outlive_their_opener),
        cmocka_unit_test(any_host_is_right),
        cmocka_unit_test(late_hosts_too),
        cmocka_unit_test(hosts_are_asked_for_what_helps),
        cmocka_unit_test(refuses_what_is_no_pool),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
