/* SPDX-License-Identifier: MIT
 * test_fp8_block.c - e4m3 with float scales: blocks and what broadcasts, against mlx's from_fp8; names, shapes, faults.
 */
#include "base/small_float.h"
#include "packed.h"

static void test_e4m3(void **state)
{
    (void)state;
    /* the formula of OCP's table, one byte after another */
    for (int byte = 0; byte < 256; byte++) {
        const int exponent = byte >> 3 & 15, fraction = byte & 7;
        float want = exponent ? (float)(8 + fraction) / 8 : (float)fraction / 8 * 2;
        for (int k = exponent ? exponent : 0; k < 7; k++)
            want /= 2;
        for (int k = 7; k < exponent; k++)
            want *= 2;
        if (byte & 128)
            want = -want;
        if ((byte & 127) == 127)
            assert_true(tare_from_e4m3((uint8_t)byte) != tare_from_e4m3((uint8_t)byte));
        else if (tare_float_bits(tare_from_e4m3((uint8_t)byte)) != tare_float_bits(exponent ? want : want))
            fail_msg("byte %d is %.9g, want %.9g", byte, (double)tare_from_e4m3((uint8_t)byte), (double)want);
    }
    for (int byte = 0; byte < 255; byte++)
        assert_int_equal(tare_to_e8m0(tare_from_e8m0((uint8_t)byte)), byte);
    assert_true(tare_from_e8m0(127) == 1.0f && tare_from_e8m0(0) == 0x1p-127f && tare_from_e8m0(255) != 0.0f);
    assert_true(tare_from_e2m1(7) == 6.0f && tare_from_e2m1(9) == -0.5f);
}

static void test_blocks(void **state)
{
    (void)state;
    struct packed *p = packed_open("fp8-block", NULL);
    const struct tare_module *m = packed_find(p, "m.weight");
    packed_expect(m, &tare_packing_fp8_block, 130, 136, 0);
    assert_int_equal(m->dtype, TARE_BF16);
    assert_int_equal(m->group_size, 8); /* divides 136 and the block */
    packed_true(p, m);
    packed_close(p);
    p = packed_open("fp8-experts", NULL); /* a scale an expert; no ".weight" at the end */
    m = packed_find(p, "m.gate_up_proj");
    packed_expect(m, &tare_packing_fp8_block, 3, 4, 8);
    packed_true(p, m);
    packed_close(p);
}

/* Every scale that broadcasts, and blocks of the config's own size. */
static void test_scales(void **state)
{
    (void)state;
    uint8_t weight[2 * 4 * 6];
    float scale[2 * 4 * 6];
    for (size_t k = 0; k < sizeof weight; k++) {
        weight[k] = (uint8_t)(37 * k % 119);
        scale[k] = 1.0f + (float)k / 8;
    }
    static const struct {
        int rank;
        int64_t shape[3], block[2];
    } cases[] = {{0, {0}, {0}},           {1, {1}, {0}},       {1, {6}, {0}},          {2, {4, 1}, {0}},
                 {2, {4, 6}, {0}},        {3, {2, 1, 1}, {0}}, {3, {2, 4, 1}, {0}},    {3, {2, 4, 6}, {0}},
                 {3, {1, 1, 6}, {0}},     {3, {2, 1, 1}, {0}}, {3, {2, 2, 2}, {2, 4}}, {3, {2, 2, 3}, {3, 2}},
                 {3, {2, 3, 1}, {2, 128}}};
    for (size_t c = 0; c < FIXTURE_COUNT(cases); c++) {
        struct fixture_tensor tensors[] = {{"m.weight", "F8_E4M3", 3, {2, 4, 6}, weight},
                                           {"m.weight_scale_inv", "F32", cases[c].rank, {0}, scale}};
        memcpy(tensors[1].shape, cases[c].shape, sizeof cases[c].shape);
        const struct tare_quant quant = {.method = TARE_METHOD_FP8, .block = {cases[c].block[0], cases[c].block[1]}};
        struct packed *p = packed_made(tensors, 2, &quant);
        const struct tare_module *m = packed_find(p, "m.weight");
        packed_expect(m, &tare_packing_fp8_block, 2, 4, 6);
        float *made = packed_values(p, m);
        for (int64_t e = 0; e < 2; e++)
            for (int64_t r = 0; r < 4; r++)
                for (int64_t i = 0; i < 6; i++) {
                    int64_t at = 0;
                    const int64_t index[] = {e, r, i}, *b = cases[c].block;
                    for (int k = 0; k < cases[c].rank; k++) {
                        const int axis = 3 - cases[c].rank + k;
                        const int64_t here = axis && b[0] ? index[axis] / b[axis - 1] : index[axis];
                        at = at * cases[c].shape[k] + (cases[c].shape[k] == 1 ? 0 : here);
                    }
                    const int64_t k = (e * 4 + r) * 6 + i;
                    assert_true(made[k] == scale[at] * tare_from_e4m3(weight[k]));
                }
        free(made);
        packed_close(p);
    }
}

static void test_names(void **state)
{
    (void)state;
    const struct fixture_tensor tensors[] = {{"a.weight", "U8", 2, {4, 64}, NULL},
                                             {"a.weight_scale_inv", "BF16", 2, {1, 1}, NULL},
                                             {"a.input_scale", "F32", 0, {0}, NULL},
                                             {"a.bias", "BF16", 1, {4}, NULL},
                                             {"e.up", "U8", 3, {2, 4, 64}, NULL},
                                             {"e.up_scale_inv", "F32", 3, {2, 1, 1}, NULL},
                                             {"e.up_activation_scale", "F32", 1, {1}, NULL},
                                             {"b.weight", "U8", 2, {4, 64}, NULL},
                                             {"c.weight", "U8", 2, {4, 64}, NULL},
                                             {"c.scale", "F32", 2, {1, 1}, NULL},
                                             {"d.scale", "F32", 1, {3}, NULL},
                                             {"f.weight", "BF16", 2, {4, 64}, NULL},
                                             {"f.scale", "F32", 1, {3}, NULL},
                                             {"g.input_scale", "F32", 0, {0}, NULL}};
    struct packed *p = packed_made(tensors, FIXTURE_COUNT(tensors), NULL);
    packed_expect(packed_find(p, "a.weight"), &tare_packing_fp8_block, 4, 64, 0);
    packed_expect(packed_find(p, "e.up"), &tare_packing_fp8_block, 2, 4, 64);
    packed_expect(packed_find(p, "c.weight"), &tare_packing_fp8_scale, 4, 64, 0);
    packed_expect(packed_find(p, "b.weight"), &tare_packing_plain, 4, 64, 0); /* bytes alone say nothing */
    packed_expect(packed_find(p, "f.weight"), &tare_packing_plain, 4, 64, 0);
    assert_ptr_equal(packed_find(p, "d.scale")->packing, &tare_packing_plain);
    size_t aside = 0;
    for (size_t i = 0; i < p->weights.n; i++) { /* scales of activations go, where a packed weight is beside them */
        const struct tare_entry *entry = &p->weights.entries[i];
        const bool beside = !strcmp(entry->name, "a.input_scale") || !strcmp(entry->name, "e.up_activation_scale");
        assert_int_equal(entry->rule != NULL, beside);
        aside += beside;
    }
    assert_int_equal(aside, 2);
    assert_int_equal(p->n, 11);
    packed_close(p);
}

static void test_faults(void **state)
{
    (void)state;
    struct fixture_tensor t[] = {{"m.weight", "U8", 2, {256, 256}, NULL},
                                 {"m.weight_scale_inv", "F32", 2, {2, 1}, NULL}};
    packed_refused(t, 2, NULL, TARE_E_SHAPE, "m.weight_scale_inv",
                   "weight_scale_inv is [2, 1] over a weight [256, 256]");
    const struct tare_quant quant = {.method = TARE_METHOD_FP8, .block = {64, 64}};
    t[1].shape[1] = 2;
    packed_refused(t, 2, &quant, TARE_E_SHAPE, "m.weight_scale_inv", "block of 64 x 64");
    t[0].dtype = "BF16";
    packed_refused(t, 2, NULL, TARE_E_SHAPE, "m.weight", "weight is BF16, fp8-block needs U8 or F8_E4M3");
    t[0].dtype = "U8";
    t[1].dtype = "I32";
    packed_refused(t, 2, NULL, TARE_E_SHAPE, "m.weight_scale_inv", "is I32");
    t[1].dtype = "F32";
    t[1].rank = 3;
    t[1].shape[2] = 2;
    packed_refused(t, 2, NULL, TARE_E_SHAPE, "m.weight_scale_inv", "[2, 2, 2]");
    t[0].rank = 1;
    packed_refused(t, 2, NULL, TARE_E_SHAPE, "m.weight", "two or three axes");
    packed_refused(t + 1, 1, NULL, TARE_E_STRICT, "m.weight_scale_inv", "m.weight is missing");
    const struct fixture_tensor none[] = {{"m.weight", "U8", 2, {0, 4}, NULL},
                                          {"m.weight_scale_inv", "F32", 0, {0}, NULL}};
    packed_refused(none, 2, NULL, TARE_E_SHAPE, "m.weight", "[0, 4]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_e4m3),  cmocka_unit_test(test_blocks), cmocka_unit_test(test_scales),
        cmocka_unit_test(test_names), cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
