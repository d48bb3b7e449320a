/* SPDX-License-Identifier: MIT
 * progress.c - shows the bytes done, their rate and the time left, ten times a second. */
#include "progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "print.h"

volatile int cli_interrupted;

static void interrupt(int number)
{
    (void)number;
    __atomic_store_n(&cli_interrupted, 1, __ATOMIC_RELAXED);
}

bool cli_interrupt_came(void)
{
    return __atomic_load_n(&cli_interrupted, __ATOMIC_RELAXED) != 0;
}

static void catch (int number)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = interrupt;
    action.sa_flags = (int)SA_RESETHAND;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void cli_interrupt_catch(void)
{
    catch (SIGINT);
    catch (SIGTERM);
}

void cli_interrupt_forget(void)
{
    __atomic_store_n(&cli_interrupted, 0, __ATOMIC_RELAXED);
    catch (SIGINT);
}

double cli_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct cli_progress cli_progress_init(void)
{
    return (struct cli_progress){.on = cli_is_terminal(stderr)};
}

static struct cli_size amount(const struct cli_progress *p, uint64_t n)
{
    return p->counts ? cli_number(n) : cli_bytes(n);
}

/* Draws the bar over the old one: the share that is done, the amounts, the speed and the time that is left. */
static void draw(struct cli_progress *p, const char *stage, uint64_t done, uint64_t total, double now)
{
    enum { WIDTH = 24 };
    char bar[WIDTH + 1], left[48] = "";
    const double part = total ? (double)done / (double)total : 0, spent = now - p->start;
    const int full = part >= 1 ? WIDTH : (int)(part * WIDTH);
    const double rate = spent > 0.2 ? (double)(done - p->base) / spent : 0;
    for (int i = 0; i < WIDTH; i++)
        bar[i] = i < full ? '#' : '.';
    bar[WIDTH] = '\0';
    if (rate > 0 && total >= done)
        snprintf(left, sizeof left, ", %s/s, %.0f s left", amount(p, (uint64_t)rate).text,
                 (double)(total - done) / rate);
    fprintf(stderr, "\r\033[K%s [%s] %3.0f%% %s of %s%s", stage, bar, 100 * part, amount(p, done).text,
            amount(p, total).text, left);
    fflush(stderr);
    p->drawn = true;
}

int cli_progress_show(void *user, const char *stage, uint64_t done, uint64_t total)
{
    struct cli_progress *p = user;
    const double now = cli_seconds();
    if (p->on && (!p->stage || strcmp(p->stage, stage) != 0)) {
        p->stage = stage;
        p->start = now;
        p->last = now; /* what ends within a tenth of a second needs no bar */
        p->base = done;
    }
    if (p->on && now - p->last >= 0.1) {
        p->last = now;
        draw(p, stage, done, total, now);
    }
    return cli_interrupt_came();
}

void cli_progress_wipe(struct cli_progress *progress)
{
    if (progress->drawn)
        fputs("\r\033[K", stderr);
    progress->drawn = false;
}
