/* SPDX-License-Identifier: MIT
 * test_shared_threads.c - plans, conversions, diffs and verifications on threads that the options name: whose threads
 * work, and that work at the same time gives what it gives alone. Meant to be run under ThreadSanitizer too.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define FABLE TARE_SOURCE_DIR "/models/fable"
#define WRITERS 4

static char *folder;

static int begin(void **state)
{
    (void)state;
    folder = fixture_begin();
    return 0;
}

static int end(void **state)
{
    (void)state;
    fixture_end(folder);
    return 0;
}

/* A pool of a host that runs tasks one after another, and counts. */
static void count_run(void *user, int n, void (*task)(void *task_user, int index), void *task_user)
{
    atomic_fetch_add((atomic_int *)user, 1);
    for (int i = 0; i < n; i++)
        task(task_user, i);
}

static tare_threads *open_host(atomic_int *runs)
{
    struct tare_threads_options options = TARE_THREADS_OPTIONS_INIT;
    tare_threads *threads = NULL;
    options.run = count_run;
    options.user = runs;
    options.n = 3;
    assert_int_equal(tare_threads_open_host(&threads, &options, NULL), TARE_OK);
    return threads;
}

static tare_model *plan(const char *path, tare_threads *pool)
{
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_error err = {0};
    tare_model *model = NULL;
    options.pool = pool;
    if (tare_plan(&model, path, &options, &err))
        fail_msg("%s: %s", err.where, err.text);
    return model;
}

/* How a call names its threads. */
struct naming {
    tare_threads *pool;
    int threads;
};

static void convert(tare_model *model, const char *name, struct naming naming)
{
    struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    options.pool = naming.pool;
    options.threads = naming.threads;
    assert_int_equal(tare_convert(model, fixture_path(folder, name), &options, NULL), TARE_OK);
}

static void diff(tare_model *model, const char *name, struct naming naming)
{
    struct tare_diff_options options = TARE_DIFF_OPTIONS_INIT;
    (void)name;
    tare_diff *result = NULL;
    options.pool = naming.pool;
    options.threads = naming.threads;
    assert_int_equal(tare_diff_open(&result, model, model, &options, NULL), TARE_OK);
    assert_true(tare_diff_report(result)->equal);
    tare_diff_free(result);
}

static void verify(tare_model *model, const char *name, struct naming naming)
{
    struct tare_verify_options options = TARE_VERIFY_OPTIONS_INIT;
    (void)name;
    tare_verify *result = NULL;
    options.pool = naming.pool;
    options.threads = naming.threads;
    assert_int_equal(tare_verify_open(&result, model, &options, NULL), TARE_OK);
    assert_int_equal(tare_verify_report(result)->n_findings, 0);
    tare_verify_free(result);
}

/* The call's pool works, else as many threads as the call says, else the plan's pool. */
static void whose_threads_work(void **state)
{
    (void)state;
    void (*const works[])(tare_model *, const char *, struct naming) = {convert, diff, verify};
    static const char *const names[][3] = {{"a", "b", "c"}, {"", "", ""}, {"", "", ""}};
    atomic_int of_plan = 0, of_call = 0;
    tare_threads *planned = open_host(&of_plan), *called = open_host(&of_call);
    tare_model *model = plan(FABLE, planned);
    assert_true(atomic_exchange(&of_plan, 0) > 0); /* the redundant head was compared */
    for (size_t k = 0; k < FIXTURE_COUNT(works); k++) {
        works[k](model, names[k][0], (struct naming){NULL, 0});
        assert_true(atomic_exchange(&of_plan, 0) > 0);
        works[k](model, names[k][1], (struct naming){NULL, 2});
        assert_int_equal(atomic_load(&of_plan) + atomic_load(&of_call), 0);
        works[k](model, names[k][2], (struct naming){called, 2});
        assert_int_equal(atomic_load(&of_plan), 0);
        assert_true(atomic_exchange(&of_call, 0) > 0);
    }
    tare_threads_free(planned);
    tare_threads_free(called);
    tare_model_free(model);
}

struct writer {
    tare_model *model;
    tare_threads *pool;
    char name[16], *path;
    pthread_t thread;
    enum tare_code code[3];
    bool right;
};

/* Reports that open, feed and free a session on the threads that are writing. */
static int run_within(void *user, const char *stage, uint64_t done, uint64_t total)
{
    const struct writer *w = user;
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    static const int32_t ids[3] = {3, 4, 5};
    tare_session *session = NULL;
    (void)stage;
    if (done < total)
        return 0;
    options.pool = w->pool;
    const bool right = !tare_session_open(&session, w->model, &options, NULL) &&
                       !tare_session_feed(session, ids, 3, false, NULL, NULL);
    tare_session_free(session);
    return !right;
}

static void *writer_main(void *argument)
{
    struct writer *w = argument;
    struct tare_convert_options converting = TARE_CONVERT_OPTIONS_INIT;
    struct tare_verify_options verifying = TARE_VERIFY_OPTIONS_INIT;
    struct tare_diff_options comparing = TARE_DIFF_OPTIONS_INIT;
    tare_verify *verified = NULL;
    tare_diff *compared = NULL;
    tare_model *written = NULL;
    converting.pool = verifying.pool = comparing.pool = w->pool;
    converting.proof = true;
    converting.progress = run_within;
    converting.user = w;
    w->code[0] = tare_convert(w->model, w->path, &converting, NULL);
    w->right = !w->code[0] && !tare_plan(&written, w->path, NULL, NULL);
    if (w->right) {
        w->code[1] = tare_verify_open(&verified, written, &verifying, NULL);
        w->code[2] = tare_diff_open(&compared, w->model, written, &comparing, NULL);
        w->right = verified && !tare_verify_report(verified)->n_findings && compared;
    }
    tare_diff_free(compared);
    tare_verify_free(verified);
    tare_model_free(written);
    return NULL;
}

static void work_at_the_same_time(void **state)
{
    (void)state;
    struct writer writers[WRITERS] = {0};
    tare_threads *pool = NULL;
    assert_int_equal(tare_threads_open(&pool, 3, NULL), TARE_OK);
    tare_model *model = plan(FABLE, pool);
    convert(model, "alone", (struct naming){NULL, 1});
    for (int k = 0; k < WRITERS; k++) {
        struct writer *w = &writers[k];
        w->model = model;
        w->pool = pool;
        memcpy(w->name, "together0", 10);
        w->name[8] = (char)('0' + k);
        w->path = strdup(fixture_path(folder, w->name));
        assert_non_null(w->path);
        assert_int_equal(pthread_create(&w->thread, NULL, writer_main, w), 0);
    }
    size_t size = 0, other_size = 0;
    char *alone = fixture_read(fixture_path(folder, "alone/model.safetensors"), &size);
    for (int k = 0; k < WRITERS; k++) {
        struct writer *w = &writers[k];
        pthread_join(w->thread, NULL);
        assert_int_equal(w->code[0] | w->code[1] | w->code[2], TARE_OK);
        assert_true(w->right);
        char *other = fixture_read(fixture_path(w->path, "model.safetensors"), &other_size);
        assert_int_equal(other_size, size);
        assert_memory_equal(other, alone, size);
        free(other);
        free(w->path);
    }
    free(alone);
    tare_threads_free(pool);
    tare_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whose_threads_work),
        cmocka_unit_test(work_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
