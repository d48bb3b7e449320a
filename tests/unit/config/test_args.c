/* SPDX-License-Identifier: MIT
 * test_args.c - config.json -> args: types, ranges, null, defaults (P3). */
#include "config/args.h"

#include <string.h>

#include "fixture.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, needed, REQUIRED)                                                                                         \
    ARG(INT, count, 7)                                                                                                 \
    ARG(INT, maybe, ABSENT)                                                                                            \
    ARG(REAL, scale, 1e-5)                                                                                             \
    ARG(REAL, odd, ABSENT)                                                                                             \
    ARG(FLAG, on, true)                                                                                                \
    ARG(FLAG, off, ABSENT)                                                                                             \
    ARG(TEXT, act, silu)                                                                                               \
    ARG(TEXT, word, ABSENT)                                                                                            \
    ARG(JSON, any, ABSENT)
TARE_ARGS(ARGS);

#define ALL_REQUIRED(ARG) ARG(REAL, real, REQUIRED) ARG(FLAG, flag, REQUIRED) ARG(TEXT, text, REQUIRED)
struct required {
    ALL_REQUIRED(TARE_ARG_FIELD)
};
static const struct tare_arg required_list[] = {{"real", TARE_ARG_REAL, "REQUIRED", offsetof(struct required, real)},
                                                {"flag", TARE_ARG_FLAG, "REQUIRED", offsetof(struct required, flag)},
                                                {"text", TARE_ARG_TEXT, "REQUIRED", offsetof(struct required, text)}};
static const struct tare_args_info required_info = {required_list, 3, sizeof(struct required)};

/* The config lives until the next call. */
static enum tare_code read_with(const struct tare_args_info *info, const char *text, void *into, struct tare_error *err)
{
    static json_t *config;
    json_decref(config);
    config = NULL;
    memset(into, 0, info->size);
    if (!text)
        return TARE_OK;
    assert_int_equal(tare_json_parse(&config, "config.json", text, strlen(text), err), TARE_OK);
    return tare_args_read(info, config, "config.json: here", into, err);
}

static void accept(const char *text, struct args *a)
{
    struct tare_error err = {0};
    fixture_expect(read_with(&args_info, text, a, &err), &err, TARE_OK, NULL, NULL);
}

static void refuse(const char *text, const char *phrase)
{
    struct args a;
    struct tare_error err = {0};
    print_message("  %s\n", text);
    fixture_expect(read_with(&args_info, text, &a, &err), &err, TARE_E_CONFIG, "config.json: here", phrase);
}

static void expect_defaults(const struct args *a)
{
    assert_int_equal(a->count, 7);
    assert_int_equal(a->maybe, -1);
    assert_true(a->scale == 1e-5);
    assert_true(isnan(a->odd));
    assert_false(a->off);
    assert_string_equal(a->act, "silu");
    assert_null(a->word);
    assert_null(a->any);
}

static void defaults(void **state)
{
    (void)state;
    struct args a;
    accept("{\"needed\": 1, \"unknown\": [1, {}]}", &a);
    expect_defaults(&a);
    assert_int_equal(a.needed, 1);
    assert_true(a.on);
}

/* null is an absent key, but for a flag, where it is false and not the default. */
static void nulls(void **state)
{
    (void)state;
    struct args a;
    accept("{\"needed\": 2, \"count\": null, \"maybe\": null, \"scale\": null, \"odd\": null, \"on\": null, \"off\": "
           "null, "
           "\"act\": null, \"word\": null, \"any\": null}",
           &a);
    expect_defaults(&a);
    assert_false(a.on);
    refuse("{\"needed\": null}", "needed is null");
}

static void values(void **state)
{
    (void)state;
    struct args a;
    accept(
        "{\"needed\": 2147483647, \"count\": 0, \"maybe\": 0, \"scale\": 10000, \"odd\": -0.5, \"on\": false, \"off\": "
        "true, \"act\": \"gelu\", \"word\": \"\", \"any\": [3]}",
        &a);
    assert_int_equal(a.needed, 2147483647);
    assert_int_equal(a.count, 0);
    assert_int_equal(a.maybe, 0);
    assert_true(a.scale == 10000 && a.odd == -0.5);
    assert_true(!a.on && a.off);
    assert_string_equal(a.act, "gelu");
    assert_string_equal(a.word, "");
    assert_int_equal(json_array_size(a.any), 1);
}

static void ranges(void **state)
{
    (void)state;
    refuse("{\"needed\": 0}", "needed is 0; expected 1 to 2147483647");
    refuse("{\"needed\": -1}", "needed is -1");
    refuse("{\"needed\": 2147483648}", "needed is 2147483648");
    refuse("{\"needed\": 1, \"count\": -1}", "count is -1; expected 0 to");
    refuse("{\"needed\": 1, \"maybe\": -1}", "maybe is -1");
    refuse("{\"needed\": 1, \"maybe\": 9223372036854775807}", "maybe is 9223372036854775807");
}

static void types(void **state)
{
    (void)state;
    refuse("{}", "needed is missing");
    refuse("{\"needed\": 1.0}", "needed is a fraction; expected an integer");
    refuse("{\"needed\": \"4\"}", "needed is a string (\"4\"); expected an integer");
    refuse("{\"needed\": true}", "needed is a boolean");
    refuse("{\"needed\": [1]}", "needed is a list");
    refuse("{\"needed\": {}}", "needed is an object");
    refuse("{\"needed\": 1, \"scale\": Infinity}", "scale is Infinity; expected a finite number");
    refuse("{\"needed\": 1, \"odd\": NaN}", "odd is NaN; expected a finite number");
    refuse("{\"needed\": 1, \"odd\": false}", "odd is a boolean");
    refuse("{\"needed\": 1, \"on\": 1}", "on is an integer; expected true or false");
    refuse("{\"needed\": 1, \"off\": \"false\"}", "off is a string (\"false\")");
    refuse("{\"needed\": 1, \"act\": 1}", "act is an integer; expected a string");
    refuse("{\"needed\": 1, \"word\": [\"a\"]}", "word is a list");
    refuse("[]", "expected an object");
    refuse("3", "expected an object");
}

static void required(void **state)
{
    (void)state;
    struct required r;
    struct tare_error err = {0};
    assert_int_equal(read_with(&required_info, "{\"real\": 0, \"flag\": null, \"text\": \"\"}", &r, &err), TARE_OK);
    assert_false(r.flag);
    static const struct {
        const char *text, *phrase;
    } bad[] = {{"{\"flag\": true, \"text\": \"\"}", "real is missing"},
               {"{\"real\": null, \"flag\": true, \"text\": \"\"}", "real is null"},
               {"{\"real\": 1, \"text\": \"\"}", "flag is missing"},
               {"{\"real\": 1, \"flag\": true}", "text is missing"},
               {"{\"real\": 1, \"flag\": true, \"text\": null}", "text is null"}};
    for (size_t i = 0; i < FIXTURE_COUNT(bad); i++) {
        err = (struct tare_error){0};
        fixture_expect(read_with(&required_info, bad[i].text, &r, &err), &err, TARE_E_CONFIG, "here", bad[i].phrase);
    }
}

static void find(void **state)
{
    (void)state;
    assert_ptr_equal(tare_args_find(&args_info, "act"), &args_list[7]);
    assert_null(tare_args_find(&args_info, "ac"));
    assert_null(tare_args_find(&args_info, "acts"));
    assert_null(tare_args_find(NULL, "act"));
}

static int forget(void **state)
{
    struct args a;
    (void)state;
    return (int)read_with(&args_info, NULL, &a, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults), cmocka_unit_test(nulls), cmocka_unit_test(values),   cmocka_unit_test(ranges),
        cmocka_unit_test(types),    cmocka_unit_test(find),  cmocka_unit_test(required),
    };
    return cmocka_run_group_tests(tests, NULL, forget);
}
