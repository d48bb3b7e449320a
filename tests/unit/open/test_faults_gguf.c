/* SPDX-License-Identifier: MIT
 * test_faults_gguf.c - a conversion to GGUF, tokenizer and all, with the n-th allocation, or the n-th write, sync or
 * rename failing, for every n: an error, no leak, and nothing left behind. tests/CMakeLists.txt wraps the allocations.
 */
#define _GNU_SOURCE /* syscall(), renameat2() */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "faults.h"
#include "fixture.h"
#include "tare.h"

static long calls = -1; /* the same of the system calls below */
static int number;      /* their errno */

static bool call_fails(void)
{
    if (calls < 0 || calls--)
        return false;
    errno = number;
    return true;
}

/* These take the place of libc's in this program. */
ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
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

int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    return call_fails() ? -1 : (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

static const char tokenizer[] =
    "{\"added_tokens\": [{\"id\": 1, \"content\": \"<s>\", \"special\": true}], \"normalizer\": {\"type\": \"NFC\"},"
    " \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": true},"
    " \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 4, \"b\": 5, \"ab\": 6}, \"merges\": [[\"a\", \"b\"]]}}";
static const char more[] = "{\"bos_token\": \"<s>\", \"chat_template\": \"{{ x }}\"}";

static void copy(const char *folder, const char *model, const char *name)
{
    char path[512];
    size_t n;
    snprintf(path, sizeof path, TARE_TEST_DATA "/gguf_out/%s/%s", model, name);
    char *data = fixture_read(path, &n);
    fixture_bytes(folder, name, data, n);
    free(data);
}

static size_t entries(const char *folder)
{
    size_t n = 0;
    DIR *list = opendir(folder);
    assert_non_null(list);
    while (readdir(list))
        n++;
    closedir(list);
    return n;
}

/* One kind of failure at every place; memory: of allocations. The sync of the folder above comes last, when the file
 * has its name. */
static void fail_at_each(tare_model *model, const char *folder, const char *out, bool memory, enum tare_code want)
{
    struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    const size_t before = entries(folder);
    options.threads = 1;
    options.to = "gguf";
    for (long n = 0;; n++) {
        struct tare_error err = {0};
        *(memory ? &allocations : &calls) = n;
        const enum tare_code code = tare_convert(model, out, &options, &err);
        const bool through = (memory ? allocations : calls) >= 0;
        allocations = calls = -1;
        const bool there = !access(out, F_OK);
        assert_int_equal(entries(folder), before + 2 * (size_t)there); /* the file, and its record beside it */
        fixture_expect(code, &err, through ? TARE_OK : want, NULL, NULL);
        if (there) {
            char record[600];
            snprintf(record, sizeof record, "%s.tare.json", out);
            assert_int_equal(unlink(out), 0);
            assert_int_equal(unlink(record), 0);
        }
        if (through) {
            assert_true(n > 5 && there);
            return;
        }
        assert_true(!there || !memory);
    }
}

static void fail_each(const char *name)
{
    char *folder = fixture_begin(), out[512], in[512];
    struct tare_error err = {0};
    tare_model *model = NULL;
    fixture_folder(folder, "in");
    snprintf(in, sizeof in, "%s/in", folder);
    snprintf(out, sizeof out, "%s/out.gguf", folder);
    copy(in, name, "config.json");
    copy(in, name, "model.safetensors");
    fixture_text(in, "tokenizer.json", tokenizer);
    fixture_text(in, "tokenizer_config.json", more);
    fixture_expect(tare_plan(&model, in, NULL, &err), &err, TARE_OK, NULL, NULL);
    fail_at_each(model, folder, out, true, TARE_E_MEMORY);
    number = ENOSPC;
    fail_at_each(model, folder, out, false, TARE_E_SPACE);
    number = EIO;
    fail_at_each(model, folder, out, false, TARE_E_IO);
    tare_model_free(model);
    fixture_end(folder);
}

static void test_blocks(void **state)
{
    (void)state;
    fail_each("llama_silent_redundant_head");
}

static void test_norms_and_windows(void **state)
{
    (void)state;
    fail_each("gemma2");
}

static void test_experts(void **state)
{
    (void)state;
    fail_each("mixtral");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_norms_and_windows),
        cmocka_unit_test(test_experts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
