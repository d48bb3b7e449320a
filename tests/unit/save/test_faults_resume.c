/* SPDX-License-Identifier: MIT
 * test_faults_resume.c - a conversion that is killed at its n-th write, sync, cut, removal or rename, for every n, and
 * run again: the output is what an undisturbed one makes, what was done is kept, and nothing else stays. Then all that
 * may have happened to the folder in between, and faults while it continues.
 */
#define _GNU_SOURCE /* syscall(), renameat2() */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"
#include "fixture.h"
#include "save/save.h"
#include "world.h"

static long calls = -1; /* the same of the system calls below */
static int number;      /* their errno; 0: the process is killed instead */
static bool torn;       /* a write that is killed has written half */

static bool call_fails(void)
{
    if (!fails(&calls))
        return false;
    if (!number)
        kill(getpid(), SIGKILL);
    errno = number;
    return true;
}

/* These take the place of libc's in this program. */
ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
    if (torn && calls == 0)
        syscall(SYS_pwrite64, fd, data, n / 2, offset);
    return call_fails() ? -1 : syscall(SYS_pwrite64, fd, data, n, offset);
}

int fsync(int fd)
{
    return call_fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return call_fails() ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

int ftruncate(int fd, off_t size)
{
    return call_fails() ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    return call_fails() ? -1 : (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

int mkdirat(int at, const char *path, mode_t mode)
{
    return call_fails() ? -1 : (int)syscall(SYS_mkdirat, at, path, mode);
}

/* Killed at, but never failing: nobody looks at what it says. */
int unlinkat(int at, const char *path, int flags)
{
    if (!number && fails(&calls))
        kill(getpid(), SIGKILL);
    return (int)syscall(SYS_unlinkat, at, path, flags);
}

/* ---- the one that nothing disturbs --------------------------------------------------------------------------- */

#define FILES 6
static const char *const names[FILES] = {"model-00001-of-00004.safetensors",
                                         "model-00002-of-00004.safetensors",
                                         "model-00003-of-00004.safetensors",
                                         "model-00004-of-00004.safetensors",
                                         "config.json",
                                         "tare.json"};
static char *want[FILES];
static size_t sizes[FILES];

static struct tare_convert_options one_thread(struct tare_convert_summary *summary)
{
    struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    options.threads = 1;
    options.shard_size = 40000;
    options.summary = summary;
    return options;
}

static void expect_whole(const struct world *world)
{
    for (int k = 0; k < FILES; k++) {
        char name[64];
        size_t n;
        snprintf(name, sizeof name, "out/%s", names[k]);
        char *text = fixture_read(fixture_path(world->folder, name), &n);
        assert_int_equal(n, sizes[k]);
        if (memcmp(text, want[k], n))
            fail_msg("%s has other bytes", name);
        free(text);
    }
    assert_int_not_equal(access(fixture_path(world->folder, ".out.tare-partial"), F_OK), 0);
    assert_int_not_equal(access(fixture_path(world->folder, "out/journal"), F_OK), 0);
}

static int begin(void **state)
{
    (void)state;
    struct world world;
    struct tare_error err = {0};
    const struct tare_convert_options options = one_thread(NULL);
    small_world(&world);
    assert_int_equal(convert(&world, &options, &err), TARE_OK);
    for (int k = 0; k < FILES; k++) {
        char name[64];
        snprintf(name, sizeof name, "out/%s", names[k]);
        want[k] = fixture_read(fixture_path(world.folder, name), &sizes[k]);
    }
    expect_whole(&world);
    world_end(&world);
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (int k = 0; k < FILES; k++)
        free(want[k]);
    return 0;
}

/* ---- killed -------------------------------------------------------------------------------------------------- */

/* A process of its own converts and is killed at call n; false: it came through. */
static bool killed_at(struct world *world, long n)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        const struct tare_convert_options options = one_thread(NULL);
        number = 0;
        calls = n;
        convert(world, &options, NULL);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status);
}

static bool exists(const struct world *world, const char *name)
{
    return access(fixture_path(world->folder, name), F_OK) == 0;
}

static void kill_everywhere(bool half)
{
    size_t before = 0;
    bool whole = false;
    for (long n = 0;; n++) {
        struct world world;
        struct tare_error err = {0};
        struct tare_convert_summary summary = TARE_CONVERT_SUMMARY_INIT;
        const struct tare_convert_options options = one_thread(&summary);
        small_world(&world);
        torn = half;
        const bool killed = killed_at(&world, n);
        torn = false;
        if (!n)
            expect_nothing(&world); /* it was about to make the first folder */
        if (!killed) {
            expect_whole(&world);
            assert_int_equal(before, 4);
            assert_true(whole && n > 30);
            world_end(&world);
            return;
        }
        if (exists(&world, "out")) { /* killed when all that was left to do is to tidy up */
            whole = true;
            fixture_expect(convert(&world, &options, &err), &err, TARE_E_EXISTS, NULL, "exists already");
            expect_whole(&world);
        } else {
            if (convert(&world, &options, &err) != TARE_OK)
                fail_msg("after %ld calls: %s: %s", n, err.where, err.text);
            expect_whole(&world);
            assert_int_equal(summary.modules, 4);
            if (summary.kept < before || summary.kept > before + 1) /* a module that is done is not done again */
                fail_msg("after %ld calls %zu modules are kept, %zu were before", n, summary.kept, before);
            before = summary.kept;
        }
        world_end(&world);
    }
}

static void test_killed(void **state)
{
    (void)state;
    kill_everywhere(false);
}

static void test_torn(void **state)
{
    (void)state;
    kill_everywhere(true);
}

/* Killed at every place, and killed again while it continues from there. */
static void test_killed_again(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        struct world world;
        struct tare_error err = {0};
        const struct tare_convert_options options = one_thread(NULL);
        small_world(&world);
        assert_true(killed_at(&world, 24));
        const bool killed = killed_at(&world, n);
        if (!exists(&world, "out"))
            assert_int_equal(convert(&world, &options, &err), TARE_OK);
        else
            fixture_expect(convert(&world, &options, &err), &err, TARE_E_EXISTS, NULL, NULL);
        expect_whole(&world);
        world_end(&world);
        if (!killed) {
            assert_true(n > 10);
            return;
        }
    }
}

/* ---- what may have happened in between ----------------------------------------------------------------------- */

struct countdown {
    int left;
};

static int count_down(void *user, const char *stage, uint64_t done, uint64_t total)
{
    struct countdown *count = user;
    (void)stage;
    (void)done;
    (void)total;
    return count->left-- <= 0;
}

/* Cancelled when some modules are done. */
static void cancelled(struct world *world, int left)
{
    struct tare_error err = {0};
    struct countdown count = {left};
    struct tare_convert_options options = one_thread(NULL);
    options.progress = count_down;
    options.user = &count;
    fixture_expect(convert(world, &options, &err), &err, TARE_E_CANCELLED, NULL, "cancelled");
    assert_true(exists(world, ".out.tare-partial/journal"));
    assert_false(exists(world, "out"));
}

static size_t go_on(struct world *world)
{
    struct tare_error err = {0};
    struct tare_convert_summary summary = TARE_CONVERT_SUMMARY_INIT;
    const struct tare_convert_options options = one_thread(&summary);
    if (convert(world, &options, &err) != TARE_OK)
        fail_msg("%s: %s", err.where, err.text);
    expect_whole(world);
    return summary.kept;
}

static void test_cancelled(void **state)
{
    (void)state;
    for (int left = 0; left < 12; left++) {
        struct world world;
        small_world(&world);
        cancelled(&world, left);
        const size_t kept = go_on(&world);
        assert_true(kept >= (size_t)(left < 3 ? left : 3) && kept <= 4);
        world_end(&world);
    }
}

static void damage(const struct world *world, const char *name, long at)
{
    size_t n;
    char *bytes = fixture_read(fixture_path(world->folder, name), &n);
    bytes[at < 0 ? (long)n + at : at] ^= 1;
    fixture_bytes(world->folder, name, bytes, n);
    free(bytes);
}

/* What was done and is not as it was is done again. */
static void test_damaged(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        long at;
        size_t kept;
    } cases[] = {
        {"journal", 0, 0},                                 /* of another kind */
        {"journal", 20, 0},                                /* another identity */
        {"journal", 100, 0},                               /* in the first job: those behind it are not read */
        {"journal", -3, 2},                                /* in the last one */
        {"files/model-00001-of-00004.safetensors", -1, 2}, /* a.weight's */
        {"files/model-00001-of-00004.safetensors", 9, 3},  /* its header */
        {"files/model-00004-of-00004.safetensors", -1, 3}, /* norm.weight was not done */
    };
    for (size_t k = 0; k < FIXTURE_COUNT(cases); k++) {
        struct world world;
        char name[128];
        small_world(&world);
        cancelled(&world, 2);
        snprintf(name, sizeof name, ".out.tare-partial/%s", cases[k].name);
        damage(&world, name, cases[k].at);
        assert_int_equal(go_on(&world), cases[k].kept);
        world_end(&world);
    }
}

/* A journal, or a shard, of any length. */
static void test_cut(void **state)
{
    (void)state;
    static const char *const cut[] = {"journal", "files/model-00002-of-00004.safetensors"};
    for (int which = 0; which < 2; which++)
        for (uint64_t size = 0; size < 700; size += 23) {
            struct world world;
            char name[128];
            small_world(&world);
            cancelled(&world, 3);
            snprintf(name, sizeof name, ".out.tare-partial/%s", cut[which]);
            fixture_size(world.folder, name, size);
            const size_t kept = go_on(&world);
            assert_true(which ? kept == 0 : kept < 4);
            world_end(&world);
        }
}

/* Another source or other options: what was done is of no use. */
static void test_other_identity(void **state)
{
    (void)state;
    for (int which = 0; which < 4; which++) {
        struct world world;
        struct tare_error err = {0};
        struct tare_convert_summary summary = TARE_CONVERT_SUMMARY_INIT;
        struct tare_convert_options options = one_thread(&summary);
        const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
        small_world(&world);
        cancelled(&world, 2);
        if (which == 0)
            assert_int_equal(utimensat(AT_FDCWD, fixture_path(world.folder, "in/model.safetensors"), times, 0), 0);
        if (which == 1)
            fixture_text(world.folder, "in/config.json", "{ }");
        options.keep_dtypes = which == 2;
        options.no_sums = which == 3;
        assert_int_equal(convert(&world, &options, &err), TARE_OK);
        assert_int_equal(summary.kept, 0);
        if (which < 2)
            expect_whole(&world);
        assert_false(exists(&world, ".out.tare-partial"));
        world_end(&world);
    }
}

static void test_locked(void **state)
{
    (void)state;
    struct world world;
    struct tare_error err = {0};
    const struct tare_convert_options options = one_thread(NULL);
    small_world(&world);
    cancelled(&world, 2);
    const int fd = open(fixture_path(world.folder, ".out.tare-partial/lock"), O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    fixture_expect(convert(&world, &options, &err), &err, TARE_E_EXISTS, "out", "another tare");
    close(fd);
    assert_int_equal(go_on(&world), 3);
    world_end(&world);
}

/* What is not tare's is left, and refused with a sentence. */
static void test_odd(void **state)
{
    (void)state;
    for (int which = 0; which < 3; which++) {
        struct world world;
        struct tare_error err = {0};
        const struct tare_convert_options options = one_thread(NULL);
        small_world(&world);
        if (which == 0)
            fixture_text(world.folder, ".out.tare-partial", "a file");
        if (which == 1)
            fixture_link(world.folder, ".out.tare-partial", "in");
        if (which == 2)
            fixture_folder(world.folder, ".out.tare-partial/files/somebody's");
        fixture_expect(convert(&world, &options, &err), &err, TARE_E_EXISTS, "out", "remove it");
        assert_true(exists(&world, ".out.tare-partial"));
        assert_true(exists(&world, "in/model.safetensors"));
        world_end(&world);
    }
}

/* ---- faults while it continues ------------------------------------------------------------------------------- */

static void fail_resumed(int with, enum tare_code code)
{
    for (long n = 0;; n++) {
        struct world world;
        struct tare_error err = {0};
        const struct tare_convert_options options = one_thread(NULL);
        small_world(&world);
        cancelled(&world, 2);
        number = with;
        *(with == ENOMEM ? &allocations : &calls) = n;
        const enum tare_code got = convert(&world, &options, &err);
        const bool through = allocations >= 0 || calls >= 0;
        allocations = calls = -1;
        if (through) {
            assert_int_equal(got, TARE_OK);
            expect_whole(&world);
            assert_true(n > 10);
            world_end(&world);
            return;
        }
        fixture_expect(got, &err, code, NULL, NULL);
        if (exists(&world, "out"))
            expect_whole(&world); /* only the sync of the folder above failed */
        else
            assert_int_equal(convert(&world, &options, &err), TARE_OK);
        expect_whole(&world);
        world_end(&world);
    }
}

static void test_full(void **state)
{
    (void)state;
    fail_resumed(ENOSPC, TARE_E_SPACE);
}

static void test_broken(void **state)
{
    (void)state;
    fail_resumed(EIO, TARE_E_IO);
}

static void test_memory(void **state)
{
    (void)state;
    fail_resumed(ENOMEM, TARE_E_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed),         cmocka_unit_test(test_torn),    cmocka_unit_test(test_killed_again),
        cmocka_unit_test(test_cancelled),      cmocka_unit_test(test_damaged), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_other_identity), cmocka_unit_test(test_locked),  cmocka_unit_test(test_odd),
        cmocka_unit_test(test_full),           cmocka_unit_test(test_broken),  cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
