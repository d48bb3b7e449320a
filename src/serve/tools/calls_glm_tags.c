/* SPDX-License-Identifier: MIT
 * calls_glm_tags.c - GLM 4.5 to 4.7: <tool_call>NAME, then a tag for each key and one for each value. */
#include "serve/tools/family.h"

static const struct tool_tags tags = {.key_open = "<arg_key>",
                                      .key_close = "</arg_key>",
                                      .value_open = "<arg_value>",
                                      .value_close = "</arg_value>",
                                      .end = "</tool_call>"};

const struct tool_family tool_family_glm_tags = {
    .name = "glm_tags",
    .marks = {"<arg_key>"},
    .forms = {{.sign = "<tool_call>",
               .middle = "\n",
               .after = "</tool_call>",
               .notation = tool_notation_tags,
               .read = tool_read_tags,
               .tags = &tags}},
    .raw = true,
};
