/* SPDX-License-Identifier: MIT
 * calls_nemotron.c - Nemotron Nano 2: <TOOLCALL> and a list of objects. */
#include "serve/tools/family.h"

const struct tool_family tool_family_nemotron = {
    .name = "nemotron",
    .marks = {"<TOOLCALL>"},
    .forms = {{.sign = "<TOOLCALL>",
               .open = "[",
               .before = "{\"name\": \"",
               .middle = "\", \"arguments\": ",
               .after = "}",
               .between = ", ",
               .close = "]</TOOLCALL>",
               .notation = tool_notation_json,
               .read = tool_read_inside}},
};
