/* SPDX-License-Identifier: MIT
 * families.c - the table of families, and which of them a template is of. */
#include <string.h>

#include "serve/tools/family.h"

static const struct tool_family *const families[] = {
#define FAMILY(name) &tool_family_##name,
#include "serve/tools/families.def"
#undef FAMILY
};

const struct tool_thought tool_thoughts[] = {
#define THOUGHT(open, close) {open, close},
#include "serve/tools/thoughts.def"
#undef THOUGHT
};
const size_t tool_n_thoughts = sizeof tool_thoughts / sizeof *tool_thoughts;

static bool shows(const char *text, const struct tool_family *family)
{
    for (size_t i = 0; i < 2; i++)
        if (family->marks[i] && !strstr(text, family->marks[i]))
            return false;
    return family->marks[0] != NULL;
}

const struct tool_family *tool_family_of(const char *text)
{
    for (size_t i = 0; text && i < sizeof families / sizeof *families; i++)
        if (shows(text, families[i]))
            return families[i];
    return &tool_family_generic;
}
