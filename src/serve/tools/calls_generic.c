/* SPDX-License-Identifier: MIT
 * calls_generic.c - models whose template knows no tools: these are described to the model, and an object is asked for. Calls that
 * are required are also written so where the family's own form has raw text in it. */
#include "serve/tools/family.h"

const struct tool_family tool_family_generic = {
    .name = "generic",
    .forms = {{.sign = "{\"name\"",
               .first = true,
               .keep = true,
               .before = ": \"",
               .middle = "\", \"arguments\": ",
               .after = "}",
               .notation = tool_notation_json,
               .read = tool_read_inside}},
    .single = true,
};
