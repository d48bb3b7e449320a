/* SPDX-License-Identifier: MIT
 * test_faults_convert.c - a conversion with the n-th allocation, and with the n-th write, sync or rename failing, for
 * every n: an error, no leak, and nothing left beside the input. tests/CMakeLists.txt wraps the allocations.
 */
#define _GNU_SOURCE /* syscall(), renameat2() */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "faults.h"
#include "fixture.h"
#include "save/save.h"
#include "world.h"

static long calls = -1; /* the same of the system calls below */
static int number;      /* their errno */
static bool halves;     /* pwrite() writes half of what it is given */

static bool call_fails(void)
{
    if (!fails(&calls))
        return false;
    errno = number;
    return true;
}

/* These take the place of libc's in this program. */
ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
    if (call_fails())
        return -1;
    return syscall(SYS_pwrite64, fd, data, halves && n > 1 ? n / 2 : n, offset);
}

int fsync(int fd)
{
    return call_fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return call_fails() ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    return call_fails() ? -1 : (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

int mkdirat(int at, const char *path, mode_t mode)
{
    return call_fails() ? -1 : (int)syscall(SYS_mkdirat, at, path, mode);
}

static const char *to = "mlx"; /* the format */

static struct tare_convert_options one_thread(void)
{
    struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    options.to = to;
    options.threads = 1;
    options.shard_size = 40000;
    return options;
}

static void test_allocations(void **state)
{
    (void)state;
    const struct tare_convert_options options = one_thread();
    for (long n = 0;; n++) {
        struct world world;
        struct tare_error err = {0};
        small_world(&world);
        allocations = n;
        const enum tare_code code = convert(&world, &options, &err);
        const bool through = allocations >= 0;
        allocations = -1;
        if (through) {
            fixture_expect(code, &err, TARE_OK, NULL, NULL);
            assert_true(n > 20);
            world_end(&world);
            return;
        }
        fixture_expect(code, &err, TARE_E_MEMORY, NULL, "out of memory");
        expect_nothing(&world);
        world_end(&world);
    }
}

/* The last call of all is the sync of the folder above: the output is complete then, and stays. */
static void fail_calls(int with, enum tare_code want)
{
    const struct tare_convert_options options = one_thread();
    number = with;
    for (long n = 0, last = 0;; n++) {
        struct world world;
        struct tare_error err = {0};
        small_world(&world);
        calls = n;
        const enum tare_code code = convert(&world, &options, &err);
        const bool through = calls >= 0;
        calls = -1;
        if (through) {
            assert_int_equal(code, TARE_OK);
            assert_int_equal(last, n - 1); /* and only that one leaves an output */
            assert_true(n > 20);
            world_end(&world);
            return;
        }
        fixture_expect(code, &err, want, NULL, NULL);
        if (access(fixture_path(world.folder, "out/config.json"), F_OK) == 0)
            last = n;
        else
            expect_nothing(&world);
        world_end(&world);
    }
}

static void test_full(void **state)
{
    (void)state;
    fail_calls(ENOSPC, TARE_E_SPACE);
}

static void test_quota(void **state)
{
    (void)state;
    fail_calls(EDQUOT, TARE_E_SPACE);
}

static void test_broken(void **state)
{
    (void)state;
    fail_calls(EIO, TARE_E_IO);
}

static void test_short_writes(void **state)
{
    (void)state;
    const struct tare_convert_options options = one_thread();
    struct world worlds[2];
    for (int k = 0; k < 2; k++) {
        struct tare_error err = {0};
        small_world(&worlds[k]);
        halves = k == 1;
        assert_int_equal(convert(&worlds[k], &options, &err), TARE_OK);
        halves = false;
    }
    static const char *const names[] = {"out/model-00001-of-00004.safetensors", "out/model-00003-of-00004.safetensors",
                                        "out/config.json", "out/model.safetensors.index.json"};
    for (size_t k = 0; k < FIXTURE_COUNT(names); k++) {
        size_t n[2];
        char *text[2];
        for (int w = 0; w < 2; w++)
            text[w] = fixture_read(fixture_path(worlds[w].folder, names[k]), &n[w]);
        assert_int_equal(n[0], n[1]);
        assert_memory_equal(text[0], text[1], n[0]);
        free(text[0]);
        free(text[1]);
    }
    world_end(&worlds[0]);
    world_end(&worlds[1]);
}

/* The formats that keep the checkpoint's names: their own layouts, tiles and config. */
static void test_formats(void **state)
{
    for (size_t k = 1; (to = tare_convert_format(k)); k++) {
        if (!strcmp(to, "gptq") || !strcmp(to, "gguf")) /* the world has zeros of 0; test_faults_gguf.c has a model */
            continue;
        test_allocations(state);
        fail_calls(ENOSPC, TARE_E_SPACE);
        fail_calls(EIO, TARE_E_IO);
    }
    to = "mlx";
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocations), cmocka_unit_test(test_full),         cmocka_unit_test(test_quota),
        cmocka_unit_test(test_broken),      cmocka_unit_test(test_short_writes), cmocka_unit_test(test_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
