/* SPDX-License-Identifier: MIT
 * record.c - adds to the tare.json of an output, which the library has written: "\n}\n" is its end.
 */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "file.h"
#include "print.h"

#define MOST ((size_t)1 << 30)

static bool write_all(FILE *file, const struct cli_file *old, const char *key, const char *json)
{
    bool good = fwrite(old->data, 1, old->size, file) == old->size;
    good = good && fprintf(file, ",\n  \"%s\": %s\n}\n", key, json) > 0 && !fflush(file) && !fsync(fileno(file));
    const int number = errno;
    const bool closed = !fclose(file);
    if (!good)
        errno = number;
    return good && closed;
}

static int replace(const char *path, const struct cli_file *old, const char *key, const char *json)
{
    const size_t room = strlen(path) + 32;
    char *temporary = malloc(room);
    if (!temporary)
        return cli_fail_system(path);
    snprintf(temporary, room, "%s.%ld.tmp", path, (long)getpid());
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
    int status = 0;
    if (!file || !write_all(file, old, key, json) || rename(temporary, path)) {
        status = cli_fail_system(path);
        if (fd >= 0)
            unlink(temporary);
    }
    free(temporary);
    return status;
}

int cli_record_add(const char *output, const char *key, const char *json)
{
    static const char end[] = "\n}\n";
    struct stat info;
    const size_t room = strlen(output) + 16;
    char *path = malloc(room);
    struct cli_file old = {0};
    if (!path)
        return cli_fail_system(output);
    const bool folder = !stat(output, &info) && S_ISDIR(info.st_mode);
    snprintf(path, room, folder ? "%s/tare.json" : "%s.tare.json", output);
    int status = cli_file_read(&old, path, MOST);
    if (status == CLI_GO_ON) {
        const size_t n = sizeof end - 1;
        if (old.size < n || memcmp(old.data + old.size - n, end, n)) {
            cli_error(path, "does not end as tare writes it: the report is not added");
            status = tare_code_exit(TARE_E_FORMAT);
        } else {
            old.size -= n;
            status = replace(path, &old, key, json);
        }
    }
    free(old.data);
    free(path);
    return status;
}
