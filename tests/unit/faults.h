/* SPDX-License-Identifier: MIT
 * faults.h - allocations that fail when a test wants it. A program includes it once; tests/CMakeLists.txt wraps
 * malloc, calloc and realloc of those named test_faults_*. */
#ifndef TARE_TESTS_FAULTS_H
#define TARE_TESTS_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

#include "fixture.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

static long allocations = -1; /* until one fails; -1: none does */

/* Counts down to the one that fails. */
static bool fails(long *left)
{
    return *left >= 0 && (*left)-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails(&allocations) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails(&allocations) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails(&allocations) ? NULL : __real_realloc(old, size);
}

/* Fail the n-th allocation of act() for each n until it gets through; returns how many there were. */
static inline long fault_each(enum tare_code (*act)(void *user, struct tare_error *err), void *user)
{
    for (long n = 0;; n++) {
        struct tare_error err = {0};
        allocations = n;
        const enum tare_code code = act(user, &err);
        const bool through = allocations >= 0;
        allocations = -1;
        if (through) {
            fixture_expect(code, &err, TARE_OK, NULL, NULL);
            return n;
        }
        fixture_expect(code, &err, TARE_E_MEMORY, NULL, "out of memory");
    }
}

#endif
