/* SPDX-License-Identifier: MIT
 * test_awq_variants.c - AWQ as gemv, gemv_fast, llm-awq and gemm of 8 bits: values as AutoAWQ wrote them (8 bits by the
 * formula), both ways into MLX, faults. */
#include "packed.h"

static struct tare_quant quant_of(const char *version, int64_t group_size)
{
    return (struct tare_quant){.method = TARE_METHOD_AWQ,
                               .place = "config.json: quantization_config",
                               .version = version,
                               .bits = 4,
                               .group_size = group_size,
                               .zero_point = 1};
}

static void test_values(void **state)
{
    (void)state;
    const struct tare_quant gemv = quant_of("gemv", 64), fast = quant_of("gemv_fast", 64);
    struct packed *p = packed_open("awq-gemv-g64-smol", &gemv);
    const struct tare_module *m = packed_find(p, "m.weight");
    packed_expect(m, &tare_packing_awq_gemv, 16, 128, 0);
    assert_true(m->group_size == 64 && m->dtype == TARE_F16);
    packed_true(p, m);
    packed_same_ways(p, m);
    packed_close(p);
    p = packed_open("awq-gemvfast-g64-qwen2", &fast);
    m = packed_find(p, "m.weight");
    packed_expect(m, &tare_packing_awq_gemv_fast, 16, 128, 0);
    assert_true(m->group_size == 64 && m->packing->biases);
    packed_true(p, m);
    packed_close(p);
}

/* llm-awq differs from gemv_fast in one name. */
static void test_llm(void **state)
{
    (void)state;
    const struct tare_quant llm = quant_of("llm-awq", 64);
    uint16_t words[2 * 64], scale[16 * 8], zero[16 * 8];
    const struct fixture_tensor t[] = {{"m.qweight", "I16", 2, {2, 64}, words},
                                       {"m.scales", "F16", 2, {16, 8}, scale},
                                       {"m.scaled_zeros", "F16", 2, {16, 8}, zero}};
    for (size_t k = 0; k < 128; k++) {
        words[k] = (uint16_t)(k * 40503);
        scale[k] = tare_to_float16(0.5f + (float)k);
        zero[k] = tare_to_float16(-(float)k);
    }
    struct packed *p = packed_made(t, 3, &llm);
    const struct tare_module *m = packed_find(p, "m.weight");
    packed_expect(m, &tare_packing_awq_llm, 8, 64, 0);
    float *made = packed_values(p, m);
    for (int64_t r = 0; r < 8; r++)
        for (int64_t i = 0; i < 64; i++) { /* where a column is stored: the inverse of docs/layouts.md */
            const int64_t in32 = i % 32, a = in32 % 8 / 2, d = in32 / 8 * 2 + in32 % 2;
            const int64_t e = d % 2 ? 4 + d / 2 : d / 2, at = 64 * (r % 4) + i / 32 * 32 + 8 * a + e;
            const float code = (float)(words[r / 4 * 64 + at / 4] >> 4 * (at % 4) & 15);
            assert_true(made[r * 64 + i] == (0.5f + (float)r) * code - (float)r);
        }
    free(made);
    packed_close(p);
}

static void test_bytes(void **state)
{
    (void)state;
    uint32_t qweight[64 * 3], qzeros[2 * 3];
    uint16_t scales[2 * 12];
    struct tare_quant quant = quant_of(NULL, 32);
    struct fixture_tensor t[] = {{"m.qweight", "I32", 2, {64, 3}, qweight},
                                 {"m.qzeros", "I32", 2, {2, 3}, qzeros},
                                 {"m.scales", "F16", 2, {2, 12}, scales}};
    quant.bits = 8;
    for (uint32_t k = 0; k < 64 * 3; k++)
        qweight[k] = k * 2654435761u;
    for (uint32_t k = 0; k < 6; k++)
        qzeros[k] = 0x80 + k * 40503u;
    for (size_t k = 0; k < 24; k++)
        scales[k] = tare_to_float16(0.25f + (float)k);
    struct packed *p = packed_made(t, 3, &quant);
    const struct tare_module *m = packed_find(p, "m.weight");
    packed_expect(m, &tare_packing_awq_gemm8, 12, 64, 0);
    assert_int_equal(m->bits, 8);
    float *made = packed_values(p, m);
    for (int64_t r = 0; r < 12; r++)
        for (int64_t i = 0; i < 64; i++) {
            const float code = (float)(qweight[i * 3 + r / 4] >> 8 * (r % 4) & 255);
            const float z = (float)(qzeros[i / 32 * 3 + r / 4] >> 8 * (r % 4) & 255);
            assert_true(made[r * 64 + i] == (0.25f + (float)(i / 32 * 12 + r)) * (code - z));
        }
    free(made);
    packed_close(p);
    t[2].shape[1] = 24; /* as of 4 bits */
    t[2].data = NULL;
    packed_refused(t, 3, &quant, TARE_E_CONFIG, "m.qweight", "the shapes are those of 4 bits");
}

static void test_faults(void **state)
{
    (void)state;
    struct tare_quant quant = quant_of("gemv", 32);
    struct fixture_tensor t[] = {{"m.qweight", "I32", 2, {16, 8}, NULL},
                                 {"m.scales", "F16", 2, {16, 32}, NULL},
                                 {"m.qzeros", "I32", 2, {16, 4}, NULL}};
    struct packed *p = packed_made(t, 3, &quant); /* 2 groups of 32: four words of zeros */
    packed_expect(packed_find(p, "m.weight"), &tare_packing_awq_gemv, 16, 64, 0);
    packed_close(p);
    packed_refused(t, 2, &quant, TARE_E_CONFIG, "m.qweight", "m.qzeros is missing");
    quant.group_size = 64;
    packed_refused(t, 3, &quant, TARE_E_CONFIG, "m.scales", "needs scales [16, 16]");
    quant.group_size = 48;
    packed_refused(t, 3, &quant, TARE_E_CONFIG, "m.scales", "group_size 48");
    quant.group_size = 0;
    packed_refused(t, 3, &quant, TARE_E_CONFIG, "m.scales", "no group_size");
    quant.group_size = 32;
    t[2].shape[1] = 3;
    packed_refused(t, 3, &quant, TARE_E_SHAPE, "m.qzeros", "needs [16, 4]");
    t[1].shape[0] = 15;
    packed_refused(t, 3, &quant, TARE_E_SHAPE, "m.qweight", "scales [15, 32]");
    quant.version = "gemv_fast";
    struct fixture_tensor f[] = {{"m.qweight", "I16", 2, {4, 64}, NULL},
                                 {"m.scales", "F16", 2, {32, 16}, NULL},
                                 {"m.qzeros", "F16", 2, {32, 16}, NULL}};
    p = packed_made(f, 3, &quant);
    packed_expect(packed_find(p, "m.weight"), &tare_packing_awq_gemv_fast, 16, 64, 0);
    packed_close(p);
    packed_refused(f, 2, &quant, TARE_E_STRICT, "m.qweight", "m.qzeros is missing");
    f[2].dtype = "I32";
    packed_refused(f, 3, &quant, TARE_E_SHAPE, "m.qzeros", "is I32, awq-gemv-fast needs F16");
    f[2].dtype = "F16";
    f[2].shape[0] = 31;
    packed_refused(f, 3, &quant, TARE_E_SHAPE, "m.qzeros", "the shape of scales, [32, 16]");
    f[1].shape[0] = 16;
    packed_refused(f, 3, &quant, TARE_E_CONFIG, "m.scales", "needs scales [32, 16]");
    f[0].shape[1] = 32;
    packed_refused(f, 3, &quant, TARE_E_SHAPE, "m.qweight", "in a multiple of 64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_llm),
                                       cmocka_unit_test(test_bytes), cmocka_unit_test(test_faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
