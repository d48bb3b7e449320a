/* SPDX-License-Identifier: MIT
 * fuzz_template.c - variables, a NUL, a template: refused with a sentence, or UTF-8 that renders the same twice. */
#include <string.h>

#include "fuzz.h"
#include "tare.h"
#include "text/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tare_error err = {0};
    const char *bytes = (const char *)data, *cut = size ? memchr(bytes, '\0', size) : NULL;
    const size_t n = cut ? (size_t)(cut - bytes) : 0, skip = cut ? n + 1 : 0;
    const char *variables = cut ? bytes : "{}", *template = size ? bytes + skip : "";
    char *text = NULL, *again = NULL;
    size_t text_size = 0, again_size = 0;
    const enum tare_code code = tare_template_render(template, size - skip, variables, cut ? n : 2,
                                                     "2025-07-04T09:05:03", &text, &text_size, &err);
    FUZZ_CHECK(code == err.code && (code == TARE_OK) == (text != NULL));
    if (code) /* raise_exception may say nothing */
        return 0;
    FUZZ_CHECK(tare_utf8_check(text, text_size) == text_size && text[text_size] == '\0');
    FUZZ_CHECK(!tare_template_render(template, size - skip, variables, cut ? n : 2, "2025-07-04T09:05:03", &again,
                                     &again_size, &err));
    FUZZ_CHECK(again_size == text_size && !memcmp(text, again, text_size));
    tare_text_free(text);
    tare_text_free(again);
    return 0;
}
