/* SPDX-License-Identifier: MIT
 * test_faults_open.c - opening and parsing with the n-th allocation failing, for every n: an error, no crash, no leak.
 * tests/CMakeLists.txt links every test_faults_* so that the library's malloc, calloc and realloc are those below. */
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "config/json.h"
#include "faults.h"
#include "fixture.h"

static enum tare_code open_and_read(void *user, struct tare_error *err)
{
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_checkpoint c = {.path = NULL};
    const void *data;
    char *text;
    size_t size;
    options.no_map = true;
    enum tare_code code = tare_checkpoint_open(&c, user, &options, err);
    for (size_t i = 0; i < c.n_tensors && !code; i++)
        code = tare_tensor_data(&c, &c.tensors[i], &data, err);
    if (!code && !(code = tare_checkpoint_read(&c, "config.json", 1000, &text, &size, err)))
        free(text);
    tare_checkpoint_release(&c);
    return code;
}

static void folders(void **state)
{
    (void)state;
    char *folder = fixture_begin();
    fixture_text(folder, "config.json", "{}");
    fixture_header(folder, "model-00001-of-00003.safetensors",
                   "{\"__metadata__\": {\"\\u0061\": \"\", \"b\": \"\"}, "
                   "\"\\u0061\": {\"dtype\": \"U8\", \"shape\": [2, 2], \"data_offsets\": [0, 4]}}",
                   4);
    fixture_shard(folder, "model-00002-of-00003.safetensors", "b");
    fixture_shard(folder, "adapters.safetensors", "x");
    assert_true(fault_each(open_and_read, folder) > 15);
    fixture_text(folder, "model.safetensors.index.json",
                 "{\"metadata\": {\"k\": [{}]}, \"weight_map\": {\"\\u0061\": \"model-00001-of-00003.safetensors\", "
                 "\"b\": \"model-00002-of-00003.safetensors\"}}");
    assert_true(fault_each(open_and_read, folder) > 15);
    fixture_end(folder);
}

static void cache(void **state)
{
    (void)state;
    char *folder = fixture_begin();
    fixture_folder(folder, "snapshots/abc");
    fixture_shard(folder, "snapshots/abc/model.safetensors", "a");
    fixture_text(folder, "snapshots/abc/config.json", "{}");
    /* nothing of a folder may be taken for absent only because memory ran out */
    assert_true(fault_each(open_and_read, folder) > 8);
    fixture_end(folder);
}

static void gguf(void **state)
{
    (void)state;
    char path[] = TARE_SOURCE_DIR "/tests/fuzz/corpus/fuzz_gguf/llama-q4", *folder = fixture_begin();
    size_t n = 0;
    char *bytes = fixture_read(path, &n); /* a SentencePiece vocabulary and blocks */
    fixture_bytes(folder, "a.gguf", bytes, n);
    assert_true(fault_each(open_and_read, folder) > 20);
    free(bytes);
    fixture_end(folder);
}

/* jansson calls some failures of its allocations errors of syntax; then at least nothing leaks and nothing is taken for
 * read. */
static enum tare_code parse_json(void *user, struct tare_error *err)
{
    json_t *json = NULL;
    const enum tare_code code = tare_json_parse(&json, "config.json", user, strlen(user), err);
    assert_true((code == TARE_OK) == (json != NULL));
    json_decref(json);
    return code == TARE_E_CONFIG ? tare_fail_memory(err) : code;
}

static void json(void **state)
{
    (void)state;
    /* jansson's own calls go through the same counter */
    json_set_alloc_funcs(__wrap_malloc, free);
    char text[] = "{\"a\": [NaN, 1, \"b\", {\"__float__\": \"NaN\"}], \"c\": {\"d\": null, \"e\": 1.5}, \"f\": {\"g\": "
                  "Infinity}}";
    assert_true(fault_each(parse_json, text) > 10);
}

static enum tare_code open_pool(void *user, struct tare_error *err)
{
    struct tare_pool *pool;
    (void)user;
    const enum tare_code code = tare_pool_open(&pool, 3, err);
    tare_pool_free(pool);
    return code;
}

static void pool(void **state)
{
    (void)state;
    assert_int_equal(fault_each(open_pool, NULL), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders), cmocka_unit_test(cache), cmocka_unit_test(gguf),
        cmocka_unit_test(json),    cmocka_unit_test(pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
