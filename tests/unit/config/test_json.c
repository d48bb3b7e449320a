/* SPDX-License-Identifier: MIT
 * test_json.c - configs: strictness (docs/bad-input.md: P1 P2 P3), bare Infinity and NaN, and where an error lies. */
#include "config/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "fixture.h"

static json_t *parse(const char *text)
{
    struct tare_error err = {0};
    json_t *json = NULL;
    fixture_expect(tare_json_parse(&json, "config.json", text, strlen(text), &err), &err, TARE_OK, NULL, NULL);
    assert_non_null(json);
    return json;
}

static void refuse_bytes(const char *text, size_t n, const char *phrase)
{
    struct tare_error err = {0};
    json_t *json = NULL;
    char *copy = malloc(n ? n : 1); /* of exactly n bytes, for the sanitizer */
    memcpy(copy, text, n);
    print_message("  %.100s\n", text);
    fixture_expect(tare_json_parse(&json, "config.json", copy, n, &err), &err, TARE_E_CONFIG, "config.json", phrase);
    assert_null(json);
    assert_int_equal(tare_json_parse(&json, "config.json", copy, n, NULL), TARE_E_CONFIG);
    free(copy);
}

static void refuse(const char *text, const char *phrase)
{
    refuse_bytes(text, strlen(text), phrase);
}

static const char *string_of(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

static void reads_configs(void **state)
{
    (void)state;
    json_t *json = parse(" {\"a\": [1, -2.5e3, true, null, \"\\u00e9\\ud83d\\ude00\"], \"b\": {\"a\": {}}, \"n\": "
                         "9223372036854775807}\n");
    assert_int_equal(json_array_size(json_object_get(json, "a")), 5);
    assert_true(json_integer_value(json_object_get(json, "n")) == INT64_MAX);
    assert_string_equal(json_string_value(json_array_get(json_object_get(json, "a"), 4)), "\xc3\xa9\xf0\x9f\x98\x80");
    json_decref(json);
    static const char *const roots[] = {"[]", "3", "\"x\"", "null", "true", "NaN", "{\"__float__\": \"NaN\"}"};
    for (size_t i = 0; i < FIXTURE_COUNT(roots); i++)
        json_decref(parse(roots[i])); /* what a root may be is the caller's to say */
}

static void reads_bare_words(void **state)
{
    (void)state;
    json_t *json = parse(
        "{\"a\": Infinity, \"b\":-Infinity,\"c\" : NaN , \"d\": [NaN,Infinity, [ -Infinity]],\n"
        " \"e\": \"NaN, Infinity: \\\"-Infinity\", \"f\": \"\\\\\", \"NaN\": NaN, \"g\": {\"__float__\": \"Infinity\"},"
        " \"h\": [{\"__float__\": \"NaN\"}, {\"x\": {\"__float__\": \"-Infinity\"}}]}");
    assert_string_equal(string_of(json, "a"), "Infinity");
    assert_string_equal(string_of(json, "b"), "-Infinity");
    assert_string_equal(string_of(json, "c"), "NaN");
    assert_string_equal(json_string_value(json_array_get(json_object_get(json, "d"), 1)), "Infinity");
    assert_string_equal(json_string_value(json_array_get(json_array_get(json_object_get(json, "d"), 2), 0)),
                        "-Infinity");
    assert_string_equal(string_of(json, "e"), "NaN, Infinity: \"-Infinity");
    assert_string_equal(string_of(json, "f"), "\\");
    assert_string_equal(string_of(json, "NaN"), "NaN");
    assert_string_equal(string_of(json, "g"), "Infinity");
    const json_t *h = json_object_get(json, "h");
    assert_string_equal(json_string_value(json_array_get(h, 0)), "NaN");
    assert_string_equal(string_of(json_array_get(h, 1), "x"), "-Infinity");
    json_decref(json);
    json = parse("{\"a\": {\"__float__\": \"1.5\"}, \"b\": {\"__float__\": NaN, \"c\": 1}, \"d\": {\"__float__\": 3}}");
    assert_true(json_is_object(json_object_get(json, "a"))); /* only the three words, alone */
    assert_true(json_is_object(json_object_get(json, "b")));
    assert_true(json_is_object(json_object_get(json, "d")));
    json_decref(json);
}

static void keeps_the_order_of_keys(void **state)
{
    (void)state;
    json_t *json = parse("{\"z\": {\"__float__\": \"NaN\"}, \"a\": 1, \"m\": [Infinity]}");
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(text, "{\"z\":\"NaN\",\"a\":1,\"m\":[\"Infinity\"]}");
    free(text);
    json_decref(json);
}

static void p1_no_duplicates(void **state)
{
    (void)state;
    refuse("{\"a\": 1, \"a\": 1}", "duplicate object key near '\"a\"': which value counts");
    refuse("{\"a\": 1, \"\\u0061\": 2}", "duplicate");
    refuse("{\"q\": {\"bits\": 4, \"bits\": 8}}", "bits");
    refuse("[{\"k\": [], \"k\": []}]", "duplicate");
    refuse("{\"a\": NaN, \"b\": {}, \"a\": NaN}", "line 1, column 23: duplicate");
    refuse("{\"\": 1, \"\": 2}", "duplicate");
}

static void p2_no_nul(void **state)
{
    (void)state;
    refuse("{\"a\\u0000\": 1}", "U+0000");
    refuse("{\"\\u0000\": 1}", "U+0000");
    refuse("{\"a\": \"\\u0000\"}", "U+0000");
    refuse("{\"a\": [\"x\\u0000y\"]}", "line 1, column");
    refuse_bytes("{\"a\": \"\0\"}", 10, "control character");
    refuse_bytes("{\"a\": 1}\0", 9, "line 1");
    refuse_bytes("\0", 1, "line 1");
}

static void p3_strict_json(void **state)
{
    (void)state;
    refuse("", "is empty");
    refuse("   ", "line 1");
    refuse("{\"a\": 1,}", "no JSON");
    refuse("{\"a\": 1} x", "no JSON");
    refuse("{\"a\": 01}", "no JSON");
    refuse("{\"a\": 1.}", "no JSON");
    refuse("{\"a\": +1}", "no JSON");
    refuse("{\"a\": .5}", "no JSON");
    refuse("{\"a\": 0x10}", "no JSON");
    refuse("{\"a\": 1e999}", "overflow");
    refuse("{\"a\": -1e999}", "overflow");
    refuse("{\"a\": 9223372036854775808}", "too big");
    refuse("{\"a\": True}", "no JSON");
    refuse("{\"a\": None}", "no JSON");
    refuse("{'a': 1}", "no JSON");
    refuse("{a: 1}", "no JSON");
    refuse("{\"a\": 1 /* one */}", "no JSON");
    refuse("{\"a\": \"\xff\"}", "UTF-8");
    refuse("{\"a\": \"\xc0\x80\"}", "UTF-8");
    refuse("{\"a\": \"\\ud800\"}", "no JSON");
    refuse("\xef\xbb\xbf{}", "byte order mark");
    refuse("{\"a\": \"never closed", "no JSON");
    refuse("{\"a\": \"never closed\\", "no JSON");
    refuse("{\"a\": \"\t\"}", "control character");
}

static void p3_words_stand_for_values_only(void **state)
{
    (void)state;
    refuse("{NaN: 1}", "no JSON");
    refuse("{\"a\": 1, NaN : 1}", "no JSON");
    refuse("{\"a\": Infinityx}", "no JSON");
    refuse("{\"a\": xNaN}", "no JSON");
    refuse("{\"a\": +Infinity}", "no JSON");
    refuse("{\"a\": --Infinity}", "no JSON");
    refuse("{\"a\": - Infinity}", "no JSON");
    refuse("{\"a\": 1Infinity}", "no JSON");
    refuse("{\"a\" NaN}", "no JSON");
    refuse("{\"a\": nan}", "no JSON");
    refuse("{\"a\": Inf}", "no JSON");
    refuse("{\"a\": [NaN NaN]}", "no JSON");
    refuse("-", "no JSON");
    refuse("NaN NaN", "no JSON");
}

static void says_where(void **state)
{
    (void)state;
    refuse("{\n  \"a\": 1,\n  \"b\": x\n}", "line 3, column 8");
    refuse("{\n  \"a\": NaN,\n  \"b\": [NaN, Infinity, x]\n}", "line 3, column 24");
    refuse("{\"a\": NaN, \"b\": NaN, \"c\": y}", "line 1, column 27");
    refuse("{\"\xc3\xa9\xf0\x9f\x98\x80\": x}", "line 1, column 8"); /* characters, not bytes */
    refuse("{\"a\": NaN", "line 1, column 7");
}

static void limits_depth(void **state)
{
    (void)state;
    struct tare_text text = {0};
    for (int i = 0; i < 200000; i++)
        tare_text_puts(&text, "[");
    refuse_bytes(text.data, text.size, "depth");
    text.size = 0;
    for (int i = 0; i < 2000; i++)
        tare_text_puts(&text, i % 2 ? "[" : "{\"a\":");
    tare_text_puts(&text, "NaN");
    for (int i = 2000; i-- > 0;)
        tare_text_puts(&text, i % 2 ? "]" : "}");
    json_decref(parse(text.data));
    tare_text_release(&text);
}

static void survives_damage(void **state)
{
    (void)state;
    const char *sound = "{\"a\": [NaN, -Infinity, \"\\u00e9\\\\\"], \"b\": {\"__float__\": \"NaN\"}, \"c\": 1.5e3}";
    const size_t n = strlen(sound);
    char *changed = strdup(sound);
    for (size_t at = 0; at < n; at++) {
        for (int byte = 0; byte < 256; byte++) {
            struct tare_error err = {0};
            json_t *json = NULL;
            changed[at] = (char)byte;
            const enum tare_code code = tare_json_parse(&json, "config.json", changed, n, &err);
            assert_true(code == (json ? TARE_OK : TARE_E_CONFIG));
            json_decref(json);
        }
        changed[at] = sound[at];
    }
    free(changed);
    for (size_t cut = 1; cut < n; cut++)
        refuse_bytes(sound, cut, "line 1, column");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_configs),
        cmocka_unit_test(reads_bare_words),
        cmocka_unit_test(keeps_the_order_of_keys),
        cmocka_unit_test(p1_no_duplicates),
        cmocka_unit_test(p2_no_nul),
        cmocka_unit_test(p3_strict_json),
        cmocka_unit_test(p3_words_stand_for_values_only),
        cmocka_unit_test(says_where),
        cmocka_unit_test(limits_depth),
        cmocka_unit_test(survives_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
