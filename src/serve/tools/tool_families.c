/* SPDX-License-Identifier: MIT
 * tool_families.c - the table of families, and which of them a template is of. */
#include <string.h>

#include "serve/tools/family.h"

static const struct tool_family *const families[] = {
#define FAMILY(name) &tool_family_##name,
#include "serve/tools/tool_families.def"
#undef FAMILY
};

const struct tool_thought tool_thoughts[] = {
#define THOUGHT(open, close) {open, close},
#include "serve/tools/thoughts.def"
#undef THOUGHT
};
const size_t tool_n_thoughts = sizeof tool_thoughts / sizeof *tool_thoughts;

static bool shows(const char *text, const struct tool_family *family)
{
    for (size_t i = 0; i < 2; i++)
        if (family->marks[i] && !strstr(text, family->marks[i]))
            return false;
    return family->marks[0] != NULL;
}

const struct tool_family *tool_family_of(const char *text)
{
    for (size_t i = 0; text && i < sizeof families / sizeof *families; i++)
        if (shows(text, families[i]))
            return families[i];
    return &tool_family_generic;
}

/* The texts of special tokens. A template that renders no call, as one that is only rendered with its result, is told by them. */
static void add_special(struct evbuffer *out, const tare_tokenizer *tokenizer)
{
    const int64_t n = tare_tokenizer_size(tokenizer);
    for (int64_t id = 0; id < n; id++) {
        const char *text;
        size_t size;
        bool special = false;
        if (!tare_tokenizer_token(tokenizer, (int32_t)id, &text, &size, &special, NULL) && special)
            evbuffer_add(out, text, size);
    }
}

/* What the template makes of a tool and, then, of a call of it. False: it shows no tools. */
static bool render_probe(const tare_template *chat, const tare_tokenizer *tokenizer, struct evbuffer *out)
{
    struct tare_template_request request = TARE_TEMPLATE_REQUEST_INIT;
    char *text = NULL;
    size_t size = 0;
    request.messages = "[{\"role\":\"user\",\"content\":\"Hi\"}]";
    request.tools =
        "[{\"type\":\"function\",\"function\":{\"name\":\"probe_it\",\"description\":\"d\",\"parameters\":{"
        "\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\",\"description\":\"e\"}},\"required\":"
        "[\"k\"]}}}]";
    request.clock = "2026-01-01T00:00:00";
    request.add_generation_prompt = true;
    const bool shows_tools = !tare_template_render(chat, &request, &text, &size, NULL) && strstr(text, "probe_it");
    if (shows_tools)
        evbuffer_add(out, text, size);
    tare_text_free(text);
    if (!shows_tools)
        return false;
    text = NULL;
    request.messages =
        "[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{"
        "\"id\":\"abcdefghi\",\"type\":\"function\",\"function\":{\"name\":\"probe_it\",\"arguments\":{"
        "\"k\":\"v\"}}}]}]";
    request.add_generation_prompt = false;
    if (!tare_template_render(chat, &request, &text, &size, NULL))
        evbuffer_add(out, text, size);
    else
        add_special(out, tokenizer);
    tare_text_free(text);
    return true;
}

const struct tool_family *tool_family_probe(const tare_template *chat, const tare_tokenizer *tokenizer, bool *describes)
{
    struct evbuffer *all = evbuffer_new();
    const bool shows_tools = chat && all && render_probe(chat, tokenizer, all);
    *describes = chat && !shows_tools;
    if (shows_tools)
        evbuffer_add(all, "", 1);
    const struct tool_family *family = tool_family_of(shows_tools ? (const char *)evbuffer_pullup(all, -1) : NULL);
    if (all)
        evbuffer_free(all);
    return family;
}

bool tool_family_short_ids(const struct tool_family *family)
{
    return family && family->ids == TOOL_IDS_SHORT;
}
