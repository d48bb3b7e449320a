/* SPDX-License-Identifier: MIT
 * calls_mistral_list.c - Mistral to v10 (Nemo): [TOOL_CALLS] and a list of objects. */
#include "serve/tools/family.h"

const struct tool_family tool_family_mistral_list = {
    .name = "mistral_list",
    .marks = {"[TOOL_CALLS]"},
    .forms = {{.sign = "[TOOL_CALLS]",
               .open = "[",
               .before = "{\"name\": \"",
               .middle = "\", \"arguments\": ",
               .after = "}",
               .between = ", ",
               .close = "]",
               .notation = tool_notation_json,
               .read = tool_read_inside}},
    .ids = TOOL_IDS_SHORT,
};
