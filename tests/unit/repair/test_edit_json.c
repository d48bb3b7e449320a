/* SPDX-License-Identifier: MIT
 * test_edit_json.c - one key of a JSON text is set or removed, and every other byte stays. */
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "repair/edit_json.h"

static void gives(const char *text, const char *const *path, const char *value, const char *want)
{
    struct tare_text out = {0};
    json_t *json = value ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL;
    assert_true(!value || json);
    const bool done = tare_json_edit(&out, text, strlen(text), path, json);
    assert_int_equal(done, want != NULL);
    if (want)
        assert_string_equal(out.data, want);
    tare_text_release(&out);
    json_decref(json);
}

#define PATH(...) ((const char *const[]){__VA_ARGS__, NULL})

static void sets(void **state)
{
    (void)state;
    gives("{\"a\": 1}", PATH("a"), "2", "{\"a\": 2}");
    gives("{ \"a\" :\t1 , \"b\":[1, {\"a\": 3}]}", PATH("a"), "\"x\"", "{ \"a\" :\t\"x\" , \"b\":[1, {\"a\": 3}]}");
    gives("{\"b\": {\"a\": \"}\\\"\"}, \"a\": 1}", PATH("b", "a"), "null", "{\"b\": {\"a\": null}, \"a\": 1}");
    gives("{\"a\": 1}", PATH("b"), "true", "{\"a\": 1, \"b\": true}");
    gives("{\n  \"a\": 1\n}\n", PATH("b"), "true", "{\n  \"a\": 1,\n  \"b\": true\n}\n");
    gives("{\n    \"a\": Infinity\n}", PATH("b"), "{\"c\": 1}",
          "{\n    \"a\": Infinity,\n    \"b\": {\n        \"c\": 1\n    }\n}");
    gives("{}", PATH("a"), "1", "{\n  \"a\": 1\n}");
    gives("{\"q\": {}}", PATH("q", "a"), "1", "{\"q\": {\n  \"a\": 1\n}}");
    gives("{\"q\": 3}", PATH("q", "a"), "1", NULL);
    gives("{\"q\": 3}", PATH("r", "a"), "1", NULL);
    gives("[1]", PATH("a"), "1", NULL);
}

static void removes(void **state)
{
    (void)state;
    gives("{\"a\": 1, \"b\": 2}", PATH("a"), NULL, "{\"b\": 2}");
    gives("{\"a\": 1, \"b\": 2}", PATH("b"), NULL, "{\"a\": 1}");
    gives("{\"a\": 1}", PATH("a"), NULL, "{}");
    gives("{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}", PATH("b"), NULL, "{\n  \"a\": 1,\n  \"c\": 3\n}");
    gives("{\"a\": 1}", PATH("z"), NULL, "{\"a\": 1}");
}

/* ---- any document -------------------------------------------------------------------------------------------- */

static uint32_t seed;

static uint32_t draw(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static json_t *any(int depth)
{
    static const char *const words[] = {"", "a", "\"}{", "\\", "\xc3\xa9\n", "],"};
    const uint32_t kind = draw(depth > 3 ? 4 : 6);
    json_t *value;
    if (kind == 0)
        return json_integer((json_int_t)draw(1000) - 500);
    if (kind == 1)
        return json_string(words[draw(6)]);
    if (kind == 2)
        return draw(2) ? json_true() : json_null();
    if (kind == 3)
        return json_real(draw(1000) / 8.0);
    value = kind == 4 ? json_array() : json_object();
    for (uint32_t n = draw(4); n; n--) {
        char key[16];
        snprintf(key, sizeof key, "%s%u", words[draw(6)], draw(3));
        if (kind == 4)
            json_array_append_new(value, any(depth + 1));
        else
            json_object_set_new(value, key, any(depth + 1));
    }
    return value;
}

/* A key of the object or below it, and whether it is to be there. */
static json_t *pick(json_t *top, const char *path[4])
{
    size_t n = 0;
    for (;;) {
        void *it = json_object_iter(top);
        for (uint32_t skip = json_object_size(top) ? draw((uint32_t)json_object_size(top)) : 0; skip; skip--)
            it = json_object_iter_next(top, it);
        path[n] = it && draw(4) ? json_object_iter_key(it) : "new";
        path[n + 1] = NULL;
        json_t *below = json_object_get(top, path[n]);
        if (n == 2 || !json_is_object(below) || draw(2))
            return top;
        top = below;
        n++;
    }
}

static void any_document(void **state)
{
    (void)state;
    for (seed = 1; seed < 40000; seed += 2) {
        const uint32_t start = seed;
        json_t *top = json_object(), *got = NULL;
        for (uint32_t n = draw(5); n; n--) {
            char key[8];
            snprintf(key, sizeof key, "k%u", draw(4));
            json_object_set_new(top, key, any(0));
        }
        char *text = json_dumps(top, JSON_INDENT(draw(5)) | (draw(2) ? JSON_COMPACT : 0) | JSON_ENSURE_ASCII);
        const char *path[4];
        json_t *holder = pick(top, path), *value = draw(3) ? any(1) : NULL;
        const char *last = path[0];
        for (size_t k = 0; path[k]; k++)
            last = path[k];
        bool plain = true; /* escapes that another writer spells otherwise are not found */
        for (size_t k = 0; path[k]; k++)
            for (const char *c = path[k]; *c; c++)
                plain = plain && (unsigned char)*c < 0x80;
        char *key = strdup(last);
        struct tare_text out = {0};
        const bool done = tare_json_edit(&out, text, strlen(text), path, value);
        if (plain && (value || json_object_get(holder, key))) {
            if (value)
                json_object_set(holder, key, value);
            else
                json_object_del(holder, key);
            assert_true(done);
            got = json_loads(out.data, JSON_REJECT_DUPLICATES, NULL);
            if (!got || !json_equal(got, top))
                fail_msg("seed %u: %s\n%s", start, text, out.data);
        }
        seed = start;
        free(key);
        free(text);
        tare_text_release(&out);
        json_decref(value);
        json_decref(top);
        json_decref(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets),
        cmocka_unit_test(removes),
        cmocka_unit_test(any_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
