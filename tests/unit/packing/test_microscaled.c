/* SPDX-License-Identifier: MIT
 * test_microscaled.c - mxfp4, mxfp8 and nvfp4 of MLX, gpt_oss, deepseek_v41, minimax_m3 and muse_spark: values against
 * mlx's own dequantize, both ways into MLX, which of them it is, faults.
 */
#include "packed.h"

static const struct tare_quant mlx = {
    .method = TARE_METHOD_MLX, .place = "config.json: quantization", .mode = "mxfp4", .bits = 4, .group_size = 32};

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *file, *name;
        bool mlx;
        const struct tare_packing *packing;
        int64_t shape[3];
        int bits;
        int64_t group;
    } cases[] = {
        {"mlx-mxfp4-smol", "m.weight", true, &tare_packing_mlx_mxfp4, {16, 128, 0}, 4, 32},
        {"mlx-mxfp8", "m.weight", true, &tare_packing_mlx_mxfp8, {16, 128, 0}, 8, 32},
        {"mlx-nvfp4-llama", "m.weight", true, &tare_packing_mlx_nvfp4, {16, 128, 0}, 4, 16},
        {"mlx-nvfp4-global", "m.weight", true, &tare_packing_mlx_nvfp4, {2, 8, 64}, 4, 16},
        {"mxfp8-tiles", "m.weight", false, &tare_packing_mxfp8_tiles, {40, 64, 0}, 8, 32},
        {"ct-mxfp4a16-llama", "m.weight", false, &tare_packing_mxfp4_packed, {16, 128, 0}, 4, 32},
        {"mxfp4-blocks", "m.gate_up_proj", false, &tare_packing_mxfp4_blocks, {2, 6, 96}, 4, 32},
        {"nvfp4-modelopt", "m.gate_up_proj", false, &tare_packing_nvfp4_modelopt, {2, 8, 32}, 4, 16},
    };
    for (size_t k = 0; k < FIXTURE_COUNT(cases); k++) {
        print_message("  %s\n", cases[k].file);
        struct packed *p = packed_open(cases[k].file, cases[k].mlx ? &mlx : NULL);
        const struct tare_module *m = packed_find(p, cases[k].name);
        packed_expect(m, cases[k].packing, cases[k].shape[0], cases[k].shape[1], cases[k].shape[2]);
        assert_int_equal(m->bits, cases[k].bits);
        assert_int_equal(m->group_size, cases[k].group);
        packed_true(p, m);
        if (m->packing->mode != TARE_MLX_NVFP4)
            packed_same_ways(p, m);
        packed_close(p);
    }
}

/* nvfp4 has no neutral way back: codes and scales are copied, and the global scales are 2688 * scale_2. */
static void test_nvfp4_to_mlx(void **state)
{
    (void)state;
    static const char *const files[] = {"nvfp4-modelopt", "mlx-nvfp4-global"};
    for (size_t f = 0; f < 2; f++) {
        struct packed *p = packed_open(files[f], f ? &mlx : NULL);
        const struct tare_module *m = packed_find(p, f ? "m.weight" : "m.gate_up_proj");
        const void *part[TARE_PARTS];
        const int64_t rows = tare_module_rows(m), bytes = tare_module_columns(m) / 2, groups = tare_module_groups(m);
        unsigned char codes[512], scales[64];
        const struct tare_mlx_rows to = {codes, scales, NULL};
        assert_int_equal(tare_module_data(&p->checkpoint, m, part, NULL), TARE_OK);
        m->packing->to_mlx(m, part, 3, rows - 3, &to);
        assert_memory_equal(codes, (const char *)part[TARE_PART_WEIGHT] + 3 * bytes, (size_t)((rows - 3) * bytes));
        assert_memory_equal(scales, (const char *)part[TARE_PART_SCALES] + 3 * groups, (size_t)((rows - 3) * groups));
        for (int64_t r = 0; r < rows; r++) {
            const float want = f ? tare_float_at(part[TARE_PART_GLOBAL], TARE_F32, r / 8)
                                 : 2688.0f * tare_float_at(part[TARE_PART_GLOBAL], TARE_F32, r / 4);
            assert_true(m->packing->global(m, part, r) == want);
        }
        packed_close(p);
    }
}

/* Suffixes that several formats have: dtypes and shapes tell. */
static void test_which(void **state)
{
    (void)state;
    const struct fixture_tensor tensors[] = {
        {"a.weight", "U8", 2, {64, 64}, NULL},        {"a.weight_scale_inv", "U8", 2, {64, 2}, NULL}, /* minimax_m3 */
        {"b.weight", "F8_E4M3", 2, {64, 64}, NULL},   {"b.weight_scale_inv", "F8_E8M0", 2, {64, 2}, NULL},
        {"c.weight", "I8", 2, {64, 32}, NULL},        {"c.scale", "F8_E8M0", 2, {64, 2}, NULL}, /* deepseek_v41, fp4 */
        {"d.weight", "F8_E4M3", 2, {96, 64}, NULL},   {"d.scale", "F8_E8M0", 2, {96, 2}, NULL},
        {"e.weight", "U8", 2, {256, 256}, NULL},      {"e.scale", "U8", 2, {2, 2}, NULL},
        {"f.weight", "F8_E4M3", 2, {256, 256}, NULL}, {"f.weight_scale_inv", "F8_E8M0", 2, {2, 2}, NULL},
        {"g.weight", "BF16", 2, {64, 64}, NULL},      {"g.scale", "U8", 2, {64, 2}, NULL},
        {"h.num_blocks", "F32", 1, {1}, NULL},        {"i_blocks", "U8", 3, {4, 2, 16}, NULL},
        {"i_scales", "U8", 2, {4, 2}, NULL},          {"j_weight_scale", "F32", 1, {1}, NULL}};
    struct packed *p = packed_made(tensors, FIXTURE_COUNT(tensors), NULL);
    packed_expect(packed_find(p, "a.weight"), &tare_packing_mxfp8_inverse, 64, 64, 0);
    packed_expect(packed_find(p, "b.weight"), &tare_packing_mxfp8_inverse, 64, 64, 0);
    packed_expect(packed_find(p, "c.weight"), &tare_packing_mxfp4_rows, 64, 64, 0);
    packed_expect(packed_find(p, "d.weight"), &tare_packing_mxfp8_tiles, 96, 64, 0);
    packed_expect(packed_find(p, "e.weight"), &tare_packing_mxfp8_tiles, 256, 256, 0);
    assert_int_equal(packed_find(p, "e.weight")->block[1], 128);
    packed_expect(packed_find(p, "f.weight"), &tare_packing_fp8_block, 256, 256, 0);
    packed_expect(packed_find(p, "g.weight"), &tare_packing_plain, 64, 64, 0);
    packed_expect(packed_find(p, "i"), &tare_packing_mxfp4_blocks, 4, 64, 0);
    assert_ptr_equal(packed_find(p, "h.num_blocks")->packing, &tare_packing_plain);
    assert_ptr_equal(packed_find(p, "j_weight_scale")->packing, &tare_packing_plain);
    for (size_t i = 0; i < p->n; i++)
        if (p->modules[i].packing->to_mlx)
            packed_same_ways(p, &p->modules[i]);
    packed_close(p);
}

static void test_faults(void **state)
{
    (void)state;
    struct fixture_tensor t[] = {{"m_blocks", "U8", 4, {2, 4, 3, 16}, NULL}, {"m_scales", "U8", 3, {2, 4, 2}, NULL}};
    packed_refused(t, 2, NULL, TARE_E_SHAPE, "m_scales",
                   "scales is [2, 4, 2], mxfp4 over m_blocks [2, 4, 3, 16] needs [2, 4, 3]");
    packed_refused(t, 1, NULL, TARE_E_STRICT, "m_blocks", "m_scales is missing");
    t[0].shape[3] = 8;
    packed_refused(t, 2, NULL, TARE_E_SHAPE, "m_blocks", "blocks is [2, 4, 3, 8]");
    t[0].dtype = "I8";
    packed_refused(t, 2, NULL, TARE_E_SHAPE, "m_blocks", "blocks is I8, mxfp4 needs U8");

    struct fixture_tensor u[] = {{"m.weight", "U32", 2, {4, 16}, NULL},
                                 {"m.scales", "U8", 2, {4, 4}, NULL},
                                 {"m.global_scale", "F32", 1, {1}, NULL}};
    packed_refused(u, 3, &mlx, TARE_E_FORMAT, "m.global_scale", "nvfp4 has");
    static const struct tare_quant_override other[] = {{"m", true, 4, 16, "nvfp4"}}, no[] = {{"m", false, 0, 0, NULL}};
    struct tare_quant quant = mlx;
    quant.overrides = other;
    quant.n_overrides = 1;
    packed_refused(u, 2, &quant, TARE_E_CONFIG, "m.scales", "says mode nvfp4, 4 bits and group_size 16 of m");
    quant.overrides = no;
    packed_refused(u, 2, &quant, TARE_E_CONFIG, "m.scales", "\"m\": false");
    u[1].shape[1] = 3;
    packed_refused(u, 2, &mlx, TARE_E_SHAPE, "m.scales", "needs [4, 4]");

    struct fixture_tensor v[] = {{"m", "U8", 3, {2, 4, 16}, NULL},
                                 {"m_weight_scale", "F8_E4M3", 3, {2, 4, 2}, NULL},
                                 {"m_weight_scale_2", "F32", 1, {3}, NULL}};
    packed_refused(v, 3, NULL, TARE_E_SHAPE, "m_weight_scale_2", "weight_scale_2 is [3], one number for each of 2");
    packed_refused(v, 2, NULL, TARE_E_STRICT, "m", "m_weight_scale_2 is missing");
    v[1].shape[2] = 1;
    packed_refused(v, 3, NULL, TARE_E_SHAPE, "m_weight_scale", "needs [2, 4, 2]");
    struct fixture_tensor w[] = {{"m.weight", "F8_E4M3", 2, {40, 48}, NULL}, {"m.scale", "U8", 2, {2, 2}, NULL}};
    packed_refused(w, 2, NULL, TARE_E_SHAPE, "m.weight", "48 input columns, which groups of 32 do not divide");
    w[0].shape[1] = 96;
    packed_refused(w, 2, NULL, TARE_E_SHAPE, "m.scale", "needs [2, 3]");
    w[1].rank = 1;
    packed_refused(w, 2, NULL, TARE_E_SHAPE, "m.scale", "as many axes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_nvfp4_to_mlx),
                                       cmocka_unit_test(test_which), cmocka_unit_test(test_faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
