/* SPDX-License-Identifier: MIT
 * memory.h - how much memory the system can still give. */
#ifndef TARE_BASE_MEMORY_H
#define TARE_BASE_MEMORY_H

#include <stdint.h>

/* Bytes, page cache that can be dropped included; the least of the machine's and of its control groups' limits (Linux,
 * cgroup v2). UINT64_MAX: not known. */
uint64_t tare_memory_available(void);

#endif
