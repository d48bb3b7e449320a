/* SPDX-License-Identifier: MIT
 * test_tools.c - calls, thoughts and content are taken apart, however the text is cut into pieces. */
#include <event2/buffer.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/toolset.h"

static const char BODY[] =
    "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"go_to\",\"parameters\":{\"type\":"
    "\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"}}}}}]}";

/* What a parser tells, as "text|thought|name{arguments}". */
static void tell(void *user, const struct tool_piece *p)
{
    struct evbuffer *out = user;
    static enum tool_piece_kind last = TOOL_TEXT;
    if (p->kind == TOOL_CALL) {
        evbuffer_add_printf(out, "[%s", p->name);
    } else if (p->kind == TOOL_ARGUMENTS) {
        evbuffer_add_printf(out, "%.*s]", (int)p->size, p->text);
    } else {
        if (p->kind != last || evbuffer_get_length(out) == 0)
            evbuffer_add_printf(out, p->kind == TOOL_TEXT ? "text:" : "thought:");
        evbuffer_add(out, p->text, p->size);
    }
    last = p->kind;
}

/* Parses a text in pieces of `step` bytes by the family that `mark` shows. */
static void check(const char *mark, const char *text, size_t step, const char *want)
{
    struct toolset tools = {0};
    struct serve_failure failure = {0};
    struct tool_parser parser = {.tools = &tools};
    struct evbuffer *out = evbuffer_new();
    json_t *body = json_loads(BODY, 0, NULL);
    assert_true(toolset_take(&tools, body, tool_family_of(mark), &failure));
    toolset_thoughts(&tools, "", 0);
    for (size_t i = 0; i < strlen(text); i += step)
        tool_parser_put(&parser, text + i, strlen(text) - i < step ? strlen(text) - i : step, tell, out);
    tool_parser_end(&parser, tell, out);
    evbuffer_add(out, "", 1);
    assert_string_equal((const char *)evbuffer_pullup(out, -1), want);
    evbuffer_free(out);
    tool_parser_release(&parser);
    json_decref(body);
}

#define SEP "<\xef\xbd\x9ctool\xe2\x96\x81sep\xef\xbd\x9c>"
#define CALLS                                                                                                          \
    "<\xef\xbd\x9ctool\xe2\x96\x81"                                                                                    \
    "calls\xe2\x96\x81"                                                                                                \
    "begin\xef\xbd\x9c>"

static void test_families(void **state)
{
    static const char wish[] = "text:Well. [go_to{\"city\":\"Oslo\",\"n\":2}]";
    static const char *const cases[][2] = {
        {"<tool_call>",
         "Well. <tool_call>\n{\"name\": \"go_to\", \"arguments\": {\"city\": \"Oslo\", \"n\": 2}}\n</tool_call>"},
        {"[TOOL_CALLS]",
         "Well. [TOOL_CALLS][{\"name\": \"go_to\", \"arguments\": {\"city\": \"Oslo\", \"n\": 2}, \"id\": \"a\"}]"},
        {"[ARGS]", "Well. [TOOL_CALLS]go_to[ARGS]{\"city\": \"Oslo\", \"n\": 2}"},
        {"<|tool_call_argument_begin|>",
         "Well. <|tool_calls_section_begin|><|tool_call_begin|>functions.go_to:0<|tool_call_argument_begin|>"
         "{\"city\": \"Oslo\", \"n\": 2}<|tool_call_end|><|tool_calls_section_end|>"},
        {SEP "probe_it\n```json", "Well. " CALLS "function" SEP "go_to\n```json\n{\"city\": \"Oslo\", \"n\": 2}\n```"},
        {SEP, "Well. " CALLS "go_to" SEP "{\"city\": \"Oslo\", \"n\": 2}"},
        {"<function=",
         "Well. <tool_call>\n<function=go_to>\n<parameter=city>\nOslo\n</parameter>\n<parameter=n>\n2\n</parameter>\n"
         "</function>\n</tool_call>"},
        {"<arg_key>",
         "Well. <tool_call>go_to\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n<arg_key>n</arg_key>\n"
         "<arg_value>2</arg_value>\n</tool_call>"},
        {"<invoke name=", "Well. <minimax:tool_call><invoke name=\"go_to\"><parameter name=\"city\">Oslo</parameter>"
                          "<parameter name=\"n\">2</parameter></invoke></minimax:tool_call>"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step < 40; step += 6)
            check(cases[i][0], cases[i][1], step, wish);
}

static void test_alone(void **state)
{
    (void)state;
    for (size_t step = 1; step < 40; step += 6) {
        check("\"parameters\"", "{\"name\": \"go_to\", \"parameters\": {\"n\": 1}}", step, "[go_to{\"n\":1}]");
        check("", "{\"name\": \"go_to\", \"arguments\": {\"n\": 1}}", step, "[go_to{\"n\":1}]");
        check("", "{\"name\": \"fly\"} is no call", step, "text:{\"name\": \"fly\"} is no call");
        check("", "say {\"name\": \"go_to\"}", step, "text:say {\"name\": \"go_to\"}");
    }
}

/* What looks like a mark and is none, or is a call of no tool, is content. */
static void test_content(void **state)
{
    (void)state;
    for (size_t step = 1; step < 40; step += 6) {
        check("<tool_call>", "a < b <tool_ x", step, "text:a < b <tool_ x");
        check("<tool_call>", "a <tool_call>{\"name\": \"fly\"}", step, "text:a <tool_call>{\"name\": \"fly\"}");
        check("<tool_call>", "a <tool_call>{\"name\": \"go_to\", ", step, "text:a <tool_call>{\"name\": \"go_to\", ");
        check("<tool_call>", "a <tool", step, "text:a <tool");
    }
}

static void test_thoughts(void **state)
{
    (void)state;
    for (size_t step = 1; step < 40; step += 6) {
        check("<tool_call>", "<think>\nHm.</think>\n\nYes. <tool_call>{\"name\":\"go_to\"}", step,
              "thought:\nHm.text:Yes. [go_to{}]");
        check("<tool_call>", "<thin", step, "text:<thin");
        check("<tool_call>", "<think>Hm", step, "thought:Hm");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_families), cmocka_unit_test(test_alone),
                                       cmocka_unit_test(test_content), cmocka_unit_test(test_thoughts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
