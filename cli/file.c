/* SPDX-License-Identifier: MIT
 * file.c - reads a whole file, or all of standard input. */
#include "file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "print.h"

static const size_t FIRST_ROOM = 65536;

int cli_file_take(struct cli_file *file, FILE *from, const char *name, size_t most)
{
    size_t room = 0;
    *file = (struct cli_file){0};
    for (;;) {
        if (file->size == room) {
            room = room ? 2 * room : FIRST_ROOM;
            char *more = realloc(file->data, room);
            if (!more)
                return cli_fail_system(name);
            file->data = more;
        }
        errno = 0;
        const size_t n = fread(file->data + file->size, 1, room - file->size, from);
        file->size += n;
        if (n == 0)
            break;
        if (file->size > most)
            return cli_wrong("%s is over %zu MiB", name, most >> 20);
    }
    file->data[file->size] = '\0'; /* the last read had room for a byte at least */
    return ferror(from) ? cli_fail_system(name) : CLI_GO_ON;
}

int cli_file_read(struct cli_file *file, const char *path, size_t most)
{
    *file = (struct cli_file){0};
    if (strcmp(path, "-") == 0)
        return cli_file_take(file, stdin, "standard input", most);
    FILE *from = fopen(path, "rb");
    if (!from)
        return cli_fail_system(path);
    const int status = cli_file_take(file, from, path, most);
    fclose(from);
    return status;
}
