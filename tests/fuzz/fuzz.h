/* SPDX-License-Identifier: MIT
 * fuzz.h - what each fuzz target defines, and how it says that something is wrong. */
#ifndef TARE_TESTS_FUZZ_H
#define TARE_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* assert() that stands in release builds too. */
static inline void fuzz_check(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}
#define FUZZ_CHECK(condition) fuzz_check((condition), #condition)

/* Files in memory plan or are refused with a sentence, and the account of the plan adds up. */
static inline void fuzz_plan(const struct tare_options *options)
{
    struct tare_error err = {0};
    tare_model *model = NULL;
    const enum tare_code code = tare_plan(&model, "fuzz", options, &err);
    const struct tare_report *r = tare_model_report(model);
    if (r) {
        FUZZ_CHECK(code == r->code && r->loads == !code && (!code || err.text[0]));
        FUZZ_CHECK(r->sources == r->used + r->n_set_aside + r->n_unexpected + r->misshapen_sources);
        char *json = tare_model_json(model, true);
        FUZZ_CHECK(json && json[0] == '{');
        tare_text_free(json);
    }
    tare_model_free(model);
}

#endif
