/* SPDX-License-Identifier: MIT
 * calls_qwen_coder.c - Qwen3-Coder, Qwen3.5, Nemotron 3: <function=NAME> with a tag for each parameter, within <tool_call>. */
#include "serve/tools/family.h"

static const struct tool_tags tags = {.name_close = ">",
                                      .key_open = "<parameter=",
                                      .key_close = ">",
                                      .value_close = "</parameter>",
                                      .end = "</function>",
                                      .lines = true};

const struct tool_family tool_family_qwen_coder = {
    .name = "qwen_coder",
    .marks = {"<function="},
    .forms = {{.sign = "<function=",
               .middle = ">\n",
               .after = "</function>",
               .notation = tool_notation_tags,
               .read = tool_read_tags,
               .tags = &tags}},
    .noise = {"<tool_call>", "</tool_call>"},
    .raw = true,
};
