/* SPDX-License-Identifier: MIT
 * calls_hermes.c - Hermes, Qwen2.5, Qwen3, Granite 4 and others: an object within <tool_call>, one for each call. */
#include "serve/tools/family.h"

const struct tool_family tool_family_hermes = {
    .name = "hermes",
    .marks = {"<tool_call>"},
    .forms = {{.sign = "<tool_call>",
               .open = "\n",
               .before = "{\"name\": \"",
               .middle = "\", \"arguments\": ",
               .after = "}",
               .close = "\n</tool_call>",
               .notation = tool_notation_json,
               .read = tool_read_inside}},
};
