/* SPDX-License-Identifier: MIT
 * kernels.c - picks a set of kernels when the program runs, and knows the layout of packed rows. */
#if defined(__x86_64__) && defined(__linux__)
#define _GNU_SOURCE /* syscall() */
#endif
#include "kernels/kernels.h"

#include <string.h>
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "kernels/tiles.h"

enum set { SET_SCALAR, SET_AVX2, SET_AVX512, SET_AMX, SET_NEON, SETS };
static const char *const set_names[SETS] = {"scalar", "avx2", "avx512", "amx", "neon"};

#if defined(__x86_64__)
#if defined(__linux__)
/* Tile registers have a state of 8 KiB, so Linux keeps them from processes that have not asked for them (5.16 and
 * later). Whoever asks again gets the same answer. */
static bool may_use_tiles(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18, AMX_TILE = 1 << 24, AMX_INT8 = 1 << 25 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & AMX_TILE) && (d & AMX_INT8) &&
           !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA);
}
#else
static bool may_use_tiles(void)
{
    return false;
}
#endif

static bool has(enum set set)
{
    __builtin_cpu_init();
    /* Every CPU with AVX2 has F16C, which clang 14 has no name for here. */
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (set == SET_AMX)
        return has(SET_AVX512) && may_use_tiles();
    if (set == SET_AVX512)
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512vnni");
    return set == SET_SCALAR || (set == SET_AVX2 && avx2);
}

static void fill(struct tare_kernels *kernels, enum set set)
{
    *kernels = tare_kernels_scalar;
    if (set >= SET_AVX2) {
        tare_kernels_avx2(kernels);
        tare_kernels_avx2_tiles(kernels);
        tare_kernels_cache_avx2(kernels);
        tare_kernels_halves_avx2(kernels);
    }
    if (set >= SET_AVX512) {
        tare_kernels_avx512(kernels);
        tare_kernels_avx512_tiles(kernels);
        tare_kernels_cache_avx512(kernels);
        tare_kernels_halves_avx512(kernels);
    }
    if (set == SET_AMX)
        tare_kernels_amx_tiles(kernels);
}
#elif defined(__aarch64__) && (defined(__linux__) || defined(__APPLE__))
#if defined(__APPLE__)
static bool has_dot_products(void)
{
    return true; /* every Mac with such a processor has them, from the M1 on */
}
#else
static bool has_dot_products(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}
#endif

static bool has(enum set set)
{
    return set == SET_SCALAR || (set == SET_NEON && has_dot_products());
}

static void fill(struct tare_kernels *kernels, enum set set)
{
    *kernels = tare_kernels_scalar;
    if (set == SET_NEON) {
        tare_kernels_neon(kernels);
        tare_kernels_neon_tiles(kernels);
        tare_kernels_cache_neon(kernels);
        tare_kernels_halves_neon(kernels);
    }
}
#else
static bool has(enum set set)
{
    return set == SET_SCALAR;
}

static void fill(struct tare_kernels *kernels, enum set set)
{
    (void)set;
    *kernels = tare_kernels_scalar;
}
#endif

bool tare_kernels_pick(struct tare_kernels *kernels, const char *name)
{
    for (int set = SETS - 1; set >= 0; set--) {
        if ((name && strcmp(name, set_names[set])) || !has((enum set)set))
            continue;
        fill(kernels, (enum set)set);
        kernels->name = set_names[set];
        return true;
    }
    return false;
}

size_t tare_q4_stride(int64_t in)
{
    return ((size_t)in + TARE_Q4_BLOCK - 1) / TARE_Q4_BLOCK * TARE_Q4_BYTES;
}

size_t tare_q8_stride(int64_t in)
{
    return ((size_t)in + 63) / 64 * 64;
}

void tare_q4_pack(const uint8_t *codes, int64_t in, unsigned char *row)
{
    for (int64_t start = 0; start < in; start += TARE_Q4_BLOCK, row += TARE_Q4_BYTES) {
        uint32_t word[TARE_Q4_BYTES / 4] = {0};
        const int64_t n = in - start < TARE_Q4_BLOCK ? in - start : TARE_Q4_BLOCK;
        for (int64_t i = 0; i < n; i++)
            word[i % 16] |= (uint32_t)codes[start + i] << 4 * (i / 16);
        memcpy(row, word, sizeof word);
    }
}

uint64_t tare_matrix_bytes(const struct tare_matrix *m)
{
    if (m->storage >= TARE_STORE_T4)
        return (uint64_t)tare_tile_count(m) * m->stride;
    const size_t factors = (m->scale ? sizeof *m->scale : 0) + (m->offset ? sizeof *m->offset : 0);
    return (uint64_t)m->rows * (m->stride + (size_t)m->groups * factors);
}
