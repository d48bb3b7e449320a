/* SPDX-License-Identifier: MIT
 * memory.h - how much memory the system can still give. */
#ifndef TARE_BASE_MEMORY_H
#define TARE_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bytes that this process can still get. The page cache that the system can drop counts as free. On Linux it is the
 * least of what the machine has and what each control group (cgroup v2) above the process allows. UINT64_MAX: not
 * known.
 */
uint64_t tare_memory_available(void);

/*
 * Memory for data that is read over and over, such as weights: aligned to 64 bytes, and in huge pages where the block
 * is large and the system has some. Returns NULL when memory ran out. The caller frees it with free().
 */
void *tare_memory_block(size_t bytes);

/* Gives pages that are mapped from a file, read-only, back to the system. A later read brings them back from the file.
 */
void tare_memory_give_back(const void *pages, size_t bytes);

/*
 * Addresses without memory: a range of `bytes` that nothing may touch before tare_memory_commit(). NULL: the address
 * space, or a limit on it, has no such range. The caller gives it up with tare_memory_unreserve() and the same number.
 */
void *tare_memory_reserve(size_t bytes);
/* Makes a part of a reserved range memory, which is zero. at and bytes are multiples of a page. False: no memory. */
bool tare_memory_commit(void *at, size_t bytes);
/* Takes the memory of a part again: its addresses stay reserved. False: the system had no room to note it, and the part
 * keeps its memory. */
bool tare_memory_decommit(void *at, size_t bytes);
void tare_memory_unreserve(void *range, size_t bytes);

#endif
