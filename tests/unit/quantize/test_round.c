/* SPDX-License-Identifier: MIT
 * test_round.c - rows of floats have the codes and scales that mlx and ggml give them.
 *
 * tests/data/quantize/rounded.bin is by tests/oracle/quantize.py, which says what lies where in it.
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/small_float.h"
#include "quantize/quantizing.h"

#define ROWS 10
#define COLUMNS 256
#define MOST_GROUPS 16

static const enum tare_dtype stored[] = {TARE_F16, TARE_BF16, TARE_F32};

static void take(FILE *file, void *to, size_t n)
{
    assert_int_equal(fread(to, 1, n, file), n);
}

static void check_codes(FILE *file, const uint8_t *code, int bits)
{
    unsigned char words[COLUMNS], expected[COLUMNS];
    tare_mlx_pack(code, bits, COLUMNS, words);
    take(file, expected, (size_t)(COLUMNS * bits / 8));
    assert_memory_equal(words, expected, (size_t)(COLUMNS * bits / 8));
}

static void check_singles(FILE *file, const float *made, int64_t n, enum tare_dtype dtype)
{
    float expected[ROWS * MOST_GROUPS];
    take(file, expected, (size_t)n * sizeof *expected);
    for (int64_t k = 0; k < n; k++)
        assert_int_equal(tare_float_bits(tare_float_round(dtype, made[k])), tare_float_bits(expected[k]));
}

static void check_affine(FILE *file, const float *rows, enum tare_dtype dtype, int bits, int64_t group_size)
{
    float scale[ROWS * MOST_GROUPS], bias[ROWS * MOST_GROUPS];
    uint8_t code[COLUMNS];
    const int64_t groups = COLUMNS / group_size;
    for (int64_t r = 0; r < ROWS; r++) {
        tare_round_affine(rows + r * COLUMNS, COLUMNS, bits, group_size, code, scale + r * groups, bias + r * groups);
        check_codes(file, code, bits);
    }
    check_singles(file, scale, ROWS * groups, dtype);
    check_singles(file, bias, ROWS * groups, dtype);
}

static void check_floats(FILE *file, const float *rows, enum tare_dtype dtype, enum tare_mlx_mode mode)
{
    uint8_t code[COLUMNS], scale[ROWS * MOST_GROUPS], expected[ROWS * MOST_GROUPS];
    const int64_t groups = COLUMNS / (mode == TARE_MLX_NVFP4 ? 16 : 32);
    for (int64_t r = 0; r < ROWS; r++) {
        tare_round_floats(rows + r * COLUMNS, COLUMNS, mode, dtype, code, scale + r * groups);
        check_codes(file, code, mode == TARE_MLX_MXFP8 ? 8 : 4);
    }
    take(file, expected, (size_t)(ROWS * groups));
    assert_memory_equal(scale, expected, (size_t)(ROWS * groups));
}

static void check_blocks(FILE *file, const float *rows, enum tare_dtype type)
{
    unsigned char made[2 * COLUMNS], expected[2 * COLUMNS];
    const struct tare_block_size block = tare_dtype_block(type);
    const size_t n = (size_t)(COLUMNS / block.columns * block.bytes);
    for (int64_t r = 0; r < ROWS; r++) {
        tare_round_blocks(rows + r * COLUMNS, COLUMNS, type, made);
        take(file, expected, n);
        assert_memory_equal(made, expected, n);
    }
}

static void test_bytes_of_the_references(void **state)
{
    static const int bits[] = {2, 3, 4, 5, 6, 8};
    static const int64_t groups[] = {32, 64, 128};
    static const enum tare_dtype types[] = {TARE_Q4_0, TARE_Q4_1, TARE_Q5_0, TARE_Q5_1, TARE_Q8_0,   TARE_Q6_K,
                                            TARE_Q2_K, TARE_Q3_K, TARE_Q4_K, TARE_Q5_K, TARE_IQ4_NL, TARE_IQ4_XS};
    static float rows[ROWS * COLUMNS];
    FILE *file = fopen(TARE_TEST_DATA "/quantize/rounded.bin", "rb");
    (void)state;
    assert_non_null(file);
    for (size_t d = 0; d < 3; d++) {
        take(file, rows, sizeof rows);
        for (size_t b = 0; b < 6; b++)
            check_affine(file, rows, stored[d], bits[b], groups[(b + d) % 3]);
        check_floats(file, rows, stored[d], TARE_MLX_MXFP4);
        check_floats(file, rows, stored[d], TARE_MLX_MXFP8);
        check_floats(file, rows, stored[d], TARE_MLX_NVFP4);
    }
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) /* the last rows are float32, as ggml takes them */
        check_blocks(file, rows, types[t]);
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
}

/* Every byte of e4m3 is the rounding of its own value, and the middle between two goes to the even one. */
static void test_e4m3(void **state)
{
    (void)state;
    for (int byte = 0; byte < 0x7e; byte++) {
        const float low = tare_from_e4m3((uint8_t)byte), high = tare_from_e4m3((uint8_t)(byte + 1));
        assert_int_equal(tare_to_e4m3(low), byte);
        assert_int_equal(tare_to_e4m3(-low), byte | 0x80);
        assert_int_equal(tare_to_e4m3((low + high) / 2), byte % 2 ? byte + 1 : byte);
    }
    assert_int_equal(tare_to_e4m3(1e9f), 0x7e);
}

/* mlx-lm's rules: the first that fits a path, and none for another architecture. */
static void test_rules(void **state)
{
    struct tare_mlx_form form = {0};
    (void)state;
    assert_true(tare_mlx_rule("qwen3_moe", "model.layers.3.mlp.gate", &form));
    assert_int_equal(form.bits, 8);
    assert_int_equal(form.group_size, 64);
    assert_false(tare_mlx_rule("qwen3_moe", "model.layers.3.mlp.gate_proj", &form));
    assert_false(tare_mlx_rule("llama", "model.layers.3.mlp.gate", &form));
    assert_true(tare_mlx_rule("granite", "lm_head", &form));
    assert_false(tare_mlx_rule("granite", "model.lm_head", &form));
    assert_true(tare_mlx_keeps_dtype("deepseek_v3", "model.layers.1.mlp.gate.e_score_correction_bias"));
    assert_false(tare_mlx_keeps_dtype("llama", "model.layers.1.mlp.gate.e_score_correction_bias"));
    assert_false(tare_mlx_rules_known("muse_spark"));
    assert_true(tare_mlx_rules_known("llama"));
}

/* Of 16 layers: 0, 1, 14, 15 and every third from 4 on have more bits. */
static void test_mixed(void **state)
{
    const struct tare_mlx_asked q = {.recipe = "mixed_3_6", .place = 2, .layers = 16, .form = {.group_size = 64}};
    (void)state;
    for (int layer = 0; layer < 16; layer++) {
        char path[64];
        const bool more = layer < 2 || layer >= 14 || (layer - 2) % 3 == 2;
        snprintf(path, sizeof path, "model.layers.%d.mlp.down_proj", layer);
        assert_int_equal(tare_mlx_mixed(&q, path).bits, more ? 6 : 3);
        snprintf(path, sizeof path, "model.layers.%d.self_attn.q_proj", layer);
        assert_int_equal(tare_mlx_mixed(&q, path).bits, 3);
    }
    assert_int_equal(tare_mlx_mixed(&q, "lm_head").bits, 6);
    assert_int_equal(tare_mlx_mixed(&q, "model.embed_tokens").bits, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_of_the_references),
        cmocka_unit_test(test_e4m3),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_mixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
