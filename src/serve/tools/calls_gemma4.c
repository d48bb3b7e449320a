/* SPDX-License-Identifier: MIT
 * calls_gemma4.c - Gemma 4: <|tool_call>call:NAME{key:value,..}<tool_call|>, keys without quotes and texts between marks. */
#include "serve/tools/family.h"

static const struct tool_dialect dialect = {.quote = "<|\"|>", .bare = true};
static const struct tool_beside beside = {.lead = "call:", .point = "{", .inclusive = true, .dialect = &dialect};

const struct tool_family tool_family_gemma4 = {
    .name = "gemma4",
    .marks = {"<|tool_call>"},
    .forms = {{.sign = "<|tool_call>",
               .before = "call:",
               .after = "<tool_call|>",
               .notation = tool_notation_bare,
               .read = tool_read_beside,
               .beside = &beside}},
    .noise = {"<tool_call|>"},
    .raw = true,
};
