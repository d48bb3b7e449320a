/* SPDX-License-Identifier: MIT
 * calls_deepseek_dsml.c - DeepSeek V3.2 and V4: invocations in tags that one special token marks; function_calls or tool_calls
 * stands around them. */
#include "serve/tools/family.h"

#define DSML                                                                                                           \
    "\xef\xbd\x9c"                                                                                                     \
    "DSML"                                                                                                             \
    "\xef\xbd\x9c"

static const struct tool_tags tags = {.name_close = "\">",
                                      .key_open = "<" DSML "parameter name=\"",
                                      .key_close = "\"",
                                      .value_close = "</" DSML "parameter>",
                                      .end = "</" DSML "invoke>",
                                      .typed = true};

const struct tool_family tool_family_deepseek_dsml = {
    .name = "deepseek_dsml",
    .marks = {DSML},
    .forms = {{.sign = "<" DSML "invoke name=\"",
               .middle = "\">\n",
               .after = "</" DSML "invoke>",
               .notation = tool_notation_tags,
               .read = tool_read_tags,
               .tags = &tags}},
    .noise = {"<" DSML "function_calls>", "</" DSML "function_calls>", "<" DSML "tool_calls>", "</" DSML "tool_calls>"},
    .raw = true,
};
