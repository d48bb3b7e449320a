/* SPDX-License-Identifier: MIT
 * guarded.c - see guarded.h. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "guarded.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const sets[] = {"scalar", "avx2", "avx512", "amx", "neon"};
#define SETS (sizeof sets / sizeof *sets)

static uint64_t state = 1;

void random_start(void)
{
    state = 1;
}

uint32_t next(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

float real(void)
{
    return (float)next() / 4294967296.0f * 2 - 1;
}

int64_t size(int64_t most)
{
    return 1 + (int64_t)next() % most;
}

struct guarded guard(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct guarded g = {.total = (bytes + 2 * page - 1) / page * page};
    g.map = mmap(NULL, g.total + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    assert_int_equal(mprotect(g.map + g.total, page, PROT_NONE), 0);
    g.data = g.map + g.total - bytes;
    memset(g.map, 0xa5, g.total - bytes);
    return g;
}

void unguard(struct guarded *g)
{
    for (unsigned char *p = g->map; p < (unsigned char *)g->data; p++)
        assert_int_equal(*p, 0xa5);
    munmap(g->map, g->total + (size_t)sysconf(_SC_PAGESIZE));
}

float *floats(struct guarded *g, int64_t n)
{
    *g = guard((size_t)n * sizeof(float));
    float *x = g->data;
    for (int64_t i = 0; i < n; i++)
        x[i] = real();
    return x;
}

void each_set(void (*test)(const struct tare_kernels *k))
{
    for (size_t i = 0; i < SETS; i++) {
        struct tare_kernels k;
        if (!tare_kernels_pick(&k, sets[i]))
            continue;
        assert_string_equal(k.name, sets[i]);
        random_start();
        test(&k);
    }
}
