/* SPDX-License-Identifier: MIT
 * calls_function_gemma.c - FunctionGemma: <start_function_call>call:NAME{key:<escape>text<escape>}<end_function_call>. */
#include "serve/tools/family.h"

static const struct tool_dialect dialect = {.quote = "<escape>", .bare = true};
static const struct tool_beside beside = {.lead = "call:", .point = "{", .inclusive = true, .dialect = &dialect};

const struct tool_family tool_family_function_gemma = {
    .name = "function_gemma",
    .marks = {"<start_function_call>"},
    .forms = {{.sign = "<start_function_call>",
               .before = "call:",
               .after = "<end_function_call>",
               .notation = tool_notation_bare,
               .read = tool_read_beside,
               .beside = &beside}},
    .noise = {"<end_function_call>"},
    .raw = true,
};
