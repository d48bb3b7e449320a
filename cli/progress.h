/* SPDX-License-Identifier: MIT
 * progress.h - a bar on stderr where that is a terminal, and Ctrl-C. */
#ifndef TARE_CLI_PROGRESS_H
#define TARE_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct cli_progress {
    bool on;           /* stderr is a terminal */
    bool drawn;        /* a bar stands on the line */
    bool counts;       /* done and total count things that are no bytes */
    const char *stage; /* the one drawn last */
    double start, last;
    uint64_t base; /* bytes done when the stage began */
};

struct cli_progress cli_progress_init(void);
/* A tare_progress_fn; user is a struct cli_progress. Cancels after Ctrl-C. */
int cli_progress_show(void *user, const char *stage, uint64_t done, uint64_t total);
/* Wipe the bar, so that a line can be written. */
void cli_progress_wipe(struct cli_progress *progress);

/* Ctrl-C (and SIGTERM) sets cli_interrupted; a second one ends the program at once. */
extern volatile int cli_interrupted; /* for the library; the signal comes to any thread, so it is read atomically */
bool cli_interrupt_came(void);
void cli_interrupt_catch(void);
void cli_interrupt_forget(void); /* none came; the next Ctrl-C is caught again, SIGTERM is not */

/* Seconds of a clock that never goes back. */
double cli_seconds(void);

#endif
