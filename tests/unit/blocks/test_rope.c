/* SPDX-License-Identifier: MIT
 * test_rope.c - frequencies of each scaling against its formula worked out by hand, both spellings, and what is
 * refused. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "models/blocks.h"

static struct tare_arena arena;
static struct tare_tree tree;

static struct tare_rope rope_of(const char *scaling, int64_t dims, double theta, int64_t context)
{
    json_t *json = scaling ? json_loads(scaling, 0, NULL) : NULL;
    assert_true(!scaling || json);
    tree = (struct tare_tree){.arena = &arena};
    const struct tare_rope rope = tare_rope_read((struct tare_at){&tree, "model"}, dims, theta, json, context);
    json_decref(json); /* lists are not looked at after this, but in test_longrope */
    return rope;
}

static void near(float got, double want)
{
    if (!(fabs((double)got - want) <= 1e-6 * fabs(want)))
        fail_msg("got %.9g, expected %.9g", (double)got, want);
}

static void test_default(void **unused)
{
    (void)unused;
    const char *const spellings[] = {NULL, "{\"rope_type\": \"default\"}",
                                     "{\"type\": \"default\", \"rope_theta\": 10000.0}"};
    for (int i = 0; i < 3; i++) {
        const struct tare_rope r = rope_of(spellings[i], 4, i == 2 ? 5 : 10000, 512);
        float freq[2];
        assert_int_equal(tree.error.code, TARE_OK);
        near(tare_rope_frequencies(&r, 10, freq), 1);
        near(freq[0], 1);
        near(freq[1], 0.01);
    }
}

static void test_linear(void **unused)
{
    (void)unused;
    const struct tare_rope r = rope_of("{\"type\": \"linear\", \"factor\": 4}", 4, 10000, 512);
    float freq[2];
    tare_rope_frequencies(&r, 10, freq);
    near(freq[0], 0.25);
    near(freq[1], 0.0025);
}

/* Wavelengths 2 pi and 2 pi 100 stay and stretch; 2 pi 10 lies between 16 and 64. */
static void test_llama3(void **unused)
{
    (void)unused;
    const struct tare_rope r =
        rope_of("{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4,"
                "\"original_max_position_embeddings\": 64}",
                6, 1000, 512);
    float freq[3];
    tare_rope_frequencies(&r, 10, freq);
    near(freq[0], 1);
    const double smooth = (64 / (2 * 3.14159265358979 * 10) - 1) / 3;
    near(freq[1], (1 - smooth) * 0.1 / 8 + smooth * 0.1);
    near(freq[2], 0.01 / 8);
}

static void test_yarn(void **unused)
{
    (void)unused;
    struct tare_rope r =
        rope_of("{\"rope_type\": \"yarn\", \"factor\": 8, \"original_max_position_embeddings\": 64}", 16, 10000, 512);
    float freq[8];
    near(tare_rope_frequencies(&r, 10, freq), 0.1 * log(8) + 1);
    /* pair of 32 rotations: 16 ln(64 / (64 pi)) / (2 ln 10000) = -0.99 -> 0; of one rotation: 2.02 -> 3 */
    near(freq[0], 1);
    near(freq[1], pow(10000, -2.0 / 16) * (2.0 / 3 + 1.0 / 3 / 8));
    near(freq[3], pow(10000, -6.0 / 16) / 8);
    r = rope_of("{\"type\": \"yarn\", \"factor\": 8, \"mscale\": 0.5, \"mscale_all_dim\": 2, "
                "\"original_max_position_embeddings\": 64}",
                16, 10000, 512);
    near(tare_rope_frequencies(&r, 10, freq), (0.05 * log(8) + 1) / (0.2 * log(8) + 1));
    r = rope_of("{\"type\": \"yarn\", \"factor\": 8, \"attention_factor\": 1.5}", 16, 10000, 512);
    near(tare_rope_frequencies(&r, 10, freq), 1.5);
}

/* Short factors up to the original context, long ones beyond; one amplitude for both. */
static void test_longrope(void **unused)
{
    (void)unused;
    json_t *json = json_loads("{\"type\": \"su\", \"short_factor\": [1, 2], \"long_factor\": [4, 8],"
                              "\"original_max_position_embeddings\": 32}",
                              0, NULL);
    tree = (struct tare_tree){.arena = &arena};
    const struct tare_rope r = tare_rope_read((struct tare_at){&tree, ""}, 4, 10000, json, 128);
    assert_int_equal(tree.error.code, TARE_OK);
    float freq[2];
    near(tare_rope_frequencies(&r, 32, freq), sqrt(1 + log(4) / log(32)));
    near(freq[0], 1);
    near(freq[1], 0.005);
    near(tare_rope_frequencies(&r, 33, freq), sqrt(1 + log(4) / log(32)));
    near(freq[0], 0.25);
    near(freq[1], 0.00125);
    json_decref(json);
}

static void test_dynamic(void **unused)
{
    (void)unused;
    const struct tare_rope r = rope_of("{\"type\": \"dynamic\", \"factor\": 2}", 4, 10000, 32);
    float freq[2];
    tare_rope_frequencies(&r, 32, freq);
    near(freq[1], 0.01);
    tare_rope_frequencies(&r, 64, freq);
    near(freq[1], pow(10000 * pow(3, 2), -0.5));
}

static void test_proportional(void **unused)
{
    (void)unused;
    const struct tare_rope r =
        rope_of("{\"rope_type\": \"proportional\", \"partial_rotary_factor\": 0.5}", 8, 10000, 32);
    float freq[4];
    tare_rope_frequencies(&r, 32, freq);
    near(freq[1], 0.1);
    assert_true(freq[2] == 0 && freq[3] == 0);
}

/* Halves pair 0 with 2, interleaved 0 with 1; a turn keeps the length. */
static void test_rotate(void **unused)
{
    (void)unused;
    struct tare_rope r = rope_of(NULL, 4, 10000, 512);
    float freq[2], table[4], halves[] = {1, 0, 0, 2, 7}, pairs[] = {1, 0, 0, 2, 7};
    tare_rope_table(&r, freq, tare_rope_frequencies(&r, 9, freq), 3, table);
    tare_rope_rotate(&r, table, halves);
    near(halves[0], cos(3));
    near(halves[2], sin(3));
    near(halves[1], -2 * sin(0.03));
    near(halves[3], 2 * cos(0.03));
    r.interleaved = true;
    tare_rope_rotate(&r, table, pairs);
    near(pairs[0], cos(3));
    near(pairs[1], sin(3));
    near(pairs[2], -2 * sin(0.03));
    near(pairs[3], 2 * cos(0.03));
    assert_true(halves[4] == 7 && pairs[4] == 7);
}

static void test_refused(void **unused)
{
    (void)unused;
    rope_of("{\"type\": \"spiral\"}", 4, 10000, 512);
    fixture_expect(tree.error.code, &tree.error, TARE_E_UNKNOWN, "rope_scaling", "\"spiral\"");
    rope_of("{\"type\": \"linear\"}", 4, 10000, 512);
    fixture_expect(tree.error.code, &tree.error, TARE_E_CONFIG, "rope_scaling", "factor above zero");
    rope_of("{\"type\": \"longrope\", \"short_factor\": [1], \"long_factor\": [1, 2]}", 4, 10000, 512);
    fixture_expect(tree.error.code, &tree.error, TARE_E_CONFIG, "rope_scaling", "half the rotated dimensions");
    rope_of("{\"type\": \"dynamic\", \"factor\": 2}", 4, 10000, 0);
    fixture_expect(tree.error.code, &tree.error, TARE_E_CONFIG, "rope_scaling", "max_position_embeddings");
    rope_of(NULL, 4, 0, 512);
    fixture_expect(tree.error.code, &tree.error, TARE_E_CONFIG, "rope_scaling", "rope_theta");
}

static int end(void **unused)
{
    (void)unused;
    tare_arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default),      cmocka_unit_test(test_linear),   cmocka_unit_test(test_llama3),
        cmocka_unit_test(test_yarn),         cmocka_unit_test(test_longrope), cmocka_unit_test(test_dynamic),
        cmocka_unit_test(test_proportional), cmocka_unit_test(test_rotate),   cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
