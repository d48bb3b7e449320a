/* SPDX-License-Identifier: MIT
 * calls_command_r.c - Command R7B: <|START_ACTION|>[{"tool_call_id": .., "tool_name": .., "parameters": {..}}]<|END_ACTION|>. */
#include "serve/tools/family.h"

const struct tool_family tool_family_command_r = {
    .name = "command_r",
    .marks = {"<|START_ACTION|>"},
    .forms = {{.sign = "<|START_ACTION|>",
               .open = "[",
               .before = "{\"tool_call_id\": \"0\", \"tool_name\": \"",
               .middle = "\", \"parameters\": ",
               .after = "}",
               .between = ", ",
               .close = "]<|END_ACTION|>",
               .notation = tool_notation_json,
               .read = tool_read_inside}},
    .noise = {"<|END_ACTION|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>"},
};
