/* SPDX-License-Identifier: MIT
 * test_faults_repair.c - repair with the n-th allocation failing, for every n: no crash, no leak, no other patch, and a
 * folder that is as it was or as it should be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faults.h"
#include "fixture.h"

#define DATA TARE_TEST_DATA "/load/llama_untied_2shards"
static const char *const shards[] = {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"};

/* Without its index, and with a group size that is not the tensors'. */
static char *damaged(void)
{
    char *folder = fixture_begin(), *text;
    size_t n = 0;
    for (size_t k = 0; k < 2; k++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", DATA, shards[k]);
        text = fixture_read(path, &n);
        fixture_bytes(folder, shards[k], text, n);
        free(text);
    }
    text = fixture_read(DATA "/config.json", &n);
    char *size = strstr(text, "\"group_size\": 32");
    assert_non_null(size);
    memcpy(size, "\"group_size\": 64", strlen("\"group_size\": 64"));
    fixture_bytes(folder, "config.json", text, n);
    free(text);
    return folder;
}

static struct tare_options options_of(void)
{
    struct tare_options options = TARE_OPTIONS_INIT;
    options.threads = 1;
    return options;
}

static void find(void **state)
{
    (void)state;
    const struct tare_options options = options_of();
    char *folder = damaged();
    for (long n = 0;; n++) {
        struct tare_error err = {0};
        tare_repair *repair = NULL;
        allocations = n;
        const enum tare_code code = tare_repair_open(&repair, folder, &options, &err);
        const bool through = allocations >= 0;
        allocations = -1;
        if (code != TARE_E_MEMORY) { /* what failed was not needed, or all went well */
            assert_int_equal(code, TARE_OK);
            const struct tare_repair_report *r = tare_repair_report(repair);
            assert_int_equal(r->n_changes, 2);
            assert_true(r->loads && !r->loaded);
        }
        tare_repair_free(repair);
        if (through)
            break;
        assert_true(n < 100000);
    }
    fixture_end(folder);
}

static bool is_there(const char *folder, const char *name)
{
    return !access(fixture_path(folder, name), F_OK);
}

static void write_out(void **state)
{
    (void)state;
    const struct tare_options options = options_of();
    char *folder = damaged(), *outside = fixture_begin(), out[4096];
    tare_repair *repair = NULL;
    struct tare_error err = {0};
    assert_int_equal(tare_repair_open(&repair, folder, &options, &err), TARE_OK);
    snprintf(out, sizeof out, "%s/out", outside);
    for (long n = 0;; n++) {
        allocations = n;
        const enum tare_code code = tare_repair_write(repair, out, &err);
        allocations = -1;
        assert_int_equal(is_there(outside, "out"), code == TARE_OK);
        if (!code)
            break;
        assert_int_equal(code, TARE_E_MEMORY);
    }
    tare_repair_free(repair);
    fixture_end(folder);
    fixture_end(outside);
}

static void write_in_place(void **state)
{
    (void)state;
    const struct tare_options options = options_of();
    char *folder = damaged();
    tare_repair *repair = NULL;
    struct tare_error err = {0};
    size_t n_back = 0;
    assert_int_equal(tare_repair_open(&repair, folder, &options, &err), TARE_OK);
    for (long n = 0;; n++) {
        allocations = n;
        const enum tare_code code = tare_repair_in_place(repair, &err);
        allocations = -1;
        const bool changed = is_there(folder, "model.safetensors.index.json");
        assert_int_equal(changed, code == TARE_OK);
        assert_int_equal(is_there(folder, "config.json.before-repair"), changed);
        assert_false(is_there(folder, ".config.json.tare-repair"));
        if (changed)
            break;
        assert_int_equal(code, TARE_E_MEMORY);
    }
    tare_repair_free(repair);
    for (long n = 0;; n++) {
        allocations = n;
        const enum tare_code code = tare_repair_undo(folder, &n_back, &err);
        allocations = -1;
        if (!code)
            break;
        assert_int_equal(code, TARE_E_MEMORY);
    }
    assert_false(is_there(folder, "model.safetensors.index.json"));
    assert_false(is_there(folder, "config.json.before-repair"));
    fixture_end(folder);
}

static void json(void **state)
{
    (void)state;
    const struct tare_options options = options_of();
    char *folder = damaged();
    tare_repair *repair = NULL;
    struct tare_error err = {0};
    assert_int_equal(tare_repair_open(&repair, folder, &options, &err), TARE_OK);
    for (long n = 0;; n++) {
        allocations = n;
        char *text = tare_repair_json(repair);
        allocations = -1;
        if (text) {
            assert_non_null(strstr(text, "\"key\": \"quantization_config.group_size\""));
            tare_text_free(text);
            break;
        }
    }
    tare_repair_free(repair);
    fixture_end(folder);
}

static void arguments(void **state)
{
    (void)state;
    struct tare_error err = {0};
    tare_repair *repair = NULL;
    fixture_expect(tare_repair_open(NULL, "x", NULL, &err), &err, TARE_E_ARGUMENT, NULL, NULL);
    fixture_expect(tare_repair_open(&repair, NULL, NULL, &err), &err, TARE_E_ARGUMENT, NULL, NULL);
    fixture_expect(tare_repair_write(NULL, "x", &err), &err, TARE_E_ARGUMENT, NULL, NULL);
    fixture_expect(tare_repair_in_place(NULL, &err), &err, TARE_E_ARGUMENT, NULL, NULL);
    fixture_expect(tare_repair_undo(NULL, NULL, &err), &err, TARE_E_ARGUMENT, NULL, NULL);
    assert_int_equal(tare_repair_open(&repair, "/no/such/folder", NULL, &err), TARE_E_ABSENT);
    assert_int_equal(tare_repair_report(repair)->n_changes, 0);
    fixture_expect(tare_repair_write(repair, "x", &err), &err, TARE_E_ARGUMENT, NULL, "does not load");
    tare_repair_free(repair);
    tare_repair_free(NULL);
    assert_null(tare_repair_report(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(find), cmocka_unit_test(write_out), cmocka_unit_test(write_in_place),
        cmocka_unit_test(json), cmocka_unit_test(arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
