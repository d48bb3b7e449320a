/* SPDX-License-Identifier: MIT
 * hash_chain.c - SHA-256 with a state that can be written down (FIPS 180-4): its first words, and its padding. */
#include <string.h>

#include "base/hash.h"

#define BLOCK 64

void tare_chain_begin(struct tare_chain *chain)
{
    *chain = (struct tare_chain){.word = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                                          0x1f83d9ab, 0x5be0cd19}}; /* section 5.3.3 */
}

void tare_chain_add(struct tare_chain *chain, const void *bytes, size_t n)
{
    tare_hash_blocks(chain->word, bytes, n / BLOCK);
    chain->bytes += n;
}

void tare_chain_end(struct tare_chain *chain, const void *bytes, size_t n, char hex[TARE_HASH_ROOM])
{
    unsigned char last[2 * BLOCK] = {0};
    const size_t whole = n / BLOCK * BLOCK, rest = n - whole, size = rest < BLOCK - 8 ? BLOCK : sizeof last;
    tare_chain_add(chain, bytes, whole);
    const uint64_t bits = (chain->bytes + rest) * 8;
    if (rest)
        memcpy(last, (const unsigned char *)bytes + whole, rest);
    last[rest] = 0x80;
    for (int i = 0; i < 8; i++)
        last[size - 1 - (size_t)i] = (unsigned char)(bits >> (8 * i));
    tare_chain_add(chain, last, size);
    for (int i = 0; i < BLOCK; i++)
        hex[i] = "0123456789abcdef"[chain->word[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex[BLOCK] = '\0';
}
