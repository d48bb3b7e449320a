/* SPDX-License-Identifier: MIT
 * threads.c - threads that share the tasks of whoever calls.
 *
 * Each call takes a place, which it has for itself until it is over. A place has a 64-bit ticket, which holds the number
 * of the call and the next task of it. A thread takes a task by raising the ticket with compare-and-swap, so a thread
 * that comes late to a call finds nothing to take, and nobody waits for threads that sleep: a call is over when its
 * tasks are done. What describes a call is written while the ticket is closed (its task number is CLOSED); a thread that
 * read a mixture of two calls then fails to raise the ticket and looks again.
 *
 * The caller does tasks of its own call only. Workers look through the places, so that several calls at the same time
 * share them. A caller waits for tasks that others have begun and for nothing else, so no order of calls, nested or
 * not, can lock up.
 */
#if defined(__linux__)
#define _GNU_SOURCE /* sched_getaffinity(): POSIX does not say which cores are ours */
#endif
#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "base/error.h"
#include "base/sized.h"

#define MOST_THREADS 4096 /* no machine has more cores: a larger number is a typing error */
#define PLACES 64         /* the most calls that workers help at the same time; a caller beyond them works alone */
#define SPINS 2000        /* some ten microseconds, the time between two calls of a decode step */
#define ALONE 200         /* that many of the spins come before the first offer of the core to other threads */
#define YIELD 32          /* after that, each time this many spins have passed, others are let in */
#define CLOSED UINT32_MAX
#define MOST_TASKS ((size_t)CLOSED - 1) /* the most tasks of one ticket; longer calls are cut into several */
#define LINE 64                         /* bytes of a cache line */

#if defined(__x86_64__) || defined(__i386__)
#define RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define RELAX() __asm__ __volatile__("yield")
#else
#define RELAX() (void)0
#endif

typedef void task_fn(void *user, size_t i, int worker);

struct worker {
    struct tare_threads *threads;
    pthread_t thread;
    int number;
};

struct place {
    _Alignas(LINE) _Atomic uint64_t ticket; /* call << 32 | next task */
    _Atomic(task_fn *) task;
    _Atomic(void *) user;
    atomic_size_t base, n; /* task numbers of the ticket count from base */
    atomic_size_t done;
    atomic_bool taken, caller_waits;
    _Atomic uint64_t entrants; /* host only: call << 32 | how many of its threads have come to the call */
    pthread_cond_t finished;
    struct tare_threads *threads;
};

struct tare_threads {
    int count; /* the caller's included */
    atomic_int holders;
    struct worker *workers; /* NULL: the host's threads, by run() */
    void (*run)(void *user, int n, tare_task_fn task, void *task_user);
    void *user;
    pthread_mutex_t lock; /* only around sleeping and waking */
    pthread_cond_t work;
    _Alignas(LINE) _Atomic uint64_t calls; /* how many have begun */
    atomic_int latest;                     /* the place of the latest one */
    atomic_int used;                       /* places from here on never had a call */
    atomic_int sleepers;
    atomic_bool stop;
    struct place places[PLACES];
};

static uint32_t ticket_call(uint64_t ticket)
{
    return (uint32_t)(ticket >> 32);
}

/* Takes and does tasks of one call until none is left. */
static void work_off(struct place *p, uint32_t call, int worker)
{
    uint64_t ticket = atomic_load(&p->ticket);
    for (;;) {
        const size_t n = atomic_load_explicit(&p->n, memory_order_relaxed);
        const size_t base = atomic_load_explicit(&p->base, memory_order_relaxed);
        task_fn *task = atomic_load_explicit(&p->task, memory_order_relaxed);
        void *user = atomic_load_explicit(&p->user, memory_order_relaxed);
        const uint32_t next = (uint32_t)ticket;
        if (ticket_call(ticket) != call || next >= n || next == CLOSED)
            return;
        if (!atomic_compare_exchange_weak(&p->ticket, &ticket, ticket + 1))
            continue;
        task(user, base + next, worker);
        if (atomic_fetch_add(&p->done, 1) + 1 == n && atomic_load(&p->caller_waits)) {
            pthread_mutex_lock(&p->threads->lock);
            pthread_cond_signal(&p->finished);
            pthread_mutex_unlock(&p->threads->lock);
        }
        ticket = atomic_load(&p->ticket);
    }
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

/* ---- workers of our own -------------------------------------------------------------------------------------- */

/* Has a call begun after the first `seen` ones, or are the threads about to end? */
static bool is_awaited(struct tare_threads *threads, uint64_t seen)
{
    return atomic_load(&threads->calls) != seen || atomic_load(&threads->stop);
}

static void wait_for_work(struct tare_threads *threads, uint64_t seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (is_awaited(threads, seen))
            return;
        spin(i);
    }
    pthread_mutex_lock(&threads->lock);
    atomic_fetch_add(&threads->sleepers, 1); /* before the last look: a caller counts its call before it reads this */
    while (!is_awaited(threads, seen))
        pthread_cond_wait(&threads->work, &threads->lock);
    atomic_fetch_sub(&threads->sleepers, 1);
    pthread_mutex_unlock(&threads->lock);
}

/* Goes once through the places, the latest call first. A call that begins meanwhile makes `calls` larger. */
static void help(struct tare_threads *threads, int worker)
{
    const int latest = atomic_load_explicit(&threads->latest, memory_order_relaxed);
    const int used = atomic_load(&threads->used);
    for (int i = 0; i < used; i++) {
        struct place *p = &threads->places[(latest + i) % used];
        work_off(p, ticket_call(atomic_load(&p->ticket)), worker);
    }
}

static void *worker_main(void *argument)
{
    const struct worker *worker = argument;
    struct tare_threads *threads = worker->threads;
    while (!atomic_load(&threads->stop)) {
        const uint64_t seen = atomic_load(&threads->calls);
        help(threads, worker->number);
        wait_for_work(threads, seen);
    }
    return NULL;
}

/* Wakes sleeping workers, at most `most` of them: a call with few tasks needs no more. */
static void wake(struct tare_threads *threads, size_t most)
{
    if (!atomic_load(&threads->sleepers))
        return;
    pthread_mutex_lock(&threads->lock);
    for (int i = 0; i < atomic_load(&threads->sleepers) && (size_t)i < most; i++)
        pthread_cond_signal(&threads->work);
    pthread_mutex_unlock(&threads->lock);
}

/* ---- the host's threads -------------------------------------------------------------------------------------- */

/* What the host's run() calls. The first to come to a call is worker 0 and so on, whatever its index, so that nothing
 * rests on the host's counting; there is no work for more than threads->count. */
static void enter(void *user, int index)
{
    struct place *p = user;
    const uint32_t call = ticket_call(atomic_load(&p->ticket));
    uint64_t entrants = atomic_load(&p->entrants);
    (void)index;
    do {
        if (ticket_call(entrants) != call || (uint32_t)entrants >= (uint32_t)p->threads->count)
            return;
    } while (!atomic_compare_exchange_weak(&p->entrants, &entrants, entrants + 1));
    work_off(p, call, (int)(uint32_t)entrants);
}

/* ---- calls --------------------------------------------------------------------------------------------------- */

static void wait_for_end(struct place *p, size_t n)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&p->done) == n)
            return;
        spin(i);
    }
    pthread_mutex_lock(&p->threads->lock);
    atomic_store(&p->caller_waits,
                 true); /* before the last look: the last worker counts its task before it reads this */
    while (atomic_load(&p->done) != n)
        pthread_cond_wait(&p->finished, &p->threads->lock);
    atomic_store(&p->caller_waits, false);
    pthread_mutex_unlock(&p->threads->lock);
}

/* Takes a free place, if it can the one that the caller had before; NULL: there is none. */
static struct place *take_place(struct tare_threads *threads, int *place)
{
    for (int i = 0; i < PLACES; i++) {
        const int k = (*place + i) % PLACES;
        struct place *p = &threads->places[k];
        if (atomic_load_explicit(&p->taken, memory_order_relaxed) || atomic_exchange(&p->taken, true))
            continue;
        int used = atomic_load_explicit(&threads->used, memory_order_relaxed);
        while (used <= k && !atomic_compare_exchange_weak(&threads->used, &used, k + 1))
            ;
        *place = k;
        return p;
    }
    return NULL;
}

/* One call of at most MOST_TASKS tasks. The ticket is closed while the description of the call is written. */
static void run_ticket(struct place *p, size_t base, size_t n, task_fn *task, void *user)
{
    struct tare_threads *threads = p->threads;
    const uint32_t call = ticket_call(atomic_load(&p->ticket)) + 2;
    atomic_exchange(&p->ticket, (uint64_t)(call - 1) << 32 | CLOSED);
    atomic_store_explicit(&p->done, 0, memory_order_relaxed);
    atomic_store_explicit(&p->n, n, memory_order_relaxed);
    atomic_store_explicit(&p->base, base, memory_order_relaxed);
    atomic_store_explicit(&p->task, task, memory_order_relaxed);
    atomic_store_explicit(&p->user, user, memory_order_relaxed);
    atomic_store_explicit(&p->entrants, (uint64_t)call << 32, memory_order_relaxed);
    atomic_store_explicit(&p->ticket, (uint64_t)call << 32, memory_order_release);
    if (threads->run) {
        threads->run(threads->user, n < (size_t)threads->count ? (int)n : threads->count, enter, p);
        enter(p, 0);
    } else {
        atomic_store_explicit(&threads->latest, (int)(p - threads->places), memory_order_relaxed);
        atomic_fetch_add(&threads->calls, 1);
        wake(threads, n - 1);
        work_off(p, call, 0);
    }
    wait_for_end(p, n);
}

void tare_threads_run(struct tare_threads *threads, int *place, size_t n, task_fn *task, void *user)
{
    struct place *p = threads->count > 1 && n > 1 ? take_place(threads, place) : NULL;
    for (size_t i = 0; !p && i < n; i++)
        task(user, i, 0);
    if (!p)
        return;
    for (size_t base = 0; base < n; base += MOST_TASKS)
        run_ticket(p, base, n - base < MOST_TASKS ? n - base : MOST_TASKS, task, user);
    atomic_store_explicit(&p->taken, false, memory_order_release);
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
/* The fast cores where there are two kinds: threads wait for one another, so a slow core would hold up all. A
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

/* Workers block all signals, so that those stay with the threads of the host. If the system refuses a thread, there are
 * fewer. */
static void start_workers(struct tare_threads *threads, int wanted)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 1; i < wanted; i++) {
        struct worker *worker = &threads->workers[i];
        *worker = (struct worker){.threads = threads, .number = i};
        if (pthread_create(&worker->thread, NULL, worker_main, worker))
            break;
        threads->count = i + 1;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Memory with locks and without threads; NULL: no memory. */
static struct tare_threads *make(void)
{
    struct tare_threads *threads = aligned_alloc(LINE, sizeof *threads);
    if (!threads)
        return NULL;
    memset(threads, 0, sizeof *threads);
    atomic_init(&threads->holders, 1);
    threads->count = 1;
    bool made = !pthread_mutex_init(&threads->lock, NULL) && !pthread_cond_init(&threads->work, NULL);
    for (int i = 0; i < PLACES; i++) {
        threads->places[i].threads = threads;
        made = made && !pthread_cond_init(&threads->places[i].finished, NULL);
    }
    if (made)
        return threads;
    free(threads); /* Linux never refuses these; what was made before it needs no end */
    return NULL;
}

/* Replaces 0 by the number of cores. */
static enum tare_code check_count(int *n, struct tare_error *err)
{
    if (*n < 0 || *n > MOST_THREADS)
        return tare_fail(err, TARE_E_ARGUMENT, "threads", "is %d; 0 (one a core) to %d is expected", *n, MOST_THREADS);
    *n = *n ? *n : cores();
    *n = *n < 1 ? 1 : *n;
    return TARE_OK;
}

enum tare_code tare_threads_open(struct tare_threads **threads, int n, struct tare_error *err)
{
    if (!threads)
        return tare_fail(err, TARE_E_ARGUMENT, "threads", "there is no place for them");
    *threads = NULL;
    const enum tare_code code = check_count(&n, err);
    if (code)
        return code;
    struct tare_threads *made = make();
    struct worker *workers = calloc((size_t)n, sizeof *workers);
    if (!made || !workers) {
        free(workers);
        tare_threads_free(made);
        return tare_fail_memory(err);
    }
    made->workers = workers;
    start_workers(made, n);
    *threads = made;
    return TARE_OK;
}

enum tare_code tare_threads_open_host(struct tare_threads **threads, const struct tare_threads_options *given,
                                      struct tare_error *err)
{
    struct tare_threads_options options;
    if (!threads)
        return tare_fail(err, TARE_E_ARGUMENT, "threads", "there is no place for them");
    *threads = NULL;
    enum tare_code code = tare_sized_read(&options, sizeof options, given, "options", err);
    if (!code && !options.run)
        code = tare_fail(err, TARE_E_ARGUMENT, "run",
                         "is NULL; a function that runs tasks in the host's pool is expected");
    if (code || (code = check_count(&options.n, err)))
        return code;
    struct tare_threads *made = make();
    if (!made)
        return tare_fail_memory(err);
    made->count = options.n;
    made->run = options.run;
    made->user = options.user;
    *threads = made;
    return TARE_OK;
}

void tare_threads_hold(struct tare_threads *threads)
{
    if (threads)
        atomic_fetch_add_explicit(&threads->holders, 1, memory_order_relaxed);
}

void tare_threads_free(struct tare_threads *threads)
{
    if (!threads || atomic_fetch_sub(&threads->holders, 1) > 1)
        return;
    pthread_mutex_lock(&threads->lock);
    atomic_store(&threads->stop, true);
    pthread_cond_broadcast(&threads->work);
    pthread_mutex_unlock(&threads->lock);
    for (int i = 1; threads->workers && i < threads->count; i++)
        pthread_join(threads->workers[i].thread, NULL);
    for (int i = 0; i < PLACES; i++)
        pthread_cond_destroy(&threads->places[i].finished);
    pthread_cond_destroy(&threads->work);
    pthread_mutex_destroy(&threads->lock);
    free(threads->workers);
    free(threads);
}

int tare_threads_count(const struct tare_threads *threads)
{
    return threads ? threads->count : 0;
}

void tare_threads_options_init(struct tare_threads_options *options, size_t size)
{
    tare_sized_init(options, size);
}
