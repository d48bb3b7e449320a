/* SPDX-License-Identifier: MIT
 * calls_deepseek_plain.c - DeepSeek V3.1: name and arguments with a mark between, without kind and fence. */
#include "serve/tools/calls_deepseek.h"
#include "serve/tools/family.h"

static const struct tool_beside beside = {.point = DEEPSEEK_SEP, .dialect = &tool_json};

const struct tool_family tool_family_deepseek_plain = {
    .name = "deepseek_plain",
    .marks = {DEEPSEEK_SEP},
    .forms = {{.sign = DEEPSEEK_CALL,
               .middle = DEEPSEEK_SEP,
               .after = DEEPSEEK_CALL_END,
               .notation = tool_notation_json,
               .read = tool_read_beside,
               .beside = &beside}},
    .noise = {DEEPSEEK_CALLS, DEEPSEEK_CALL_END, DEEPSEEK_CALLS_END},
};
