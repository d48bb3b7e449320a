/* SPDX-License-Identifier: MIT
 * calls_gigachat.c - GigaChat 3: <|function_call|> and an object. */
#include "serve/tools/family.h"

const struct tool_family tool_family_gigachat = {
    .name = "gigachat",
    .marks = {"<|function_call|>"},
    .forms = {{.sign = "<|function_call|>",
               .before = "{\"name\": \"",
               .middle = "\", \"arguments\": ",
               .after = "}",
               .notation = tool_notation_json,
               .read = tool_read_inside}},
};
