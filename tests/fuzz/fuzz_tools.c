/* SPDX-License-Identifier: MIT
 * fuzz_tools.c - the answer of a model with tools: the first byte says which family, whether calls are guarded and where the text is
 * cut. Whatever it is, its calls are of tools that there are, and arguments told unguarded are JSON; the two cuts give the same. */
#include <string.h>

#include "fuzz.h"
#include "serve/tools/family.h"

static const struct tool_family *const families[] = {
#define FAMILY(name) &tool_family_##name,
#include "serve/tools/tool_families.def"
#undef FAMILY
};

static const char BODY[] = "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":"
                           "\"object\",\"properties\":{"
                           "\"s\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"}}}}}]}";

static void tell(void *user, const struct tool_piece *p)
{
    struct tool_bytes *all = user;
    static const char kinds[] = "txcae";
    if (p->kind == TOOL_CALL)
        tool_bytes_add(all, kinds + p->kind, 1);
    if (p->kind == TOOL_CALL_END)
        tool_bytes_add(all, kinds + p->kind, 1);
    if (p->kind != TOOL_CALL && p->kind != TOOL_CALL_END)
        tool_bytes_add(all, p->text, p->size);
}

/* What is told of a text that comes in two pieces. */
static struct tool_bytes parse(const json_t *body, uint8_t first, const char *text, size_t size, size_t cut)
{
    struct toolset tools = {0};
    struct serve_failure failure = {0};
    struct tool_parser parser = {.tools = &tools};
    struct tool_bytes all = {0};
    FUZZ_CHECK(toolset_take(&tools, body, families[(first & 0x7f) % (sizeof families / sizeof *families)], &failure));
    tools.guarded = first & 0x80;
    cut = cut < size ? cut : size;
    tool_parser_put(&parser, text, cut, tell, &all);
    tool_parser_put(&parser, text + cut, size - cut, tell, &all);
    tool_parser_end(&parser, tell, &all);
    for (size_t i = 0; i < parser.n_calls; i++) {
        json_t *arguments = json_loadb(parser.calls[i].arguments.data ? parser.calls[i].arguments.data : "",
                                       parser.calls[i].arguments.size, 0, NULL);
        FUZZ_CHECK(tools.guarded || json_is_object(arguments));
        FUZZ_CHECK(!strcmp(parser.calls[i].name, "f"));
        json_decref(arguments);
    }
    tool_parser_release(&parser);
    return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *body = json_loads(BODY, 0, NULL);
    if (size >= 2 && !memchr(data, 0, size)) { /* texts of a model have no NUL */
        const char *text = (const char *)data + 2;
        struct tool_bytes whole = parse(body, data[0], text, size - 2, size - 2);
        struct tool_bytes cut = parse(body, data[0], text, size - 2, data[1]);
        FUZZ_CHECK(whole.size == cut.size && (!whole.size || !memcmp(whole.data, cut.data, whole.size)));
        tool_bytes_release(&whole);
        tool_bytes_release(&cut);
    }
    json_decref(body);
    return 0;
}
