/* SPDX-License-Identifier: MIT
 * sum.c - sha256, and git's sha1, which is that of "blob SIZE\0" and the content. */
#include "hub/sum.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

EVP_MD_CTX *tare_sum_begin(const char *etag, uint64_t size)
{
    const bool git = strlen(etag) == 40;
    char head[40];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    const int n = snprintf(head, sizeof head, "blob %" PRIu64, size);
    if (hash && EVP_DigestInit_ex2(hash, git ? EVP_sha1() : EVP_sha256(), NULL) &&
        (!git || EVP_DigestUpdate(hash, head, (size_t)n + 1)))
        return hash;
    EVP_MD_CTX_free(hash);
    return NULL;
}

bool tare_sum_end(EVP_MD_CTX *hash, const char *etag)
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    char text[2 * EVP_MAX_MD_SIZE + 1];
    unsigned size = 0;
    if (!EVP_DigestFinal_ex(hash, raw, &size))
        return false;
    for (unsigned i = 0; i < size; i++)
        snprintf(text + 2 * (size_t)i, 3, "%02x", raw[i]);
    return strcmp(text, etag) == 0;
}
