/* SPDX-License-Identifier: MIT
 * calls_muse.c - Muse: <atem:invoke name="NAME"> with a tag for each parameter, within <atem:function_calls>. */
#include "serve/tools/family.h"

static const struct tool_tags tags = {.name_close = "\">",
                                      .key_open = "<atem:parameter name=\"",
                                      .key_close = "\">",
                                      .value_close = "</atem:parameter>",
                                      .end = "</atem:invoke>"};

const struct tool_family tool_family_muse = {
    .name = "muse",
    .marks = {"<atem:invoke"},
    .forms = {{.sign = "<atem:invoke name=\"",
               .middle = "\">\n",
               .after = "</atem:invoke>",
               .notation = tool_notation_tags,
               .read = tool_read_tags,
               .tags = &tags}},
    .noise = {"<atem:function_calls>", "</atem:function_calls>"},
    .raw = true,
};
