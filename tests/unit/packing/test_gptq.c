/* SPDX-License-Identifier: MIT
 * test_gptq.c - GPTQ: values as GPTQModel's own code dequantizes them (32 rows of a layer of each), both ways into MLX,
 * rows in parts, faults. */
#include "packed.h"
#include "packing/gptq/gptq.h"

static struct tare_quant quant_of(enum tare_gptq_format format, bool words, bool desc_act)
{
    return (struct tare_quant){.method = TARE_METHOD_GPTQ,
                               .place = "config.json: quantization_config",
                               .zero_point = -1,
                               .gptq = {.format = format, .words = words, .sym = -1, .desc_act = desc_act}};
}

static void same(const char *name, const struct tare_quant *quant, const struct tare_packing *packing, int bits,
                 int64_t group_size)
{
    struct packed *p = packed_open(name, quant);
    const struct tare_module *m = packed_find(p, "m.weight");
    packed_expect(m, packing, 32, tare_module_columns(m), 0);
    assert_int_equal(m->bits, bits);
    assert_int_equal(m->group_size, group_size);
    assert_int_equal(m->dtype, TARE_F16);
    packed_true(p, m);
    if (tare_module_even(m) && packing->to_mlx)
        packed_same_ways(p, m);
    packed_close(p);
}

static void test_values(void **state)
{
    (void)state;
    const struct tare_quant v1 = quant_of(TARE_GPTQ_V1, false, false), words = quant_of(TARE_GPTQ_V1, true, false);
    const struct tare_quant v2 = quant_of(TARE_GPTQ_V2, false, false), p = quant_of(TARE_GPTQ_PLANAR, true, false);
    const struct tare_quant act = quant_of(TARE_GPTQ_V1, true, true);
    same("gptq-b2-g64-asym-phi3", &words, &tare_packing_gptq_words, 2, 64); /* z = 0 among them */
    same("gptq-b3-g32-smol", &words, &tare_packing_gptq_words, 3, 32);
    same("gptq-b3-g32-smol", &v1, &tare_packing_gptq_v1, 3, 32);
    same("gptq-b8-g32-phi3", &words, &tare_packing_gptq_words, 8, 32);
    same("gptqv2-b4-g32-asym-smol", &v2, &tare_packing_gptq_v2, 4, 32);
    same("gptqp-b3-g32-qwen2", &p, &tare_packing_gptq_p, 3, 32);
    same("gptq-b4-g32-descact-smol", &act, &tare_packing_gptq_words, 4, 32);
}

/* g_idx is held against what the plan took from the config, before any decode. */
static void test_order(void **state)
{
    (void)state;
    const struct tare_quant plain = quant_of(TARE_GPTQ_V1, true, false);
    struct packed *p = packed_open("gptq-b4-g32-descact-smol", &plain);
    const struct tare_module *m = packed_find(p, "m.weight");
    const void *part[TARE_PARTS];
    struct tare_error err = {0};
    assert_false(m->act_order);
    fixture_expect(tare_module_data(&p->checkpoint, m, part, &err), &err, TARE_E_FORMAT, "m.g_idx", "act-order");
    packed_close(p);
}

static void test_faults(void **state)
{
    (void)state;
    struct tare_quant q = quant_of(TARE_GPTQ_V1, false, false);
    struct fixture_tensor t[] = {{"m.qweight", "I32", 2, {16, 64}, NULL},
                                 {"m.scales", "F16", 2, {4, 64}, NULL},
                                 {"m.qzeros", "I32", 2, {4, 8}, NULL},
                                 {"m.g_idx", "I32", 1, {128}, NULL}};
    struct packed *p = packed_made(t, 3, &q); /* without g_idx and anything said */
    packed_expect(packed_find(p, "m.weight"), &tare_packing_gptq_v1, 64, 128, 0);
    assert_int_equal(packed_find(p, "m.weight")->group_size, 32);
    packed_close(p);
    packed_refused(t, 2, &q, TARE_E_STRICT, "m.qweight", "m.qzeros is missing");
    t[3].shape[0] = 64;
    packed_refused(t, 4, &q, TARE_E_SHAPE, "m.qweight", "fit no number of bits");
    t[3].shape[0] = 128;
    t[3].dtype = "I64";
    packed_refused(t, 4, &q, TARE_E_SHAPE, "m.g_idx", "g_idx is I64");
    t[3].dtype = "I32";
    t[3].rank = 2;
    t[3].shape[1] = 1;
    packed_refused(t, 4, &q, TARE_E_SHAPE, "m.g_idx", "gptq needs one axis");
    t[3].rank = 1;
    q.bits = 8;
    packed_refused(t, 4, &q, TARE_E_CONFIG, "m.qweight", "says 8 bits, the shapes of the parts are those of 4");
    q.bits = 4;
    q.group_size = 64;
    packed_refused(t, 4, &q, TARE_E_CONFIG, "m.scales", "says group_size 64");
    q.group_size = -1;
    packed_refused(t, 4, &q, TARE_E_CONFIG, "m.scales", "says group_size -1");
    q.group_size = 40; /* the last group has 8 columns */
    p = packed_made(t, 4, &q);
    packed_expect(packed_find(p, "m.weight"), &tare_packing_gptq_v1, 64, 128, 0);
    assert_int_equal(tare_module_groups(packed_find(p, "m.weight")), 4);
    assert_false(tare_module_even(packed_find(p, "m.weight")));
    packed_close(p);
    t[2].shape[0] = 3;
    packed_refused(t, 4, &q, TARE_E_SHAPE, "m.scales", "as many groups of qzeros");
    t[2].shape[0] = t[1].shape[0] = 0;
    packed_refused(t, 4, &q, TARE_E_SHAPE, "m.scales", "0 groups");
}

/* A rank of several thousand, axes that overflow when multiplied: nothing is computed with them. */
static void test_hostile(void **state)
{
    (void)state;
    const struct tare_quant q = quant_of(TARE_GPTQ_V1, false, false);
    struct tare_arena arena = {0};
    const int64_t big[] = {INT64_MAX / 4, 0}, none[] = {0, 0}, one[] = {INT64_MAX};
    struct tare_tensor weight = {.name = "m.qweight", .dtype = TARE_I32, .rank = 2, .shape = big};
    struct tare_tensor scales = {.name = "m.scales", .dtype = TARE_F16, .rank = 2, .shape = none};
    struct tare_tensor zeros = {.name = "m.qzeros", .dtype = TARE_I32, .rank = 2, .shape = none};
    struct tare_tensor order = {.name = "m.g_idx", .dtype = TARE_I32, .rank = 1, .shape = one};
    struct tare_module m = {.name = "m.weight", .packing = &tare_packing_gptq_v1};
    m.part[TARE_PART_WEIGHT] = &weight;
    m.part[TARE_PART_SCALES] = &scales;
    m.part[TARE_PART_ZEROS] = &zeros;
    m.part[TARE_PART_G_IDX] = &order;
    tare_gptq_shape(&m, &q, &arena);
    assert_non_null(m.fault);
    tare_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_order),
                                       cmocka_unit_test(test_faults), cmocka_unit_test(test_hostile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
