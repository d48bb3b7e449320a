/* SPDX-License-Identifier: MIT
 * test_int4_packed.c - compressed-tensors' symmetric int4: values as llm-compressed-tensors wrote them, both ways into
 * MLX, faults. */
#include "packed.h"

static const struct tare_quant said = {
    .method = TARE_METHOD_COMPRESSED, .place = "config.json: quantization_config", .bits = 4, .group_size = 32};

static void test_values(void **state)
{
    (void)state;
    struct packed *p = packed_open("ct-w4a16-g32-smol", &said);
    const struct tare_module *m = packed_find(p, "m.weight");
    packed_expect(m, &tare_packing_int4_packed, 16, 128, 0);
    assert_int_equal(m->group_size, 32);
    assert_int_equal(m->dtype, TARE_F16);
    assert_non_null(m->part[TARE_PART_SHAPE]);
    packed_true(p, m);
    packed_same_ways(p, m);
    packed_close(p);
}

static void test_faults(void **state)
{
    (void)state;
    struct fixture_tensor t[] = {{"m.weight_packed", "I32", 2, {16, 8}, NULL},
                                 {"m.weight_scale", "BF16", 2, {16, 2}, NULL},
                                 {"m.weight_zero_point", "I32", 2, {2, 2}, NULL}};
    struct packed *p = packed_made(t, 2, &said); /* without weight_shape */
    packed_expect(packed_find(p, "m.weight"), &tare_packing_int4_packed, 16, 64, 0);
    packed_close(p);
    packed_refused(t, 3, &said, TARE_E_UNKNOWN, "m.weight_zero_point", "asymmetric");
    t[2].name = "m.weight_g_idx";
    packed_refused(t, 3, &said, TARE_E_UNKNOWN, "m.weight_g_idx", "actorder");
    packed_refused(t, 1, &said, TARE_E_STRICT, "m.weight_packed", "m.weight_scale is missing");
    t[1].shape[1] = 1;
    packed_refused(t, 2, &said, TARE_E_CONFIG, "m.weight_scale", "says group_size 32");
    t[1].shape[1] = 5;
    packed_refused(t, 2, &said, TARE_E_SHAPE, "m.weight_scale", "the groups divide in");
    t[1].shape[0] = 15;
    packed_refused(t, 2, &said, TARE_E_SHAPE, "m.weight_scale", "weight_scale [15, 5]");
    t[0].dtype = "U8"; /* with scales of bytes it would be mxfp4-pack-quantized */
    packed_refused(t, 2, NULL, TARE_E_SHAPE, "m.weight_packed", "weight_packed is U8, int4-packed needs I32 or U32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
