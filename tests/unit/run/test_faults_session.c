/* SPDX-License-Identifier: MIT
 * test_faults_session.c - opening, forking, feeding and rewinding a session when the n-th allocation fails, for every
 * n: the code says so, nothing is lost, and the session continues as if nothing had happened. The model attends and
 * recurs.
 */
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "sample.h"

enum { VOCABULARY = 40, CONTEXT = 600, START = 100, LAST = 450 };

static const char config[] =
    "{\"model_type\": \"falcon_h1\", \"hidden_size\": 16, \"num_hidden_layers\": 1, \"intermediate_size\": 24,"
    "\"num_attention_heads\": 2, \"num_key_value_heads\": 2, \"head_dim\": 8, \"mamba_d_conv\": 4, \"mamba_d_head\": 8,"
    "\"mamba_d_ssm\": 16, \"mamba_d_state\": 8, \"mamba_n_groups\": 1, \"mamba_n_heads\": 2, \"vocab_size\": 40,"
    "\"rms_norm_eps\": 1e-5, \"max_position_embeddings\": 1024, \"embedding_multiplier\": 1.0,"
    "\"lm_head_multiplier\": 1.0, \"tie_word_embeddings\": true}";

static char *folder;
static tare_model *model;
static int32_t ids[LAST];
static float want[VOCABULARY];

static enum tare_code open_session(tare_session **s, struct tare_error *err)
{
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    options.threads = 1;
    options.context = CONTEXT;
    return tare_session_open(s, model, &options, err);
}

/* A session that has had its first ids, and memory for no more than them. */
static tare_session *started(void)
{
    tare_session *s = NULL;
    assert_int_equal(open_session(&s, NULL), TARE_OK);
    assert_int_equal(tare_session_feed(s, ids, START, false, NULL, NULL), TARE_OK);
    return s;
}

static void finish(tare_session *s)
{
    float got[VOCABULARY];
    const size_t length = (size_t)tare_session_length(s);
    assert_int_equal(tare_session_feed(s, ids + length, LAST - length, false, got, NULL), TARE_OK);
    sample_near(got, want, VOCABULARY, 1e-5f);
    tare_session_free(s);
}

static int begin(void **unused)
{
    (void)unused;
    folder = fixture_begin();
    sample_checkpoint(folder, config);
    model = sample_plan(folder);
    for (int i = 0; i < LAST; i++)
        ids[i] = (i * 37 + i / 7) % VOCABULARY;
    tare_session *s = started();
    assert_int_equal(tare_session_feed(s, ids + START, LAST - START, false, want, NULL), TARE_OK);
    tare_session_free(s);
    return 0;
}

static int end(void **unused)
{
    (void)unused;
    tare_model_free(model);
    fixture_end(folder);
    return 0;
}

/* What was done while the n-th allocation failed: was there an n-th one? */
static bool failed(enum tare_code code, const struct tare_error *err)
{
    const bool ran_out = allocations < 0;
    allocations = -1;
    if (code)
        fixture_expect(code, err, TARE_E_MEMORY, NULL, NULL);
    assert_true(!code || ran_out);
    return code != TARE_OK;
}

static void test_open(void **unused)
{
    (void)unused;
    for (long n = 0;; n++) {
        struct tare_error err = {0};
        tare_session *s = NULL;
        tare_model_free(model); /* so that its weights are loaded each time */
        model = sample_plan(folder);
        allocations = n;
        if (failed(open_session(&s, &err), &err)) {
            assert_null(s);
            continue;
        }
        finish(s);
        assert_true(n > 10);
        break;
    }
}

static void test_fork(void **unused)
{
    (void)unused;
    for (long n = 0;; n++) {
        struct tare_error err = {0};
        tare_session *s = started(), *fork = NULL;
        allocations = n;
        const bool stop = !failed(tare_session_fork(&fork, s, &err), &err);
        assert_int_equal(tare_session_length(s), START);
        finish(s);
        assert_true(stop == (fork != NULL));
        if (!stop)
            continue;
        finish(fork);
        assert_true(n > 3);
        break;
    }
}

/* Of two sessions in one step, of which one shares all it has with the other: neither keeps a part of the step. */
static void test_feed(void **unused)
{
    (void)unused;
    for (long n = 0;; n++) {
        struct tare_error err = {0};
        tare_session *s = started(), *fork = NULL;
        assert_int_equal(tare_session_fork(&fork, s, NULL), TARE_OK);
        struct tare_feed feeds[] = {{.session = s, .ids = ids + START, .n = 200, .all = false, .logits = NULL},
                                    {.session = fork, .ids = ids + START, .n = 100, .all = false, .logits = NULL}};
        allocations = n;
        const bool stop = !failed(tare_session_feed_each(feeds, 2, 0, &err), &err);
        assert_int_equal(tare_session_length(s), stop ? START + 200 : START);
        assert_int_equal(tare_session_length(fork), stop ? START + 100 : START);
        finish(s);
        finish(fork);
        if (stop) {
            assert_true(n > 6);
            break;
        }
    }
}

static void test_rewind(void **unused)
{
    (void)unused;
    for (long n = 0;; n++) {
        struct tare_error err = {0};
        tare_session *s = started();
        assert_int_equal(tare_session_feed(s, ids + 200, 10, false, NULL, NULL), TARE_OK);
        assert_int_equal(tare_session_feed(s, ids + 300, 10, false, NULL, NULL), TARE_OK);
        allocations = n;
        const bool stop = !failed(tare_session_rewind(s, START - 10, &err), &err);
        assert_true(tare_session_length(s) <= START - 10);
        assert_true(!stop || tare_session_length(s) == START - 10);
        finish(s);
        if (stop) {
            assert_true(n > 1);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_feed),
        cmocka_unit_test(test_rewind),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
