/* SPDX-License-Identifier: MIT
 * calls_deepseek_fenced.c - DeepSeek V3 and R1: the kind of call, its name, and the arguments in a fence. */
#include "serve/tools/calls_deepseek.h"
#include "serve/tools/family.h"

static const struct tool_beside beside = {
    .lead = "function" DEEPSEEK_SEP, .point = "\n", .gap = "```json", .tail = "```", .dialect = &tool_json};

const struct tool_family tool_family_deepseek_fenced = {
    .name = "deepseek_fenced",
    .marks = {DEEPSEEK_SEP, DEEPSEEK_SEP "probe_it\n```json"},
    .forms = {{.sign = DEEPSEEK_CALL,
               .open = "function" DEEPSEEK_SEP,
               .middle = "\n```json\n",
               .after = "\n```" DEEPSEEK_CALL_END,
               .notation = tool_notation_json,
               .read = tool_read_beside,
               .beside = &beside}},
    .noise = {DEEPSEEK_CALLS, DEEPSEEK_CALL_END, DEEPSEEK_CALLS_END},
};
