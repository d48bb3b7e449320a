/* SPDX-License-Identifier: MIT
 * calls_minimax.c - MiniMax M2: <invoke name="NAME"> with a tag for each parameter, within <minimax:tool_call>. */
#include "serve/tools/family.h"

static const struct tool_tags tags = {.name_close = "\">",
                                      .key_open = "<parameter name=\"",
                                      .key_close = "\">",
                                      .value_close = "</parameter>",
                                      .end = "</invoke>"};

const struct tool_family tool_family_minimax = {
    .name = "minimax",
    .marks = {"<invoke name="},
    .forms = {{.sign = "<invoke name=\"",
               .middle = "\">\n",
               .after = "</invoke>",
               .notation = tool_notation_tags,
               .read = tool_read_tags,
               .tags = &tags}},
    .noise = {"<minimax:tool_call>", "</minimax:tool_call>"},
    .raw = true,
};
