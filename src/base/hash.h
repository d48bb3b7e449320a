/* SPDX-License-Identifier: MIT
 * hash.h - SHA-256 and SHA-1 of content, by libcrypto (hash_crypto.c) or by our own code (hash_plain.c): CMakeLists.txt
 * compiles one of the two. libcrypto uses the processor's instructions for it and is several times as fast.
 */
#ifndef TARE_BASE_HASH_H
#define TARE_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tare_hash_kind { TARE_HASH_SHA256, TARE_HASH_SHA1 };

#define TARE_HASH_ROOM 65 /* bytes: 64 hexadecimal digits of SHA-256, or 40 of SHA-1, and a NUL */

/* What all hashes share; read-only, any number of threads. NULL when there is no memory: the provider
 * that libcrypto has built in knows both. */
struct tare_hashes;
struct tare_hashes *tare_hashes_open(void);
void tare_hashes_free(struct tare_hashes *hashes);

/* One hash; belongs to one thread. begin returns NULL when there is no memory. */
struct tare_hash;
struct tare_hash *tare_hash_begin(const struct tare_hashes *hashes, enum tare_hash_kind kind);
bool tare_hash_add(struct tare_hash *hash, const void *bytes, size_t n);
/* Writes the digits. Nothing can be added after it. */
bool tare_hash_end(struct tare_hash *hash, char hex[TARE_HASH_ROOM]);
void tare_hash_free(struct tare_hash *hash);

/* A SHA-256 whose state is plain numbers, which can be written down and taken up by another process. */
struct tare_chain {
    uint32_t word[8];
    uint64_t bytes; /* taken so far */
};
void tare_chain_begin(struct tare_chain *chain);
/* n is a multiple of 64. */
void tare_chain_add(struct tare_chain *chain, const void *bytes, size_t n);
/* Takes the last n bytes, any number of them, and writes the digits. */
void tare_chain_end(struct tare_chain *chain, const void *bytes, size_t n, char hex[TARE_HASH_ROOM]);
/* Takes whole blocks of 64 bytes into the words: what the two files do each in its own way, for hash_chain.c. */
void tare_hash_blocks(uint32_t word[8], const void *bytes, size_t blocks);

#endif
