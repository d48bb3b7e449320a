/* SPDX-License-Identifier: MIT
 * test_token_spell.c - tokens by id and by text, what bytes each stands for, and texts with U+0000.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "text/tokenizer.h"

static tare_tokenizer *open_at(const char *path)
{
    struct tare_error err = {0};
    tare_tokenizer *t = NULL;
    if (tare_tokenizer_open(&t, path, NULL, &err))
        fail_msg("%s: %s: %s", path, err.where, err.text);
    return t;
}

static tare_tokenizer *open_text(const char *json)
{
    const struct tare_memory_file file = {"tokenizer.json", json, strlen(json)};
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_error err = {0};
    tare_tokenizer *t = NULL;
    options.files = &file;
    options.n_files = 1;
    if (tare_tokenizer_open(&t, "model", &options, &err))
        fail_msg("%s: %s", err.where, err.text);
    return t;
}

/* The bytes of the ids of a text, joined, are the text, but for the space that some tokenizers put in front. */
static void expect_joined(const tare_tokenizer *t, const char *text, size_t size, size_t front)
{
    struct tare_text joined = {0};
    int32_t *ids = NULL;
    size_t n = 0, length = 0;
    assert_int_equal(tare_tokenizer_encode(t, text, size, false, &ids, &n, NULL), TARE_OK);
    for (size_t i = 0; i < n; i++) {
        const char *bytes = NULL;
        bool special = true;
        assert_int_equal(tare_tokenizer_token(t, ids[i], &bytes, &length, &special, NULL), TARE_OK);
        assert_false(special);
        assert_true(bytes[length] == '\0');
        tare_text_add(&joined, bytes, length);
    }
    assert_int_equal(joined.size, size + front);
    assert_memory_equal(joined.data + front, text, size);
    tare_text_release(&joined);
    tare_ids_free(ids);
}

/* Decoding at once and one id after another give the text back. */
static void expect_back(const tare_tokenizer *t, const char *text, size_t size)
{
    struct tare_text pieces = {0};
    tare_stream *stream = NULL;
    const char *piece = NULL;
    char *back = NULL;
    int32_t *ids = NULL;
    size_t n = 0, length = 0;
    assert_int_equal(tare_tokenizer_encode(t, text, size, false, &ids, &n, NULL), TARE_OK);
    assert_int_equal(tare_tokenizer_decode(t, ids, n, false, &back, &length, NULL), TARE_OK);
    assert_int_equal(length, size);
    assert_memory_equal(back, text, size + 1); /* a NUL follows */
    assert_int_equal(tare_stream_open(&stream, t, false, NULL), TARE_OK);
    for (size_t i = 0; i <= n; i++) {
        assert_int_equal(i < n ? tare_stream_put(stream, ids[i], &piece, &length, NULL)
                               : tare_stream_end(stream, &piece, &length, NULL),
                         TARE_OK);
        assert_true(piece[length] == '\0');
        tare_text_add(&pieces, piece, length);
    }
    assert_int_equal(pieces.size, size);
    assert_memory_equal(pieces.data, text, size);
    tare_stream_free(stream);
    tare_text_release(&pieces);
    tare_text_free(back);
    tare_ids_free(ids);
}

static void test_texts(void **unused)
{
    (void)unused;
    static const struct {
        const char *path;
        size_t front;
    } all[] = {{TARE_SOURCE_DIR "/models/fable", 0},
               {TARE_TEST_DATA "/tokenizer/tekken", 0},
               {TARE_TEST_DATA "/tokenizer/spm_bpe", 1}};
    static const struct {
        const char *text;
        size_t size;
    } texts[] = {{"the cat and 123.", 16},
                 {"h\xc3\xa9 \xe4\xbd\xa0\xf0\x9f\x98\x80!", 12},
                 {"a\0b", 3},
                 {"x\0\0y\0", 5},
                 {"\0", 1},
                 {"no\nyes", 6}};
    for (size_t i = 0; i < FIXTURE_COUNT(all); i++) {
        tare_tokenizer *t = open_at(all[i].path);
        for (size_t k = 0; k < FIXTURE_COUNT(texts); k++) {
            expect_joined(t, texts[k].text, texts[k].size, all[i].front);
            expect_back(t, texts[k].text, texts[k].size);
        }
        tare_tokenizer_free(t);
    }
}

static void expect_token(const tare_tokenizer *t, const char *name, int32_t id, const char *bytes, size_t size,
                         bool special)
{
    const char *text = NULL;
    size_t n = 0;
    int32_t found = -1;
    bool marked = !special;
    assert_int_equal(tare_tokenizer_id(t, name, strlen(name), &found, NULL), TARE_OK);
    assert_int_equal(found, id);
    assert_int_equal(tare_tokenizer_token(t, id, &text, &n, &marked, NULL), TARE_OK);
    assert_int_equal(marked, special);
    assert_int_equal(n, size);
    assert_memory_equal(text, bytes, size + 1);
    assert_int_equal(tare_tokenizer_token(t, id, &text, &n, NULL, NULL), TARE_OK);
}

static void test_names(void **unused)
{
    (void)unused;
    const char *text = "";
    size_t n = 1;
    int32_t id = 7;
    struct tare_error err = {0};
    tare_tokenizer *t = open_text(
        "{\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
        "\"\xe2\x96\x81\"},"
        "\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]},"
        "\"added_tokens\":[{\"id\":0,\"content\":\"<s>\",\"special\":true},{\"id\":8,\"content\":\"<think>\"}],"
        "\"model\":{\"type\":\"BPE\",\"merges\":[],\"byte_fallback\":true,\"vocab\":{\"<s>\":0,\"\xe2\x96\x81the\":1,"
        "\"<0x00>\":2,\"<0xE4>\":3,\"a\":4,\"n\\u0000l\":6,\"<think>\":8}}}");
    assert_int_equal(tare_tokenizer_size(t), 9);
    expect_token(t, "<s>", 0, "<s>", 3, true);
    expect_token(t, "\xe2\x96\x81the", 1, " the", 4, false);
    expect_token(t, "<0x00>", 2, "\0", 1, false);
    expect_token(t, "<0xE4>", 3, "\xe4", 1, false);
    expect_token(t, "a", 4, "a", 1, false);
    expect_token(t, "<think>", 8, "<think>", 7, false);
    assert_int_equal(tare_tokenizer_id(t, "n\0l", 3, &id, NULL), TARE_OK);
    assert_int_equal(id, 6);
    static const int32_t none[] = {-1, 5, 7, 9, INT32_MAX};
    for (size_t i = 0; i < FIXTURE_COUNT(none); i++) {
        fixture_expect(tare_tokenizer_token(t, none[i], &text, &n, NULL, &err), &err, TARE_E_ABSENT, "id", "below 9");
        assert_true(!text && !n);
    }
    fixture_expect(tare_tokenizer_id(t, " the", 4, &id, &err), &err, TARE_E_ABSENT, "text", "\" the\"");
    assert_int_equal(id, -1);
    assert_int_equal(tare_tokenizer_id(NULL, "a", 1, &id, NULL), TARE_E_ARGUMENT);
    assert_int_equal(tare_tokenizer_id(t, "a", 1, NULL, NULL), TARE_E_ARGUMENT);
    assert_int_equal(tare_tokenizer_token(t, 0, NULL, &n, NULL, NULL), TARE_E_ARGUMENT);
    tare_tokenizer_free(t);
}

/* Every id of fable's vocabulary, looked up by what the tokenizer's own file calls it. */
static void test_every_id(void **unused)
{
    (void)unused;
    tare_tokenizer *t = open_at(TARE_SOURCE_DIR "/models/fable");
    int specials = 0;
    assert_int_equal(tare_tokenizer_size(t), 2048);
    for (int32_t i = 0; i < 2048; i++) {
        const struct tare_token *token = tare_vocab_token(&t->vocab, i);
        int32_t id = -1;
        const char *text = NULL;
        size_t n = 0;
        bool special = false;
        struct tare_text bytes = {0};
        assert_int_equal(tare_tokenizer_id(t, token->text, token->size, &id, NULL), TARE_OK);
        assert_int_equal(id, i);
        assert_int_equal(tare_tokenizer_token(t, i, &text, &n, &special, NULL), TARE_OK);
        assert_int_equal(tare_token_spell(t, i, &bytes, NULL), TARE_OK);
        assert_true(special || (n == bytes.size && !memcmp(text, bytes.data, n)));
        specials += special;
        tare_text_release(&bytes);
    }
    assert_true(specials > 0);
    tare_tokenizer_free(t);
}

static void *look_all_up(void *user)
{
    const tare_tokenizer *t = user;
    size_t sum = 0;
    for (int32_t i = 0; i < 2048; i++) {
        const char *text = NULL;
        size_t n = 0;
        if (tare_tokenizer_token(t, i, &text, &n, NULL, NULL) == TARE_OK)
            sum += n;
    }
    return (void *)(uintptr_t)sum;
}

/* The first calls may come at once from several threads. */
static void test_threads(void **unused)
{
    (void)unused;
    tare_tokenizer *t = open_at(TARE_SOURCE_DIR "/models/fable");
    pthread_t thread[4];
    void *sum[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, look_all_up, t), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(thread[i], &sum[i]), 0);
    for (int i = 0; i < 4; i++)
        assert_true(sum[i] && sum[i] == sum[0]);
    tare_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_texts), cmocka_unit_test(test_names),
                                       cmocka_unit_test(test_every_id), cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
