/* SPDX-License-Identifier: MIT
 * test_state_cache.c - states of fable: what a prompt continues, what goes under a limit, and that all is given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/engine/state_cache.h"

static tare_model *model;
static tare_session *root;

static int open_root(void **unused)
{
    (void)unused;
    struct tare_options options = TARE_OPTIONS_INIT;
    options.threads = 1;
    return tare_plan(&model, TARE_SOURCE_DIR "/models/fable", &options, NULL) ||
           tare_session_open(&root, model, NULL, NULL);
}

static int close_root(void **unused)
{
    (void)unused;
    tare_session_free(root);
    tare_model_free(model);
    return 0;
}

/* `system` ids that all prompts share, and then those of one number. */
static size_t write_prompt(int32_t *ids, size_t system, size_t n, int number)
{
    for (size_t i = 0; i < n; i++)
        ids[i] = i < system ? 3 + (int32_t)i : 500 + number * 7 + (int32_t)(i - system);
    return n;
}

/* Reads a prompt as the engine does, and keeps its state. Returns how many ids were there already. */
static size_t read_prompt(struct serve_cache *c, const int32_t *ids, size_t n)
{
    const struct serve_beginning from = serve_cache_find(c, ids, n);
    struct serve_state *s = NULL;
    size_t fed = from.length;
    assert_true(serve_cache_room(c, &from, (int64_t)n + 20));
    assert_int_equal(serve_cache_open(c, &s, &from, (int64_t)n + 20, NULL), TARE_OK);
    assert_int_equal(tare_session_length(s->session), from.length);
    serve_cache_reads(c, s, ids, n, &fed);
    assert_int_equal(tare_session_feed(s->session, ids + fed, n - fed, false, NULL, NULL), TARE_OK);
    assert_memory_equal(tare_session_ids(s->session), ids, n * sizeof *ids);
    fed = n;
    serve_cache_has_read(c, s, ids, n);
    serve_cache_keep(c, s);
    assert_int_equal(c->promised, 0);
    return from.length;
}

static void test_branches(void **unused)
{
    (void)unused;
    struct serve_ledger ledger = {.limit = (uint64_t)64 << 20};
    struct serve_cache c;
    int32_t ids[256];
    serve_cache_init(&c, root, (uint64_t)64 << 20, &ledger);
    assert_true(serve_ledger_take(&ledger, c.base));
    assert_int_equal(read_prompt(&c, ids, write_prompt(ids, 150, 160, 0)), 0);
    assert_int_equal(c.n_kept, 1);
    assert_int_equal(read_prompt(&c, ids, write_prompt(ids, 150, 160, 1)), 150);
    assert_int_equal(c.n_kept, 3); /* both, and the place where they part */
    const uint64_t three = c.used;
    assert_int_equal(read_prompt(&c, ids, write_prompt(ids, 150, 170, 1)), 160); /* the one it continues is covered */
    assert_int_equal(c.n_kept, 3);
    assert_int_equal(c.used, three);
    assert_int_equal(read_prompt(&c, ids, write_prompt(ids, 150, 170, 1)), 169); /* one is left to feed */
    assert_int_equal(c.n_kept, 3);
    serve_cache_trim(&c);
    assert_int_equal(c.used, 0);
    assert_int_equal(ledger.used, c.base);
    serve_cache_release(&c);
}

static void test_limit(void **unused)
{
    (void)unused;
    struct serve_ledger ledger = {.limit = (uint64_t)64 << 20};
    struct serve_cache c;
    int32_t ids[256];
    serve_cache_init(&c, root, (uint64_t)1 << 20, &ledger);
    assert_true(serve_ledger_take(&ledger, c.base));
    for (int i = 0; i < 40; i++) {
        const size_t held = read_prompt(&c, ids, write_prompt(ids, 140, 180, i));
        assert_int_equal(held, i ? 140 : 0); /* what all share is used again and again, and stays */
        assert_true(c.used <= c.limit);
        assert_int_equal(ledger.used, c.used > c.base ? c.used : c.base);
    }
    assert_true(c.evicted > 20);
    serve_cache_release(&c);
    assert_int_equal(ledger.used, c.base);
}

/* When other models have the memory, one text is still possible, and no more. */
static void test_ledger(void **unused)
{
    (void)unused;
    struct serve_ledger ledger = {.limit = (uint64_t)64 << 20};
    struct serve_cache c;
    struct serve_beginning from = {0};
    int32_t ids[256];
    serve_cache_init(&c, root, (uint64_t)64 << 20, &ledger);
    assert_true(serve_ledger_take(&ledger, c.base));
    assert_true(serve_ledger_take(&ledger, serve_ledger_left(&ledger)));
    assert_int_equal(read_prompt(&c, ids, write_prompt(ids, 10, 200, 0)), 0);
    assert_int_equal(read_prompt(&c, ids, write_prompt(ids, 0, 200, 1)), 0);
    assert_int_equal(c.n_kept, 1);
    assert_true(serve_cache_room(&c, &from, 256));
    assert_false(serve_cache_room(&c, &from, 256));
    assert_int_equal(ledger.used, ledger.limit);
    c.promised = 0;
    serve_cache_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_branches), cmocka_unit_test(test_limit),
                                       cmocka_unit_test(test_ledger)};
    return cmocka_run_group_tests(tests, open_root, close_root);
}
