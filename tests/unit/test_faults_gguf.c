/* SPDX-License-Identifier: MIT
 * test_faults_gguf.c - a conversion to GGUF, tokenizer and all, with the n-th allocation failing, for every n: an
 * error, no leak, and nothing left behind. tests/CMakeLists.txt wraps the allocations.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "tare.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

static long allocations = -1; /* until one fails; -1: none does */

static bool fails(void)
{
    return allocations >= 0 && allocations-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
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

static void fail_each(const char *name)
{
    char *folder = fixture_begin(), out[512], in[512];
    struct tare_error err = {0};
    struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    tare_model *model = NULL;
    fixture_folder(folder, "in");
    snprintf(in, sizeof in, "%s/in", folder);
    snprintf(out, sizeof out, "%s/out.gguf", folder);
    copy(in, name, "config.json");
    copy(in, name, "model.safetensors");
    fixture_text(in, "tokenizer.json", tokenizer);
    fixture_text(in, "tokenizer_config.json", more);
    fixture_expect(tare_plan(&model, in, NULL, &err), &err, TARE_OK, NULL, NULL);
    const size_t before = entries(folder);
    options.threads = 1;
    options.to = "gguf";
    for (long n = 0;; n++) {
        allocations = n;
        const enum tare_code code = tare_convert(model, out, &options, &err);
        const bool through = allocations >= 0;
        allocations = -1;
        if (through) {
            fixture_expect(code, &err, TARE_OK, NULL, NULL);
            assert_true(n > 20);
            assert_int_equal(entries(folder), before + 2); /* the file, and its record */
            break;
        }
        fixture_expect(code, &err, TARE_E_MEMORY, NULL, "out of memory");
        assert_int_equal(entries(folder), before);
    }
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
