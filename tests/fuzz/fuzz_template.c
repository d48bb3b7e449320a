/* SPDX-License-Identifier: MIT
 * fuzz_template.c - variables, a NUL, a template: refused with a sentence, or UTF-8 that renders the same twice. */
#include <string.h>

#include "fuzz.h"
#include "tare.h"
#include "text/unicode.h"

static enum tare_code render(const tare_template *template, const char *variables, char **text, size_t *size,
                             struct tare_error *err)
{
    struct tare_template_request request = TARE_TEMPLATE_REQUEST_INIT;
    request.variables = variables;
    request.clock = "2025-07-04T09:05:03";
    return tare_template_render(template, &request, text, size, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tare_error err = {0};
    const char *bytes = (const char *)data, *cut = size ? memchr(bytes, '\0', size) : NULL;
    const size_t skip = cut ? (size_t)(cut - bytes) + 1 : 0;
    char *text = NULL, *again = NULL;
    size_t text_size = 0, again_size = 0;
    tare_template *template;
    FUZZ_CHECK(!tare_template_from_text(&template, size ? bytes + skip : "", size - skip, &err));
    const enum tare_code code = render(template, cut ? bytes : NULL, &text, &text_size, &err);
    FUZZ_CHECK(code == err.code && (code == TARE_OK) == (text != NULL));
    if (!code) { /* raise_exception may say nothing */
        FUZZ_CHECK(tare_utf8_check(text, text_size) == text_size && text[text_size] == '\0');
        FUZZ_CHECK(!render(template, cut ? bytes : NULL, &again, &again_size, &err));
        FUZZ_CHECK(again_size == text_size && !memcmp(text, again, text_size));
    }
    tare_template_free(template);
    tare_text_free(text);
    tare_text_free(again);
    return 0;
}
