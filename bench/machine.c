/* SPDX-License-Identifier: MIT
 * machine.c - machine [MEGABYTES] [SECONDS]: what this machine gives at best, with one thread and with one a core, as
 * one JSON object. bench/run.py holds kernels against it.
 *
 *   read_bytes_per_second   memory in order, each thread its own part, in the widest loads the CPU has
 *   maddubs                 multiply-adds of bytes a second: vpmaddubsw + vpmaddwd + vpaddd on registers, 256 bits
 *   maddubs512, vpdpbusd, vpdpbusd512   the same in 512 bits, and with VNNI; absent where the CPU lacks them
 *
 * Best of five each. A figure for n threads is the sum of what each did in the same time; names with _cpu behind them
 * count the threads' own time instead of the clock's: what others on the machine take of it is left out.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { MOST_THREADS = 256, REPEATS = 5, CHAINS = 10, STEPS = 20000 };

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static uint64_t read_words(const unsigned char *data, size_t n)
{
    uint64_t sum[8] = {0};
    for (size_t i = 0; i < n; i += 64)
        for (size_t k = 0; k < 8; k++) {
            uint64_t word;
            memcpy(&word, data + i + 8 * k, sizeof word);
            sum[k] += word;
        }
    return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t read_avx2(const unsigned char *data, size_t n)
{
    __m256i sum[4] = {_mm256_setzero_si256()};
    for (size_t i = 0; i < n; i += 128)
        for (size_t k = 0; k < 4; k++)
            sum[k] = _mm256_add_epi64(sum[k], _mm256_load_si256((const void *)(data + i + 32 * k)));
    uint64_t lanes[16], all = 0;
    memcpy(lanes, sum, sizeof lanes);
    for (size_t k = 0; k < 16; k++)
        all += lanes[k];
    return all;
}

__attribute__((target("avx512f"))) static uint64_t read_avx512(const unsigned char *data, size_t n)
{
    __m512i sum[4] = {_mm512_setzero_si512()};
    for (size_t i = 0; i < n; i += 256)
        for (size_t k = 0; k < 4; k++)
            sum[k] = _mm512_add_epi64(sum[k], _mm512_load_si512(data + i + 64 * k));
    uint64_t lanes[32], all = 0;
    memcpy(lanes, sum, sizeof lanes);
    for (size_t k = 0; k < 32; k++)
        all += lanes[k];
    return all;
}

/* ---- multiplying: CHAINS sums that do not wait for one another ----------------------------------------------------
 */

#define CHAINED(name, isa, type, reg, step)                                                                            \
    __attribute__((target(isa))) static uint64_t name(const unsigned char *data, size_t n)                             \
    {                                                                                                                  \
        type sum[CHAINS], a, b, ones;                                                                                  \
        memcpy(&a, data, sizeof a);                                                                                    \
        memcpy(&b, data + sizeof a, sizeof b);                                                                         \
        memset(&ones, 1, sizeof ones);                                                                                 \
        memset(sum, 0, sizeof sum);                                                                                    \
        (void)ones;                                                                                                    \
        for (size_t i = 0; i < n; i++) {                                                                               \
            for (int k = 0; k < CHAINS; k++) {                                                                         \
                __asm__ volatile("" : "+" reg(a)); /* no instruction: but a may be another now, so multiply anew */    \
                sum[k] = step;                                                                                         \
            }                                                                                                          \
        }                                                                                                              \
        uint64_t lanes[sizeof sum / 8], all = 0;                                                                       \
        memcpy(lanes, sum, sizeof lanes);                                                                              \
        for (size_t k = 0; k < sizeof lanes / 8; k++)                                                                  \
            all += lanes[k];                                                                                           \
        return all;                                                                                                    \
    }
CHAINED(mul_maddubs, "avx2", __m256i, "x",
        _mm256_add_epi32(sum[k], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones)))
CHAINED(mul_maddubs512, "avx512bw", __m512i, "v",
        _mm512_add_epi32(sum[k], _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), ones)))
CHAINED(mul_vnni, "avx512vnni,avx512vl", __m256i, "x", _mm256_dpbusd_epi32(sum[k], a, b))
CHAINED(mul_vnni512, "avx512vnni,avx512bw", __m512i, "v", _mm512_dpbusd_epi32(sum[k], a, b))
#endif

/* ---- many threads ------------------------------------------------------------------------------------------------ */

typedef uint64_t work_fn(const unsigned char *data, size_t n);

struct worker {
    pthread_t thread;
    pthread_barrier_t *gate;
    work_fn *work;
    const unsigned char *data;
    size_t n;
    double start, end, cpu;
    uint64_t sum;
};

static void *run(void *user)
{
    struct worker *w = user;
    pthread_barrier_wait(w->gate);
    const double cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
    w->start = seconds(CLOCK_MONOTONIC);
    w->sum = w->work(w->data, w->n);
    w->end = seconds(CLOCK_MONOTONIC);
    w->cpu = seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
    return NULL;
}

/* Seconds: from the first thread's start to the last one's end; of CPU time, each thread's on the average. */
struct cost {
    double wall, cpu;
};

/* The least in which `threads` threads do work(data + k stride, n). */
static struct cost least_cost(work_fn *work, int threads, const unsigned char *data, size_t stride, size_t n)
{
    static struct worker workers[MOST_THREADS];
    static volatile uint64_t used;
    struct cost least = {1e300, 1e300};
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        pthread_barrier_t gate;
        double start = 1e300, end = 0, cpu = 0;
        pthread_barrier_init(&gate, NULL, (unsigned)threads);
        for (int k = 0; k < threads; k++) {
            workers[k] = (struct worker){.gate = &gate, .work = work, .data = data + stride * (size_t)k, .n = n};
            if (pthread_create(&workers[k].thread, NULL, run, &workers[k]))
                exit(1);
        }
        for (int k = 0; k < threads; k++) {
            pthread_join(workers[k].thread, NULL);
            start = workers[k].start < start ? workers[k].start : start;
            end = workers[k].end > end ? workers[k].end : end;
            cpu += workers[k].cpu / threads;
            used += workers[k].sum;
        }
        pthread_barrier_destroy(&gate);
        least.wall = end - start < least.wall ? end - start : least.wall;
        least.cpu = cpu < least.cpu ? cpu : least.cpu;
    }
    return least;
}

static work_fn *widest_read(const char **name)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return *name = "avx512", read_avx512;
    if (__builtin_cpu_supports("avx2"))
        return *name = "avx2", read_avx2;
#endif
    return *name = "words", read_words;
}

static void put(const char *before, const char *name, double amount, struct cost took)
{
    printf("%s\"%s\": %.0f, \"%s_cpu\": %.0f", before, name, amount / took.wall, name, amount / took.cpu);
}

struct product {
    const char *name;
    work_fn *work;
    int width; /* multiply-adds of one step */
    bool there;
};

static void put_products(int threads, const unsigned char *data, double most)
{
#if defined(__x86_64__)
    const bool vnni = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl");
    const struct product products[] = {
        {"maddubs", mul_maddubs, 32, __builtin_cpu_supports("avx2")},
        {"maddubs512", mul_maddubs512, 64, __builtin_cpu_supports("avx512bw")},
        {"vpdpbusd", mul_vnni, 32, vnni},
        {"vpdpbusd512", mul_vnni512, 64, vnni},
    };
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        if (!products[i].there)
            continue;
        const double once = least_cost(products[i].work, 1, data, 0, STEPS).wall;
        const size_t steps = (size_t)(STEPS * (most / once)) + 1;
        put(", ", products[i].name, (double)steps * CHAINS * products[i].width * threads,
            least_cost(products[i].work, threads, data, 0, steps));
    }
#else
    (void)threads, (void)data, (void)most;
#endif
}

int main(int argc, char **argv)
{
    const size_t size = (size_t)(argc > 1 ? atol(argv[1]) : 1024) << 20;
    const double most = argc > 2 ? atof(argv[2]) : 0.2;
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const int all = cores < 1 ? 1 : cores > MOST_THREADS ? MOST_THREADS : (int)cores;
    const char *name = NULL;
    work_fn *reader = widest_read(&name);
    unsigned char *data = size ? aligned_alloc(4096, size) : NULL;
    if (!data)
        return 1;
    memset(data, 3, size);
    printf("{\"cores\": %d, \"loads\": \"%s\", \"megabytes\": %zu, \"threads\": {", all, name, size >> 20);
    for (int threads = 1;; threads = all) {
        const size_t part = size / (size_t)threads / 4096 * 4096;
        printf("\"%d\": {", threads);
        put("", "read_bytes_per_second", (double)part * threads, least_cost(reader, threads, data, part, part));
        put_products(threads, data, most);
        fputs(threads == all ? "}" : "}, ", stdout);
        if (threads == all)
            break;
    }
    puts("}}");
    free(data);
    return 0;
}
