/* SPDX-License-Identifier: MIT
 * test_arena.c - memory of one owner, and arrays that grow. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static void gives_aligned_zeros(void **state)
{
    (void)state;
    struct tare_arena arena = {0};
    unsigned char *before = NULL;
    for (size_t size = 0; size < 3000; size += 1 + size / 3) {
        unsigned char *at = tare_arena_alloc(&arena, size);
        assert_non_null(at);
        assert_int_equal((uintptr_t)at % 16, 0);
        assert_ptr_not_equal(at, before);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(at[i], 0);
        memset(at, 0xff, size); /* what comes next may not lie here */
        before = size ? at : NULL;
    }
    unsigned char *large = tare_arena_alloc(&arena, (size_t)5 << 20);
    assert_non_null(large);
    memset(large, 0xff, (size_t)5 << 20);
    assert_true(arena.total >= (size_t)5 << 20);
    assert_false(arena.failed);
    tare_arena_release(&arena);
    assert_null(arena.block);
}

static void checks_sizes(void **state)
{
    (void)state;
    static const size_t bad[][2] = {
        {SIZE_MAX, 1}, {SIZE_MAX / 2, 3}, {(size_t)1 << 40, (size_t)1 << 40}, {3, SIZE_MAX / 2}};
    for (size_t i = 0; i < FIXTURE_COUNT(bad); i++) {
        struct tare_arena arena = {0};
        assert_null(tare_arena_array(&arena, bad[i][0], bad[i][1]));
        assert_true(arena.failed);
        assert_non_null(tare_arena_alloc(&arena, 8)); /* sticky, but what fits is still given */
        assert_true(arena.failed);
        tare_arena_release(&arena);
    }
    struct tare_arena arena = {0};
    assert_non_null(tare_arena_array(&arena, 0, SIZE_MAX));
    assert_non_null(tare_arena_array(&arena, SIZE_MAX, 0));
    assert_false(arena.failed);
    tare_arena_release(&arena);
}

static void copies_texts(void **state)
{
    (void)state;
    struct tare_arena arena = {0};
    assert_string_equal(tare_arena_text(&arena, "text"), "text");
    assert_null(tare_arena_text(&arena, NULL));
    assert_memory_equal(tare_arena_copy(&arena, "a\0b", 3), "a\0b", 4);
    assert_string_equal(tare_arena_copy(&arena, NULL, 0), "");
    assert_string_equal(tare_arena_format(&arena, "%s.%d", "layers", 7), "layers.7");
    char *large = tare_arena_format(&arena, "%0100000d", 1);
    assert_int_equal(strlen(large), 100000);
    tare_arena_release(&arena);
}

static void resets_to_one_block(void **state)
{
    (void)state;
    struct tare_arena arena = {0};
    tare_arena_reset(&arena);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 100; i++)
            memset(tare_arena_alloc(&arena, 4000), 0xff, 4000);
        tare_arena_reset(&arena);
        const unsigned char *at = tare_arena_alloc(&arena, 100);
        for (int i = 0; i < 100; i++)
            assert_int_equal(at[i], 0); /* zeroed again */
    }
    assert_true(arena.total <= (size_t)2 << 20); /* does not grow with the rounds */
    tare_arena_release(&arena);
}

static void arrays_grow(void **state)
{
    (void)state;
    int *numbers = NULL;
    size_t room = 0;
    for (int i = 0; i < 10000; i++) {
        assert_true(tare_grow(&numbers, &room, (size_t)i + 1, sizeof *numbers));
        assert_int_equal(numbers[i], 0); /* what is new is zero */
        numbers[i] = i;
    }
    for (int i = 0; i < 10000; i++)
        assert_int_equal(numbers[i], i);
    const size_t before = room;
    assert_true(tare_grow(&numbers, &room, 5, sizeof *numbers));
    assert_int_equal(room, before);
    assert_false(tare_grow(&numbers, &room, SIZE_MAX, sizeof *numbers));
    assert_false(tare_grow(&numbers, &room, SIZE_MAX / 3, sizeof *numbers));
    assert_int_equal(room, before);
    assert_int_equal(numbers[9999], 9999); /* as before */
    free(numbers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_aligned_zeros), cmocka_unit_test(checks_sizes), cmocka_unit_test(copies_texts),
        cmocka_unit_test(resets_to_one_block), cmocka_unit_test(arrays_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
