/* SPDX-License-Identifier: MIT
 * memory.c - how much memory is left. On Linux /proc/meminfo's MemAvailable, and what the control groups on the way to the
 * root leave: memory.max - memory.current + inactive_file (Documentation/admin-guide/cgroup-v2.rst of Linux). On macOS the
 * pages that are free or can be dropped, of host_statistics64(); else all memory (hw.memsize).
 */
#define _GNU_SOURCE /* madvise(), MAP_ANONYMOUS: POSIX has neither huge pages nor a way to give pages back */
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__APPLE__)
#include <mach/mach.h>
#include <sys/sysctl.h>
#endif

#define LINE 64 /* a cache line, and an AVX-512 register */
#define HUGE_PAGE ((size_t)2 << 20)

#if defined(__APPLE__)
uint64_t tare_memory_available(void)
{
    vm_statistics64_data_t pages;
    mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
    const mach_port_t host = mach_host_self();
    const kern_return_t status = host_statistics64(host, HOST_VM_INFO64, (host_info64_t)&pages, &count);
    mach_port_deallocate(mach_task_self(), host);
    if (status == KERN_SUCCESS)
        return ((uint64_t)pages.free_count + pages.inactive_count + pages.purgeable_count) *
               (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t all = 0;
    size_t size = sizeof all;
    return sysctlbyname("hw.memsize", &all, &size, NULL, 0) ? UINT64_MAX : all;
}
#else
/*
 * The number that follows `key` at the beginning of a line of a file. An empty key means the first line. Returns
 * UINT64_MAX when there is no such line or no number in it.
 */
static uint64_t number_in(const char *path, const char *key)
{
    char line[4096];
    uint64_t found = UINT64_MAX;
    FILE *file = fopen(path, "re");
    const size_t n = strlen(key);
    while (file && found == UINT64_MAX && fgets(line, sizeof line, file)) {
        char *end;
        if (strncmp(line, key, n))
            continue;
        const unsigned long long value = strtoull(line + n, &end, 10);
        found = end == line + n ? UINT64_MAX : value; /* "max": no limit */
        if (!*key)
            break;
    }
    if (file)
        fclose(file);
    return found;
}

/* Bytes that a control group still allows; its file pages that were not used lately count as free. */
static uint64_t left_in_group(const char *group)
{
    char path[4224];
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", group);
    const uint64_t most = number_in(path, "");
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.current", group);
    const uint64_t used = number_in(path, "");
    if (most == UINT64_MAX || used == UINT64_MAX)
        return UINT64_MAX;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.stat", group);
    const uint64_t cached = number_in(path, "inactive_file "), own = cached < used ? used - cached : used;
    return own < most ? most - own : 0;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t tare_memory_available(void)
{
    char line[4096], *group = NULL;
    const uint64_t kib = number_in("/proc/meminfo", "MemAvailable:");
    uint64_t left = kib == UINT64_MAX ? UINT64_MAX : kib * 1024;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && !group && fgets(line, sizeof line, file))
        if (!strncmp(line, "0::/", 4))
            group = line + 3;
    if (file)
        fclose(file);
    if (!group)
        return left;
    group[strcspn(group, "\n")] = '\0';
    for (char *end; (end = strrchr(group, '/')) != NULL; *end = '\0')
        left = lesser(left, left_in_group(end == group && !end[1] ? "" : group));
    return left;
}
#endif

void *tare_memory_block(size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    const size_t align = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : LINE;
    void *block = aligned_alloc(align, (bytes + align) / align * align);
#if defined(MADV_HUGEPAGE)
    if (block && align == HUGE_PAGE)
        madvise(block, bytes / HUGE_PAGE * HUGE_PAGE,
                MADV_HUGEPAGE); /* a request: without huge pages the block works as well */
#endif
    return block;
}

void tare_memory_give_back(const void *pages, size_t bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = ((uintptr_t)pages + page - 1) / page * page;
    const uintptr_t end =
        ((uintptr_t)pages + bytes) / page * page; /* whole pages only: a part of a page may hold other data */
    if (first < end)
        madvise((void *)first, end - first, MADV_DONTNEED);
}

void *tare_memory_reserve(size_t bytes)
{
    void *range = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return range == MAP_FAILED ? NULL : range;
}

bool tare_memory_commit(void *at, size_t bytes)
{
    return !mprotect(at, bytes, PROT_READ | PROT_WRITE);
}

/* A new mapping in the place of the old one is the one way that drops the memory on every system. */
bool tare_memory_decommit(void *at, size_t bytes)
{
    return mmap(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

void tare_memory_unreserve(void *range, size_t bytes)
{
    munmap(range, bytes);
}
