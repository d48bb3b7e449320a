/* SPDX-License-Identifier: MIT
 * calls_kimi.c - Kimi K2: functions.NAME:N<|tool_call_argument_begin|>{..} within a section of calls. */
#include "serve/tools/family.h"

static const struct tool_beside beside = {
    .point = "<|tool_call_argument_begin|>", .dialect = &tool_json, .numbered = true};

const struct tool_family tool_family_kimi = {
    .name = "kimi",
    .marks = {"<|tool_call_argument_begin|>"},
    .forms = {{.sign = "<|tool_call_begin|>",
               .before = "functions.",
               .middle = ":0<|tool_call_argument_begin|>",
               .after = "<|tool_call_end|>",
               .notation = tool_notation_json,
               .read = tool_read_beside,
               .beside = &beside}},
    .noise = {"<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "<|tool_call_end|>"},
    .ids = TOOL_IDS_NUMBERED,
};
