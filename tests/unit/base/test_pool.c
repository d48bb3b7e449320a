/* SPDX-License-Identifier: MIT
 * test_pool.c - each task once, in any number of threads and calls; meant to be run under ThreadSanitizer too. */
#include "base/pool.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"

struct job {
    unsigned *hits; /* plain: a task's own, so that the sanitizer sees whether calls are ordered */
    int *workers;
    int threads;
    atomic_size_t sum;
    bool slow;
};

static void task(void *user, size_t i, int worker)
{
    struct job *job = user;
    assert_true(worker >= 0 && worker < job->threads);
    job->hits[i]++;
    job->workers[worker]++; /* one thread at a time has this number */
    atomic_fetch_add_explicit(&job->sum, i, memory_order_relaxed);
    if (job->slow)
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static void run_calls(int threads, size_t n, int calls, bool slow, long pause)
{
    struct tare_pool *pool = NULL;
    struct tare_error err = {0};
    assert_int_equal(tare_pool_open(&pool, threads, &err), TARE_OK);
    const int got = tare_pool_threads(pool);
    assert_true(threads ? got == threads : got >= 1);
    struct job job = {.hits = calloc(n + 1, sizeof(unsigned)),
                      .workers = calloc((size_t)got, sizeof(int)),
                      .threads = got,
                      .slow = slow};
    for (int call = 0; call < calls; call++) {
        tare_pool_run(pool, n, task, &job);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(job.hits[i], call + 1);
        if (pause)
            nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
    }
    int total = 0;
    for (int i = 0; i < got; i++)
        total += job.workers[i];
    assert_int_equal(total, (int)n * calls);
    assert_int_equal(job.hits[n], 0);
    assert_int_equal(atomic_load(&job.sum), n ? n * (n - 1) / 2 * (size_t)calls : 0);
    tare_pool_free(pool);
    free(job.hits);
    free(job.workers);
}

static void each_task_once(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 3, 8, 33, 0};
    static const size_t sizes[] = {0, 1, 2, 7, 100, 5000};
    for (size_t t = 0; t < FIXTURE_COUNT(threads); t++)
        for (size_t n = 0; n < FIXTURE_COUNT(sizes); n++)
            run_calls(threads[t], sizes[n], 3, false, 0);
}

static void many_calls_close_together(void **state)
{
    (void)state;
    run_calls(2, 4, 20000, false, 0);
    run_calls(4, 16, 5000, false, 0);
}

static void calls_after_sleep(void **state)
{
    (void)state;
    run_calls(4, 8, 100, false, 1000000);
    run_calls(3, 30, 20, true, 0);
}

static void opens_and_frees(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct tare_pool *pool = NULL;
        assert_int_equal(tare_pool_open(&pool, 1 + i % 6, NULL), TARE_OK);
        tare_pool_free(pool); /* with threads that may not even have begun */
    }
    tare_pool_free(NULL);
}

static void refuses_numbers(void **state)
{
    (void)state;
    static const int bad[] = {-1, -1000000, 4097, 1 << 30};
    for (size_t i = 0; i < FIXTURE_COUNT(bad); i++) {
        struct tare_pool *pool = (void *)1;
        struct tare_error err = {0};
        fixture_expect(tare_pool_open(&pool, bad[i], &err), &err, TARE_E_ARGUMENT, "threads", "0 (one a core)");
        assert_null(pool);
    }
}

static void set_own(void *user, size_t i, int worker)
{
    int *values = user;
    (void)worker;
    values[i] = values[i] * 3 + 1;
}

/* What a call wrote is there for the caller and for the next call, without any lock of the caller's. */
static void calls_follow_one_another(void **state)
{
    (void)state;
    struct tare_pool *pool = NULL;
    int values[64] = {0}, expected = 0;
    assert_int_equal(tare_pool_open(&pool, 4, NULL), TARE_OK);
    for (int call = 0; call < 12; call++) {
        tare_pool_run(pool, 64, set_own, values);
        expected = expected * 3 + 1;
        for (int i = 0; i < 64; i++)
            assert_int_equal(values[i], expected);
    }
    tare_pool_free(pool);
}

static void two_pools(void *user, size_t i, int worker)
{
    int *values = user;
    struct tare_pool *inner = NULL;
    (void)worker;
    assert_int_equal(tare_pool_open(&inner, 2, NULL), TARE_OK);
    tare_pool_run(inner, 8, set_own, values + 8 * i);
    tare_pool_free(inner);
}

static void pools_within_pools(void **state)
{
    (void)state;
    struct tare_pool *pool = NULL;
    int values[64] = {0};
    assert_int_equal(tare_pool_open(&pool, 3, NULL), TARE_OK);
    tare_pool_run(pool, 8, two_pools, values);
    for (int i = 0; i < 64; i++)
        assert_int_equal(values[i], 1);
    tare_pool_free(pool);
}

static void nothing(void *user, size_t i, int worker)
{
    (void)user;
    (void)i;
    (void)worker;
}

static void says_what_a_call_costs(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        struct tare_pool *pool = NULL;
        assert_int_equal(tare_pool_open(&pool, threads, NULL), TARE_OK);
        const double start = fixture_clock();
        for (int i = 0; i < 10000; i++)
            tare_pool_run(pool, 8, nothing, NULL);
        print_message("  %d threads: %.2f us a call of 8 tasks\n", threads, (fixture_clock() - start) * 1e6 / 10000);
        tare_pool_free(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_task_once),     cmocka_unit_test(many_calls_close_together),
        cmocka_unit_test(calls_after_sleep),  cmocka_unit_test(opens_and_frees),
        cmocka_unit_test(refuses_numbers),    cmocka_unit_test(calls_follow_one_another),
        cmocka_unit_test(pools_within_pools), cmocka_unit_test(says_what_a_call_costs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
