/* SPDX-License-Identifier: MIT
 * nibbles.h - codes of 4 bits that lie two in a byte, as bytes. */
#ifndef TARE_PACKING_NIBBLES_H
#define TARE_PACKING_NIBBLES_H

#include <stdint.h>
#include <string.h>

/* Spreads n nibbles, the low one of a byte first, to bytes, in place: they begin at byte n / 2 of `code`. Each block is
 * copied away before it is overwritten, and no byte is written that is still to be read. */
static inline void tare_spread_nibbles(uint8_t *code, int64_t n)
{
    uint8_t block[64];
    for (int64_t k = 0; k < n / 2; k += (int64_t)sizeof block) {
        const int64_t left = n / 2 - k, m = left < (int64_t)sizeof block ? left : (int64_t)sizeof block;
        memcpy(block, code + n / 2 + k, (size_t)m);
        for (int64_t i = 0; i < m; i++) {
            code[2 * (k + i)] = block[i] & 15;
            code[2 * (k + i) + 1] = block[i] >> 4;
        }
    }
}

#endif
