/* SPDX-License-Identifier: MIT
 * test_int_packed.c - compressed-tensors' pack-quantized: values as llm-compressor and compressed-tensors 0.12 and 0.19
 * wrote them, both ways into MLX, faults. */
#include "packed.h"

static const struct tare_quant_group group4 = {.name = "group_0",
                                               .format = "pack-quantized",
                                               .bits = 4,
                                               .integers = true,
                                               .symmetric = true,
                                               .strategy = "group",
                                               .group_size = 32};
static const struct tare_quant said = {
    .method = TARE_METHOD_COMPRESSED, .place = "config.json: quantization_config", .groups = &group4, .n_groups = 1};

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *file, *version;
        int bits;
        int64_t group, out, in;
        bool symmetric, whole;
    } cases[] = {
        {"ct-w4a16-g32-smol", "0.19.0", 4, 32, 16, 128, true, false},
        {"ct-w3a16-g32-qwen2", "0.19.0", 3, 32, 16, 128, true, false},
        {"ct-w4a16-g64-asym-llama", "0.19.0", 4, 64, 16, 128, false, false},
        {"ct012-w3a16-g32-llama", "0.12.2", 3, 32, 16, 128, true, true},
        {"ct012-b3-asym", "0.12.2", 3, 32, 40, 96, false, true},
        {"ct012-b5-asym", "0.12.2", 5, 32, 40, 96, false, true},
        {"ct012-b6-asym", "0.12.2", 6, 32, 40, 96, false, true},
        {"ct012-b3-chan", "0.12.2", 3, -1, 8, 384, true, true},
        {"ct019-b2-asym", "0.19.0", 2, 32, 40, 96, false, false},
        {"ct019-b3-asym", "0.19.0", 3, 32, 40, 96, false, false},
        {"ct019-b3-chan", "0.19.0", 3, -1, 8, 416, true, false},
        {"ct019-b4-odd", "0.19.0", 4, 24, 8, 72, true, false},
        {"ct019-b5-asym", "0.19.0", 5, 32, 40, 96, false, false},
        {"ct019-b6-asym", "0.19.0", 6, 32, 40, 96, false, false},
        {"ct019-b7-asym", "0.19.0", 7, 32, 40, 96, false, false},
        {"ct019-b8-asym", "0.19.0", 8, 32, 9, 64, false, false},
    };
    for (size_t k = 0; k < FIXTURE_COUNT(cases); k++) {
        struct tare_quant_group group = group4;
        struct tare_quant quant = said;
        print_message("  %s\n", cases[k].file);
        group.bits = cases[k].bits;
        group.group_size = cases[k].group;
        group.symmetric = cases[k].symmetric;
        quant.groups = &group;
        quant.version = cases[k].version;
        struct packed *p = packed_open(cases[k].file, &quant);
        const struct tare_module *m = packed_find(p, "m.weight");
        packed_expect(m, &tare_packing_int_packed, cases[k].out, cases[k].in, 0);
        assert_int_equal(m->group_size, cases[k].group == -1 ? cases[k].in : cases[k].group);
        assert_int_equal(m->dtype, TARE_F16);
        assert_int_equal(m->bits, cases[k].bits);
        assert_int_equal(m->whole_codes, cases[k].whole);
        assert_non_null(m->part[TARE_PART_SHAPE]);
        packed_true(p, m);
        if (cases[k].in % 32 == 0)
            packed_same_ways(p, m);
        packed_close(p);
    }
}

static void test_act_order(void **state)
{
    (void)state;
    struct packed *p = packed_open("ct012-w4a16-actgroup-g32-smol", &said);
    const struct tare_module *m = packed_find(p, "m.weight");
    packed_expect(m, &tare_packing_int_packed, 16, 128, 0);
    assert_true(m->act_order);
    packed_true(p, m);
    packed_close(p);
}

/* Values that headers cannot tell: weight_g_idx out of range, another weight_shape. */
static void test_check(void **state)
{
    (void)state;
    const void *part[TARE_PARTS];
    struct tare_error err = {0};
    int32_t order[64] = {0};
    int64_t logical[2] = {16, 64};
    const struct fixture_tensor t[] = {{"m.weight_packed", "I32", 2, {16, 8}, NULL},
                                       {"m.weight_scale", "BF16", 2, {16, 2}, NULL},
                                       {"m.weight_shape", "I64", 1, {2}, logical},
                                       {"m.weight_g_idx", "I32", 1, {64}, order}};
    for (int k = 0; k < 3; k++) {
        order[5] = k == 1 ? 2 : 1;
        logical[1] = k == 2 ? 60 : 64;
        struct packed *p = packed_made(t, 4, &said);
        const enum tare_code code = tare_module_data(&p->checkpoint, packed_find(p, "m.weight"), part, &err);
        if (k == 1)
            fixture_expect(code, &err, TARE_E_FORMAT, "m.weight_g_idx", "weight_g_idx[5] is 2");
        else if (k == 2)
            fixture_expect(code, &err, TARE_E_SHAPE, "m.weight_shape", "[16, 60]");
        else
            assert_int_equal(code, TARE_OK);
        err = (struct tare_error){0};
        packed_close(p);
    }
}

static void test_faults(void **state)
{
    (void)state;
    struct fixture_tensor t[] = {{"m.weight_packed", "I32", 2, {16, 8}, NULL},
                                 {"m.weight_scale", "BF16", 2, {16, 2}, NULL},
                                 {"m.weight_zero_point", "I32", 2, {2, 2}, NULL}};
    struct packed *p = packed_made(t, 2, &said); /* without weight_shape */
    packed_expect(packed_find(p, "m.weight"), &tare_packing_int_packed, 16, 64, 0);
    packed_close(p);
    p = packed_made(t, 2, NULL); /* nothing said: 4 bits */
    packed_expect(packed_find(p, "m.weight"), &tare_packing_int_packed, 16, 64, 0);
    packed_close(p);
    packed_refused(t, 1, &said, TARE_E_STRICT, "m.weight_packed", "m.weight_scale is missing");
    t[2].shape[0] = 3;
    packed_refused(t, 3, &said, TARE_E_SHAPE, "m.weight_zero_point", "need [2, 2]");
    t[2].shape[0] = 2;
    t[2].dtype = "I8";
    packed_refused(t, 3, &said, TARE_E_SHAPE, "m.weight_zero_point", "is I8");
    t[2] = (struct fixture_tensor){"m.weight_g_idx", "I32", 1, {63}, NULL};
    packed_refused(t, 3, &said, TARE_E_SHAPE, "m.weight_g_idx", "is [63]");
    t[2] = (struct fixture_tensor){"m.weight_global_scale", "F32", 1, {1}, NULL};
    packed_refused(t, 3, &said, TARE_E_FORMAT, "m.weight_global_scale", "nvfp4 has");
    t[1].shape[1] = 1;
    packed_refused(t, 2, &said, TARE_E_CONFIG, "m.weight_scale", "says group_size 32");
    t[1].shape[1] = 5;
    packed_refused(t, 2, &said, TARE_E_CONFIG, "m.weight_scale", "says 4 bits and group_size 32");
    t[1].shape[0] = 15;
    packed_refused(t, 2, &said, TARE_E_SHAPE, "m.weight_scale", "weight_scale [15, 5]");
    t[0].dtype = "U8"; /* with scales of bytes it would be mxfp4-pack-quantized */
    packed_refused(t, 2, NULL, TARE_E_SHAPE, "m.weight_packed", "weight_packed is U8, pack-quantized needs I32 or U32");
}

/* What the config says of the module, against its tensors. */
static void test_config(void **state)
{
    (void)state;
    const struct fixture_tensor t[] = {{"m.weight_packed", "I32", 2, {16, 8}, NULL},
                                       {"m.weight_scale", "BF16", 2, {16, 2}, NULL}};
    static const char *const lines[] = {"m", "re:m"}, *const other[] = {"Embedding"};
    struct tare_quant_group group = group4;
    struct tare_quant quant = said;
    quant.groups = &group;
    group.bits = 8;
    packed_refused(t, 2, &quant, TARE_E_CONFIG, "m.weight_scale", "group_size 32");
    group = group4;
    group.symmetric = false;
    packed_refused(t, 2, &quant, TARE_E_CONFIG, "m.weight_packed", "m.weight_zero_point is missing");
    group = group4;
    group.format = "int-quantized";
    packed_refused(t, 2, &quant, TARE_E_CONFIG, "m.weight_packed", "says format int-quantized of m");
    group.format = NULL;
    group.integers = false;
    packed_refused(t, 2, &quant, TARE_E_CONFIG, "m.weight_packed", "says type float of m");
    group = group4;
    quant.n_skipped = 1;
    for (size_t k = 0; k < 2; k++) {
        quant.skipped = &lines[k];
        packed_refused(t, 2, &quant, TARE_E_CONFIG, "m.weight_packed", "ignore names m");
    }
    quant.n_skipped = 0;
    struct tare_quant_group two[] = {group4, group4};
    two[0].targets = two[1].targets = other;
    two[0].n_targets = two[1].n_targets = 1;
    quant.groups = two;
    quant.n_groups = 2;
    packed_refused(t, 2, &quant, TARE_E_CONFIG, "m.weight_packed", "no group of config_groups targets m");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_act_order),
                                       cmocka_unit_test(test_check), cmocka_unit_test(test_faults),
                                       cmocka_unit_test(test_config)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
