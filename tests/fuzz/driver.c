/* SPDX-License-Identifier: MIT
 * driver.c - runs a fuzz target over the files given, or over those of a folder: what `make test` does with each
 * corpus, and how a file that libFuzzer left is looked at without it. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

/* Files run, or -1 when one could not be read. */
static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat info;
    if (!f || fstat(fileno(f), &info)) {
        perror(path);
        if (f)
            fclose(f);
        return -1;
    }
    const size_t size = (size_t)info.st_size;
    uint8_t *data = malloc(size ? size : 1); /* of exactly that size: a sanitizer sees a step beyond */
    const bool read = data && fread(data, 1, size, f) == size;
    fclose(f);
    if (read)
        LLVMFuzzerTestOneInput(data, size);
    else
        perror(path);
    free(data);
    return read ? 1 : -1;
}

static int run_path(const char *path)
{
    struct stat info;
    if (stat(path, &info) || !S_ISDIR(info.st_mode))
        return run_file(path);
    DIR *dir = opendir(path);
    int n = 0;
    for (struct dirent *entry; dir && n >= 0 && (entry = readdir(dir));) {
        char inner[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        const int more = run_path(inner);
        n = more < 0 ? -1 : n + more;
    }
    if (dir)
        closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const int n = run_path(argv[i]);
        if (n <= 0) {
            fprintf(stderr, "%s: nothing to run\n", argv[i]);
            return 1;
        }
        printf("%s: %d files\n", argv[i], n);
    }
    return argc < 2;
}
