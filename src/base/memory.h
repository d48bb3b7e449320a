/* SPDX-License-Identifier: MIT
 * memory.h - how much memory the system can still give. */
#ifndef TARE_BASE_MEMORY_H
#define TARE_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* Bytes, page cache that can be dropped included; the least of the machine's and of its control groups' limits (Linux,
 * cgroup v2). UINT64_MAX: not known. */
uint64_t tare_memory_available(void);

/* `bytes` of memory for data that is read over and over, aligned to 64 bytes; in huge pages where it is large and the
 * system has some. NULL: no memory. free() it. */
void *tare_memory_block(size_t bytes);

/* This process gives up pages that are mapped from a file, read-only: whoever reads them all the same gets them again
 * from there. */
void tare_memory_give_back(const void *pages, size_t bytes);

#endif
