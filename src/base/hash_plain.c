/* SPDX-License-Identifier: MIT
 * hash_plain.c - SHA-256 and SHA-1 as FIPS 180-4 has them, for a library without libcrypto (TARE_OPENSSL=OFF). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define BLOCK 64 /* bytes that one round of either hash takes */

/* Both hashes pad alike, so only the words of the state and the round differ. */
struct tare_hash {
    enum tare_hash_kind kind;
    uint32_t state[8]; /* SHA-1 uses five */
    uint64_t total;    /* bytes */
    unsigned char block[BLOCK];
};
/* Our own code has nothing to share. */
struct tare_hashes {
    char none;
};

static uint32_t right(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static uint32_t left(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

static uint32_t big_endian(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* FIPS 180-4, section 6.2.2. */
static void sha256_block(uint32_t state[8], const unsigned char *block)
{
    /* Section 4.2.2: the fractional parts of the cube roots of the first 64 primes. */
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
    };
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++)
        w[i] = big_endian(block + (size_t)4 * (size_t)i);
    for (int i = 16; i < 64; i++) {
        const uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (right(a, 7) ^ right(a, 18) ^ a >> 3) + w[i - 7] + (right(b, 17) ^ right(b, 19) ^ b >> 10);
    }
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        const uint32_t choice = (s[4] & s[5]) ^ (~s[4] & s[6]),
                       majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
        const uint32_t t1 = s[7] + (right(s[4], 6) ^ right(s[4], 11) ^ right(s[4], 25)) + choice + k[i] + w[i];
        const uint32_t t2 = (right(s[0], 2) ^ right(s[0], 13) ^ right(s[0], 22)) + majority;
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

/* FIPS 180-4, section 6.1.2. */
static void sha1_block(uint32_t state[8], const unsigned char *block)
{
    static const uint32_t k[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6}; /* section 4.2.1 */
    uint32_t w[80], s[5];
    for (int i = 0; i < 16; i++)
        w[i] = big_endian(block + (size_t)4 * (size_t)i);
    for (int i = 16; i < 80; i++)
        w[i] = left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 80; i++) {
        const uint32_t choice = (s[1] & s[2]) ^ (~s[1] & s[3]), parity = s[1] ^ s[2] ^ s[3];
        const uint32_t majority = (s[1] & s[2]) ^ (s[1] & s[3]) ^ (s[2] & s[3]);
        const uint32_t f[4] = {choice, parity, majority, parity};
        const uint32_t t = left(s[0], 5) + f[i / 20] + s[4] + k[i / 20] + w[i];
        s[4] = s[3];
        s[3] = s[2];
        s[2] = left(s[1], 30);
        s[1] = s[0];
        s[0] = t;
    }
    for (int i = 0; i < 5; i++)
        state[i] += s[i];
}

static void take_block(struct tare_hash *hash, const unsigned char *block)
{
    if (hash->kind == TARE_HASH_SHA256)
        sha256_block(hash->state, block);
    else
        sha1_block(hash->state, block);
}

struct tare_hashes *tare_hashes_open(void)
{
    return calloc(1, sizeof(struct tare_hashes));
}

void tare_hashes_free(struct tare_hashes *hashes)
{
    free(hashes);
}

struct tare_hash *tare_hash_begin(const struct tare_hashes *hashes, enum tare_hash_kind kind)
{
    /* Sections 5.3.1 and 5.3.3. */
    static const uint32_t first[2][8] = {
        [TARE_HASH_SHA256] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
                              0x5be0cd19},
        [TARE_HASH_SHA1] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0},
    };
    struct tare_hash *hash = calloc(1, sizeof *hash);
    (void)hashes;
    if (!hash)
        return NULL;
    hash->kind = kind;
    memcpy(hash->state, first[kind], sizeof hash->state);
    return hash;
}

bool tare_hash_add(struct tare_hash *hash, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    const size_t held = (size_t)(hash->total % BLOCK);
    hash->total += n;
    if (held) {
        const size_t missing = BLOCK - held, taken = n < missing ? n : missing;
        memcpy(hash->block + held, p, taken);
        if (taken < missing)
            return true;
        take_block(hash, hash->block);
        p += taken;
        n -= taken;
    }
    for (; n >= BLOCK; p += BLOCK, n -= BLOCK)
        take_block(hash, p);
    if (n)
        memcpy(hash->block, p, n);
    return true;
}

bool tare_hash_end(struct tare_hash *hash, char hex[TARE_HASH_ROOM])
{
    static const unsigned char padding[BLOCK] = {0x80};
    const uint64_t bits = hash->total * 8, held = hash->total % BLOCK;
    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(bits >> (56 - 8 * i));
    tare_hash_add(hash, padding, (size_t)((held < 56 ? 56 : 120) - held));
    tare_hash_add(hash, length, sizeof length);
    const int digits = hash->kind == TARE_HASH_SHA256 ? 64 : 40;
    for (int i = 0; i < digits; i++)
        hex[i] = "0123456789abcdef"[hash->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex[digits] = '\0';
    return true;
}

void tare_hash_free(struct tare_hash *hash)
{
    free(hash);
}

void tare_hash_blocks(uint32_t word[8], const void *bytes, size_t blocks)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < blocks; i++, p += BLOCK)
        sha256_block(word, p);
}
