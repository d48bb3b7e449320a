/* SPDX-License-Identifier: MIT
 * calls_granite_list.c - Granite 3: <|tool_call|> and a list of objects. */
#include "serve/tools/family.h"

const struct tool_family tool_family_granite_list = {
    .name = "granite_list",
    .marks = {"<|tool_call|>"},
    .forms = {{.sign = "<|tool_call|>",
               .open = "[",
               .before = "{\"name\": \"",
               .middle = "\", \"arguments\": ",
               .after = "}",
               .between = ", ",
               .close = "]",
               .notation = tool_notation_json,
               .read = tool_read_inside}},
};
