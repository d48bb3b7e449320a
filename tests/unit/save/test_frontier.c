/* SPDX-License-Identifier: MIT
 * test_frontier.c - a host whose files have hashes: they are read from end to end as they are converted. The same
 * output as of a folder, an error where a hash or a second reading differs, and a later run that continues.
 */
#include "base/hash.h"
#include "host.h"
#include "plan/plan.h"

static const char *const fixtures[] = {"load/llama_untied_2shards", "load/qwen3_moe",
                                       "load/gemma3_text_tied_redundant_head"};
static const char *const formats[] = {"mlx", "dense", "gguf", "gptq", "awq"};

struct hashed {
    struct host *host;
    char hex[HOST_FILES][TARE_HASH_ROOM];
    const char *list[HOST_FILES];
    int changed; /* which reading of the last byte of a shard gives another one; 0: none */
    atomic_int readings;
};

static bool is_shard(const char *name)
{
    return strstr(name, ".safetensors") && !strstr(name, "index");
}

static int read_hashed(void *user, const char *name, uint64_t offset, void *dst, size_t length, struct tare_error *err)
{
    struct hashed *h = user;
    const int code = host_read(h->host, name, offset, dst, length, err);
    if (is_shard(name) && offset + length == host_file(h->host, name)->bytes &&
        atomic_fetch_add(&h->readings, 1) + 1 == h->changed)
        ((unsigned char *)dst)[length - 1] ^= 1;
    return code;
}

static void hash_file(const char *path, char hex[TARE_HASH_ROOM])
{
    size_t n;
    char *bytes = fixture_read(path, &n);
    struct tare_chain chain;
    tare_chain_begin(&chain);
    tare_chain_end(&chain, bytes, n, hex);
    free(bytes);
}

static struct hashed *open_hashed(const char *name)
{
    static char path[512];
    struct hashed *h = calloc(1, sizeof *h);
    assert_non_null(h);
    snprintf(path, sizeof path, "%s/%s", TARE_TEST_DATA, name);
    h->host = host_of(path);
    for (size_t i = 0; i < h->host->host.n_files; i++)
        if (is_shard(h->host->names[i])) {
            hash_file(fixture_path(path, h->host->names[i]), h->hex[i]);
            h->list[i] = h->hex[i];
        }
    h->host->host.sha256 = h->list;
    h->host->host.read = read_hashed;
    h->host->host.user = h;
    h->host->host.parallel = 4;
    h->host->options.tie = TARE_TIE_CONFIG;
    return h;
}

static void close_hashed(struct hashed *h)
{
    host_free(h->host);
    free(h);
}

static enum tare_code convert(struct hashed *h, const char *out, const char *to, bool proof, bool eager,
                              struct tare_error *err)
{
    struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    struct tare_model *model = NULL;
    options.to = to;
    options.proof = proof;
    options.threads = 3;
    enum tare_code code = tare_plan(&model, h->host->folder, &h->host->options, err);
    if (!code && eager)
        model->checkpoint.shelf.eager = true; /* what is read without a hold ends the test */
    code = code ? code : tare_convert(model, out, &options, err);
    tare_model_free(model);
    return code;
}

static enum tare_code convert_folder(struct hashed *h, const char *out, const char *to)
{
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_convert_options convert_options = TARE_CONVERT_OPTIONS_INIT;
    struct tare_model *model = NULL;
    options.tie = TARE_TIE_CONFIG;
    convert_options.to = to;
    enum tare_code code = tare_plan(&model, h->host->folder, &options, NULL);
    code = code ? code : tare_convert(model, out, &convert_options, NULL);
    tare_model_free(model);
    return code;
}

static void same_files(const char *a, const char *b)
{
    struct host *list = host_of(a);
    assert_true(list->host.n_files > 1);
    for (size_t i = 0; i < list->host.n_files; i++) {
        size_t n = 0, m = 0;
        if (!strcmp(list->names[i], "tare.json") || !strcmp(list->names[i], "README.md")) /* these name the input */
            continue;
        char *x = fixture_read(fixture_path(a, list->names[i]), &n);
        char *y = fixture_read(fixture_path(b, list->names[i]), &m);
        assert_int_equal(n, m);
        assert_memory_equal(x, y, n);
        free(x);
        free(y);
    }
    host_free(list);
}

static bool is_there(const char *folder, const char *name)
{
    return !access(fixture_path(folder, name), F_OK);
}

static void the_same_output(void **state)
{
    char paths[2][512];
    (void)state;
    for (size_t i = 0; i < FIXTURE_COUNT(fixtures); i++)
        for (size_t k = 0; k < FIXTURE_COUNT(formats); k++) {
            struct hashed *h = open_hashed(fixtures[i]);
            struct tare_error err = {0};
            char *folder = fixture_begin();
            snprintf(paths[0], sizeof paths[0], "%s/a", folder);
            snprintf(paths[1], sizeof paths[1], "%s/b", folder);
            const enum tare_code code = convert_folder(h, paths[0], formats[k]);
            assert_int_equal(convert(h, paths[1], formats[k], false, true, &err), code);
            if (!code) {
                same_files(paths[0], paths[1]);
                snprintf(paths[1], sizeof paths[1], "%s/c", folder);
                const enum tare_code proof = convert(h, paths[1], formats[k], true, true, &err);
                assert_true(proof == TARE_E_TARGET || !proof);
                if (!proof)
                    same_files(paths[0], paths[1]);
            }
            assert_true(h->host->most_inside <= 4);
            fixture_end(folder);
            close_hashed(h);
        }
}

static void a_wrong_hash_withdraws(void **state)
{
    (void)state;
    for (size_t i = 0; i < FIXTURE_COUNT(fixtures); i++) {
        struct hashed *h = open_hashed(fixtures[i]);
        for (size_t k = 0; k < h->host->host.n_files; k++) {
            struct tare_error err = {0};
            char *folder = fixture_begin();
            if (h->list[k]) {
                h->hex[k][63] = h->hex[k][63] == '0' ? '1' : '0';
                fixture_expect(convert(h, fixture_path(folder, "out"), "mlx", false, false, &err), &err, TARE_E_FORMAT,
                               h->host->names[k], "sha256");
                assert_false(is_there(folder, "out") || is_there(folder, ".out.tare-partial"));
                h->hex[k][0] = 'X';
                fixture_expect(convert(h, fixture_path(folder, "out"), "mlx", false, false, &err), &err,
                               TARE_E_ARGUMENT, "options.host.sha256", h->host->names[k]);
                hash_file(fixture_path(h->host->folder, h->host->names[k]), h->hex[k]);
            }
            fixture_end(folder);
        }
        close_hashed(h);
    }
}

/* Whichever reading is another one, the first, which the hash finds, or a later one, the output is not there. */
static void a_reading_that_differs_withdraws(void **state)
{
    (void)state;
    for (int changed = 1, more = 1; more; changed++) {
        struct hashed *h = open_hashed("load/qwen3_moe");
        struct tare_error err = {0};
        char *folder = fixture_begin();
        h->changed = changed;
        const enum tare_code code = convert(h, fixture_path(folder, "out"), "gptq_v2", true, true, &err);
        more = h->readings >= changed;
        assert_true(more || changed > 3);
        if (more)
            fixture_expect(code, &err, TARE_E_FORMAT, ".safetensors", NULL);
        assert_int_equal(is_there(folder, "out"), !more);
        fixture_end(folder);
        close_hashed(h);
    }
}

/* The network fails at every call once, and the next run continues: it reads no more than a whole one. */
static void a_later_run_continues(void **state)
{
    (void)state;
    struct hashed *h = open_hashed("load/llama_untied_2shards");
    char paths[2][512], *folder = fixture_begin();
    struct tare_error err = {0};
    size_t kept = 0;
    snprintf(paths[0], sizeof paths[0], "%s/a", folder);
    assert_int_equal(convert(h, paths[0], "gptq_v2", false, false, &err), TARE_OK);
    const long calls = h->host->calls;
    h->host->code = TARE_E_ABSENT;
    for (long at = 0; at < calls; at++) {
        snprintf(paths[1], sizeof paths[1], "%s/b%ld", folder, at);
        char partial[64];
        snprintf(partial, sizeof partial, ".b%ld.tare-partial", at);
        h->host->calls = 0;
        h->host->fail_at = at;
        const enum tare_code code = convert(h, paths[1], "gptq_v2", false, true, &err);
        h->host->fail_at = -1;
        assert_true(!code || code == TARE_E_ABSENT);
        kept += code && is_there(folder, partial);
        if (code)
            assert_int_equal(convert(h, paths[1], "gptq_v2", false, true, &err), TARE_OK);
        same_files(paths[0], paths[1]);
    }
    assert_true(kept > 0);
    fixture_end(folder);
    close_hashed(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_output),
        cmocka_unit_test(a_wrong_hash_withdraws),
        cmocka_unit_test(a_reading_that_differs_withdraws),
        cmocka_unit_test(a_later_run_continues),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
