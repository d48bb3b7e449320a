/* SPDX-License-Identifier: MIT
 * number.h - small questions about integers that several rooms ask. */
#ifndef TARE_BASE_NUMBER_H
#define TARE_BASE_NUMBER_H

#include <stdint.h>
#include <string.h>

/* The greatest common divisor of two numbers that are not negative; that of n and 0 is n. */
static inline int64_t tare_common_divisor(int64_t a, int64_t b)
{
    while (b) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Word `at` of 32-bit words that need not be aligned: a tensor may lie at any byte of its file. */
static inline uint32_t tare_word_at(const void *words, int64_t at)
{
    uint32_t word;
    memcpy(&word, (const unsigned char *)words + 4 * at, sizeof word);
    return word;
}

#endif
