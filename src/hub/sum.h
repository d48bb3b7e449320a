/* SPDX-License-Identifier: MIT
 * sum.h - the hash that is a content's name: sha256 for 64 digits, git's sha1 of a blob for 40. */
#ifndef TARE_HUB_SUM_H
#define TARE_HUB_SUM_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

/* Begins the hash that `etag` is of a content of `size` bytes. NULL when memory ran out; EVP_MD_CTX_free(). */
EVP_MD_CTX *tare_sum_begin(const char *etag, uint64_t size);
/* Ends it: is it etag? The context is of no more use than to be freed. */
bool tare_sum_end(EVP_MD_CTX *hash, const char *etag);

#endif
