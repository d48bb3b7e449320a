/* SPDX-License-Identifier: MIT
 * test_prompt_cache.c - a session of fable is saved, loaded and continued; damaged and foreign files are refused. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "sample.h"

enum { KEPT = 150, MORE = 5 }; /* more than one chunk of a state */

static char *folder;
static int32_t ids[KEPT + MORE];

static tare_session *open_session(int64_t context)
{
    tare_model *model = NULL;
    tare_session *session = NULL;
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    options.context = context;
    assert_int_equal(tare_plan(&model, TARE_SOURCE_DIR "/models/fable", NULL, NULL), TARE_OK);
    assert_int_equal(tare_session_open(&session, model, &options, NULL), TARE_OK);
    tare_model_free(model);
    return session;
}

static int begin(void **unused)
{
    (void)unused;
    folder = fixture_begin();
    for (int i = 0; i < KEPT + MORE; i++)
        ids[i] = (i * 37 + 11) % 500;
    tare_session *s = open_session(200);
    assert_int_equal(tare_session_feed(s, ids, KEPT, false, NULL, NULL), TARE_OK);
    assert_int_equal(tare_session_save(s, fixture_path(folder, "kept"), NULL), TARE_OK);
    tare_session_free(s);
    return 0;
}

static int end(void **unused)
{
    (void)unused;
    fixture_end(folder);
    return 0;
}

/* Going on from the file gives what going on from the text gives, bit for bit. */
static void test_goes_on(void **unused)
{
    (void)unused;
    tare_session *s = open_session(0), *t = open_session(300);
    const size_t columns = (size_t)tare_session_vocabulary(s);
    float *want = malloc(2 * columns * sizeof *want), *got = want + columns;
    assert_int_equal(tare_session_feed(t, ids, 40, false, NULL, NULL), TARE_OK); /* forgotten by loading */
    assert_int_equal(tare_session_load(t, fixture_path(folder, "kept"), NULL), TARE_OK);
    assert_int_equal(tare_session_length(t), KEPT);
    assert_memory_equal(tare_session_ids(t), ids, KEPT * sizeof *ids);
    assert_int_equal(tare_session_feed(t, ids + KEPT, MORE, false, got, NULL), TARE_OK);
    assert_int_equal(tare_session_feed(s, ids, KEPT, false, NULL, NULL), TARE_OK);
    assert_int_equal(tare_session_feed(s, ids + KEPT, MORE, false, want, NULL), TARE_OK);
    assert_memory_equal(got, want, columns * sizeof *got);
    free(want);
    tare_session_free(s);
    tare_session_free(t);
}

static void refuse(const char *name, int64_t context, enum tare_code code, const char *phrase)
{
    struct tare_error err = {0};
    tare_session *s = open_session(context);
    fixture_expect(tare_session_load(s, fixture_path(folder, name), &err), &err, code, name, phrase);
    assert_int_equal(tare_session_length(s), 0);
    assert_int_equal(tare_session_feed(s, ids, 3, false, NULL, NULL), TARE_OK); /* and it is as good as new */
    tare_session_free(s);
}

static void test_refused(void **unused)
{
    (void)unused;
    size_t n;
    char *bytes = fixture_read(fixture_path(folder, "kept"), &n);
    refuse("kept", KEPT - 1, TARE_E_FORMAT, "holds 150 tokens; this session has room for 149");
    refuse("absent", 0, TARE_E_ABSENT, NULL);
    fixture_bytes(folder, "short", bytes, 20);
    refuse("short", 0, TARE_E_FORMAT, "too short");
    fixture_bytes(folder, "cut", bytes, n - 1);
    refuse("cut", 0, TARE_E_FORMAT, "it is not whole");
    fixture_pipe(folder, "pipe");
    refuse("pipe", 0, TARE_E_FORMAT, NULL);
    for (size_t at = 60; at < n; at += n / 7) {
        bytes[at] ^= 4;
        fixture_bytes(folder, "flipped", bytes, n);
        refuse("flipped", 0, TARE_E_FORMAT, "damaged");
        bytes[at] ^= 4;
    }
    bytes[18] ^= 1;
    fixture_bytes(folder, "other", bytes, n);
    refuse("other", 0, TARE_E_FORMAT, "another model");
    bytes[0] ^= 1;
    fixture_bytes(folder, "no", bytes, n);
    refuse("no", 0, TARE_E_FORMAT, "is not a prompt cache");
    free(bytes);
}

/* States of a file that someone made: sums that stand for ids and are none. What is computed is worth nothing, and
 * stays in memory (which a sanitizer sees). */
static void test_made_sums(void **unused)
{
    (void)unused;
    static const char config[] =
        "{\"model_type\": \"longcat_flash_ngram\", \"hidden_size\": 32, \"num_layers\": 1, \"ffn_hidden_size\": 24,"
        "\"expert_ffn_hidden_size\": 8, \"moe_topk\": 2, \"n_routed_experts\": 2, \"zero_expert_num\": 1,"
        "\"num_attention_heads\": 4, \"q_lora_rank\": 12, \"kv_lora_rank\": 12, \"qk_nope_head_dim\": 8,"
        "\"qk_rope_head_dim\": 4, \"v_head_dim\": 8, \"mla_scale_q_lora\": true, \"mla_scale_kv_lora\": true,"
        "\"ngram_vocab_size_ratio\": 2, \"emb_neighbor_num\": 3, \"emb_split_num\": 2, \"rms_norm_eps\": 1e-5,"
        "\"routed_scaling_factor\": 2.0, \"rope_theta\": 10000.0, \"vocab_size\": 40,"
        "\"max_position_embeddings\": 64, \"tie_word_embeddings\": false}";
    static const float bad[] = {-3e9f, 1e30f, (float)INFINITY, (float)NAN, -1, 40};
    const int32_t text[] = {3, 17, 33}; /* the last two are what the sums hold */
    const float sums[] = {17, 33};
    tare_session *s = NULL;
    size_t n, at;
    sample_checkpoint(folder, config);
    tare_model *model = sample_plan(folder);
    assert_int_equal(tare_session_open(&s, model, NULL, NULL), TARE_OK);
    assert_int_equal(tare_session_feed(s, text, 3, false, NULL, NULL), TARE_OK);
    assert_int_equal(tare_session_save(s, fixture_path(folder, "sums"), NULL), TARE_OK);
    char *bytes = fixture_read(fixture_path(folder, "sums"), &n);
    for (at = 0; at + sizeof sums <= n && memcmp(bytes + at, sums, sizeof sums) != 0; at += 4)
        ;
    assert_true(at + sizeof sums < n);
    for (size_t i = 0; i < FIXTURE_COUNT(bad); i++) {
        memcpy(bytes + at, &bad[i], sizeof *bad);
        memcpy(bytes + at + sizeof *bad, &bad[i], sizeof *bad);
        const uint64_t digest = XXH3_64bits(bytes, n - sizeof digest);
        memcpy(bytes + n - sizeof digest, &digest, sizeof digest);
        fixture_bytes(folder, "made", bytes, n);
        assert_int_equal(tare_session_load(s, fixture_path(folder, "made"), NULL), TARE_OK);
        assert_int_equal(tare_session_feed(s, text, 3, false, NULL, NULL), TARE_OK);
    }
    free(bytes);
    tare_session_free(s);
    tare_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_goes_on), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_made_sums)};
    return cmocka_run_group_tests(tests, begin, end);
}
