/* SPDX-License-Identifier: MIT
 * fixture.c - files for tests. */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

char *fixture_begin(void)
{
    const char *base = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/tare-test-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(path))
        fail_msg("mkdtemp %s: %s", path, strerror(errno));
    return strdup(path);
}

static void remove_all(const char *path)
{
    struct stat info;
    if (!lstat(path, &info) && S_ISDIR(info.st_mode)) {
        DIR *dir = opendir(path);
        for (struct dirent *entry; dir && (entry = readdir(dir));) {
            char inner[1024];
            if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
                continue;
            snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
            remove_all(inner);
        }
        if (dir)
            closedir(dir);
    }
    remove(path);
}

void fixture_end(char *folder)
{
    remove_all(folder);
    free(folder);
}

const char *fixture_path(const char *folder, const char *name)
{
    static char paths[8][1024];
    static unsigned turn;
    char *path = paths[turn++ % FIXTURE_COUNT(paths)];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void fixture_folder(const char *folder, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *slash = path + strlen(folder); (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        if (mkdir(path, 0755) && errno != EEXIST)
            fail_msg("mkdir %s: %s", path, strerror(errno));
        *slash = '/';
    }
    if (mkdir(path, 0755) && errno != EEXIST)
        fail_msg("mkdir %s: %s", path, strerror(errno));
}

void fixture_bytes(const char *folder, const char *name, const void *data, size_t n)
{
    const char *path = fixture_path(folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || (n && fwrite(data, 1, n, f) != n) || fclose(f))
        fail_msg("cannot write %s: %s", path, strerror(errno));
}

void fixture_text(const char *folder, const char *name, const char *text)
{
    fixture_bytes(folder, name, text, strlen(text));
}

void fixture_size(const char *folder, const char *name, uint64_t size)
{
    const char *path = fixture_path(folder, name);
    if (truncate(path, (off_t)size))
        fail_msg("truncate %s to %" PRIu64 ": %s", path, size, strerror(errno));
}

void fixture_link(const char *folder, const char *name, const char *target)
{
    if (symlink(target, fixture_path(folder, name)))
        fail_msg("symlink %s/%s: %s", folder, name, strerror(errno));
}

void fixture_pipe(const char *folder, const char *name)
{
    if (mkfifo(fixture_path(folder, name), 0644))
        fail_msg("mkfifo %s/%s: %s", folder, name, strerror(errno));
}

char *fixture_read(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot read %s: %s", path, strerror(errno));
    struct tare_text text = {0};
    char part[4096];
    tare_text_puts(&text, "");
    for (size_t got; (got = fread(part, 1, sizeof part, f)) > 0;)
        tare_text_add(&text, part, got);
    fclose(f);
    *n = text.size;
    return text.data;
}

static void put_length(unsigned char bytes[8], uint64_t n)
{
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(n >> 8 * i);
}

char *fixture_header_bytes(const char *header, size_t data, size_t *n)
{
    const size_t length = strlen(header);
    char *bytes = calloc(1, 8 + length + data + 1);
    assert_non_null(bytes);
    put_length((unsigned char *)bytes, length);
    memcpy(bytes + 8, header, length);
    *n = 8 + length + data;
    return bytes;
}

void fixture_header(const char *folder, const char *name, const char *header, uint64_t data)
{
    size_t n;
    char *bytes = fixture_header_bytes(header, 0, &n);
    fixture_bytes(folder, name, bytes, n);
    fixture_size(folder, name, n + data);
    free(bytes);
}

static uint64_t dtype_size(const char *dtype)
{
    const char *digits = strpbrk(dtype, "123468");
    if (!strcmp(dtype, "BOOL"))
        return 1;
    if (dtype[0] == 'F' && dtype[1] == '8')
        return 1;
    if (!digits)
        fail_msg("dtype %s", dtype);
    return strtoull(digits, NULL, 10) / 8;
}

static uint64_t tensor_size(const struct fixture_tensor *t)
{
    uint64_t size = dtype_size(t->dtype);
    for (int i = 0; i < t->rank; i++)
        size *= (uint64_t)t->shape[i];
    return size;
}

void fixture_safetensors(const char *folder, const char *name, const struct fixture_tensor *tensors, size_t n)
{
    struct tare_text header = {0};
    uint64_t end = 0;
    tare_text_puts(&header, "{");
    for (size_t i = 0; i < n; i++) {
        const struct fixture_tensor *t = &tensors[i];
        const uint64_t begin = end;
        end += tensor_size(t);
        tare_text_puts(&header, i ? ", " : "");
        tare_text_json(&header, t->name);
        tare_text_format(&header, ": {\"dtype\": \"%s\", \"shape\": [", t->dtype);
        for (int d = 0; d < t->rank; d++)
            tare_text_format(&header, "%s%" PRId64, d ? ", " : "", t->shape[d]);
        tare_text_format(&header, "], \"data_offsets\": [%" PRIu64 ", %" PRIu64 "]}", begin, end);
    }
    tare_text_puts(&header, "}");
    while (header.size % 8)
        tare_text_puts(&header, " ");
    assert_false(header.failed);
    fixture_header(folder, name, header.data, end);
    const int fd = open(fixture_path(folder, name), O_WRONLY);
    uint64_t at = 8 + header.size;
    for (size_t i = 0; i < n; at += tensor_size(&tensors[i]), i++)
        if (tensors[i].data && pwrite(fd, tensors[i].data, tensor_size(&tensors[i]), (off_t)at) < 0)
            fail_msg("cannot write %s/%s: %s", folder, name, strerror(errno));
    close(fd);
    tare_text_release(&header);
}

void fixture_shard(const char *folder, const char *name, const char *tensor)
{
    fixture_safetensors(folder, name, &(struct fixture_tensor){tensor, "F32", 1, {4}, "0123456789abcde"}, 1);
}

void fixture_expect(enum tare_code code, const struct tare_error *err, enum tare_code want, const char *where,
                    const char *phrase)
{
    if (code != want || (code && err->code != want))
        fail_msg("code %s (in the error %s), expected %s; %s: %s", tare_code_name(code), tare_code_name(err->code),
                 tare_code_name(want), err->where, err->text);
    if (!code)
        return;
    if (where && !strstr(err->where, where))
        fail_msg("where is \"%s\", expected \"%s\"; text: %s", err->where, where, err->text);
    if (phrase && !strstr(err->text, phrase))
        fail_msg("text is \"%s\", expected \"%s\"", err->text, phrase);
    if (!*err->text || strpbrk(err->text, "\r\n"))
        fail_msg("text is not one line: \"%s\"", err->text);
}

struct fixture_opened *fixture_open(const char *path)
{
    struct fixture_opened *o = calloc(1, sizeof *o);
    assert_non_null(o);
    alarm(20); /* nothing may wait for a pipe */
    o->code = tare_checkpoint_open(&o->checkpoint, path, NULL, &o->err);
    alarm(0);
    return o;
}

void fixture_close(struct fixture_opened *o)
{
    tare_checkpoint_release(&o->checkpoint);
    free(o);
}

void fixture_refuse(const char *path, enum tare_code code, const char *where, const char *phrase)
{
    struct fixture_opened *o = fixture_open(path);
    fixture_expect(o->code, &o->err, code, where, phrase);
    fixture_close(o);
}

void fixture_accept(const char *path, size_t tensors, size_t files, const char *remark, const char *where)
{
    struct fixture_opened *o = fixture_open(path);
    fixture_expect(o->code, &o->err, TARE_OK, NULL, NULL);
    assert_int_equal(o->checkpoint.n_tensors, tensors);
    assert_int_equal(o->checkpoint.n_files, files);
    assert_int_equal(o->checkpoint.n_remarks, remark != NULL);
    if (remark) {
        assert_string_equal(o->checkpoint.remarks[0].code, remark);
        assert_string_equal(o->checkpoint.remarks[0].where, where);
        assert_true(strlen(o->checkpoint.remarks[0].text) > 20);
    }
    fixture_close(o);
}

double fixture_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
