/* SPDX-License-Identifier: MIT
 * test_measure.c - what a token costs, counted from matrices that are made up; and what memory gives. */
#include "fixture.h"
#include "run/session/measure.h"
#include "tree/tree.h"

enum { EMBEDDING, LINEAR, EXPERTS, HEAD, PARAMETERS };

static struct tare_matrix matrices[PARAMETERS] = {
    [EMBEDDING] = {.storage = TARE_STORE_F16, .rows = 100, .in = 32, .stride = 64},
    [LINEAR] = {.storage = TARE_STORE_Q4, .rows = 10, .in = 128, .stride = 64, .groups = 4},
    [EXPERTS] = {.storage = TARE_STORE_F32, .rows = 8 * 5, .in = 4, .stride = 16},
    [HEAD] = {.storage = TARE_STORE_F16, .rows = 90, .in = 32, .stride = 64},
};
static const float factor;

/* Seven of eight experts. */
static uint64_t spared(const void *block, const struct tare_loaded *loaded)
{
    (void)block;
    return tare_matrix_bytes(&loaded->matrices[EXPERTS]) / 8 * 7;
}

static uint64_t bytes_with_head(int head, bool routed)
{
    static const enum tare_kind kinds[] = {TARE_KIND_EMBEDDING, TARE_KIND_LINEAR, TARE_KIND_EXPERTS, TARE_KIND_LINEAR};
    static const struct tare_block_ops plain, sparing = {.name = "routed", .spared = spared};
    struct tare_parameter parameters[PARAMETERS], *pointers[PARAMETERS];
    struct tare_layer layers[] = {{.mixer = {.ops = &plain}, .ffn = {.ops = routed ? &sparing : &plain}}};
    struct tare_loaded loaded = {.matrices = matrices, .n = PARAMETERS};
    for (int i = 0; i < PARAMETERS; i++) {
        parameters[i] = (struct tare_parameter){.kind = kinds[i], .index = (uint32_t)i};
        pointers[i] = &parameters[i];
    }
    matrices[LINEAR].scale = matrices[LINEAR].offset = &factor;
    const struct tare_tree tree = {.parameters = pointers, .n = PARAMETERS};
    const struct tare_decoder decoder = {.layers = layers, .n_layers = 1};
    return tare_measure_token(&loaded, &tree, &decoder, &matrices[head]);
}

static void test_bytes(void **state)
{
    (void)state;
    const uint64_t linear = 10 * (64 + 4 * 2 * 4), experts = 40 * 16, head = 90 * 64, embedding = 100 * 64;
    assert_int_equal(bytes_with_head(HEAD, false), linear + experts + head);
    assert_int_equal(bytes_with_head(HEAD, true), linear + experts / 8 + head);
    /* tied: the embedding is read whole; what lies there as a head besides is a matrix like others */
    assert_int_equal(bytes_with_head(EMBEDDING, false), linear + experts + head + embedding);
}

static void test_nothing(void **state)
{
    (void)state;
    assert_int_equal(tare_matrix_bytes(&(struct tare_matrix){0}), 0);
}

static void test_read(void **state)
{
    (void)state;
    double rate = 0;
    for (int threads = 0; threads < 3; threads++) {
        assert_int_equal(tare_measure_read(threads, 4 << 20, &rate, NULL), TARE_OK);
        assert_true(rate > 1e7 && rate < 1e14);
    }
}

static void test_read_bad(void **state)
{
    (void)state;
    struct tare_error err = {0};
    double rate = 1;
    assert_int_equal(tare_measure_read(1, 1000, &rate, &err), TARE_E_ARGUMENT);
    assert_string_equal(err.where, "bytes");
    assert_int_equal(tare_measure_read(1, UINT64_MAX, &rate, &err), TARE_E_ARGUMENT);
    assert_int_equal(tare_measure_read(-1, 1 << 20, &rate, &err), TARE_E_ARGUMENT);
    assert_true(rate == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_read_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
