/* SPDX-License-Identifier: MIT
 * test_mlx_affine.c - mlx's affine layout: values against mlx's own, shapes and faults, overrides, packing there and
 * back.
 */
#include <string.h>

#include "fixture.h"
#include "open/checkpoint.h"
#include "packed.h"
#include "packing/mlx/to_mlx.h"

static const struct tare_quant sound = {
    .method = TARE_METHOD_MLX, .place = "config.json: quantization", .mode = "affine", .bits = 4, .group_size = 64};

static const int64_t shape_weight[] = {16, 24}, shape_scales[] = {16, 3}, shape_experts[] = {2, 16, 24},
                     shape_expert_scales[] = {2, 16, 3};
static const struct tare_tensor weight = {.name = "m.weight", .dtype = TARE_U32, .rank = 2, .shape = shape_weight};
static const struct tare_tensor scales = {.name = "m.scales", .dtype = TARE_BF16, .rank = 2, .shape = shape_scales};
static const struct tare_tensor biases = {.name = "m.biases", .dtype = TARE_BF16, .rank = 2, .shape = shape_scales};

static struct tare_module module_of(const struct tare_tensor *w, const struct tare_tensor *s,
                                    const struct tare_tensor *b)
{
    return (struct tare_module){.name = "m.weight", .packing = &tare_packing_mlx_affine, .part = {w, s, b}};
}

static void test_shape(void **state)
{
    (void)state;
    struct tare_arena arena = {0};
    struct tare_module module = module_of(&weight, &scales, &biases);
    assert_true(tare_packing_mlx_affine.announced(&sound));
    tare_packing_mlx_affine.shape(&module, &sound, &arena);
    assert_null(module.fault);
    assert_int_equal(module.shape[0], 16);
    assert_int_equal(module.shape[1], 192);
    assert_int_equal(module.bits, 4);
    assert_int_equal(module.group_size, 64);
    assert_int_equal(module.dtype, TARE_BF16);

    const struct tare_tensor w = packed_reshaped(&weight, 3, shape_experts),
                             s = packed_reshaped(&scales, 3, shape_expert_scales),
                             b = packed_reshaped(&biases, 3, shape_expert_scales);
    module = module_of(&w, &s, &b);
    tare_packing_mlx_affine.shape(&module, &sound, &arena);
    assert_null(module.fault);
    assert_int_equal(module.rank, 3);
    assert_int_equal(tare_module_rows(&module), 32);

    static const struct tare_quant_override overrides[] = {
        {"m", true, 6, 32, "affine"}}; /* 24 words are 128 codes of six bits */
    static const int64_t four[] = {16, 4};
    const struct tare_tensor s6 = packed_reshaped(&scales, 2, four), b6 = packed_reshaped(&biases, 2, four);
    struct tare_quant quant = sound;
    quant.overrides = overrides;
    quant.n_overrides = 1;
    module = module_of(&weight, &s6, &b6);
    tare_packing_mlx_affine.shape(&module, &quant, &arena);
    assert_null(module.fault);
    assert_int_equal(module.shape[1], 128);
    assert_int_equal(module.bits, 6);
    tare_arena_release(&arena);
}

static void test_faults(void **state)
{
    (void)state;
    static const int64_t flat[] = {384}, other[] = {15, 3}, seven[] = {16, 7}, none[] = {16, 0};
    struct tare_tensor bad = weight;
    bad.dtype = TARE_I32;
    packed_fault(module_of(&bad, &scales, &biases), &sound, TARE_E_SHAPE, "m.weight", "needs U32");
    bad = scales;
    bad.dtype = TARE_U8;
    packed_fault(module_of(&weight, &bad, &biases), &sound, TARE_E_SHAPE, "m.scales", "scales is U8");
    bad = biases;
    bad.dtype = TARE_F16;
    packed_fault(module_of(&weight, &scales, &bad), &sound, TARE_E_SHAPE, "m.biases", "needs BF16");
    packed_fault(module_of(&weight, &scales, NULL), &sound, TARE_E_STRICT, "m.weight",
                 "weight and scales without biases");
    packed_fault(module_of(NULL, &scales, &biases), &sound, TARE_E_STRICT, "m.scales", "without weight");
    bad = packed_reshaped(&weight, 1, flat);
    packed_fault(module_of(&bad, &scales, &biases), &sound, TARE_E_SHAPE, "m.weight", "two or three axes");
    bad = packed_reshaped(&scales, 2, other);
    packed_fault(module_of(&weight, &bad, &biases), &sound, TARE_E_SHAPE, "m.scales", "[15, 3]");
    const struct tare_tensor s = packed_reshaped(&scales, 2, seven), b = packed_reshaped(&biases, 2, seven);
    packed_fault(module_of(&weight, &s, &b), &sound, TARE_E_CONFIG, "m.scales", "tare repair");
    const struct tare_tensor s0 = packed_reshaped(&scales, 2, none), b0 = packed_reshaped(&biases, 2, none);
    packed_fault(module_of(&weight, &s0, &b0), &sound, TARE_E_CONFIG, "m.scales", "do not fit");
}

static void test_config_against_tensors(void **state)
{
    (void)state;
    static const int wrong_bits[] = {0, 1, 7, 9, -4};
    for (size_t k = 0; k < FIXTURE_COUNT(wrong_bits); k++) {
        struct tare_quant quant = sound;
        quant.bits = wrong_bits[k];
        packed_fault(module_of(&weight, &scales, &biases), &quant, TARE_E_CONFIG, "m.scales", "2, 3, 4, 5, 6 and 8");
    }
    static const int64_t wrong_groups[] = {32, 128, 63, 192};
    for (size_t k = 0; k < FIXTURE_COUNT(wrong_groups); k++) {
        struct tare_quant quant = sound;
        quant.group_size = wrong_groups[k];
        packed_fault(module_of(&weight, &scales, &biases), &quant, TARE_E_CONFIG, "m.scales", "tare repair");
    }
    struct tare_quant quant = sound;
    quant.bits = 8;
    packed_fault(module_of(&weight, &scales, &biases), &quant, TARE_E_CONFIG, "m.scales", "8 bits");
    static const struct tare_quant_override no[] = {{"m", false, 0, 0, NULL}}, mxfp4[] = {{"m", true, 4, 32, "mxfp4"}};
    quant = sound;
    quant.overrides = no;
    quant.n_overrides = 1;
    packed_fault(module_of(&weight, &scales, &biases), &quant, TARE_E_CONFIG, "m.scales", "\"m\": false");
    quant.overrides = mxfp4;
    packed_fault(module_of(&weight, &scales, &biases), &quant, TARE_E_CONFIG, "m.scales", "mxfp4");
}

/* Rows as mlx quantized them, against its own dequantization: tools/packing_data.py. */
static void test_producers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int bits;
        int64_t group_size, in;
    } cases[] = {{"mlx-affine-b3-g64-smol", 3, 64, 128},
                 {"mlx-affine-b4-g64-smol", 4, 64, 128},
                 {"mlx-affine-b6-g64-qwen3", 6, 64, 192},
                 {"mlx-affine-b8-g32-llama", 8, 32, 128}};
    for (size_t k = 0; k < FIXTURE_COUNT(cases); k++) {
        char path[512];
        struct tare_checkpoint checkpoint = {0};
        struct tare_arena arena = {0};
        struct tare_error err = {0};
        const struct tare_quant quant = {
            .method = TARE_METHOD_MLX, .bits = cases[k].bits, .group_size = cases[k].group_size};
        snprintf(path, sizeof path, "%s/packing/%s.safetensors", TARE_TEST_DATA, cases[k].name);
        assert_int_equal(tare_checkpoint_open(&checkpoint, path, NULL, &err), TARE_OK);
        struct tare_module module =
            module_of(tare_checkpoint_find(&checkpoint, "m.weight"), tare_checkpoint_find(&checkpoint, "m.scales"),
                      tare_checkpoint_find(&checkpoint, "m.biases"));
        tare_packing_mlx_affine.shape(&module, &quant, &arena);
        assert_null(module.fault);
        assert_int_equal(module.shape[1], cases[k].in);
        const void *part[TARE_PARTS], *truth;
        assert_int_equal(tare_module_data(&checkpoint, &module, part, &err), TARE_OK);
        assert_int_equal(tare_tensor_data(&checkpoint, tare_checkpoint_find(&checkpoint, "truth"), &truth, &err),
                         TARE_OK);
        float made[16 * 192];
        assert_int_equal(tare_module_floats(&module, part, 0, 7, made, &arena, &err), TARE_OK);
        assert_int_equal(tare_module_floats(&module, part, 7, 9, made + 7 * cases[k].in, &arena, &err), TARE_OK);
        assert_memory_equal(made, truth, (size_t)(16 * cases[k].in) * sizeof *made);

        uint32_t way[2][16 * 36]; /* and into MLX again: as it was, both ways */
        uint16_t scale[2][16 * 4], bias[2][16 * 4];
        for (int w = 0; w < 2; w++) {
            const struct tare_mlx_rows to = {way[w], scale[w], bias[w]};
            if (w)
                tare_packing_mlx_affine.to_mlx(&module, part, 0, 16, &to);
            else
                assert_true(tare_neutral_to_mlx(&module, part, 0, 16, module.dtype, &to, &arena));
            assert_memory_equal(way[w], part[TARE_PART_WEIGHT], (size_t)(16 * cases[k].in * cases[k].bits / 8));
            assert_memory_equal(scale[w], part[TARE_PART_SCALES], (size_t)(16 * tare_module_groups(&module)) * 2);
            assert_memory_equal(bias[w], part[TARE_PART_ZEROS], (size_t)(16 * tare_module_groups(&module)) * 2);
        }
        tare_arena_release(&arena);
        tare_checkpoint_release(&checkpoint);
    }
}

static void test_pack(void **state)
{
    (void)state;
    static const int bits[] = {2, 3, 4, 5, 6, 8};
    for (size_t k = 0; k < FIXTURE_COUNT(bits); k++) {
        uint8_t code[96], back[96], words[96];
        for (int i = 0; i < 96; i++)
            code[i] = (uint8_t)((i * 89 + 7) & ((1 << bits[k]) - 1));
        assert_true(tare_mlx_bits(bits[k]));
        tare_mlx_pack(code, bits[k], 96, words);
        tare_mlx_unpack(words, bits[k], 96, back);
        assert_memory_equal(code, back, sizeof code);
        assert_int_equal(words[0] & ((1 << bits[k]) - 1), code[0]); /* the first code lies lowest */
    }
    assert_false(tare_mlx_bits(7));
    assert_false(tare_mlx_bits(1));
}

static void test_plain(void **state)
{
    (void)state;
    const float values[] = {1.5f, -0.0f, 3.0f, 65504.0f};
    const uint16_t halves[] = {0x3e00, 0x8000, 0x4200, 0x7bff}, brains[] = {0x3fc0, 0x8000, 0x4040, 0x4780};
    const double doubles[] = {1.5, -0.0, 3.0, 65504.0};
    static const int64_t shape[] = {2, 2};
    const struct {
        enum tare_dtype dtype;
        const void *data;
        const char *word;
    } cases[] = {{TARE_F32, values, "float32"},
                 {TARE_F16, halves, "float16"},
                 {TARE_BF16, brains, "bfloat16"},
                 {TARE_F64, doubles, "float64"}};
    for (size_t k = 0; k < FIXTURE_COUNT(cases); k++) {
        const struct tare_tensor tensor = {.name = "t", .dtype = cases[k].dtype, .rank = 2, .shape = shape};
        struct tare_module module = {.name = "t", .packing = &tare_packing_plain, .part = {&tensor}};
        const void *part[TARE_PARTS] = {cases[k].data};
        float got[2];
        tare_packing_plain.shape(&module, &sound, NULL);
        assert_int_equal(tare_module_groups(&module), 0);
        assert_string_equal(tare_packing_word(module.packing, module.dtype), cases[k].word);
        assert_int_equal(tare_module_floats(&module, part, 1, 1, got, NULL, NULL), TARE_OK);
        assert_true(got[0] == 3.0f && got[1] == (cases[k].dtype == TARE_BF16 ? 65536.0f : 65504.0f));
    }
    const struct tare_tensor words = {.name = "t", .dtype = TARE_I32, .rank = 2, .shape = shape};
    struct tare_module module = {.name = "t", .packing = &tare_packing_plain, .part = {&words}};
    const void *part[TARE_PARTS] = {values};
    struct tare_error err = {0};
    float got[4];
    tare_packing_plain.shape(&module, &sound, NULL);
    fixture_expect(tare_module_floats(&module, part, 0, 2, got, NULL, &err), &err, TARE_E_SHAPE, "t", "I32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),     cmocka_unit_test(test_faults), cmocka_unit_test(test_config_against_tensors),
        cmocka_unit_test(test_producers), cmocka_unit_test(test_pack),   cmocka_unit_test(test_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
