/* SPDX-License-Identifier: MIT
 * faults.h - allocations that fail when a test wants it. A program includes it once; tests/CMakeLists.txt wraps
 * malloc, calloc and realloc of those named test_faults_*. */
#ifndef TARE_TESTS_FAULTS_H
#define TARE_TESTS_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

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

#endif
