/* SPDX-License-Identifier: MIT
 * test_template.c - chat templates through the public interface: requests, files, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tare.h"

#define CHATML                                                                                                         \
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% "     \
    "endif %}"

static tare_template *open_files(const char *const *files, size_t n, struct tare_error *err)
{
    struct tare_memory_file memory[4];
    struct tare_options options = TARE_OPTIONS_INIT;
    tare_template *template;
    for (size_t i = 0; i < n; i++)
        memory[i] = (struct tare_memory_file){files[2 * i], files[2 * i + 1], strlen(files[2 * i + 1])};
    options.files = memory;
    options.n_files = n;
    const enum tare_code code = tare_template_open(&template, "model", &options, err);
    assert_int_equal(code != TARE_OK, template == NULL);
    return template;
}

static void expect(const tare_template *template, const struct tare_template_request *request, const char *wanted)
{
    struct tare_error err = {0};
    char *text;
    size_t size;
    if (tare_template_render(template, request, &text, &size, &err))
        fail_msg("%s: %s", err.where, err.text);
    assert_int_equal(size, strlen(wanted));
    assert_string_equal(text, wanted);
    tare_text_free(text);
}

static void expect_refused(const tare_template *template, const struct tare_template_request *request,
                           enum tare_code code, const char *word)
{
    struct tare_error err = {0};
    char *text = (char *)1;
    size_t size = 1;
    assert_int_equal(tare_template_render(template, request, &text, &size, &err), code);
    assert_null(text);
    assert_int_equal(size, 0);
    if (!strstr(err.text, word))
        fail_msg("\"%s\" has no \"%s\"", err.text, word);
}

static void conversations(void **state)
{
    (void)state;
    static const char *const files[] = {
        "tokenizer_config.json", "{\"bos_token\": \"<s>\", \"chat_template\": \"{{ bos_token }}" CHATML "{{ x }}\"}"};
    const struct tare_turn turns[] = {{"system", "be \"kind\""}, {"user", "h\xc3\xa9"}};
    struct tare_template_request request = TARE_TEMPLATE_REQUEST_INIT;
    tare_template *template = open_files(files, 1, NULL);
    request.turns = turns;
    request.n_turns = 2;
    expect(template, &request, "<s><system>be \"kind\"<user>h\xc3\xa9");
    request.add_generation_prompt = true;
    request.variables = "{\"x\": 3}";
    expect(template, &request, "<s><system>be \"kind\"<user>h\xc3\xa9<assistant>3");
    request.messages = "[{\"role\": \"user\", \"content\": \"a\"}]"; /* goes before turns */
    expect(template, &request, "<s><user>a<assistant>3");
    request = (struct tare_template_request)TARE_TEMPLATE_REQUEST_INIT;
    request.variables = "{\"messages\": [], \"bos_token\": \"B\", \"add_generation_prompt\": true}";
    expect(template, &request, "B<assistant>");
    request.size = sizeof request.size; /* an older caller's, without anything */
    expect_refused(template, &request, TARE_E_FORMAT, "messages");
    tare_template_free(template);
}

static void bad_requests(void **state)
{
    (void)state;
    static const char *const files[] = {"chat_template.jinja", CHATML};
    const struct tare_turn bad = {"user", "\xff"};
    struct tare_template_request request = TARE_TEMPLATE_REQUEST_INIT;
    tare_template *template = open_files(files, 1, NULL);
    expect_refused(template, &request, TARE_E_FORMAT, "messages");
    request.turns = &bad;
    request.n_turns = 1;
    expect_refused(template, &request, TARE_E_ARGUMENT, "UTF-8");
    request.messages = "[{]";
    expect_refused(template, &request, TARE_E_CONFIG, "JSON");
    request.messages = "[{\"role\": \"user\", \"content\": \"\"}]";
    request.variables = "[]";
    expect_refused(template, &request, TARE_E_FORMAT, "object");
    tare_template_free(template);
}

static void with_tools(void **state)
{
    (void)state;
    static const char *const files[] = {
        "tokenizer_config.json",
        "{\"chat_template\": [{\"name\": \"default\", \"template\": \"D\"}, {\"name\": \"tool_use\", "
        "\"template\": \"T{{ tools[0].name }}\"}]}"};
    static const char *const only[] = {"chat_template.json",
                                       "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"T\"}]}"};
    struct tare_template_request request = TARE_TEMPLATE_REQUEST_INIT;
    tare_template *template = open_files(files, 1, NULL);
    request.messages = "[]";
    expect(template, &request, "D");
    request.tools = "[{\"name\": \"f\"}]";
    expect(template, &request, "Tf");
    tare_template_free(template);
    template = open_files(only, 1, NULL);
    expect(template, &request, "T");
    request.tools = NULL;
    expect_refused(template, &request, TARE_E_ABSENT, "tools only");
    tare_template_free(template);
}

static void absent(void **state)
{
    (void)state;
    static const char *const files[] = {"tokenizer_config.json", "{\"chat_template\": null}"};
    static const char *const wrong[] = {"tokenizer_config.json", "{\"chat_template\": [{\"name\": \"rag\"}]}"};
    struct tare_error err = {0};
    assert_null(open_files(files, 1, &err));
    assert_int_equal(err.code, TARE_E_ABSENT);
    assert_null(open_files(wrong, 1, &err));
    assert_int_equal(err.code, TARE_E_CONFIG);
}

static void expect_text(const char *template_text, const char *variables, const char *wanted, const char *word)
{
    struct tare_template_request request = TARE_TEMPLATE_REQUEST_INIT;
    tare_template *template;
    assert_int_equal(tare_template_from_text(&template, template_text, strlen(template_text), NULL), TARE_OK);
    request.variables = variables;
    if (wanted)
        expect(template, &request, wanted);
    else
        expect_refused(template, &request, TARE_E_FORMAT, word);
    tare_template_free(template);
}

static void plain_texts(void **state)
{
    (void)state;
    expect_text("{{ a }}{{ bos_token }}", "{\"a\": 1, \"strftime_now\": \"2025-07-04T09:05:03\"}", "1", NULL);
    expect_text("{{ strftime_now('%d %B') }}", "{\"strftime_now\": \"2025-07-04T09:05:03\"}", "04 July", NULL);
    expect_text("{{ strftime_now('%d') }}", NULL, NULL, "strftime_now");
    expect_text("{% include 'x' %}", NULL, NULL, "include");
}

/* Each limit is reached by a template just beyond it, and not by one just within. */
static void limits(void **state)
{
    (void)state;
    expect_text("{% for i in range(2000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}x", NULL, "x", NULL);
    expect_text("{% for i in range(6000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}x", NULL, NULL, "steps");
    expect_text("{{ ('a' * 16000000) | length }}", NULL, "16000000", NULL);
    expect_text("{{ ('a' * 9000000) | length }}{{ ('b' * 9000000) | length }}", NULL, NULL, "MiB of memory");
    expect_text("{{ 'a' * 17000000 }}", NULL, NULL, "too large");
}

static void limit_of_output(void **state)
{
    (void)state;
    char variables[20100];
    memset(variables, 'm', sizeof variables);
    memcpy(variables, "{\"m\": \"", 7);
    memcpy(variables + 20007, "\"}", 3);
    expect_text("{% for i in range(838) %}{{ m }}{% endfor %}{% set x = 1 %}{{ raise_exception('within') }}", variables,
                NULL, "within");
    expect_text("{% for i in range(840) %}{{ m }}{% endfor %}{{ raise_exception('within') }}", variables, NULL, "MiB");
}

static void limit_of_depth(void **state)
{
    (void)state;
    expect_text("{% macro m(n) %}{% if n %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(198) }}x", NULL, "x", NULL);
    expect_text("{% macro m(n) %}{% if n %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(201) }}x", NULL, NULL,
                "recursion");
}

/* A conversation of a megabyte, put together piece by piece with other texts made in between: no copy of all for each.
 */
static void long_conversation(void **state)
{
    (void)state;
    expect_text("{% set ns = namespace(out='') %}{% macro of(m) %}{{ m }}{% endmacro %}"
                "{% for i in range(1000) %}{% set ns.out = ns.out ~ 'x' ~ of('y' * 999) %}{% endfor %}"
                "{{ ns.out | length }}",
                NULL, "1000000", NULL);
}

static void clocks(void **state)
{
    (void)state;
    static const struct {
        const char *clock, *want; /* NULL: refused */
    } cases[] = {{"2025-01-31T12:30:05", "2025-01-31 12:30:05 031"},
                 {"2024-12-31T23:59:60", "2024-12-31 23:59:60 366"},
                 {"2025-3-1T4:5", "2025-03-01 04:05:00 060"},
                 {"2025-03-01", "2025-03-01 00:00:00 060"},
                 {"2025-03-01 12:30", "2025-03-01 00:00:00 060"},
                 {"2025-03", NULL},
                 {"2025-03-", NULL},
                 {"2025-13-01", NULL},
                 {"2025-03-01T24:00", NULL},
                 {"-025-03-01", NULL},
                 {"99999-03-01", NULL},
                 {"0000-03-01", NULL},
                 {"today", NULL},
                 {"", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char variables[100];
        snprintf(variables, sizeof variables, "{\"strftime_now\": \"%s\"}", cases[i].clock);
        expect_text("{{ strftime_now('%Y-%m-%d %H:%M:%S %j') }}", variables, cases[i].want,
                    cases[i].want ? NULL : "strftime_now");
    }
}

/* U+0000 in a message, which JSON escapes, reaches the text. */
static void zeros(void **state)
{
    (void)state;
    static const char source[] = "{{ messages[0].content }}|{{ messages[0].content | tojson }}|{{ x | length }}";
    static const char wanted[] = "a\0b|\"a\\u0000b\"|3";
    struct tare_template_request request = TARE_TEMPLATE_REQUEST_INIT;
    tare_template *template = NULL;
    char *text = NULL;
    size_t size = 0;
    request.messages = "[{\"role\": \"user\", \"content\": \"a\\u0000b\"}]";
    request.variables = "{\"x\": \"\\u0000\\u0000c\"}";
    assert_int_equal(tare_template_from_text(&template, source, strlen(source), NULL), TARE_OK);
    assert_int_equal(tare_template_render(template, &request, &text, &size, NULL), TARE_OK);
    assert_int_equal(size, sizeof wanted - 1);
    assert_memory_equal(text, wanted, sizeof wanted);
    tare_text_free(text);
    tare_template_free(template);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversations),   cmocka_unit_test(bad_requests),   cmocka_unit_test(with_tools),
        cmocka_unit_test(absent),          cmocka_unit_test(plain_texts),    cmocka_unit_test(limits),
        cmocka_unit_test(limit_of_output), cmocka_unit_test(limit_of_depth), cmocka_unit_test(long_conversation),
        cmocka_unit_test(clocks),          cmocka_unit_test(zeros)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
