/* SPDX-License-Identifier: MIT
 * test_rows.c - positions that texts share are counted once, whichever of the texts ends first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/engine/rows.h"

enum { TEXTS = 40, LONGEST = 64 };

static uint32_t seed = 5;
static int64_t counted;

static int64_t draw(int64_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (int64_t)(seed >> 8) % below;
}

static void release(struct serve_rows *rows)
{
    int64_t from, to;
    while (rows) {
        rows = serve_rows_release(rows, &from, &to);
        counted -= to - from;
    }
}

/* A text of the model: which number each of its positions has; what is shared has the same number. */
struct text {
    struct serve_rows *rows;
    int64_t length;
    int number[LONGEST];
};

static int64_t distinct(const struct text *texts, int numbers)
{
    static unsigned char seen[1 << 20];
    int64_t n = 0;
    memset(seen, 0, (size_t)numbers);
    for (int i = 0; i < TEXTS; i++)
        for (int64_t k = 0; texts[i].rows && k < texts[i].length; k++)
            n += !seen[texts[i].number[k]]++;
    return n;
}

static void test_random(void **unused)
{
    (void)unused;
    static struct text texts[TEXTS];
    int numbers = 0;
    for (int round = 0; round < 3000; round++) {
        struct text *t = &texts[draw(TEXTS)], *of = &texts[draw(TEXTS)];
        if (t->rows) {
            release(t->rows);
            t->rows = NULL;
        } else {
            const int64_t at = of->rows ? draw(of->length + 1) : 0;
            t->length = at + draw(LONGEST - at + 1);
            memcpy(t->number, of->number, sizeof t->number);
            for (int64_t k = at; k < t->length; k++)
                t->number[k] = numbers++;
            t->rows = serve_rows_open(of->rows, at, t->length);
            assert_non_null(t->rows);
            counted += t->length - at;
        }
        assert_int_equal(counted, distinct(texts, numbers));
    }
    for (int i = 0; i < TEXTS; i++)
        if (texts[i].rows)
            release(texts[i].rows);
    assert_int_equal(counted, 0);
}

static void test_shorten(void **unused)
{
    (void)unused;
    struct serve_rows *a = serve_rows_open(NULL, 0, 100), *b = serve_rows_open(a, 20, 30);
    counted = 110;
    counted -= serve_rows_shorten(a, 50) - 50;
    release(b);
    assert_int_equal(counted, 50);
    release(a);
    assert_int_equal(counted, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_shorten)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
