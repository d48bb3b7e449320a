/* SPDX-License-Identifier: MIT
 * npy.c - numpy's file format 1.0 (numpy.lib.format): magic, version, length of a Python dict padded to 64 bytes, data.
 */
#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "print.h"

/* The data begins at a multiple of ALIGN bytes. PREFIX is the size of magic (6), version (2) and length (2). */
enum { ALIGN = 64, PREFIX = 10 };

/* numpy's sign for the order of bytes of this machine, in which the data is written. */
static char byte_order(void)
{
    const unsigned short one = 1;
    return *(const unsigned char *)&one ? '<' : '>';
}

static bool write_head(FILE *file, size_t rows, size_t columns)
{
    char head[2 * ALIGN];
    const int n =
        snprintf(head + PREFIX, sizeof head - PREFIX,
                 "{'descr': '%cf4', 'fortran_order': False, 'shape': (%zu, %zu), }", byte_order(), rows, columns);
    const size_t used = PREFIX + (size_t)n, size = (used + 1 + ALIGN - 1) / ALIGN * ALIGN;
    memset(head + used, ' ', size - used);
    head[size - 1] = '\n';
    memcpy(head, "\x93NUMPY\x01\x00", 8);
    head[8] = (char)((size - PREFIX) & 255);
    head[9] = (char)((size - PREFIX) >> 8);
    return fwrite(head, 1, size, file) == size;
}

static bool write_all(FILE *file, const float *data, size_t rows, size_t columns, bool sync)
{
    bool good = write_head(file, rows, columns) && fwrite(data, sizeof *data, rows * columns, file) == rows * columns;
    good = good && fflush(file) == 0 && (!sync || fsync(fileno(file)) == 0);
    const int number = errno;
    const bool closed = fclose(file) == 0;
    if (!good)
        errno = number;
    return good && closed;
}

int cli_npy_write(const char *path, const float *data, size_t rows, size_t columns)
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        FILE *file = fopen(path, "wb");
        return file && write_all(file, data, rows, columns, false) ? 0 : cli_fail_system(path);
    }
    const size_t room = strlen(path) + 32;
    char *temporary = malloc(room);
    if (!temporary)
        return cli_fail_system(path);
    snprintf(temporary, room, "%s.%ld.tmp", path, (long)getpid());
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
    int status = 0;
    if (!file || !write_all(file, data, rows, columns, true) || rename(temporary, path) != 0) {
        status = cli_fail_system(path);
        if (fd >= 0)
            unlink(temporary);
    }
    free(temporary);
    return status;
}
