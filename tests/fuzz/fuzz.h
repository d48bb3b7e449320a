/* SPDX-License-Identifier: MIT
 * fuzz.h - what each fuzz target defines, and how it says that something is wrong. */
#ifndef TARE_TESTS_FUZZ_H
#define TARE_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

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

#endif
