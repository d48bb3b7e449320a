/* SPDX-License-Identifier: MIT
 * calls_lfm2.c - LFM2: <|tool_call_start|>[f(a=1), g()]<|tool_call_end|>, calls as Python has them. */
#include "serve/tools/family.h"

const struct tool_family tool_family_lfm2 = {
    .name = "lfm2",
    .marks = {"<|tool_call_start|>"},
    .forms = {{.sign = "<|tool_call_start|>",
               .open = "[",
               .middle = "(",
               .after = ")",
               .between = ", ",
               .close = "]<|tool_call_end|>",
               .notation = tool_notation_python,
               .read = tool_read_python}},
    .noise = {"<|tool_call_end|>"},
};
