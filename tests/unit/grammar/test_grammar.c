/* SPDX-License-Identifier: MIT
 * test_grammar.c - GBNF and schemas: what is taken and what is not, by feature; refusals; random walks are JSON.
 * `test_grammar walk SCHEMA N` writes N texts by a schema, a line each, for tests/oracle/schema_walks.py. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "grammar/grammar.h"

struct kit {
    struct tare_rules rules;
    struct tare_machine *machine;
};

static enum tare_code kit_open(struct kit *k, const char *text, bool schema, struct tare_error *err)
{
    char *made = NULL;
    *k = (struct kit){0};
    enum tare_code code = schema ? tare_grammar_from_schema(&made, text, strlen(text), err) : TARE_OK;
    if (!code)
        code = tare_gbnf_read(&k->rules, made ? made : text, strlen(made ? made : text), err);
    if (!code)
        code = tare_machine_open(&k->machine, &k->rules, err);
    free(made);
    return code;
}

static void kit_close(struct kit *k)
{
    tare_machine_free(k->machine);
    tare_rules_release(&k->rules);
}

static bool takes(struct kit *k, const char *text)
{
    uint32_t at = tare_machine_start(k->machine);
    for (; *text; text++)
        at = tare_machine_next(k->machine, at, (unsigned char)*text);
    return tare_machine_complete(k->machine, at);
}

/* Texts of `yes` are taken, those of `no` are not; both end with NULL. */
static void expect(const char *grammar, bool schema, const char *const *yes, const char *const *no)
{
    struct kit k;
    struct tare_error err = {0};
    if (kit_open(&k, grammar, schema, &err))
        fail_msg("%s: %s: %s", grammar, err.where, err.text);
    for (; *yes; yes++)
        if (!takes(&k, *yes))
            fail_msg("%s: does not take %s", grammar, *yes);
    for (; *no; no++)
        if (takes(&k, *no))
            fail_msg("%s: takes %s", grammar, *no);
    kit_close(&k);
}
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void refused(const char *grammar, bool schema, const char *where, const char *text)
{
    struct kit k;
    struct tare_error err = {0};
    const enum tare_code code = kit_open(&k, grammar, schema, &err);
    if (!code || !strstr(err.where, where) || !strstr(err.text, text))
        fail_msg("%s: code %d, %s: %s", grammar, (int)code, err.where, err.text);
    kit_close(&k);
}

static void test_gbnf(void **unused)
{
    (void)unused;
    expect("root ::= \"a\" [b-d]+ | (\"x\" | \"y\"){2,3} # note\n", false, LIST("ab", "abcd", "xy", "yyx"),
           LIST("a", "x", "xyxy", "abe"));
    expect("root ::= list\nlist ::= \"\" | item list\nitem ::= \"[\" list \"]\"", false, LIST("", "[]", "[[][]]"),
           LIST("[", "]", "[]]"));
    expect("root ::= [^a\\n] \"\\x41\" \"\\u00e9\" .", false,
           LIST("\xc3\xa4"
                "A\xc3\xa9\xf0\x9f\x98\x80",
                "bA\xc3\xa9z"),
           LIST("aA\xc3\xa9z", "bA\xc3\xa9",
                "\xa4"
                "A\xc3\xa9z",
                "bA\xc3\xa9\xed\xa0\x80"));
    expect("root ::= \"a\"{2} \"b\"{1,} \"c\"{,2} \"d\"?\n", false, LIST("aab", "aabbccd"), LIST("ab", "aa", "aabccc"));
    expect("root ::= (\"a\"? \"b\"?)* \"c\"", false, LIST("c", "abbac"), LIST("ab"));
}

/* Text is free until a word, which begins what the grammar knows. Texts here hold no special ids, so a mark is spelled. */
static void test_free_text(void **unused)
{
    char mark[TARE_MARK_BYTES + 3] = {0}, other[TARE_MARK_BYTES + 3] = {0};
    (void)unused;
    tare_mark_spell(70, (unsigned char *)mark);
    tare_mark_spell(71, (unsigned char *)other);
    expect("root ::= ~\"aab\" | ~\"aab\" \"aab\" [0-9]", false,
           LIST("", "aa", "xaax", "aab1", "aaaaab7", "ab", "\xff\xfe"), LIST("aab", "aabx", "aab1aab", "aab12"));
    expect("root ::= text\ntext ::= ~(\"<a>\" | \"<bb>\") (call text)?\ncall ::= \"<a>\" \"1\" | \"<bb>2\"", false,
           LIST("", "<a", "x<a>1", "x<bb>2y<a>1z", "<<bb>2"), LIST("<a>", "<a>2", "<bb>1", "x<a>1<bb>"));
    expect("root ::= ~\"\" \"!\"", false, LIST("!", "a!b!"), LIST("", "a", "!a"));
    expect("root ::= ~<[70]> (<[70]> \"x\")?", false, LIST("", "text", other), LIST(mark));
    strcat(mark, "x");
    expect("root ::= ~<[70]> (<[70]> \"x\")?", false, LIST(mark, "\xff"), LIST(NULL));
    expect("root ::= <[*]> \"x\"", false, LIST(mark), LIST("x", "\xffx"));
    expect("root ::= ~(^\"ab\" | ^\"ac\" | ^\"\\n\" | \"cd\")", false,
           LIST("", "a", "ad", "xab", "aab", "c", "acx" + 1, "acab" + 1),
           LIST("ab", "abx", "ac", "\n", "acd", "xcd", "cd", "aacd"));
    refused("root ::= ~a", false, "grammar:1:11", "after ~");
    refused("root ::= ~(\"a\" | <[*]>)", false, "grammar:1:", "cannot stand");
    refused("root ::= <[9999999]>", false, "grammar:1:", "a token is");
    refused("root ::= <think>", false, "grammar:1:", "in this dialect");
}

/* A word of any length is found however it overlaps with itself: compared with a search. */
static void test_free_search(void **unused)
{
    static const char *const words[] = {"a", "ab", "aa", "aba", "abab", "aabaa"};
    (void)unused;
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        char grammar[64];
        struct kit k;
        snprintf(grammar, sizeof grammar, "root ::= ~\"%s\"", words[w]);
        assert_int_equal(kit_open(&k, grammar, false, NULL), TARE_OK);
        for (unsigned bits = 0; bits < 256; bits++) {
            char text[9] = {0};
            for (int i = 0; i < 8; i++)
                text[i] = bits >> i & 1 ? 'a' : 'b';
            assert_int_equal(takes(&k, text), strstr(text, words[w]) == NULL);
        }
        kit_close(&k);
    }
}

static void test_gbnf_refusals(void **unused)
{
    (void)unused;
    refused("root ::= root \"a\" | \"b\"", false, "grammar", "left recursion");
    refused("root ::= x root \"a\" | \"b\"\nx ::= \"\" | \"c\"", false, "grammar", "left recursion");
    refused("root ::= y \"a\" | \"c\"\ny ::= root \"b\"", false, "grammar", "left recursion");
    refused("root ::= \"a\" root", false, "grammar", "needs itself");
    refused("root ::= a", false, "grammar", "\"a\" is used and not defined");
    refused("a ::= \"a\"", false, "grammar", "no rule \"root\"");
    refused("root ::= \"a", false, "grammar:1:12", "not closed");
    refused("root ::= [b-a]", false, "grammar:1:", "backwards");
    refused("root ::= (\"a\"", false, "grammar:1:", "not closed");
    refused("root ::= \"a\"\nroot ::= \"b\"", false, "grammar:2:1", "already");
    refused("root ::= \"a\"{99999}{99999}", false, "grammar", "");
    refused("root ::= \"\\q\"", false, "grammar:1:", "escape");
}

static void test_numbers(void **unused)
{
    (void)unused;
    expect("{\"type\":\"integer\"}", true, LIST("0", "-5", "123"), LIST("01", "1.0", "", "+1"));
    expect("{\"type\":\"number\"}", true, LIST("0", "-5.25", "1e9", "12.5E-3"), LIST("01", ".5", "1."));
    expect("{\"type\":\"number\",\"minimum\":0,\"maximum\":5}", true, LIST("0", "4.99", "5", "5.00"),
           LIST("5.01", "6", "-0.1", "05"));
    expect("{\"type\":\"number\",\"maximum\":-2}", true, LIST("-2", "-2.5", "-300"), LIST("-1.9", "0", "2"));
    static const int64_t bounds[][2] = {{0, 9},     {7, 123}, {-20, 5},      {-312, -45}, {100, 100},
                                        {99, 1000}, {-1, 0},  {-1000, 1000}, {10, 19},    {8, 1205}};
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) { /* each number from -1500 to 1500 */
        char schema[100], text[16];
        struct kit k;
        struct tare_error err = {0};
        snprintf(schema, sizeof schema, "{\"type\":\"integer\",\"minimum\":%d,\"exclusiveMaximum\":%d}",
                 (int)bounds[i][0], (int)bounds[i][1] + 1);
        assert_int_equal(kit_open(&k, schema, true, &err), TARE_OK);
        for (int n = -1500; n <= 1500; n++) {
            snprintf(text, sizeof text, "%d", n);
            if (takes(&k, text) != (n >= bounds[i][0] && n <= bounds[i][1]))
                fail_msg("%s: %s", schema, text);
        }
        kit_close(&k);
    }
    expect("{\"type\":\"integer\",\"minimum\":17}", true, LIST("17", "99", "100", "123456"), LIST("16", "9", "-20"));
}

static void test_strings(void **unused)
{
    (void)unused;
    expect("{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", true,
           LIST("\"ab\"", "\"\xc3\xa4\xf0\x9f\x98\x80z\"", "\"\\n\\u00e4\""), LIST("\"a\"", "\"abcd\"", "\"a\nb\""));
    expect("{\"pattern\":\"^[A-Z]{2}-\\\\d+(a|\\\"x\\\")?$\"}", true,
           LIST("\"AB-1\"", "\"AB-12a\"", "\"AB-1\\\"x\\\"\""), LIST("\"AB-\"", "\"aB-1\"", "\"AB-1\"x\"\""));
    expect("{\"pattern\":\"b+\"}", true, LIST("\"b\"", "\"abba\""), LIST("\"a\""));
    expect("{\"pattern\":\"^a|b$\"}", true, LIST("\"ax\"", "\"xb\""), LIST("\"xa\"", "\"bx\""));
    expect("{\"pattern\":\"^[^\\\\s\\\"]$\"}", true, LIST("\"x\"", "\"\\\\\""), LIST("\" \"", "\"\\\"\""));
    expect("{\"enum\":[\"a\\u0000b\",\"\\u0000\"]}", true, LIST("\"a\\u0000b\"", "\"\\u0000\""),
           LIST("\"a\"", "\"\"", "\"ab\""));
    expect("{\"format\":\"date\"}", true, LIST("\"2024-02-28\"", "\"1999-12-31\""),
           LIST("\"2024-02-30\"", "\"2024-13-01\"", "\"2024-04-31\"", "\"2024-1-01\""));
    expect("{\"format\":\"date-time\"}", true, LIST("\"2024-02-28T23:59:59Z\"", "\"2024-02-28T00:00:00.5+01:00\""),
           LIST("\"2024-02-28T24:00:00Z\"", "\"2024-02-28T00:00:00\""));
    expect("{\"format\":\"uuid\"}", true, LIST("\"123e4567-e89b-12d3-a456-426614174000\""), LIST("\"123e4567\""));
}

static void test_objects(void **unused)
{
    (void)unused;
    const char *const three = "{\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"},\"c\":{\"type\":"
                              "\"null\"}},\"required\":[\"b\"]}";
    expect(three, true, LIST("{\"b\":null}", "{\"a\":null,\"b\": null}", "{ \"b\": null, \"c\": null }"),
           LIST("{}", "{\"a\":null}", "{\"b\":null,\"a\":null}", "{\"b\":null,}", "{\"b\":null,\"d\":null}"));
    expect("{\"properties\":{\"ab\":{\"type\":\"null\"}},\"additionalProperties\":{\"type\":\"boolean\"}}", true,
           LIST("{}", "{\"ab\":null}", "{\"ab\":null,\"a\":true}", "{\"abc\":true,\"\":false}"),
           LIST("{\"ab\":true}", "{\"x\":null}", "{\"\\u0061b\":true}"));
    expect("{\"type\":\"object\"}", true, LIST("{}", "{\"a\":[1,{}]}"), LIST("{\"a\"}", "[]"));
    expect("{\"type\":\"object\",\"required\":[\"x\"],\"additionalProperties\":{\"type\":\"null\"}}", true,
           LIST("{\"x\":null}"), LIST("{}", "{\"x\":1}"));
    expect(
        "{\"allOf\":[{\"properties\":{\"a\":{\"const\":1}},\"required\":[\"a\"]},{\"$ref\":\"#/$defs/b\"}],\"$defs\":{"
        "\"b\":{\"properties\":{\"b\":{\"const\":\"x\"}},\"required\":[\"b\"]}}}",
        true, LIST("{\"a\":1,\"b\":\"x\"}"), LIST("{\"a\":1}", "{\"b\":\"x\"}"));
    expect(
        "{\"$ref\":\"#/$defs/t\",\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"t\":{\"anyOf\":[{\"$ref\":\"#/"
        "$defs/t\"},{\"type\":\"null\"}]}},\"required\":[\"t\"]}}}",
        true, LIST("{\"t\":null}", "{\"t\":{\"t\":null}}"), LIST("{}", "{\"t\":{}}"));
}

static void test_arrays(void **unused)
{
    (void)unused;
    expect("{\"items\":{\"const\":1},\"minItems\":2,\"maxItems\":3}", true, LIST("[1,1]", "[ 1, 1, 1 ]"),
           LIST("[1]", "[]", "[1,1,1,1]", "[1 1]"));
    expect("{\"items\":{\"const\":1},\"maxItems\":1}", true, LIST("[]", "[1]"), LIST("[1,1]"));
    expect("{\"type\":\"array\"}", true, LIST("[]", "[1,\"a\",[]]"), LIST("[,]"));
    expect("{\"prefixItems\":[{\"const\":1},{\"const\":2}]}", true, LIST("[1,2]"), LIST("[1]", "[1,2,3]"));
    expect("{\"prefixItems\":[{\"const\":1}],\"items\":{\"const\":3},\"minItems\":2}", true, LIST("[1,3]", "[1,3,3]"),
           LIST("[1]", "[3]"));
    expect("{\"enum\":[1,\"a\\\"\",null,{\"x\":[]}]}", true, LIST("1", "\"a\\\"\"", "null", "{\"x\":[]}"), LIST("2"));
    expect("{\"type\":[\"integer\",\"null\"],\"minimum\":3}", true, LIST("3", "null"), LIST("2"));
    expect("true", true, LIST("{\"a\":[1,2,{}]}", "null"), LIST("{"));
}

static void test_schema_refusals(void **unused)
{
    (void)unused;
    refused("{\"type\":\"array\",\"uniqueItems\":true}", true, "uniqueItems", "not supported");
    refused("{\"not\":{}}", true, "not", "not supported");
    refused("{\"type\":\"string\",\"format\":\"email\"}", true, "format", "it is none");
    refused("{\"type\":\"integer\",\"multipleOf\":2}", true, "multipleOf", "not supported");
    refused("{\"minimum\":0.5}", true, "minimum", "whole");
    refused("{\"pattern\":\"^(?=a)$\"}", true, "pattern", "a group of this kind");
    refused("{\"pattern\":\"\\\\bx\"}", true, "pattern", "escape");
    refused("{\"pattern\":\"a\\u0000b\"}", true, "pattern", "U+0000");
    refused("{\"$ref\":\"#/$defs/x\"}", true, "$ref", "nothing in this schema");
    refused("{\"$ref\":\"http://x\"}", true, "$ref", "nothing in this schema");
    refused("{\"$ref\":\"#\"}", true, "grammar", "needs itself");
    refused("{\"type\":\"text\"}", true, "type", "is none of");
    refused("false", true, "false", "nothing is valid");
    refused("{\"type\":", true, "schema", "");
}

static uint32_t seed = 1;
static uint32_t any(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)seed * n) >> 32);
}

/* A random text of bytes by the machine, which is flushed now and then. After `most` bytes it takes the way that
 * closes: what ends strings, lists and objects where that may come. */
static char *walk(struct kit *k, size_t most)
{
    struct tare_text text = {0};
    uint32_t at = tare_machine_start(k->machine), *kept[] = {&at};
    for (size_t step = 0; step < 50 * most; step++) {
        unsigned char can[256];
        uint32_t n = 0;
        for (int byte = 0; byte < 256; byte++)
            if (tare_machine_next(k->machine, at, (unsigned char)byte) != TARE_STATE_DEAD)
                can[n++] = (unsigned char)byte;
        if (n == 0 || (tare_machine_complete(k->machine, at) && (text.size > most || any(4) == 0)))
            break;
        char c = (char)can[any(n)];
        for (uint32_t i = 0; i < n; i++)
            if (strchr(text.size > most ? "\"]}" : "\"", can[i]) && can[i] && any(text.size > most ? 2 : 3) == 0)
                c = (char)can[i];
        tare_text_add(&text, &c, 1);
        at = tare_machine_next(k->machine, at, (unsigned char)c);
        if (any(50) == 0)
            assert_true(tare_machine_flush(k->machine, kept, 1));
    }
    assert_true(tare_machine_complete(k->machine, at));
    return text.data;
}

static void test_walks(void **unused)
{
    (void)unused;
    static const char *const schemas[] = {
        "true",
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"number\"},\"b\":{\"items\":{\"type\":\"string\"}}}}",
        "{\"pattern\":\"^.*[^a-z\\\\\\\\]{1,3}x?$\"}", "{\"type\":\"integer\",\"minimum\":-1234,\"maximum\":99999}"};
    for (size_t i = 0; i < 4; i++) {
        struct kit k;
        struct tare_error err = {0};
        assert_int_equal(kit_open(&k, schemas[i], true, &err), TARE_OK);
        for (int n = 0; n < 50; n++) {
            char *text = walk(&k, 60);
            json_error_t error;
            json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
            if (!json && !strstr(error.text, "too big"))
                fail_msg("%s: %s: %s", schemas[i], text, error.text);
            json_decref(json);
            free(text);
        }
        kit_close(&k);
    }
}

static int write_walks(const char *schema, int n)
{
    struct kit k;
    struct tare_error err = {0};
    if (kit_open(&k, schema, true, &err)) {
        fprintf(stderr, "%s: %s\n", err.where, err.text);
        return 1;
    }
    for (int i = 0; i < n; i++) {
        char *text = walk(&k, 200);
        puts(text);
        free(text);
    }
    kit_close(&k);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gbnf),        cmocka_unit_test(test_gbnf_refusals),   cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_strings),     cmocka_unit_test(test_objects),         cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_walks),       cmocka_unit_test(test_schema_refusals), cmocka_unit_test(test_free_text),
        cmocka_unit_test(test_free_search),
    };
    if (argc == 4 && !strcmp(argv[1], "walk"))
        return write_walks(argv[2], (int)strtol(argv[3], NULL, 10));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
