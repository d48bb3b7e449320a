/* SPDX-License-Identifier: MIT
 * hash_crypto.c - hashes by OpenSSL's libcrypto (TARE_OPENSSL=ON). */
#define OPENSSL_SUPPRESS_DEPRECATED /* EVP gives no way to its state, SHA256_CTX does */
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/hash.h"

struct tare_hashes {
    OSSL_LIB_CTX *library; /* of its own: the host's OpenSSL, and its configuration, are left alone */
    EVP_MD *kinds[2];      /* by enum tare_hash_kind */
};

struct tare_hashes *tare_hashes_open(void)
{
    struct tare_hashes *hashes = calloc(1, sizeof *hashes);
    if (!hashes)
        return NULL;
    hashes->library = OSSL_LIB_CTX_new();
    if (hashes->library) {
        hashes->kinds[TARE_HASH_SHA256] = EVP_MD_fetch(hashes->library, "SHA256", NULL);
        hashes->kinds[TARE_HASH_SHA1] = EVP_MD_fetch(hashes->library, "SHA1", NULL);
    }
    if (hashes->kinds[TARE_HASH_SHA256] && hashes->kinds[TARE_HASH_SHA1])
        return hashes;
    tare_hashes_free(hashes);
    return NULL;
}

void tare_hashes_free(struct tare_hashes *hashes)
{
    if (!hashes)
        return;
    EVP_MD_free(hashes->kinds[TARE_HASH_SHA256]);
    EVP_MD_free(hashes->kinds[TARE_HASH_SHA1]);
    OSSL_LIB_CTX_free(hashes->library);
    free(hashes);
}

/* A struct tare_hash is an EVP_MD_CTX: there is nothing to add to it. */
static EVP_MD_CTX *context(struct tare_hash *hash)
{
    return (EVP_MD_CTX *)hash;
}

struct tare_hash *tare_hash_begin(const struct tare_hashes *hashes, enum tare_hash_kind kind)
{
    EVP_MD_CTX *made = EVP_MD_CTX_new();
    if (made && EVP_DigestInit_ex2(made, hashes->kinds[kind], NULL))
        return (struct tare_hash *)made;
    EVP_MD_CTX_free(made);
    return NULL;
}

bool tare_hash_add(struct tare_hash *hash, const void *bytes, size_t n)
{
    return EVP_DigestUpdate(context(hash), bytes, n) == 1;
}

bool tare_hash_end(struct tare_hash *hash, char hex[TARE_HASH_ROOM])
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (!EVP_DigestFinal_ex(context(hash), raw, &size) || 2 * size >= TARE_HASH_ROOM)
        return false;
    for (unsigned i = 0; i < size; i++) {
        hex[2 * i] = "0123456789abcdef"[raw[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[raw[i] & 15];
    }
    hex[2 * size] = '\0';
    return true;
}

void tare_hash_free(struct tare_hash *hash)
{
    EVP_MD_CTX_free(context(hash));
}

void tare_hash_blocks(uint32_t word[8], const void *bytes, size_t blocks)
{
    SHA256_CTX context;
    SHA256_Init(&context);
    for (int i = 0; i < 8; i++)
        context.h[i] = word[i];
    SHA256_Update(&context, bytes, blocks * 64);
    for (int i = 0; i < 8; i++)
        word[i] = (uint32_t)context.h[i];
}
