/* SPDX-License-Identifier: MIT
 * sum.h - the hash that is a content's name: sha256 for 64 digits, git's sha1 of a blob for 40. */
#ifndef TARE_HUB_SUM_H
#define TARE_HUB_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tare_hub_sum;

/* Begins the hash that `etag` is of a content of `size` bytes. NULL when memory ran out. */
struct tare_hub_sum *tare_hub_sum_begin(const char *etag, uint64_t size);
bool tare_hub_sum_add(struct tare_hub_sum *sum, const void *bytes, size_t n);
/* Ends it: is it etag? The sum is of no more use than to be freed. */
bool tare_hub_sum_end(struct tare_hub_sum *sum, const char *etag);
/* NULL is allowed. */
void tare_hub_sum_free(struct tare_hub_sum *sum);

#endif
