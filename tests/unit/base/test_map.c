/* SPDX-License-Identifier: MIT
 * test_map.c - names to numbers, against a plain array. */
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static void empty_has_nothing(void **state)
{
    (void)state;
    struct tare_map map = {0};
    assert_int_equal(tare_map_get(&map, "a", 1), TARE_MAP_NONE);
    tare_map_clear(&map);
    tare_map_release(&map);
    assert_true(tare_map_reserve(&map, 0));
    assert_int_equal(tare_map_get(&map, "", 0), TARE_MAP_NONE);
    tare_map_release(&map);
}

static void keeps_the_first_value(void **state)
{
    (void)state;
    struct tare_map map = {0};
    uint32_t before = 7;
    assert_true(tare_map_put(&map, "a", 1, 1, &before));
    assert_int_equal(before, TARE_MAP_NONE);
    assert_true(tare_map_put(&map, "a", 1, 2, &before));
    assert_int_equal(before, 1);
    assert_int_equal(tare_map_get(&map, "a", 1), 1);
    assert_int_equal(map.count, 1);
    assert_true(tare_map_put(&map, "a", 1, 3, NULL));
    tare_map_clear(&map);
    assert_int_equal(map.count, 0);
    assert_int_equal(tare_map_get(&map, "a", 1), TARE_MAP_NONE);
    tare_map_release(&map);
}

/* Bytes and length make a key: NULs within, prefixes, and the empty key are keys of their own. */
static void keys_are_bytes(void **state)
{
    (void)state;
    struct tare_map map = {0};
    static const struct {
        const char *key;
        size_t size;
    } keys[] = {{"", 0}, {"\0", 1}, {"\0\0", 2}, {"a", 1}, {"ab", 2}, {"a\0", 2}, {"a\0b", 3}, {"abc", 3}, {"b", 1}};
    for (uint32_t i = 0; i < FIXTURE_COUNT(keys); i++)
        assert_true(tare_map_put(&map, keys[i].key, keys[i].size, i, NULL));
    assert_int_equal(map.count, FIXTURE_COUNT(keys));
    for (uint32_t i = 0; i < FIXTURE_COUNT(keys); i++)
        assert_int_equal(tare_map_get(&map, keys[i].key, keys[i].size), i);
    assert_int_equal(tare_map_get(&map, "abcd", 4), TARE_MAP_NONE);
    tare_map_release(&map);
}

static void holds_many(void **state)
{
    (void)state;
    enum { N = 50000 };
    char(*names)[24] = calloc(N, sizeof *names);
    for (int reserved = 0; reserved < 2; reserved++) {
        struct tare_map map = {0};
        if (reserved)
            assert_true(tare_map_reserve(&map, N));
        const size_t room = map.room;
        for (uint32_t i = 0; i < N; i++) {
            snprintf(names[i], sizeof names[i], "layers.%u", i);
            assert_true(tare_map_put(&map, names[i], strlen(names[i]), i, NULL));
        }
        if (reserved)
            assert_int_equal(map.room, room); /* reserving was enough */
        assert_int_equal(map.count, N);
        assert_true(map.room >= 2 * map.count);
        for (uint32_t i = 0; i < N; i++)
            assert_int_equal(tare_map_get(&map, names[i], strlen(names[i])), i);
        assert_int_equal(tare_map_get(&map, "layers.50000", 12), TARE_MAP_NONE);
        tare_map_release(&map);
    }
    free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_has_nothing),
        cmocka_unit_test(keeps_the_first_value),
        cmocka_unit_test(keys_are_bytes),
        cmocka_unit_test(holds_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
