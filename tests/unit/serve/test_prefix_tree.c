/* SPDX-License-Identifier: MIT
 * test_prefix_tree.c - a tree of texts against a plain list of them, at random, and what a look-up costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "serve/engine/prefix_tree.h"

enum { TEXTS = 200, LONGEST = 24 };

/* What the server puts its sessions around. */
struct stub {
    struct prefix_entry entry;
    int32_t ids[LONGEST];
    size_t n;
};

static uint32_t seed = 1;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

/* Few different ids, so that texts begin alike. */
static void write_text(int32_t *ids, size_t *n)
{
    *n = 1 + draw(LONGEST);
    for (size_t i = 0; i < *n; i++)
        ids[i] = (int32_t)(draw(8) ? 5 : draw(3));
}

static size_t alike(const struct stub *s, const int32_t *ids, size_t n)
{
    size_t i = 0;
    while (i < n && i < s->n && s->ids[i] == ids[i])
        i++;
    return i;
}

static void expect_found(const struct prefix_tree *tree, const struct stub *texts, const int32_t *ids, size_t n)
{
    const struct prefix_found found = prefix_tree_find(tree, ids, n);
    size_t longest = 0, whole = 0;
    bool ends = false;
    for (size_t i = 0; i < TEXTS; i++) {
        const size_t same = texts[i].entry.node ? alike(&texts[i], ids, n) : 0;
        longest = same > longest ? same : longest;
        whole = same && same == texts[i].n && same > whole ? same : whole;
    }
    for (size_t i = 0; i < TEXTS; i++)
        ends |= texts[i].entry.node && texts[i].n == longest && alike(&texts[i], ids, n) == longest;
    assert_int_equal(found.length, longest);
    assert_int_equal(found.whole ? found.whole->length : 0, whole);
    assert_int_equal(found.entry != NULL, longest > 0);
    if (!found.entry)
        return;
    const struct stub *text = (const struct stub *)found.entry;
    assert_int_equal(alike(text, ids, n), longest);
    if (ends)
        assert_int_equal(text->n, longest);
}

static void expect_before(const struct stub *texts, const struct stub *text)
{
    const struct prefix_entry *before = prefix_tree_before(&text->entry);
    size_t longest = 0;
    for (size_t i = 0; i < TEXTS; i++)
        if (texts[i].entry.node && texts[i].n < text->n && alike(&texts[i], text->ids, text->n) == texts[i].n &&
            texts[i].n > longest)
            longest = texts[i].n;
    assert_int_equal(before ? before->length : 0, longest);
}

static void test_random(void **unused)
{
    (void)unused;
    struct prefix_tree tree = {0};
    struct stub *texts = calloc(TEXTS, sizeof *texts);
    int32_t ids[LONGEST];
    size_t n, in = 0;
    assert_non_null(texts);
    for (int round = 0; round < 20000; round++) {
        struct stub *text = &texts[draw(round % 5000 < 2500 ? TEXTS : TEXTS / 20)];
        if (text->entry.node) {
            expect_before(texts, text);
            prefix_tree_remove(&tree, &text->entry);
            in--;
        } else {
            write_text(text->ids, &text->n);
            assert_true(prefix_tree_add(&tree, &text->entry, text->ids, text->n));
            in++;
        }
        assert_int_equal(tree.n_entries, in);
        write_text(ids, &n);
        expect_found(&tree, texts, ids, n);
        expect_found(&tree, texts, text->ids, text->n);
    }
    for (size_t i = 0; i < TEXTS; i++)
        prefix_tree_remove(&tree, &texts[i].entry);
    assert_null(prefix_tree_find(&tree, ids, n).entry);
    assert_int_equal(tree.n_entries, 0);
    prefix_tree_release(&tree);
    free(texts);
}

static void test_parts(void **unused)
{
    (void)unused;
    struct prefix_tree tree = {0};
    struct stub system = {.ids = {1, 2, 3}, .n = 3}, one = {.ids = {1, 2, 3, 4, 5}, .n = 5},
                two = {.ids = {1, 2, 3, 6}, .n = 4}, same = {.ids = {1, 2, 3, 6}, .n = 4};
    struct stub *all[] = {&one, &system, &two, &same};
    assert_true(prefix_tree_add(&tree, &one.entry, one.ids, one.n));
    assert_int_equal(prefix_tree_branch(&one.entry), 0);
    assert_true(prefix_tree_add(&tree, &two.entry, two.ids, two.n));
    assert_int_equal(prefix_tree_branch(&one.entry), 3); /* the system prompt, for which no text stands yet */
    prefix_tree_remove(&tree, &one.entry);
    prefix_tree_remove(&tree, &two.entry);
    for (size_t i = 0; i < 4; i++) {
        assert_true(prefix_tree_add(&tree, &all[i]->entry, all[i]->ids, all[i]->n));
        assert_int_equal(prefix_tree_parts(&system.entry), i >= 2);
    }
    assert_ptr_equal(prefix_tree_before(&two.entry), &system.entry);
    assert_int_equal(prefix_tree_branch(&two.entry), 0);
    assert_ptr_equal(prefix_tree_find(&tree, (const int32_t[]){1, 2, 3, 9}, 4).entry, &system.entry);
    prefix_tree_remove(&tree, &two.entry);
    assert_true(prefix_tree_parts(&system.entry)); /* an equal text is still there */
    prefix_tree_remove(&tree, &same.entry);
    assert_false(prefix_tree_parts(&system.entry));
    prefix_tree_remove(&tree, &same.entry); /* again: nothing happens */
    prefix_tree_release(&tree);
}

/* Seconds of the fastest of some rounds of look-ups. */
static double time_finds(const struct prefix_tree *tree, const int32_t *ids, size_t n)
{
    double best = 1e9;
    for (int round = 0; round < 7; round++) {
        struct timespec from, to;
        size_t sum = 0;
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (int i = 0; i < 2000; i++)
            sum += prefix_tree_find(tree, ids, n).length;
        clock_gettime(CLOCK_MONOTONIC, &to);
        assert_int_equal(sum, 2000 * (n - 1));
        const double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
        best = seconds < best ? seconds : best;
    }
    return best;
}

/* A look-up among 40,000 texts takes about what one among 40 takes; in a list it would take a thousand times that. */
static void test_cost(void **unused)
{
    (void)unused;
    enum { MANY = 40000, FEW = 40, IDS = 512 };
    struct prefix_tree tree = {0};
    struct prefix_entry *entries = calloc(MANY, sizeof *entries);
    int32_t ids[IDS];
    double few = 0;
    assert_non_null(entries);
    for (int k = 0; k < IDS; k++)
        ids[k] = k;
    for (int i = 0; i < MANY; i++) {
        ids[IDS - 1] = i; /* a long system prompt, and questions */
        assert_true(prefix_tree_add(&tree, &entries[i], ids, IDS));
        if (i == FEW)
            ids[IDS - 1] = -1, few = time_finds(&tree, ids, IDS);
    }
    ids[IDS - 1] = -1;
    assert_true(time_finds(&tree, ids, IDS) < 8 * few);
    prefix_tree_release(&tree);
    free(entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_parts),
                                       cmocka_unit_test(test_cost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
