/* SPDX-License-Identifier: MIT
 * line.c - reads lines: with libedit where stdin is a terminal, with getline() elsewhere. */
#define _GNU_SOURCE /* getline() */
#include "line.h"

#include <errno.h>
#include <histedit.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

#include "print.h"
#include "progress.h"

struct cli_lines {
    EditLine *edit; /* NULL: not a terminal */
    History *history;
    HistEvent event;
    const char *prompt;
    char *line; /* own copy */
    size_t room;
};

static char *show_prompt(EditLine *edit)
{
    void *data = NULL;
    el_get(edit, EL_CLIENTDATA, &data);
    return (char *)(size_t)((struct cli_lines *)data)->prompt; /* libedit asks for a char * and does not write to it */
}

/* Waits for a byte. SIGINT is blocked but for the time of waiting, so that none is missed just before. */
static bool wait_for_key(void)
{
    sigset_t with, without;
    fd_set keys;
    sigemptyset(&with);
    sigaddset(&with, SIGINT);
    sigprocmask(SIG_BLOCK, &with, &without);
    int ready = -1;
    while (!cli_interrupt_came() && ready < 0) {
        FD_ZERO(&keys);
        FD_SET(STDIN_FILENO, &keys);
        ready = pselect(STDIN_FILENO + 1, &keys, NULL, NULL, NULL, &without);
        if (ready < 0 && errno != EINTR)
            break;
    }
    sigprocmask(SIG_SETMASK, &without, NULL);
    return ready > 0 && !cli_interrupt_came();
}

/* Reads one character of UTF-8; bytes that are no UTF-8 come one by one. Returns 1, 0 at the end of input, or -1 after
 * Ctrl-C. */
static int read_key(EditLine *edit, wchar_t *key)
{
    unsigned char byte;
    (void)edit;
    if (!wait_for_key() || read(STDIN_FILENO, &byte, 1) != 1)
        return cli_interrupt_came() ? -1 : 0;
    const int more = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : byte >= 0xc0 ? 1 : 0;
    uint32_t point = more == 0 ? byte : byte & (0x3fu >> more);
    for (int i = 0; i < more; i++) {
        if (!wait_for_key() || read(STDIN_FILENO, &byte, 1) != 1)
            return cli_interrupt_came() ? -1 : 0;
        point = point << 6 | (byte & 0x3f);
    }
    *key = (wchar_t)point;
    return 1;
}

struct cli_lines *cli_lines_open(const char *program)
{
    struct cli_lines *l = calloc(1, sizeof *l);
    if (!l || !cli_is_terminal(stdin))
        return l;
    l->prompt = "";
    l->edit = el_init(program, stdin, stdout, stderr);
    l->history = history_init();
    if (!l->edit || !l->history) {
        cli_lines_close(l);
        return NULL;
    }
    history(l->history, &l->event, H_SETSIZE, 1000);
    el_set(l->edit, EL_CLIENTDATA, l);
    el_set(l->edit, EL_GETCFN, read_key);
    el_set(l->edit, EL_PROMPT, show_prompt);
    el_set(l->edit, EL_EDITOR, "emacs");
    el_set(l->edit, EL_HIST, history, l->history);
    return l;
}

void cli_lines_close(struct cli_lines *l)
{
    if (!l)
        return;
    if (l->edit)
        el_end(l->edit);
    if (l->history)
        history_end(l->history);
    free(l->line);
    free(l);
}

/* Copies a line that libedit owns. */
static bool keep(struct cli_lines *l, const char *text, size_t n)
{
    if (n + 1 > l->room) {
        char *more = realloc(l->line, 2 * n + 64);
        if (!more)
            return false;
        l->line = more;
        l->room = 2 * n + 64;
    }
    memcpy(l->line, text, n);
    l->line[n] = '\0';
    return true;
}

const char *cli_lines_next(struct cli_lines *l, const char *prompt, bool *interrupted)
{
    *interrupted = false;
    if (l->edit) {
        int n = 0;
        l->prompt = prompt;
        const char *text = el_gets(l->edit, &n);
        if (cli_interrupt_came()) {
            cli_interrupt_forget();
            *interrupted = true;
            return "";
        }
        if (!text || n <= 0 || !keep(l, text, (size_t)n))
            return NULL;
    } else if (getline(&l->line, &l->room, stdin) < 0) {
        return NULL;
    }
    l->line[strcspn(l->line, "\r\n")] = '\0';
    return l->line;
}

void cli_lines_remember(struct cli_lines *l, const char *text)
{
    if (l->history && *text)
        history(l->history, &l->event, H_ENTER, text);
}
