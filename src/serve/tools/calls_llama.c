/* SPDX-License-Identifier: MIT
 * calls_llama.c - Llama 3 and 4: an object as the whole answer, or a list as Python has it; and after <|python_tag|> a tool that is
 * built in, NAME.call(key="..."), which may also be an object. */
#include <string.h>

#include "serve/tools/family.h"

/* What follows the mark of built-in tools. */
static enum tool_step read_tagged(struct tool_parser *p, bool over)
{
    const char *after = p->held + strlen(p->reading.form->sign);
    after += strspn(after, " \n\t");
    if (!*after)
        return TOOL_MORE;
    return *after == '{' ? tool_read_inside(p, over) : tool_read_python(p, over);
}

const struct tool_family tool_family_llama = {
    .name = "llama",
    .marks = {"\"parameters\""},
    .forms = {{.sign = "{\"name\"",
               .first = true,
               .keep = true,
               .before = ": \"",
               .middle = "\", \"parameters\": ",
               .after = "}",
               .notation = tool_notation_json,
               .read = tool_read_inside},
              {.sign = "<|python_tag|>",
               .middle = ".call(",
               .after = ")",
               .notation = tool_notation_python,
               .read = read_tagged},
              {.sign = "<|python_tag|>",
               .before = "{\"name\": \"",
               .middle = "\", \"parameters\": ",
               .after = "}",
               .notation = tool_notation_json,
               .read = read_tagged},
              {.sign = "[", .first = true, .keep = true, .loose = true, .read = tool_read_python},
              {.sign = "<|python_start|>", .loose = true, .read = tool_read_python}},
    .noise = {"<|python_end|>"},
    .single = true,
};
