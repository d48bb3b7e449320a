/* SPDX-License-Identifier: MIT
 * calls_minicpm.c - MiniCPM5: <function name="NAME"> with a tag for each parameter. */
#include "serve/tools/family.h"

static const struct tool_tags tags = {.name_close = "\">",
                                      .key_open = "<param name=\"",
                                      .key_close = "\">",
                                      .value_close = "</param>",
                                      .end = "</function>",
                                      .wrap_open = "<![CDATA[",
                                      .wrap_close = "]]></param>"};

const struct tool_family tool_family_minicpm = {
    .name = "minicpm",
    .marks = {"<function name=\"", "<param name=\""},
    .forms = {{.sign = "<function name=\"",
               .middle = "\">",
               .after = "</function>",
               .notation = tool_notation_tags,
               .read = tool_read_tags,
               .tags = &tags}},
    .noise = {"<tool_calls>", "</tool_calls>"},
    .raw = true,
};
