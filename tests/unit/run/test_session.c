/* SPDX-License-Identifier: MIT
 * test_session.c - a session on a small random llama: text fed at once and by pieces, threads, failures that change
 * nothing, life times. The logits themselves are compared with the reference by tests/cli/test_greedy.py and
 * tests/oracle.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "blocks/decoder.h"
#include "fixture.h"
#include "plan/plan.h"

#define DIM 32
#define HIDDEN 48
#define VOCABULARY 50
#define IDS 300 /* more than one pass (256), and three chunks of the cache (128) */

static char *folder;
static int32_t ids[IDS];

static uint32_t next(void)
{
    static uint64_t state = 5;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

/* Random values, F32 or BF16, around `center`. */
static struct fixture_tensor tensor(const char *name, const char *dtype, int64_t a, int64_t b, float center)
{
    struct fixture_tensor t = {.name = name, .dtype = dtype, .rank = b ? 2 : 1, .shape = {a, b}};
    const int64_t n = a * (b ? b : 1);
    const bool half = !strcmp(dtype, "BF16");
    unsigned char *data = malloc((size_t)n * (half ? 2 : 4));
    for (int64_t i = 0; i < n; i++) {
        const float v = center + ((float)next() / 4294967296.0f - 0.5f) * 0.6f;
        const uint16_t h = tare_to_bfloat16(v);
        memcpy(data + i * (half ? 2 : 4), half ? (const void *)&h : (const void *)&v, half ? 2 : 4);
    }
    t.data = data;
    return t;
}

static int begin(void **unused)
{
    (void)unused;
    folder = fixture_begin();
    fixture_text(folder, "config.json",
                 "{\"model_type\": \"llama\", \"hidden_size\": 32, \"num_hidden_layers\": 1, \"intermediate_size\": 48,"
                 "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"rms_norm_eps\": 1e-5, \"vocab_size\": 50,"
                 "\"max_position_embeddings\": 512, \"tie_word_embeddings\": true}");
    struct fixture_tensor t[] = {
        tensor("model.embed_tokens.weight", "BF16", VOCABULARY, DIM, 0),
        tensor("model.layers.0.input_layernorm.weight", "F32", DIM, 0, 1),
        tensor("model.layers.0.mlp.down_proj.weight", "BF16", DIM, HIDDEN, 0),
        tensor("model.layers.0.mlp.gate_proj.weight", "F32", HIDDEN, DIM, 0),
        tensor("model.layers.0.mlp.up_proj.weight", "BF16", HIDDEN, DIM, 0),
        tensor("model.layers.0.post_attention_layernorm.weight", "BF16", DIM, 0, 1),
        tensor("model.layers.0.self_attn.k_proj.weight", "F32", DIM / 2, DIM, 0),
        tensor("model.layers.0.self_attn.o_proj.weight", "F32", DIM, DIM, 0),
        tensor("model.layers.0.self_attn.q_proj.weight", "F32", DIM, DIM, 0),
        tensor("model.layers.0.self_attn.v_proj.weight", "BF16", DIM / 2, DIM, 0),
        tensor("model.norm.weight", "F32", DIM, 0, 1),
    };
    fixture_safetensors(folder, "model.safetensors", t, FIXTURE_COUNT(t));
    for (size_t i = 0; i < FIXTURE_COUNT(t); i++) {
        void *data;
        memcpy(&data, &t[i].data, sizeof data); /* ours, though the field says const */
        free(data);
    }
    for (int i = 0; i < IDS; i++)
        ids[i] = (int32_t)(next() % VOCABULARY);
    return 0;
}

static int end(void **unused)
{
    (void)unused;
    fixture_end(folder);
    return 0;
}

static tare_model *plan(void)
{
    tare_model *model = NULL;
    struct tare_error err = {0};
    if (tare_plan(&model, folder, NULL, &err))
        fail_msg("%s: %s", err.where, err.text);
    return model;
}

static tare_session *open_options(const struct tare_session_options *options)
{
    tare_model *model = plan();
    tare_session *session = NULL;
    struct tare_error err = {0};
    if (tare_session_open(&session, model, options, &err))
        fail_msg("%s: %s", err.where, err.text);
    tare_model_free(model); /* the session has a reference of its own */
    return session;
}

static tare_session *open_with(int threads, int64_t context, const volatile int *cancel)
{
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    options.threads = threads;
    options.context = context;
    options.cancel = cancel;
    options.kv_bits = 32;
    return open_options(&options);
}

static void feed(tare_session *s, const int32_t *list, size_t n, bool all, float *logits)
{
    struct tare_error err = {0};
    if (tare_session_feed(s, list, n, all, logits, &err))
        fail_msg("%s: %s", err.where, err.text);
}

static void near(const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(got[i] - want[i]) < 1e-4f))
            fail_msg("logit %zu: got %.9g, expected %.9g", i, (double)got[i], (double)want[i]);
}

/* All rows of one feed; then the same text one by one, and by uneven pieces. */
static void test_pieces(void **unused)
{
    (void)unused;
    float *whole = malloc(IDS * VOCABULARY * sizeof *whole), row[VOCABULARY];
    tare_session *s = open_with(2, IDS, NULL);
    assert_int_equal(tare_session_vocabulary(s), VOCABULARY);
    assert_int_equal(tare_session_context(s), IDS);
    feed(s, ids, IDS, true, whole);
    assert_int_equal(tare_session_length(s), IDS);
    tare_session_free(s);

    s = open_with(1, IDS, NULL);
    for (int i = 0; i < IDS; i++) {
        feed(s, ids + i, 1, i % 2, row);
        near(row, whole + i * VOCABULARY, VOCABULARY);
    }
    tare_session_free(s);

    s = open_with(2, IDS, NULL);
    feed(s, ids, 7, false, row);
    near(row, whole + 6 * VOCABULARY, VOCABULARY);
    feed(s, ids + 7, 130, false, NULL);
    feed(s, ids + 137, IDS - 137, false, row);
    near(row, whole + (IDS - 1) * VOCABULARY, VOCABULARY);
    tare_session_free(s);
    free(whole);
}

static void test_threads(void **unused)
{
    (void)unused;
    float *rows[3];
    for (int i = 0; i < 3; i++) {
        rows[i] = malloc((IDS - 1) * VOCABULARY * sizeof(float));
        tare_session *s = open_with(i + 1, IDS, NULL);
        feed(s, ids, IDS - 1, true, rows[i]);
        feed(s, ids + IDS - 1, 1, false, rows[i]);
        tare_session_free(s);
        assert_memory_equal(rows[i], rows[0], (IDS - 1) * VOCABULARY * sizeof(float));
    }
    for (int i = 0; i < 3; i++)
        free(rows[i]);
}

static void refuse(tare_session *s, const int32_t *list, size_t n, enum tare_code code, const char *phrase)
{
    const int64_t before = tare_session_length(s);
    struct tare_error err = {0};
    fixture_expect(tare_session_feed(s, list, n, false, NULL, &err), &err, code, NULL, phrase);
    assert_int_equal(tare_session_length(s), before);
}

/* After every kind of failure the text continues as if nothing had happened. */
static void test_failures(void **unused)
{
    (void)unused;
    volatile int cancel = 0;
    float want[VOCABULARY], got[VOCABULARY];
    tare_session *s = open_with(2, 20, NULL);
    feed(s, ids, 20, false, want);
    tare_session_free(s);

    s = open_with(2, 20, &cancel);
    feed(s, ids, 10, false, NULL);
    refuse(s, (const int32_t[]){1, VOCABULARY}, 2, TARE_E_ARGUMENT, "id 50, number 1");
    refuse(s, (const int32_t[]){-1}, 1, TARE_E_ARGUMENT, "id -1");
    refuse(s, ids, 11, TARE_E_ARGUMENT, "10 of the context's 20");
    refuse(s, ids, 0, TARE_E_ARGUMENT, "no ids");
    cancel = 1;
    refuse(s, ids + 20, 10, TARE_E_CANCELLED, "cancelled");
    cancel = 0;
    feed(s, ids + 10, 10, false, got);
    near(got, want, VOCABULARY);
    tare_session_free(s);
}

static void test_context(void **unused)
{
    (void)unused;
    tare_session *s = open_with(1, 0, NULL);
    assert_int_equal(tare_session_context(s), 512); /* max_position_embeddings */
    tare_session_free(s);
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    options.context = -3;
    struct tare_error err = {0};
    tare_model *model = plan();
    fixture_expect(tare_session_open(&s, model, &options, &err), &err, TARE_E_ARGUMENT, "context", "-3");
    assert_null(s);
    fixture_expect(tare_session_open(&s, NULL, NULL, &err), &err, TARE_E_ARGUMENT, "model", NULL);
    tare_model_free(model);
}

static void test_memory(void **unused)
{
    (void)unused;
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    struct tare_error err = {0};
    tare_session *s = NULL;
    tare_model *model = plan();
    options.context = 100;
    options.memory = 20000; /* the weights alone: 50 * 32 * 2 + 3 * 32 * 48 * 2.. + keys and values 100 * 32 * 4 */
    fixture_expect(tare_session_open(&s, model, &options, &err), &err, TARE_E_MEMORY, NULL, "a context of 100 tokens");
    assert_null(s);
    assert_null(model->loaded);
    options.memory = 60000;
    assert_int_equal(tare_session_open(&s, model, &options, &err), TARE_OK);
    tare_session_free(s);
    tare_model_free(model);
}

/* Two sessions: one set of weights, two texts. */
static void test_shared(void **unused)
{
    (void)unused;
    tare_model *model = plan();
    tare_session *a = NULL, *b = NULL;
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    options.kv_bits = 32;
    assert_int_equal(tare_session_open(&a, model, &options, NULL), TARE_OK);
    const void *loaded = model->loaded;
    assert_int_equal(tare_session_open(&b, model, NULL, NULL), TARE_OK);
    assert_true(loaded && loaded == model->loaded);
    float x[VOCABULARY], y[VOCABULARY];
    feed(a, ids, 5, false, NULL);
    feed(b, ids + 20, 3, false, NULL);
    feed(a, ids + 5, 4, false, x);
    tare_session_free(b);
    tare_model_free(model);
    tare_session_free(a);
    a = open_with(1, 0, NULL);
    feed(a, ids, 9, false, y);
    near(x, y, VOCABULARY);
    tare_session_free(a);
}

/* Keys and values in fewer bits: close to those in float32, and no further from them than from zero. */
static void test_kv_bits(void **unused)
{
    (void)unused;
    static const struct {
        int bits;
        float most; /* of the largest logit */
    } cases[] = {{16, 0.002f}, {8, 0.01f}, {4, 0.2f}, {0, 0.002f}};
    float want[VOCABULARY], got[VOCABULARY], largest = 0;
    tare_session *s = open_with(1, 0, NULL), *fork = NULL;
    feed(s, ids, 20, false, want);
    tare_session_free(s);
    for (int i = 0; i < VOCABULARY; i++)
        largest = fmaxf(largest, fabsf(want[i]));
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
        options.kv_bits = cases[c].bits;
        s = open_options(&options);
        feed(s, ids, 12, false, NULL);
        assert_int_equal(tare_session_fork(&fork, s, NULL), TARE_OK);
        tare_session_free(s);
        feed(fork, ids + 12, 8, false, got);
        float apart = 0;
        for (int i = 0; i < VOCABULARY; i++)
            apart = fmaxf(apart, fabsf(got[i] - want[i]));
        assert_true(apart > 0 && apart <= cases[c].most * largest);
        tare_session_free(fork);
    }
    struct tare_session_options wrong = TARE_SESSION_OPTIONS_INIT;
    struct tare_error err = {0};
    tare_model *model = plan();
    wrong.kv_bits = 5;
    fixture_expect(tare_session_open(&s, model, &wrong, &err), &err, TARE_E_ARGUMENT, "kv_bits", "is 5");
    tare_model_free(model);
}

static void test_cannot_run(void **unused)
{
    (void)unused;
    tare_model *model = plan();
    model->decoder->layers[0].ffn.ops = NULL; /* as a block has it that is declared for planning only */
    tare_session *s = NULL;
    struct tare_error err = {0};
    fixture_expect(tare_session_open(&s, model, NULL, &err), &err, TARE_E_UNKNOWN, NULL,
                   "llama can be checked and converted, but not run yet");
    assert_null(s);
    tare_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),  cmocka_unit_test(test_threads), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_context), cmocka_unit_test(test_shared),  cmocka_unit_test(test_cannot_run),
        cmocka_unit_test(test_memory),  cmocka_unit_test(test_kv_bits),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
