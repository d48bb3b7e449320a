/* SPDX-License-Identifier: MIT
 * calls_mistral_args.c - Mistral from v11 on: [TOOL_CALLS]NAME[ARGS]{..}, repeated; some have [CALL_ID] and an id between. */
#include "serve/tools/family.h"

static const struct tool_beside beside = {.point = "[ARGS]", .dialect = &tool_json, .id = "[CALL_ID]"};

const struct tool_family tool_family_mistral_args = {
    .name = "mistral_args",
    .marks = {"[ARGS]"},
    .forms = {{.sign = "[TOOL_CALLS]",
               .middle = "[ARGS]",
               .notation = tool_notation_json,
               .read = tool_read_beside,
               .beside = &beside}},
    .ids = TOOL_IDS_SHORT,
};
