/* SPDX-License-Identifier: MIT
 * fixture.h - files for tests: folders that go away, safetensors files from a list, and what an error should be. */
#ifndef TARE_TESTS_FIXTURE_H
#define TARE_TESTS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "open/checkpoint.h"

/* Every helper here fails the test when it cannot do what it says. */

/* A fresh folder below TMPDIR or /tmp; fixture_end() removes it with all it holds, links not followed, and frees the
 * path. */
char *fixture_begin(void);
void fixture_end(char *folder);

/* "folder/name", in one of a few buffers that are used again: for an argument, not to keep. */
const char *fixture_path(const char *folder, const char *name);
void fixture_folder(const char *folder, const char *name); /* mkdir, with the folders above it */
void fixture_bytes(const char *folder, const char *name, const void *data, size_t n);
void fixture_text(const char *folder, const char *name, const char *text);
void fixture_size(const char *folder, const char *name, uint64_t size); /* cut or, sparsely, extend */
void fixture_link(const char *folder, const char *name, const char *target);
void fixture_pipe(const char *folder, const char *name); /* a FIFO, to which nobody writes */
char *fixture_read(const char *path, size_t *n);         /* a whole file and a NUL; free() */

struct fixture_tensor {
    const char *name, *dtype; /* "F16" */
    int rank;
    int64_t shape[6];
    const void *data; /* NULL: zeros, which take no room on disk */
};
#define FIXTURE_COUNT(array) (sizeof(array) / sizeof *(array))

/* A sound safetensors file of n tensors. */
void fixture_safetensors(const char *folder, const char *name, const struct fixture_tensor *tensors, size_t n);
/* Any header, its true length before it, and `data` bytes of zeros behind it. */
void fixture_header(const char *folder, const char *name, const char *header, uint64_t data);
/* The bytes of a safetensors file with any header, for a checkpoint in memory; free(). */
char *fixture_header_bytes(const char *header, size_t data, size_t *n);

/* One F32 tensor of 4 elements named `tensor` in a file: enough to be a shard. */
void fixture_shard(const char *folder, const char *name, const char *tensor);

/* The code, a part of `where` and a part of the text are as expected (NULL: any); the text is one line without a NUL
 * inside. */
void fixture_expect(enum tare_code code, const struct tare_error *err, enum tare_code want, const char *where,
                    const char *phrase);

/* A checkpoint, opened or not; fixture_close() frees it. Whoever waits longer than 20 seconds is killed by SIGALRM. */
struct fixture_opened {
    struct tare_checkpoint checkpoint;
    struct tare_error err;
    enum tare_code code;
};
struct fixture_opened *fixture_open(const char *path);
void fixture_close(struct fixture_opened *opened);
/* Opening path fails like this; or it opens, with that many tensors and files and this one remark (NULL: none). */
void fixture_refuse(const char *path, enum tare_code code, const char *where, const char *phrase);
void fixture_accept(const char *path, size_t tensors, size_t files, const char *remark, const char *where);

/* Seconds of a clock that only goes forward. */
double fixture_clock(void);

#endif
