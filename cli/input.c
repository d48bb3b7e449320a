/* SPDX-License-Identifier: MIT
 * input.c - standard input as a whole. */
#include "input.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "print.h"

int cli_input_read(const char *verb, size_t most, char **text, size_t *size)
{
    size_t room = 0;
    *text = NULL;
    *size = 0;
    for (;;) {
        if (*size == room) {
            room = room ? 2 * room : 65536;
            char *more = realloc(*text, room);
            if (!more)
                return cli_fail_system("standard input");
            *text = more;
        }
        const size_t n = fread(*text + *size, 1, room - *size, stdin);
        *size += n;
        if (n == 0)
            break;
        if (*size > most)
            return cli_wrong("%s: standard input has more than %zu MiB", verb, most >> 20);
    }
    return ferror(stdin) ? cli_fail_system("standard input") : CLI_GO_ON;
}
