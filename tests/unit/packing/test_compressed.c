/* SPDX-License-Identifier: MIT
 * test_compressed.c - compressed-tensors' float-, int-, naive-, mxfp8- and nvfp4-pack-quantized and ModelOpt's NVFP4,
 * as these programs wrote them; strategies against shapes. */
#include "names/targets.h"
#include "packed.h"

static struct tare_quant_group group_of(const char *format, bool integers, int bits, const char *strategy, int64_t size)
{
    return (struct tare_quant_group){.name = "group_0",
                                     .format = format,
                                     .bits = bits,
                                     .integers = integers,
                                     .symmetric = true,
                                     .strategy = strategy,
                                     .group_size = size};
}

static struct tare_quant quant_of(const struct tare_quant_group *group)
{
    return (struct tare_quant){
        .method = TARE_METHOD_COMPRESSED, .place = "config.json: quantization_config", .groups = group, .n_groups = 1};
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *file, *format, *strategy;
        const struct tare_packing *packing;
        int bits; /* of the config */
        int64_t size, group, out, in, block[2];
        enum tare_dtype dtype;
        bool symmetric;
    } cases[] = {
        {"ct-fp8-dynamic-smol",
         "float-quantized",
         "channel",
         &tare_packing_fp8_weight,
         8,
         -1,
         128,
         16,
         128,
         {0},
         TARE_F16,
         true},
        {"ct-fp8-block-llama",
         "float-quantized",
         "block",
         &tare_packing_fp8_weight,
         8,
         0,
         128,
         16,
         128,
         {128, 128},
         TARE_F16,
         true},
        {"ct019-fp8-tensor",
         "float-quantized",
         "tensor",
         &tare_packing_fp8_weight,
         8,
         -1,
         64,
         24,
         64,
         {0},
         TARE_BF16,
         true},
        {"ct019-fp8-chan",
         "float-quantized",
         "channel",
         &tare_packing_fp8_weight,
         8,
         -1,
         64,
         24,
         64,
         {0},
         TARE_BF16,
         true},
        {"ct019-fp8-block",
         "float-quantized",
         "block",
         &tare_packing_fp8_weight,
         8,
         0,
         8,
         40,
         72,
         {16, 32},
         TARE_BF16,
         true},
        {"ct019-int8-chan",
         "int-quantized",
         "channel",
         &tare_packing_int8_weight,
         8,
         -1,
         64,
         24,
         64,
         {0},
         TARE_BF16,
         true},
        {"ct019-int8-asym",
         "int-quantized",
         "channel",
         &tare_packing_int8_weight,
         8,
         -1,
         64,
         24,
         64,
         {0},
         TARE_F16,
         false},
        {"ct019-int8-tensor",
         "int-quantized",
         "tensor",
         &tare_packing_int8_weight,
         8,
         -1,
         64,
         24,
         64,
         {0},
         TARE_F32,
         true},
        {"ct019-int8-group",
         "naive-quantized",
         "group",
         &tare_packing_int8_weight,
         6,
         32,
         32,
         24,
         64,
         {0},
         TARE_F16,
         true},
        {"ct019-mxfp8",
         "mxfp8-quantized",
         "group",
         &tare_packing_mxfp8_weight,
         8,
         32,
         32,
         24,
         64,
         {0},
         TARE_BF16,
         true},
        {"ct019-nvfp4",
         "nvfp4-pack-quantized",
         "tensor_group",
         &tare_packing_nvfp4_packed,
         4,
         16,
         16,
         24,
         64,
         {0},
         TARE_BF16,
         true},
        {"ct-nvfp4a16-smol",
         "nvfp4-pack-quantized",
         "tensor_group",
         &tare_packing_nvfp4_packed,
         4,
         16,
         16,
         16,
         128,
         {0},
         TARE_BF16,
         true},
        {"ct-mxfp4a16-llama",
         "mxfp4-pack-quantized",
         "group",
         &tare_packing_mxfp4_packed,
         4,
         32,
         32,
         16,
         128,
         {0},
         TARE_BF16,
         true},
    };
    for (size_t k = 0; k < FIXTURE_COUNT(cases); k++) {
        const bool integers = cases[k].packing == &tare_packing_int8_weight;
        struct tare_quant_group group =
            group_of(cases[k].format, integers, cases[k].bits, cases[k].strategy, cases[k].size);
        group.symmetric = cases[k].symmetric;
        memcpy(group.block, cases[k].block, sizeof group.block);
        const struct tare_quant quant = quant_of(&group);
        print_message("  %s\n", cases[k].file);
        struct packed *p = packed_open(cases[k].file, &quant);
        const struct tare_module *m = packed_find(p, "m.weight");
        packed_expect(m, cases[k].packing, cases[k].out, cases[k].in, 0);
        assert_int_equal(m->group_size, cases[k].group);
        assert_int_equal(m->dtype, cases[k].dtype);
        packed_true(p, m);
        if (m->packing->to_mlx && m->packing->mode != TARE_MLX_NVFP4)
            packed_same_ways(p, m);
        packed_close(p);
    }
}

/* Codes and scales as they are, and MLX's global scale. */
static void expect_nvfp4(struct packed *p, float global)
{
    const struct tare_module *m = packed_find(p, "m.weight");
    const void *part[TARE_PARTS];
    unsigned char codes[24 * 32], scales[24 * 4];
    const struct tare_mlx_rows to = {codes, scales, NULL};
    packed_true(p, m);
    assert_int_equal(tare_module_data(&p->checkpoint, m, part, NULL), TARE_OK);
    m->packing->to_mlx(m, part, 0, 24, &to);
    assert_memory_equal(codes, part[TARE_PART_WEIGHT], sizeof codes);
    assert_memory_equal(scales, part[TARE_PART_SCALES], sizeof scales);
    assert_true(m->packing->global(m, part, 0) == global && m->packing->global(m, part, 23) == global);
    packed_close(p);
}

static void test_nvfp4(void **state)
{
    (void)state;
    const struct tare_quant modelopt = {.method = TARE_METHOD_MODELOPT};
    struct packed *p = packed_open("modelopt-nvfp4", &modelopt);
    packed_expect(packed_find(p, "m.weight"), &tare_packing_nvfp4_weight, 24, 64, 0);
    expect_nvfp4(p, 2688.0f * 0.0007123f);
    p = packed_open("ct019-nvfp4", NULL); /* known by its tensors */
    packed_expect(packed_find(p, "m.weight"), &tare_packing_nvfp4_packed, 24, 64, 0);
    expect_nvfp4(p, 2688.0f / 187.3f);
}

static void test_faults(void **state)
{
    (void)state;
    struct tare_quant_group group = group_of("float-quantized", false, 8, "channel", -1);
    const struct tare_quant quant = quant_of(&group);
    struct fixture_tensor t[] = {{"m.weight", "F8_E4M3", 2, {24, 64}, NULL},
                                 {"m.weight_scale", "BF16", 1, {1}, NULL},
                                 {"m.weight_zero_point", "I8", 2, {24, 1}, NULL}};
    packed_refused(t, 2, &quant, TARE_E_CONFIG, "m.weight_scale", "says strategy channel");
    t[1] = (struct fixture_tensor){"m.weight_scale", "BF16", 2, {24, 1}, NULL};
    group.strategy = "tensor";
    packed_refused(t, 2, &quant, TARE_E_CONFIG, "m.weight_scale", "says strategy tensor");
    t[1].shape[1] = 3;
    packed_refused(t, 2, &quant, TARE_E_CONFIG, "m.weight_scale",
                   "tensor, but weight_scale is [24, 3] over a weight [24, 64]");
    t[1].shape[0] = 0;
    packed_refused(t, 2, &quant, TARE_E_SHAPE, "m.weight_scale", "is [0, 3] over a weight [24, 64]");
    t[1].shape[1] = 1;
    group.strategy = "block";
    group.group_size = 0;
    group.block[0] = 8;
    group.block[1] = 64;
    t[1].shape[0] = 4; /* 3 would do: padding is not what compressed-tensors writes */
    packed_refused(t, 2, &quant, TARE_E_CONFIG, "m.weight_scale", "strategy block, but");
    t[1].dtype = "U8";
    packed_refused(t, 2, &quant, TARE_E_CONFIG, "m.weight", "those of mxfp8-quantized");
    t[0].dtype = "I8";
    t[1] = (struct fixture_tensor){"m.weight_scale", "BF16", 2, {24, 1}, NULL};
    packed_refused(t, 2, &quant, TARE_E_CONFIG, "m.weight", "those of int-quantized or naive-quantized");
    group = group_of("int-quantized", true, 8, "channel", -1);
    group.symmetric = false;
    packed_refused(t, 2, &quant, TARE_E_CONFIG, "m.weight", "m.weight_zero_point is missing");
    t[2].shape[0] = 1;
    packed_refused(t, 3, &quant, TARE_E_SHAPE, "m.weight_zero_point", "[24, 1]");
    t[2].dtype = "I32";
    packed_refused(t, 3, &quant, TARE_E_SHAPE, "m.weight_zero_point", "is I32, int8 needs I8");
    packed_refused(t + 1, 1, &quant, TARE_E_STRICT, "m.weight_scale", "m.weight is missing");
    const struct fixture_tensor float_weight[] = {{"m.weight", "F16", 2, {24, 64}, NULL},
                                                  {"m.weight_scale", "BF16", 2, {24, 1}, NULL}};
    struct packed *p = packed_made(float_weight, 2, NULL); /* only happens to have such names */
    assert_ptr_equal(packed_find(p, "m.weight")->packing, &tare_packing_plain);
    packed_close(p);
}

/* Scales of activations and of the cache are set aside beside packed modules, and there only. */
static void test_beside(void **state)
{
    (void)state;
    static const char *const aside[] = {"l.attn.k_proj.input_global_scale", "l.attn.k_proj.input_scale",
                                        "l.attn.k_proj.k_scale", "l.attn.k_proj.output_scale", "l.attn.k_scale"};
    const struct fixture_tensor tensors[] = {{"l.attn.k_proj.weight", "F8_E4M3", 2, {24, 64}, NULL},
                                             {"l.attn.k_proj.weight_scale", "BF16", 2, {24, 1}, NULL},
                                             {aside[0], "F32", 1, {1}, NULL},
                                             {aside[1], "F32", 1, {1}, NULL},
                                             {aside[2], "F32", 1, {1}, NULL},
                                             {aside[3], "F32", 1, {1}, NULL},
                                             {aside[4], "F32", 1, {1}, NULL},
                                             {"l.k_scale", "F32", 1, {1}, NULL},
                                             {"m.attn.k_scale", "F32", 1, {1}, NULL}};
    struct packed *p = packed_made(tensors, FIXTURE_COUNT(tensors), NULL);
    size_t n = 0;
    packed_expect(packed_find(p, "l.attn.k_proj.weight"), &tare_packing_fp8_weight, 24, 64, 0);
    for (size_t i = 0; i < p->weights.n; i++) {
        const struct tare_entry *entry = &p->weights.entries[i];
        if (!entry->rule)
            continue;
        assert_string_equal(entry->name, aside[n++]);
    }
    assert_int_equal(n, FIXTURE_COUNT(aside));
    packed_close(p);
}

/* Exact names before patterns before classes; what `ignore` names. */
static void test_targets(void **state)
{
    (void)state;
    static const char *const line[] = {"Linear"}, *const table[] = {"Embedding"},
                             *const pattern[] = {"re:.*down_proj$"};
    static const char *const name[] = {"a.down_proj"}, *const ignore[] = {"lm_head", "re:a\\.gate"};
    const struct tare_quant_group groups[] = {{.name = "0", .targets = line, .n_targets = 1},
                                              {.name = "1", .targets = pattern, .n_targets = 1},
                                              {.name = "2", .targets = name, .n_targets = 1},
                                              {.name = "3", .targets = table, .n_targets = 1}};
    struct tare_quant quant = {
        .method = TARE_METHOD_COMPRESSED, .groups = groups, .n_groups = 4, .skipped = ignore, .n_skipped = 2};
    static const struct {
        const char *path, *group;
        bool ignored;
    } cases[] = {{"a.up_proj", "0", false},     {"b.down_proj", "1", false},        {"a.down_proj", "2", false},
                 {"b.down_proj.x", "0", false}, {"model.embed_tokens", "3", false}, {"lm_head", "0", true},
                 {"a.gate_proj", "0", true},    {"ba.gate_proj", "0", false},       {"lm_head.x", "0", false}};
    struct tare_targets targets;
    struct tare_error err = {0};
    assert_int_equal(tare_targets_open(&targets, &quant, &err), TARE_OK);
    for (size_t k = 0; k < FIXTURE_COUNT(cases); k++) {
        const struct tare_quant_group *group = NULL;
        bool ignored = false;
        assert_int_equal(tare_targets_find(&targets, cases[k].path, &group, &ignored, &err), TARE_OK);
        assert_non_null(group);
        if (strcmp(group->name, cases[k].group) || ignored != cases[k].ignored)
            fail_msg("%s: group %s%s", cases[k].path, group->name, ignored ? ", ignored" : "");
    }
    tare_targets_release(&targets);
    static const char *const broken[] = {"re:("};
    quant.skipped = broken;
    quant.n_skipped = 1;
    quant.place = "config.json: quantization_config";
    assert_int_not_equal(tare_targets_open(&targets, &quant, &err), TARE_OK);
    assert_string_equal(err.where, quant.place);
    tare_targets_release(&targets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_nvfp4),
                                       cmocka_unit_test(test_faults), cmocka_unit_test(test_targets),
                                       cmocka_unit_test(test_beside)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
