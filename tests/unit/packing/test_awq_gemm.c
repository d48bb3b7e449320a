/* SPDX-License-Identifier: MIT
 * test_awq_gemm.c - awq-gemm: values against the producers' own, shapes and faults, and every way into MLX bit for bit.
 */
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "kernels/transpose.h"
#include "open/checkpoint.h"
#include "packed.h"
#include "packing/mlx/to_mlx.h"

static const struct tare_quant sound = {.method = TARE_METHOD_AWQ,
                                        .place = "config.json: quantization_config",
                                        .version = "gemm",
                                        .bits = 4,
                                        .group_size = 32,
                                        .zero_point = 1};

static const int64_t shape_weight[] = {128, 2}, shape_scales[] = {4, 16}, shape_zeros[] = {4, 2};
static const struct tare_tensor sound_weight = {
    .name = "m.qweight", .dtype = TARE_I32, .rank = 2, .shape = shape_weight};
static const struct tare_tensor sound_scales = {
    .name = "m.scales", .dtype = TARE_F16, .rank = 2, .shape = shape_scales};
static const struct tare_tensor sound_zeros = {.name = "m.qzeros", .dtype = TARE_I32, .rank = 2, .shape = shape_zeros};

static struct tare_module module_of(const struct tare_tensor *weight, const struct tare_tensor *scales,
                                    const struct tare_tensor *zeros)
{
    return (struct tare_module){.name = "m.weight", .packing = &tare_packing_awq_gemm, .part = {weight, scales, zeros}};
}

static void test_shape(void **state)
{
    (void)state;
    struct tare_arena arena = {0};
    struct tare_module module = module_of(&sound_weight, &sound_scales, &sound_zeros);
    tare_packing_awq_gemm.shape(&module, &sound, &arena);
    assert_null(module.fault);
    assert_int_equal(module.rank, 2);
    assert_int_equal(module.shape[0], 16);
    assert_int_equal(module.shape[1], 128);
    assert_int_equal(module.bits, 4);
    assert_int_equal(module.group_size, 32);
    assert_int_equal(module.dtype, TARE_F16);
    assert_int_equal(tare_module_rows(&module), 16);
    assert_int_equal(tare_module_groups(&module), 4);
    assert_string_equal(tare_packing_word(module.packing, module.dtype), "awq-gemm");

    struct tare_quant silent = sound; /* group size and bits not said; qzeros under zero_point false are legal */
    silent.bits = 0;
    silent.group_size = 0;
    silent.zero_point = 0;
    silent.version = NULL;
    module = module_of(&sound_weight, &sound_scales, &sound_zeros);
    assert_true(tare_packing_awq_gemm.announced(&silent));
    tare_packing_awq_gemm.shape(&module, &silent, &arena);
    assert_null(module.fault);
    module = module_of(&sound_weight, &sound_scales, NULL);
    tare_packing_awq_gemm.shape(&module, &silent, &arena);
    assert_null(module.fault);

    struct tare_quant row = sound; /* -1: one group a row */
    const int64_t one[] = {1, 16}, one_zero[] = {1, 2};
    const struct tare_tensor scales = {.name = "m.scales", .dtype = TARE_BF16, .rank = 2, .shape = one};
    const struct tare_tensor zeros = {.name = "m.qzeros", .dtype = TARE_I32, .rank = 2, .shape = one_zero};
    row.group_size = -1;
    module = module_of(&sound_weight, &scales, &zeros);
    tare_packing_awq_gemm.shape(&module, &row, &arena);
    assert_null(module.fault);
    assert_int_equal(module.group_size, 128);
    assert_int_equal(module.dtype, TARE_BF16);
    tare_arena_release(&arena);
}

static struct tare_tensor with_dtype(const struct tare_tensor *tensor, enum tare_dtype dtype)
{
    struct tare_tensor changed = *tensor;
    changed.dtype = dtype;
    return changed;
}

static void test_missing_parts(void **state)
{
    (void)state;
    packed_fault(module_of(&sound_weight, NULL, &sound_zeros), &sound, TARE_E_STRICT, "m.qweight",
                 "qweight and qzeros without scales");
    packed_fault(module_of(NULL, &sound_scales, &sound_zeros), &sound, TARE_E_STRICT, "m.scales", "without qweight");
    packed_fault(module_of(NULL, NULL, &sound_zeros), &sound, TARE_E_STRICT, "m.qzeros", "qzeros without qweight");
    packed_fault(module_of(&sound_weight, &sound_scales, NULL), &sound, TARE_E_CONFIG, "m.qweight",
                 "m.qzeros is missing");
}

static void test_wrong_dtypes(void **state)
{
    (void)state;
    static const enum tare_dtype no_scale[] = {TARE_F64, TARE_I32, TARE_F8_E4M3, TARE_U8, TARE_BOOL};
    for (size_t k = 0; k < FIXTURE_COUNT(no_scale); k++) {
        const struct tare_tensor scales = with_dtype(&sound_scales, no_scale[k]);
        packed_fault(module_of(&sound_weight, &scales, &sound_zeros), &sound, TARE_E_SHAPE, "m.scales",
                     tare_dtype_name(no_scale[k]));
    }
    const struct tare_tensor weight = with_dtype(&sound_weight, TARE_U32), zeros = with_dtype(&sound_zeros, TARE_F16);
    packed_fault(module_of(&weight, &sound_scales, &sound_zeros), &sound, TARE_E_SHAPE, "m.qweight", "needs I32");
    packed_fault(module_of(&sound_weight, &sound_scales, &zeros), &sound, TARE_E_SHAPE, "m.qzeros", "qzeros is F16");
}

static void test_wrong_shapes(void **state)
{
    (void)state;
    const int64_t gptq[] = {16, 16}, flat[] = {256}, three[] = {3, 16}, wide[] = {4, 24}, none[] = {0, 16},
                  few[] = {2, 2};
    const struct tare_tensor as_gptq = packed_reshaped(&sound_weight, 2, gptq),
                             one = packed_reshaped(&sound_weight, 1, flat);
    const struct tare_tensor odd = packed_reshaped(&sound_scales, 2, three),
                             other = packed_reshaped(&sound_scales, 2, wide);
    const struct tare_tensor empty = packed_reshaped(&sound_scales, 2, none),
                             short_zeros = packed_reshaped(&sound_zeros, 2, few);
    const struct tare_tensor g_idx = {.name = "m.g_idx", .dtype = TARE_I32, .rank = 1, .shape = flat};
    packed_fault(module_of(&as_gptq, &sound_scales, &sound_zeros), &sound, TARE_E_SHAPE, "m.qweight",
                 "this is how gptq packs");
    packed_fault(module_of(&one, &sound_scales, &sound_zeros), &sound, TARE_E_SHAPE, "m.qweight", "qweight is [256]");
    packed_fault(module_of(&sound_weight, &odd, &sound_zeros), &sound, TARE_E_SHAPE, "m.scales", "3 groups");
    packed_fault(module_of(&sound_weight, &other, &sound_zeros), &sound, TARE_E_SHAPE, "m.qweight", "scales [4, 24]");
    packed_fault(module_of(&sound_weight, &empty, &sound_zeros), &sound, TARE_E_SHAPE, "m.scales", "0 groups");
    packed_fault(module_of(&sound_weight, &sound_scales, &short_zeros), &sound, TARE_E_SHAPE, "m.qzeros", "[2, 2]");
    struct tare_module with_order = module_of(&sound_weight, &sound_scales, &sound_zeros);
    with_order.part[TARE_PART_G_IDX] = &g_idx;
    packed_fault(with_order, &sound, TARE_E_FORMAT, "m.g_idx", "looks like gptq");
}

static void test_config_against_tensors(void **state)
{
    (void)state;
    static const int64_t wrong[] = {-1, 16, 64, 128, 31};
    for (size_t k = 0; k < FIXTURE_COUNT(wrong); k++) {
        struct tare_quant quant = sound;
        quant.group_size = wrong[k];
        packed_fault(module_of(&sound_weight, &sound_scales, &sound_zeros), &quant, TARE_E_CONFIG, "m.scales",
                     "tare repair");
    }
    struct tare_quant quant = sound;
    quant.bits = 8;
    packed_fault(module_of(&sound_weight, &sound_scales, &sound_zeros), &quant, TARE_E_CONFIG, "m.qweight", "8 bits");
}

static void test_choose(void **state)
{
    (void)state;
    const struct tare_packing *packing = NULL;
    struct tare_error err = {0};
    struct tare_quant quant = sound;
    assert_int_equal(tare_packing_choose(&quant, &packing, &err), TARE_OK);
    assert_ptr_equal(packing, &tare_packing_awq_gemm);
    quant.bits = 8; /* GPTQModel's */
    assert_int_equal(tare_packing_choose(&quant, &packing, &err), TARE_OK);
    assert_ptr_equal(packing, &tare_packing_awq_gemm8);
    quant.bits = 3;
    fixture_expect(tare_packing_choose(&quant, &packing, &err), &err, TARE_E_UNKNOWN, "quantization_config", "3 bits");
    quant = sound;
    quant.version = "marlin";
    fixture_expect(tare_packing_choose(&quant, &packing, &err), &err, TARE_E_UNKNOWN, NULL, "marlin");
    assert_null(packing);
    quant = (struct tare_quant){.method = TARE_METHOD_MLX, .mode = "mxfp6"};
    fixture_expect(tare_packing_choose(&quant, &packing, &err), &err, TARE_E_UNKNOWN, NULL, "mxfp6");
    quant.mode = NULL;
    assert_int_equal(tare_packing_choose(&quant, &packing, &err), TARE_OK);
    assert_ptr_equal(packing, &tare_packing_mlx_affine);
    quant.method = TARE_METHOD_NONE;
    assert_int_equal(tare_packing_choose(&quant, &packing, &err), TARE_OK);
    assert_null(packing);
}

/* Rows as AutoAWQ and GPTQModel packed them, against their own dequantization: tools/packing_data.py. */
static void test_producers(void **state)
{
    (void)state;
    static const char *const cases[] = {"awq-gemm-g32-smol", "awq-gemm-g128-qwen2", "gm-awq-gemm-sym-g128-smol"};
    for (size_t k = 0; k < FIXTURE_COUNT(cases); k++) {
        char path[512];
        struct tare_checkpoint checkpoint = {0};
        struct tare_arena arena = {0};
        struct tare_error err = {0};
        struct tare_quant quant = {.method = TARE_METHOD_AWQ};
        snprintf(path, sizeof path, "%s/packing/%s.safetensors", TARE_TEST_DATA, cases[k]);
        assert_int_equal(tare_checkpoint_open(&checkpoint, path, NULL, &err), TARE_OK);
        struct tare_module module =
            module_of(tare_checkpoint_find(&checkpoint, "m.qweight"), tare_checkpoint_find(&checkpoint, "m.scales"),
                      tare_checkpoint_find(&checkpoint, "m.qzeros"));
        tare_packing_awq_gemm.shape(&module, &quant, &arena);
        assert_null(module.fault);
        const void *part[TARE_PARTS], *truth;
        assert_int_equal(tare_module_data(&checkpoint, &module, part, &err), TARE_OK);
        assert_int_equal(tare_tensor_data(&checkpoint, tare_checkpoint_find(&checkpoint, "truth"), &truth, &err),
                         TARE_OK);
        float made[16 * 128];
        assert_int_equal(tare_module_floats(&module, part, 0, 5, made, &arena, &err),
                         TARE_OK); /* any cut of the rows */
        assert_int_equal(tare_module_floats(&module, part, 5, 11, made + 5 * 128, &arena, &err), TARE_OK);
        assert_memory_equal(made, truth, sizeof made);
        tare_arena_release(&arena);
        tare_checkpoint_release(&checkpoint);
    }
}

/* A module of random bits; scales are any floats, infinities and NaN among them. */
struct random_module {
    struct tare_module module;
    int64_t shape[2];
    uint32_t *weight, *zeros;
    unsigned char *scales;
    const void *part[TARE_PARTS];
    size_t weight_bytes, scale_bytes; /* of the output */
};

static uint32_t random_word(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

static void random_begin(struct random_module *m, int64_t out, int64_t in, int64_t group_size, enum tare_dtype dtype,
                         bool zeros, uint64_t seed)
{
    const int64_t groups = in / group_size;
    const size_t item = tare_dtype_size(dtype);
    *m = (struct random_module){.shape = {out, in}};
    m->weight_bytes = (size_t)(out * in / 2);
    m->scale_bytes = (size_t)(out * groups) * item;
    m->weight = malloc(m->weight_bytes);
    m->zeros = malloc((size_t)(groups * out / 2));
    m->scales = malloc(m->scale_bytes);
    for (int64_t k = 0; k < out * in / 8; k++)
        m->weight[k] = random_word(&seed);
    for (int64_t k = 0; k < groups * out / 8; k++)
        m->zeros[k] = random_word(&seed) & (random_word(&seed) | 0xf0f0f0f0u); /* zero is frequent */
    for (size_t k = 0; k < m->scale_bytes; k++)
        m->scales[k] = (unsigned char)random_word(&seed);
    m->module = (struct tare_module){.name = "m.weight",
                                     .packing = &tare_packing_awq_gemm,
                                     .rank = 2,
                                     .dtype = dtype,
                                     .bits = 4,
                                     .group_size = group_size};
    m->part[TARE_PART_WEIGHT] = m->weight;
    m->part[TARE_PART_SCALES] = m->scales;
    m->part[TARE_PART_ZEROS] = zeros ? m->zeros : NULL;
}

static void random_end(struct random_module *m)
{
    free(m->weight);
    free(m->zeros);
    free(m->scales);
}

/* One float per element, NaN as one value: float16 conversion in hardware and ours may differ in a NaN's sign only. */
static bool same_scales(const void *a, const void *b, size_t bytes, enum tare_dtype dtype)
{
    const size_t item = tare_dtype_size(dtype);
    for (size_t k = 0; k < bytes / item; k++) {
        const float x = tare_float_at(a, dtype, (int64_t)k), y = tare_float_at(b, dtype, (int64_t)k);
        if (memcmp((const char *)a + k * item, (const char *)b + k * item, item) && (x == x || y == y))
            return false;
    }
    return true;
}

static void test_ways_into_mlx(void **state)
{
    (void)state;
    static const struct {
        int64_t out, in, group_size;
    } sizes[] = {{8, 32, 32},   {128, 64, 32},    {136, 96, 32}, {264, 1152, 128},
                 {384, 32, 32}, {256, 2176, 128}, {24, 256, 256}};
    static const enum tare_dtype dtypes[] = {TARE_F16, TARE_BF16, TARE_F32};
    for (size_t k = 0; k < FIXTURE_COUNT(sizes) * FIXTURE_COUNT(dtypes) * 2; k++) {
        struct random_module m;
        random_begin(&m, sizes[k / 6].out, sizes[k / 6].in, sizes[k / 6].group_size, dtypes[k / 2 % 3], k % 2, k + 1);
        m.module.shape = m.shape;
        struct tare_arena work = {0};
        struct tare_mlx_rows to[3];
        for (int way = 0; way < 3; way++)
            to[way] =
                (struct tare_mlx_rows){calloc(1, m.weight_bytes), calloc(1, m.scale_bytes), calloc(1, m.scale_bytes)};
        const int64_t rows = m.shape[0], cut = rows > 16 ? rows / 2 - 3 : 1; /* odd cuts as well */
        const int64_t groups = m.shape[1] / m.module.group_size, item = (int64_t)tare_dtype_size(m.module.dtype);
        assert_true(tare_neutral_to_mlx(&m.module, m.part, 0, rows, m.module.dtype, &to[0], &work));
        tare_awq_to_mlx(&m.module, m.part, 0, rows, &to[1]);
        const struct tare_mlx_rows rest = {(char *)to[2].weight + cut * m.shape[1] / 2,
                                           (char *)to[2].scales + cut * groups * item,
                                           (char *)to[2].biases + cut * groups * item};
        tare_awq_to_mlx(&m.module, m.part, cut, rows - cut, &rest);
        tare_awq_to_mlx_portable(&m.module, m.part, 0, cut, &to[2]);
        for (int way = 1; way < 3; way++) {
            assert_memory_equal(to[0].weight, to[way].weight, m.weight_bytes);
            assert_true(same_scales(to[0].scales, to[way].scales, m.scale_bytes, m.module.dtype));
            assert_true(same_scales(to[0].biases, to[way].biases, m.scale_bytes, m.module.dtype));
        }
        for (int way = 0; way < 3; way++) {
            free(to[way].weight);
            free(to[way].scales);
            free(to[way].biases);
        }
        tare_arena_release(&work);
        random_end(&m);
    }
}

static void test_negative_zero(void **state)
{
    (void)state;
    static const int64_t shape[] = {8, 32};
    uint32_t weight[32] = {0}, zeros[1] = {0};
    uint16_t scales[8], got_scales[8], got_biases[8];
    for (int k = 0; k < 8; k++)
        scales[k] = tare_to_float16(k % 2 ? -0.5f : 0.25f);
    unsigned char got_weight[128];
    const struct tare_module module = {.name = "m.weight",
                                       .packing = &tare_packing_awq_gemm,
                                       .rank = 2,
                                       .shape = shape,
                                       .dtype = TARE_F16,
                                       .bits = 4,
                                       .group_size = 32};
    const void *const part[TARE_PARTS] = {weight, scales, zeros, NULL};
    const struct tare_mlx_rows to = {got_weight, got_scales, got_biases};
    tare_awq_to_mlx(&module, part, 0, 8, &to);
    for (int k = 0; k < 8; k++) /* mlx-lm: -(0 as float32) * scale */
        assert_int_equal(got_biases[k], k % 2 ? 0x0000 : 0x8000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_missing_parts),
        cmocka_unit_test(test_wrong_dtypes),
        cmocka_unit_test(test_wrong_shapes),
        cmocka_unit_test(test_config_against_tensors),
        cmocka_unit_test(test_choose),
        cmocka_unit_test(test_producers),
        cmocka_unit_test(test_ways_into_mlx),
        cmocka_unit_test(test_negative_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
