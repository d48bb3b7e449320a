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

#include "serve/tools/family.h"

static const char BODY[] =
    "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"go_to\",\"parameters\":{\"type\":"
    "\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"},\"o\":{\"type\":\"object\"}"
    ","
    "\"l\":{\"type\":\"array\"},\"b\":{\"type\":\"boolean\"}}}}},{\"type\":\"function\",\"function\":{\"name\":\"stop-"
    "it\"}}]}";

/* What a parser tells, as text:..thought:..[name{arguments}]. */
struct seen {
    struct evbuffer *out;
    int last;
};

static void tell(void *user, const struct tool_piece *p)
{
    struct seen *seen = user;
    if (p->kind == TOOL_CALL) {
        evbuffer_add_printf(seen->out, "[%s", p->name);
    } else if (p->kind == TOOL_CALL_END) {
        evbuffer_add(seen->out, "]", 1);
    } else if (p->kind == TOOL_ARGUMENTS) {
        evbuffer_add(seen->out, p->text, p->size);
    } else {
        if ((int)p->kind != seen->last)
            evbuffer_add_printf(seen->out, p->kind == TOOL_TEXT ? "text:" : "thought:");
        evbuffer_add(seen->out, p->text, p->size);
    }
    seen->last = (int)p->kind;
}

struct how {
    /* A text of a template. */
    const char *mark;
    const char *prompt;
    bool guarded;
    bool single;
    bool none;
};

/* Parses a text that comes in two pieces, or, with cut 0, byte by byte. Owned, free(). */
static char *parse(const struct how *how, const char *text, size_t size, size_t cut)
{
    struct toolset tools = {0};
    struct serve_failure failure = {0};
    struct tool_parser parser = {.tools = &tools};
    struct seen seen = {evbuffer_new(), -1};
    json_t *body = json_loads(BODY, 0, NULL);
    assert_true(toolset_take(&tools, body, tool_family_of(how->mark), &failure));
    toolset_thoughts(&tools, how->prompt ? how->prompt : "", how->prompt ? strlen(how->prompt) : 0);
    tools.guarded = how->guarded;
    tools.parallel = !how->single;
    tools.choice = how->none ? TOOLS_NONE : TOOLS_AUTO;
    for (size_t i = 0; i < size && cut == 0; i++)
        tool_parser_put(&parser, text + i, 1, tell, &seen);
    if (cut) {
        tool_parser_put(&parser, text, cut, tell, &seen);
        tool_parser_put(&parser, text + cut, size - cut, tell, &seen);
    }
    tool_parser_end(&parser, tell, &seen);
    evbuffer_add(seen.out, "", 1);
    char *made = strdup((const char *)evbuffer_pullup(seen.out, -1));
    evbuffer_free(seen.out);
    tool_parser_release(&parser);
    json_decref(body);
    return made;
}

/* A text gives the same however it is cut. */
static void expect(struct how how, const char *text, const char *want)
{
    const size_t size = strlen(text);
    for (size_t cut = 0; cut <= size; cut++) {
        char *made = parse(&how, text, size, cut);
        if (strcmp(made, want) != 0)
            fail_msg("%s, cut at %zu of %s:\n  made %s\n  want %s", how.mark, cut, text, made, want);
        free(made);
    }
}

static void check(const char *mark, const char *text, const char *want)
{
    expect((struct how){.mark = mark}, text, want);
}

#define SEP "<\xef\xbd\x9ctool\xe2\x96\x81sep\xef\xbd\x9c>"
#define CALLS                                                                                                          \
    "<\xef\xbd\x9ctool\xe2\x96\x81"                                                                                    \
    "calls\xe2\x96\x81"                                                                                                \
    "begin\xef\xbd\x9c>"

#define DSML                                                                                                           \
    "\xef\xbd\x9c"                                                                                                     \
    "DSML"                                                                                                             \
    "\xef\xbd\x9c"
#define CALL                                                                                                           \
    "<\xef\xbd\x9ctool\xe2\x96\x81"                                                                                    \
    "call\xe2\x96\x81"                                                                                                 \
    "begin\xef\xbd\x9c>"
#define CALL_END                                                                                                       \
    "<\xef\xbd\x9ctool\xe2\x96\x81"                                                                                    \
    "call\xe2\x96\x81"                                                                                                 \
    "end\xef\xbd\x9c>"
#define CALLS_END                                                                                                      \
    "<\xef\xbd\x9ctool\xe2\x96\x81"                                                                                    \
    "calls\xe2\x96\x81"                                                                                                \
    "end\xef\xbd\x9c>"
#define OSLO "{\"city\": \"Oslo\", \"n\": 2}"

/* Two calls of each family that has several, after some text. */
static const char *const families[][2] = {
    {"<tool_call>", "Well. <tool_call>\n{\"name\": \"go_to\", \"arguments\": " OSLO "}\n</tool_call>\n<tool_call>\n"
                    "{\"arguments\": {}, \"name\": \"stop-it\"}\n</tool_call>\n"},
    {"[TOOL_CALLS]",
     "Well. [TOOL_CALLS][{\"name\": \"go_to\", \"arguments\": " OSLO ", \"id\": \"a\"}, {\"name\": \"stop-it\"}]"},
    {"[ARGS]", "Well. [TOOL_CALLS]go_to[CALL_ID]123456789[ARGS]" OSLO "[TOOL_CALLS]stop-it[ARGS]{}"},
    {"<|tool_call_argument_begin|>",
     "Well. <|tool_calls_section_begin|><|tool_call_begin|>functions.go_to:0<|tool_call_argument_begin|>" OSLO
     "<|tool_call_end|><|tool_call_begin|>functions.stop-it:1<|tool_call_argument_begin|>{}<|tool_call_end|>"
     "<|tool_calls_section_end|>"},
    {SEP "probe_it\n```json", "Well. " CALLS CALL "function" SEP "go_to\n```json\n" OSLO "\n```" CALL_END "\n" CALL
                              "function" SEP "stop-it\n```json\n{}\n```" CALL_END CALLS_END},
    {SEP, "Well. " CALLS CALL "go_to" SEP OSLO CALL_END CALL "stop-it" SEP "{}" CALL_END CALLS_END},
    {"<function=",
     "Well. <tool_call>\n<function=go_to>\n<parameter=city>\nOslo\n</parameter>\n<parameter=n>\n2\n"
     "</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=stop-it>\n</function>\n</tool_call>"},
    {"<arg_key>", "Well. <tool_call>go_to\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n<arg_key>n</arg_key>\n"
                  "<arg_value>2</arg_value>\n</tool_call>\n<tool_call>stop-it</tool_call>"},
    {"<invoke name=",
     "Well. <minimax:tool_call>\n<invoke name=\"go_to\">\n<parameter name=\"city\">Oslo</parameter>\n"
     "<parameter name=\"n\">2</parameter>\n</invoke>\n<invoke name=\"stop-it\">\n</invoke>\n</minimax:tool_call>"},
    {DSML, "Well. <" DSML "function_calls>\n<" DSML "invoke name=\"go_to\">\n<" DSML
           "parameter name=\"city\" string=\"true\">Oslo</" DSML "parameter>\n<" DSML
           "parameter name=\"n\" string=\"false\">2</" DSML "parameter>\n</" DSML "invoke>\n<" DSML
           "invoke name=\"stop-it\">\n</" DSML "invoke>\n</" DSML "function_calls>"},
    {DSML, "Well. <" DSML "tool_calls><" DSML "invoke name=\"go_to\"><" DSML
           "parameter name=\"city\" string=\"true\">Oslo</" DSML "parameter><" DSML
           "parameter name=\"n\" string=\"false\">2</" DSML "parameter></" DSML "invoke><" DSML
           "invoke name=\"stop-it\"></" DSML "invoke></" DSML "tool_calls>"},
    {"<|tool_call>",
     "Well. <|tool_call>call:go_to{city:<|\"|>Oslo<|\"|>,n:2}<tool_call|><|tool_call>call:stop-it{}<tool_call|>"},
    {"<start_function_call>", "Well. <start_function_call>call:go_to{city:<escape>Oslo<escape>,n:2}<end_function_call>"
                              "<start_function_call>call:stop-it{}<end_function_call>"},
    {"<|START_ACTION|>",
     "Well. <|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"go_to\", \"parameters\": " OSLO
     "},\n    {\"tool_call_id\": \"1\", \"tool_name\": \"stop-it\", \"parameters\": {}}\n]<|END_ACTION|>"},
    {"<|tool_call_start|>", "Well. <|tool_call_start|>[go_to(city=\"Oslo\", n=2), stop-it()]<|tool_call_end|>"},
    {"<|tool_call|>",
     "Well. <|tool_call|>[{\"name\": \"go_to\", \"arguments\": " OSLO "}, {\"name\": \"stop-it\", \"arguments\": {}}]"},
    {"<function name=\"<param name=\"",
     "Well. <function name=\"go_to\"><param name=\"city\">Oslo</param><param name=\"n\">2</param></function>"
     "<function name=\"stop-it\"></function>"},
    {"<atem:invoke",
     "Well. <atem:function_calls>\n<atem:invoke name=\"go_to\">\n<atem:parameter name=\"city\">Oslo</atem:parameter>\n"
     "<atem:parameter name=\"n\">2</atem:parameter>\n</atem:invoke>\n<atem:invoke name=\"stop-it\">\n</atem:invoke>\n"
     "</atem:function_calls>"},
    {"<|function_call|>",
     "Well. <|function_call|>{\"name\": \"go_to\", \"arguments\": " OSLO "}<|function_call|>{\"name\": \"stop-it\"}"},
    {"<TOOLCALL>", "Well. <TOOLCALL>[{\"name\": \"go_to\", \"arguments\": " OSLO
                   "}, {\"name\": \"stop-it\", \"arguments\": {}}]</TOOLCALL>"},
};

static void test_families(void **state)
{
    static const char want[] = "text:Well. [go_to{\"city\":\"Oslo\",\"n\":2}][stop-it{}]";
    static const char one[] = "text:Well. [go_to{\"city\":\"Oslo\",\"n\":2}]";
    (void)state;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        check(families[i][0], families[i][1], want);
        expect((struct how){.mark = families[i][0], .guarded = true}, families[i][1], want);
        expect((struct how){.mark = families[i][0], .single = true}, families[i][1], one);
        expect((struct how){.mark = families[i][0], .single = true, .guarded = true}, families[i][1], one);
    }
}

/* Calls that are the whole answer. */
static void test_alone(void **state)
{
    static const char llama[] = "\"parameters\"";
    (void)state;
    check(llama, "{\"name\": \"go_to\", \"parameters\": {\"n\": 1}}", "[go_to{\"n\":1}]");
    check(llama, "{\"name\": \"go_to\", \"parameters\": {\"n\": 1}}; {\"name\": \"stop-it\", \"parameters\": {}}",
          "[go_to{\"n\":1}][stop-it{}]");
    check(llama, "<|python_tag|>go_to.call(city=\"Oslo\")", "[go_to{\"city\":\"Oslo\"}]");
    check(llama, "<|python_tag|>{\"name\": \"go_to\", \"parameters\": {\"n\": 1}}", "[go_to{\"n\":1}]");
    check(llama, "[go_to(city='Oslo', n=2), stop-it()]", "[go_to{\"city\":\"Oslo\",\"n\":2}][stop-it{}]");
    check(llama, "<|python_tag|>go_to.(n=1)", "text:<|python_tag|>go_to.(n=1)");
    check(llama, "[1, 2] is a list", "text:[1, 2] is a list");
    check("", "{\"name\": \"go_to\", \"arguments\": {\"n\": 1}}", "[go_to{\"n\":1}]");
    check("", " \n{\"name\": \"go_to\", \"arguments\": {\"n\": 1}}", "[go_to{\"n\":1}]");
    check("", "{\"name\": \"fly\"} is no call", "text:{\"name\": \"fly\"} is no call");
    check("", "say {\"name\": \"go_to\"}", "text:say {\"name\": \"go_to\"}");
}

static void test_harmony(void **state)
{
    static const char mark[] = "<|channel|><|message|>";
    (void)state;
    check(mark, "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>",
          "thought:Hm.text:Yes.");
    check(mark,
          "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant to=functions.go_to<|channel|>commentary "
          "json<|message|>" OSLO "<|call|>",
          "thought:Hm.[go_to{\"city\":\"Oslo\",\"n\":2}]");
    check(mark, "<|channel|>commentary to=functions.go_to <|constrain|>json<|message|>" OSLO,
          "[go_to{\"city\":\"Oslo\",\"n\":2}]");
    check(mark, " to=functions.stop-it<|channel|>commentary<|message|>{}<|call|>", "[stop-it{}]");
    check(mark,
          "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>commentary to=functions.stop-it "
          "json<|message|>{}",
          "text:I look.[stop-it{}]");
    check(mark, "<|channel|>final<|message|>to=functions.go_to is text", "text:to=functions.go_to is text");
    check(mark, "Plain.", "text:Plain.");
    expect((struct how){.mark = mark, .none = true},
           "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
           "thought:Hm.text:Yes.");
}

/* Values in the notations that are not JSON. */
static void test_values(void **state)
{
    (void)state;
    check("<|tool_call>",
          "<|tool_call>call:go_to{o:{a:<|\"|>x \"y\" {z} "
          "<|<|\"|>,b:[1,<|\"|><|\"|>,true]},l:[{k:null}],b:false}<tool_call|>",
          "[go_to{\"o\":{\"a\":\"x \\\"y\\\" {z} <|\",\"b\":[1,\"\",true]},\"l\":[{\"k\":null}],\"b\":false}]");
    check("<|tool_call_start|>",
          "<|tool_call_start|>[go_to(o={'a': [1, 2.5, None, \"q'\"]}, l=[True, false,], "
          "city='a\\'b\\n\\x41')]<|tool_call_end|>",
          "[go_to{\"o\":{\"a\":[1,2.5,null,\"q'\"]},\"l\":[true,false],\"city\":\"a'b\\n\\u0041\"}]");
    check("<function=",
          "<function=go_to><parameter=city>\n a < b\n</param\n\"\n</parameter><parameter=o>{\"k\": "
          "[1]}</parameter></function>",
          "[go_to{\"city\":\" a < b\\n</param\\n\\\"\",\"o\":{\"k\":[1]}}]");
    check("<arg_key>",
          "<tool_call>go_to\n<arg_key>city</arg_key><arg_value>12</arg_value><arg_key>n</arg_key><arg_value>12</"
          "arg_value></tool_call>",
          "[go_to{\"city\":\"12\",\"n\":12}]");
    check("<tool_call>",
          "<tool_call>{\"name\": \"go_to\", \"arguments\": {\"city\": \"a\\u00e9\\\"</tool_call>\"}}</tool_call>",
          "[go_to{\"city\":\"a\\u00e9\\\"</tool_call>\"}]");
}

/* What looks like a mark and is none, or is a call of no tool, is content. */
static void test_content(void **state)
{
    static const char *const texts[] = {"a < b <tool_ x",
                                        "a <tool_call>{\"name\": \"fly\"}",
                                        "a <tool_call>{\"name\": \"go_to\", ",
                                        "a <tool",
                                        "<tool_call>{\"name\": \"go_to\", \"arguments\": {\"n\": 01}}",
                                        "<tool_call>[{\"name\": 5}]",
                                        "<tool_call>{\"name\": \"go_to\", \"arguments\": {\"n\": 1e999}}",
                                        "<tool_call>\n\n",
                                        "<tool_call>{\"name\": \"go_to\", \"arguments\": {\"n\": 1, \"n\": 2}}",
                                        "<tool_call>{\"name\": \"go_to\", \"arguments\": {\"city\": \"\\q\"}}"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char want[200];
        snprintf(want, sizeof want, "text:%s", texts[i]);
        check("<tool_call>", texts[i], want);
        expect((struct how){.mark = "<tool_call>", .none = true}, texts[i], want);
    }
    check("<tool_call>", "<tool_call>no <tool_call>{\"name\":\"stop-it\"}</tool_call> yes",
          "text:<tool_call>no [stop-it{}]text: yes");
    check("<|tool_call>", "<|tool_call>call:fly{}", "text:<|tool_call>call:fly{}");
    check("<|tool_call_start|>", "<|tool_call_start|>[go_to(\"Oslo\")]", "text:<|tool_call_start|>[go_to(\"Oslo\")]");
    check("<function=", "<function=fly>", "text:<function=fly>");
}

static void test_thoughts(void **state)
{
    (void)state;
    check("<tool_call>", "<think>\nHm.</think>\n\nYes. <tool_call>{\"name\":\"go_to\"}",
          "thought:\nHm.text:Yes. [go_to{}]");
    check("<tool_call>", "<think><tool_call>{\"name\":\"go_to\"}</think>No.",
          "thought:<tool_call>{\"name\":\"go_to\"}text:No.");
    check("<tool_call>", "<thin", "text:<thin");
    check("<tool_call>", "<think>Hm", "thought:Hm");
    check("[ARGS]", "[THINK]Hm[/THINK]Yes", "thought:Hmtext:Yes");
    check("<|tool_call>", "<|channel>thought\nHm<channel|>Yes<|tool_call>call:stop-it{}<tool_call|>",
          "thought:\nHmtext:Yes[stop-it{}]");
    check("<|START_ACTION|>", "<|START_THINKING|>Hm<|END_THINKING|><|START_RESPONSE|>Yes<|END_RESPONSE|>",
          "thought:Hmtext:Yes");
    check("", "<think>Hm</think>\n{\"name\": \"go_to\", \"arguments\": {}}", "thought:Hm[go_to{}]");
    expect((struct how){.mark = "<tool_call>", .prompt = "user<think>\n"}, "Hm</think>\n\nYes", "thought:Hmtext:Yes");
    expect((struct how){.mark = "<tool_call>", .prompt = "user<think>\n"}, "Hm", "thought:Hm");
}

/* Pieces of arguments come as they are written where a grammar makes the call, and not before the whole is known where not. */
static void test_pieces(void **state)
{
    struct how how = {.mark = "<tool_call>", .guarded = true};
    static const char begun[] = "<tool_call>{\"name\": \"go_to\", \"arguments\": {\"city\": \"Os";
    (void)state;
    expect(how, begun, "[go_to{\"city\":\"Os");
    how.guarded = false;
    char want[100];
    snprintf(want, sizeof want, "text:%s", begun);
    expect(how, begun, want);
}

/* Depth, numbers, names and marks without end are bounded, and much text takes no more than its share of time. */
static void test_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        static const char *const repeated[] = {"[", "{", "1", "a", "<", "\"", "<tool_call>", "[TOOL_CALLS]", "go_to("};
        const char *sign = strstr(families[i][1], "Well. ") + 6, *oslo = strstr(sign, "Oslo");
        for (size_t k = 0; k < sizeof repeated / sizeof *repeated; k++) {
            const size_t n = strlen(repeated[k]), head = (size_t)(oslo - sign), size = head + 20000;
            char *text = malloc(size + 1);
            memcpy(text, sign, head);
            for (size_t at = head; at < size; at++)
                text[at] = repeated[k][(at - head) % n];
            text[size] = '\0';
            free(parse(&(struct how){.mark = families[i][0], .guarded = k % 2}, text, size, size / 2));
            free(text);
        }
    }
}

static void test_ids(void **state)
{
    static const char *const marks[][3] = {
        {"[ARGS]", "[TOOL_CALLS]go_to[ARGS]{}[TOOL_CALLS]go_to[ARGS]{}", NULL},
        {"<|tool_call_argument_begin|>",
         "<|tool_call_begin|>functions.go_to:3<|tool_call_argument_begin|>{}<|tool_call_end|>"
         "<|tool_call_begin|>functions.go_to:3<|tool_call_argument_begin|>{}",
         "functions.go_to:3"}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct toolset tools = {0};
        struct serve_failure failure = {0};
        struct tool_parser parser = {.tools = &tools};
        struct seen seen = {evbuffer_new(), -1};
        json_t *body = json_loads(BODY, 0, NULL);
        assert_true(toolset_take(&tools, body, tool_family_of(marks[i][0]), &failure));
        tool_parser_put(&parser, marks[i][1], strlen(marks[i][1]), tell, &seen);
        tool_parser_end(&parser, tell, &seen);
        assert_int_equal(parser.n_calls, 2);
        assert_string_not_equal(parser.calls[0].id, parser.calls[1].id);
        if (marks[i][2])
            assert_string_equal(parser.calls[0].id, marks[i][2]);
        else
            assert_int_equal(strlen(parser.calls[0].id), 9);
        tool_parser_release(&parser);
        evbuffer_free(seen.out);
        json_decref(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families), cmocka_unit_test(test_alone),   cmocka_unit_test(test_harmony),
        cmocka_unit_test(test_values),   cmocka_unit_test(test_content), cmocka_unit_test(test_thoughts),
        cmocka_unit_test(test_pieces),   cmocka_unit_test(test_bounds),  cmocka_unit_test(test_ids)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
