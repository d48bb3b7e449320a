/* SPDX-License-Identifier: MIT
 * pool.c - threads that share tasks.
 *
 * One 64-bit ticket holds the number of the call and the next task of it. A thread takes a task by raising the ticket
 * with compare-and-swap, so a thread that comes late to a call finds nothing to take, and nobody waits for threads that
 * sleep: a call is over when its tasks are done. What describes a call is written while the ticket is closed (its task
 * number is CLOSED); a thread that read a mixture of two calls then fails to raise the ticket and looks again.
 */
#if defined(__linux__)
#define _GNU_SOURCE /* sched_getaffinity(): POSIX does not say which cores are ours */
#endif
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#define MOST_THREADS 4096 /* no machine has more cores: a larger number is a typing error */
#define SPINS 2000        /* some ten microseconds, the time between two calls of a decode step */
#define ALONE 200         /* that many of the spins come before the first offer of the core to other threads */
#define YIELD 32          /* after that, each time this many spins have passed, others are let in */
#define CLOSED UINT32_MAX
#define MOST_TASKS ((size_t)CLOSED - 1) /* the most tasks of one ticket; longer calls are cut into several */

#if defined(__x86_64__) || defined(__i386__)
#define RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define RELAX() __asm__ __volatile__("yield")
#else
#define RELAX() (void)0
#endif

typedef void task_fn(void *user, size_t i, int worker);

struct worker {
    struct tare_pool *pool;
    pthread_t thread;
    int number;
};

struct tare_pool {
    int threads; /* the caller's included */
    struct worker *workers;
    _Atomic uint64_t ticket; /* call << 32 | next task */
    _Atomic(task_fn *) task;
    _Atomic(void *) user;
    atomic_size_t base, n; /* task numbers of the ticket count from base */
    atomic_size_t done;
    atomic_bool stop, caller_waits;
    atomic_int sleepers;
    pthread_mutex_t lock; /* only around sleeping and waking */
    pthread_cond_t work, finished;
    unsigned char *scratch;
    size_t scratch_size;
};

static uint32_t ticket_call(uint64_t ticket)
{
    return (uint32_t)(ticket >> 32);
}

/* Takes and does tasks until none is left; returns the number of the call that it saw last. */
static uint32_t work_off(struct tare_pool *pool, int worker)
{
    uint64_t ticket = atomic_load(&pool->ticket);
    for (;;) {
        const size_t n = atomic_load_explicit(&pool->n, memory_order_relaxed);
        const size_t base = atomic_load_explicit(&pool->base, memory_order_relaxed);
        task_fn *task = atomic_load_explicit(&pool->task, memory_order_relaxed);
        void *user = atomic_load_explicit(&pool->user, memory_order_relaxed);
        const uint32_t next = (uint32_t)ticket;
        if (next >= n || next == CLOSED)
            return ticket_call(ticket);
        if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket + 1))
            continue;
        task(user, base + next, worker);
        if (atomic_fetch_add(&pool->done, 1) + 1 == n && atomic_load(&pool->caller_waits)) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->finished);
            pthread_mutex_unlock(&pool->lock);
        }
        ticket = atomic_load(&pool->ticket);
    }
}

/* Has a call begun after `seen`, or is the pool about to end? */
static bool is_awaited(struct tare_pool *pool, uint32_t seen)
{
    return ticket_call(atomic_load(&pool->ticket)) != seen || atomic_load(&pool->stop);
}

/*
 * One turn of waiting. When other processes want the cores, a thread that spins may keep out the very thread that it
 * waits for. Therefore it offers its core now and then: without this, an empty call took 53 us (docs/performance.md).
 */
static void spin(int i)
{
    if (i > ALONE && i % YIELD == 0)
        sched_yield();
    else
        RELAX();
}

static void wait_for_work(struct tare_pool *pool, uint32_t seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (is_awaited(pool, seen))
            return;
        spin(i);
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1); /* before the last look: a caller writes the ticket before it reads this */
    while (!is_awaited(pool, seen))
        pthread_cond_wait(&pool->work, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *argument)
{
    const struct worker *worker = argument;
    struct tare_pool *pool = worker->pool;
    while (!atomic_load(&pool->stop))
        wait_for_work(pool, work_off(pool, worker->number));
    return NULL;
}

/* Wakes sleeping workers, at most `most` of them: a call with few tasks needs no more. */
static void wake(struct tare_pool *pool, size_t most)
{
    if (!atomic_load(&pool->sleepers))
        return;
    pthread_mutex_lock(&pool->lock);
    for (int i = 0; i < atomic_load(&pool->sleepers) && (size_t)i < most; i++)
        pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

static void wait_for_end(struct tare_pool *pool, size_t n)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&pool->done) == n)
            return;
        spin(i);
    }
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->caller_waits,
                 true); /* before the last look: the last worker counts its task before it reads this */
    while (atomic_load(&pool->done) != n)
        pthread_cond_wait(&pool->finished, &pool->lock);
    atomic_store(&pool->caller_waits, false);
    pthread_mutex_unlock(&pool->lock);
}

/* One call of at most MOST_TASKS tasks. The ticket is closed while the description of the call is written. */
static void run_ticket(struct tare_pool *pool, size_t base, size_t n, task_fn *task, void *user)
{
    const uint32_t call = ticket_call(atomic_load(&pool->ticket));
    atomic_exchange(&pool->ticket, (uint64_t)(call + 1) << 32 | CLOSED);
    atomic_store(&pool->done, 0);
    atomic_store_explicit(&pool->n, n, memory_order_relaxed);
    atomic_store_explicit(&pool->base, base, memory_order_relaxed);
    atomic_store_explicit(&pool->task, task, memory_order_relaxed);
    atomic_store_explicit(&pool->user, user, memory_order_relaxed);
    atomic_store(&pool->ticket, (uint64_t)(call + 2) << 32);
    wake(pool, n - 1);
    work_off(pool, 0);
    wait_for_end(pool, n);
}

void tare_pool_run(struct tare_pool *pool, size_t n, void (*task)(void *user, size_t i, int worker), void *user)
{
    if (pool->threads == 1 || n <= 1) {
        for (size_t i = 0; i < n; i++)
            task(user, i, 0);
        return;
    }
    for (size_t base = 0; base < n; base += MOST_TASKS)
        run_ticket(pool, base, n - base < MOST_TASKS ? n - base : MOST_TASKS, task, user);
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

#if defined(__linux__)
static int cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) /* it fails on a machine with more cores than the set has bits */
        return (int)sysconf(_SC_NPROCESSORS_ONLN);
    return CPU_COUNT(&set);
}
#elif defined(__APPLE__)
/* The fast cores where there are two kinds: the pool's threads wait for one another, so a slow core would hold up all. A
 * processor of one kind has no "perflevel0". */
static int cores(void)
{
    int n = 0;
    size_t size = sizeof n;
    if (!sysctlbyname("hw.perflevel0.logicalcpu", &n, &size, NULL, 0) && n > 0)
        return n;
    size = sizeof n;
    if (!sysctlbyname("hw.activecpu", &n, &size, NULL, 0) && n > 0)
        return n;
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}
#else
static int cores(void)
{
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}
#endif

/* Workers block all signals, so that those stay with the threads of the host. If the system refuses a thread, the pool
 * has fewer. */
static void start_workers(struct tare_pool *pool, int wanted)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 1; i < wanted; i++) {
        struct worker *worker = &pool->workers[i];
        *worker = (struct worker){.pool = pool, .number = i};
        if (pthread_create(&worker->thread, NULL, worker_main, worker))
            break;
        pool->threads = i + 1;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

enum tare_code tare_pool_open(struct tare_pool **pool, int threads, struct tare_error *err)
{
    *pool = NULL;
    if (threads < 0 || threads > MOST_THREADS)
        return tare_fail(err, TARE_E_ARGUMENT, "threads", "is %d; 0 (one a core) to %d is expected", threads,
                         MOST_THREADS);
    int wanted = threads ? threads : cores();
    if (wanted < 1)
        wanted = 1;
    struct tare_pool *made = calloc(1, sizeof *made);
    struct worker *workers = calloc((size_t)wanted, sizeof *workers);
    if (!made || !workers) {
        free(made);
        free(workers);
        return tare_fail_memory(err);
    }
    made->threads = 1;
    made->workers = workers;
    if (pthread_mutex_init(&made->lock, NULL) || pthread_cond_init(&made->work, NULL) ||
        pthread_cond_init(&made->finished,
                          NULL)) { /* Linux never refuses these; what was made before it needs no end */
        free(workers);
        free(made);
        return tare_fail_memory(err);
    }
    start_workers(made, wanted);
    *pool = made;
    return TARE_OK;
}

void tare_pool_free(struct tare_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stop, true);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 1; i < pool->threads; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool->scratch);
    free(pool->workers);
    free(pool);
}

enum tare_code tare_pool_reserve(struct tare_pool *pool, size_t bytes, struct tare_error *err)
{
    if (bytes <= pool->scratch_size)
        return TARE_OK;
    if (bytes > SIZE_MAX / 4)
        return tare_fail_memory(err);
    bytes = (bytes + 63) / 64 * 64;
    unsigned char *scratch = aligned_alloc(64, bytes);
    if (!scratch)
        return tare_fail_memory(err);
    free(pool->scratch);
    pool->scratch = scratch;
    pool->scratch_size = bytes;
    return TARE_OK;
}

unsigned char *tare_pool_scratch(const struct tare_pool *pool)
{
    return pool->scratch;
}

size_t tare_pool_scratch_size(const struct tare_pool *pool)
{
    return pool->scratch_size;
}

int tare_pool_threads(const struct tare_pool *pool)
{
    return pool->threads;
}
