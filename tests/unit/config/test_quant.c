/* SPDX-License-Identifier: MIT
 * test_quant.c - quantization_config in its spellings, and what is refused (P3 P12). */
#include "config/quant.h"

#include <string.h>

#include "fixture.h"
#include "packing/packing.h"

static struct tare_arena arena;

static enum tare_code read_beside(const char *text, const char *beside, struct tare_quant *quant,
                                  struct tare_error *err)
{
    json_t *config = NULL, *other = NULL;
    assert_int_equal(tare_json_parse(&config, "config.json", text, strlen(text), err), TARE_OK);
    if (beside)
        assert_int_equal(tare_json_parse(&other, "quantize_config.json", beside, strlen(beside), err), TARE_OK);
    const enum tare_code code = tare_quant_read(config, other, &arena, quant, err);
    json_decref(config); /* what is read may not be borrowed from it */
    json_decref(other);
    return code;
}

static struct tare_quant accept(const char *text)
{
    struct tare_quant quant;
    struct tare_error err = {0};
    fixture_expect(read_beside(text, NULL, &quant, &err), &err, TARE_OK, NULL, NULL);
    return quant;
}

static void refuse(const char *text, enum tare_code code, const char *where, const char *phrase)
{
    struct tare_quant quant;
    struct tare_error err = {0};
    print_message("  %s\n", text);
    fixture_expect(read_beside(text, NULL, &quant, &err), &err, code, where, phrase);
}
#define AWQ(rest) "{\"quantization_config\": {\"quant_method\": \"awq\"" rest "}}"
#define MLX(body) "{\"quantization\": {" body "}}"

static void none(void **state)
{
    (void)state;
    assert_int_equal(accept("{}").method, TARE_METHOD_NONE);
    assert_int_equal(accept("{\"quantization\": null, \"quantization_config\": null, \"text_config\": "
                            "{\"quantization_config\": null}}")
                         .method,
                     TARE_METHOD_NONE);
    assert_int_equal(accept("{\"text_config\": 3}").method, TARE_METHOD_NONE);
    assert_null(tare_quant_of(&(struct tare_quant){0}, "a"));
}

static void awq(void **state)
{
    (void)state;
    struct tare_quant q = accept(AWQ(", \"bits\": 4, \"group_size\": 128, \"version\": \"gemm\", \"zero_point\": true, "
                                     "\"modules_to_not_convert\": [\"visual\", \"lm_head\"]"));
    assert_int_equal(q.method, TARE_METHOD_AWQ);
    assert_int_equal(q.bits, 4);
    assert_int_equal(q.group_size, 128);
    assert_int_equal(q.zero_point, 1);
    assert_string_equal(q.version, "gemm");
    assert_string_equal(q.place, "config.json: quantization_config");
    assert_int_equal(q.n_skipped, 2);
    assert_string_equal(q.skipped[0], "visual");
    assert_string_equal(q.skipped[1], "lm_head");
    q = accept(AWQ(", \"w_bit\": 4, \"q_group_size\": -1, \"version\": \"GEMM\", \"zero_point\": false"));
    assert_int_equal(q.bits, 4);
    assert_int_equal(q.group_size, -1);
    assert_int_equal(q.zero_point, 0);
    assert_string_equal(q.version, "gemm");
    q = accept(AWQ(", \"bits\": null, \"w_bit\": 4, \"group_size\": null, \"q_group_size\": 64, \"version\": null, "
                   "\"zero_point\": null, \"modules_to_not_convert\": null"));
    assert_int_equal(q.bits, 4);
    assert_int_equal(q.group_size, 64);
    assert_int_equal(q.zero_point, -1);
    assert_null(q.version);
    assert_int_equal(q.n_skipped, 0);
    q = accept(AWQ(", \"bits\": 4, \"w_bit\": 8, \"group_size\": 32, \"q_group_size\": 64"));
    assert_int_equal(q.bits, 4);
    assert_int_equal(q.group_size, 32);
}

static void awq_wrong(void **state)
{
    (void)state;
    const char *where = "config.json: quantization_config";
    refuse(AWQ(", \"bits\": \"4\""), TARE_E_CONFIG, where, "bits must be an integer from 1 to 16");
    refuse(AWQ(", \"bits\": 4.0"), TARE_E_CONFIG, where, "bits must be");
    refuse(AWQ(", \"bits\": 0"), TARE_E_CONFIG, where, "bits must be");
    refuse(AWQ(", \"bits\": 17"), TARE_E_CONFIG, where, "bits must be");
    refuse(AWQ(", \"bits\": true"), TARE_E_CONFIG, where, "bits must be");
    refuse(AWQ(", \"w_bit\": -4"), TARE_E_CONFIG, where, "w_bit must be");
    refuse(AWQ(", \"group_size\": -2"), TARE_E_CONFIG, where, "group_size must be");
    refuse(AWQ(", \"group_size\": 0"), TARE_E_CONFIG, where, "group_size must be");
    refuse(AWQ(", \"group_size\": 2147483648"), TARE_E_CONFIG, where, "group_size must be");
    refuse(AWQ(", \"q_group_size\": []"), TARE_E_CONFIG, where, "q_group_size must be");
    refuse(AWQ(", \"version\": 1"), TARE_E_CONFIG, where, "version must be a string");
    refuse(AWQ(", \"zero_point\": 1"), TARE_E_CONFIG, where, "zero_point must be true or false");
    refuse(AWQ(", \"modules_to_not_convert\": \"lm_head\""), TARE_E_CONFIG, where,
           "modules_to_not_convert must be a list");
    refuse(AWQ(", \"modules_to_not_convert\": [\"a\", null]"), TARE_E_CONFIG, where,
           "modules_to_not_convert must be a list");
    refuse("{\"quantization_config\": []}", TARE_E_CONFIG, where, "expected an object");
    refuse("{\"quantization_config\": {\"quant_method\": 3}}", TARE_E_CONFIG, where, "quant_method must be a string");
    refuse("{\"quantization_config\": {\"bits\": 4}}", TARE_E_CONFIG, where, "quant_method is missing");
    refuse("{\"quantization_config\": {\"quant_method\": null}}", TARE_E_CONFIG, where, "quant_method is missing");
}

/* Named in the refusal: methods when read, versions and modes when a packing is chosen. */
static void unknown(void **state)
{
    (void)state;
    struct tare_error err = {0};
    const struct tare_packing *packing;
    refuse("{\"quantization_config\": {\"quant_method\": \"other\"}}", TARE_E_UNKNOWN, "quantization_config",
           "\"other\"");
    refuse("{\"quantization_config\": {\"quant_method\": \"AWQ\"}}", TARE_E_UNKNOWN, "quantization_config", "\"AWQ\"");
    refuse("{\"quantization_config\": {\"quant_method\": \"\"}}", TARE_E_UNKNOWN, "quantization_config", "\"\"");
    struct tare_quant q = accept(AWQ(", \"version\": \"Marlin\""));
    fixture_expect(tare_packing_choose(&q, &packing, &err), &err, TARE_E_UNKNOWN, NULL, "\"marlin\" is not known (its");
    assert_string_equal(accept(AWQ(", \"version\": \"GEMV_Fast\"")).version, "gemv_fast");
    assert_string_equal(accept(AWQ(", \"checkpoint_format\": \"gemv\", \"format\": \"gemv\"")).version, "gemv");
    refuse(AWQ(", \"version\": \"gemm\", \"format\": \"gemv\""), TARE_E_CONFIG, "quantization_config",
           "version says \"gemm\" and format \"gemv\"");
    q = accept(MLX("\"bits\": 4, \"group_size\": 32, \"mode\": \"mxfp6\""));
    err = (struct tare_error){0};
    fixture_expect(tare_packing_choose(&q, &packing, &err), &err, TARE_E_UNKNOWN, NULL, "\"mxfp6\"");
}

static void mlx(void **state)
{
    (void)state;
    const struct tare_quant q = accept(
        MLX("\"group_size\": 64, \"b\": {\"bits\": 8}, \"model.a.c\": false, \"a.b\": {\"group_size\": 32, \"bits\": "
            "null, \"mode\": \"x\"}, \"lm_head\": false, \"model.d\": true, \"bits\": 4"));
    assert_int_equal(q.method, TARE_METHOD_MLX);
    assert_string_equal(q.mode, "affine");
    assert_int_equal(q.n_overrides, 5);
    const struct tare_quant_override *o = tare_quant_of(&q, "b");
    assert_non_null(o);
    assert_true(o->quantized && o->bits == 8 && o->group_size == 64);
    assert_string_equal(o->mode, "affine");
    o = tare_quant_of(&q, "a.b");
    assert_non_null(o);
    assert_true(o->quantized && o->bits == 0 && o->group_size == 32); /* 4 bits are said of affine ones */
    assert_string_equal(o->mode, "x");
    o = tare_quant_of(&q, "model.a.c");
    assert_non_null(o);
    assert_false(o->quantized);
    o = tare_quant_of(&q, "model.d");
    assert_non_null(o);
    assert_true(o->quantized && o->bits == 4);
    o = tare_quant_of(&q, "lm_head"); /* a path may have no dot */
    assert_non_null(o);
    assert_false(o->quantized);
    assert_null(tare_quant_of(&q, "bits"));
    assert_null(tare_quant_of(&q, "model.a"));
    refuse(MLX("\"bits\": 4, \"a.b\": {\"bits\": \"8\"}"), TARE_E_CONFIG, "config.json: quantization: a.b",
           "bits must be");
    refuse(MLX("\"bits\": 4, \"mode\": 1"), TARE_E_CONFIG, "config.json: quantization", "mode must be a string");
    refuse("{\"quantization\": 4}", TARE_E_CONFIG, "config.json: quantization", "expected an object");
}

/* An entry is affine unless it says otherwise, whatever the general mode is: mlx's to_quantized(). */
static void modes(void **state)
{
    (void)state;
    const struct tare_quant q = accept(MLX("\"group_size\": 32, \"bits\": 4, \"mode\": \"mxfp4\", \"a\": {\"bits\": 8, "
                                           "\"group_size\": 64}, \"b\": {\"mode\": \"mxfp4\"}, \"c\": {}"));
    assert_string_equal(q.mode, "mxfp4");
    const struct tare_quant_override *o = tare_quant_of(&q, "a");
    assert_true(o && o->bits == 8 && o->group_size == 64);
    assert_string_equal(o->mode, "affine");
    o = tare_quant_of(&q, "b");
    assert_true(o && o->bits == 4 && o->group_size == 32);
    assert_string_equal(o->mode, "mxfp4");
    o = tare_quant_of(&q, "c");
    assert_true(o && o->bits == 4 && o->group_size == 64);
}

#define METHOD(name, rest) "{\"quantization_config\": {\"quant_method\": \"" name "\"" rest "}}"

static void by_name(void **state)
{
    (void)state;
    const char *where = "config.json: quantization_config";
    struct tare_error err = {0};
    const struct tare_packing *packing = NULL;
    struct tare_quant q = accept(METHOD("fp8", ", \"fmt\": \"e4m3\", \"weight_block_size\": [128, 64], "
                                               "\"activation_scheme\": \"dynamic\""));
    assert_int_equal(q.method, TARE_METHOD_FP8);
    assert_true(q.block[0] == 128 && q.block[1] == 64);
    assert_int_equal(tare_packing_choose(&q, &packing, &err), TARE_OK);
    assert_null(packing);
    q = accept(METHOD("fp8", ", \"weight_block_size\": null"));
    assert_true(q.block[0] == 0 && q.block[1] == 0);
    refuse(METHOD("fp8", ", \"fmt\": \"e5m2\""), TARE_E_UNKNOWN, where, "e5m2");
    refuse(METHOD("fp8", ", \"weight_block_size\": [128]"), TARE_E_CONFIG, where, "weight_block_size");
    refuse(METHOD("fp8", ", \"weight_block_size\": [128, 0]"), TARE_E_CONFIG, where, "weight_block_size");
    refuse(METHOD("fp8", ", \"weight_block_size\": 128"), TARE_E_CONFIG, where, "weight_block_size");
    assert_int_equal(accept(METHOD("mxfp4", ", \"modules_to_not_convert\": [\"lm_head\"]")).method, TARE_METHOD_MXFP4);
    assert_int_equal(accept(METHOD("mxfp8", "")).method, TARE_METHOD_MXFP8);
    assert_int_equal(accept(METHOD("modelopt", ", \"quant_algo\": \"NVFP4\"")).method, TARE_METHOD_MODELOPT);
    assert_int_equal(accept(METHOD("modelopt", ", \"quantization\": {\"quant_algo\": \"NVFP4\"}")).method,
                     TARE_METHOD_MODELOPT);
    refuse(METHOD("modelopt", ", \"quant_algo\": \"W4A8_AWQ\""), TARE_E_UNKNOWN, where, "\"W4A8_AWQ\"");
    refuse(METHOD("modelopt", ""), TARE_E_UNKNOWN, where, "NVFP4");
    refuse(METHOD("other", ""), TARE_E_UNKNOWN, where, "compressed-tensors, fbgemm_fp8, fp8");
}

#define COMPRESSED(format, weights)                                                                                    \
    METHOD("compressed-tensors",                                                                                       \
           ", \"format\": \"" format "\", \"config_groups\": {\"group_0\": {\"weights\": {" weights "}}}")

static void compressed(void **state)
{
    (void)state;
    const char *where = "config.json: quantization_config";
    struct tare_quant q =
        accept(COMPRESSED("pack-quantized", "\"num_bits\": 4, \"type\": \"int\", \"symmetric\": true, \"strategy\": "
                                            "\"group\", \"group_size\": 32, \"actorder\": null"));
    assert_int_equal(q.method, TARE_METHOD_COMPRESSED);
    assert_int_equal(q.bits, 4);
    assert_int_equal(q.group_size, 32);
    q = accept(COMPRESSED("pack-quantized", "\"num_bits\": 4, \"strategy\": \"channel\", \"group_size\": null"));
    assert_int_equal(q.group_size, -1);
    q = accept(COMPRESSED("mxfp4-pack-quantized", "\"num_bits\": 4, \"type\": \"float\", \"group_size\": 32"));
    assert_int_equal(q.method, TARE_METHOD_COMPRESSED);
    refuse(COMPRESSED("mxfp4-pack-quantized", "\"num_bits\": 4, \"type\": \"int\""), TARE_E_UNKNOWN, where,
           "type is int");
    q = accept(
        COMPRESSED("float-quantized",
                   "\"num_bits\": 8, \"type\": \"float\", \"strategy\": \"block\", \"block_structure\": [128, 64]"));
    assert_true(q.groups[0].block[0] == 128 && q.groups[0].block[1] == 64 && !q.groups[0].integers);
    q = accept(COMPRESSED("pack-quantized", "\"num_bits\": 3, \"symmetric\": false, \"actorder\": \"group\""));
    assert_true(q.bits == 3 && !q.groups[0].symmetric && q.groups[0].integers);
    refuse(METHOD("compressed-tensors", ""), TARE_E_UNKNOWN, where, "format");
    refuse(METHOD("compressed-tensors", ", \"format\": \"marlin-24\""), TARE_E_UNKNOWN, where, "\"marlin-24\"");
    refuse(COMPRESSED("pack-quantized", "\"num_bits\": 9"), TARE_E_UNKNOWN, where, "group_0: num_bits is 9");
    refuse(COMPRESSED("float-quantized", "\"num_bits\": 4"), TARE_E_UNKNOWN, where, "num_bits is 4; tare reads 8");
    refuse(COMPRESSED("mixed-precision", "\"num_bits\": 6, \"type\": \"float\""), TARE_E_UNKNOWN, where, "4 and 8");
    refuse(COMPRESSED("pack-quantized", ""), TARE_E_UNKNOWN, where, "num_bits is missing");
    refuse(COMPRESSED("pack-quantized", "\"num_bits\": 4, \"type\": \"float\""), TARE_E_UNKNOWN, where,
           "type is float");
    refuse(COMPRESSED("pack-quantized", "\"num_bits\": 4, \"symmetric\": 1"), TARE_E_UNKNOWN, where, "symmetric is 1");
    refuse(COMPRESSED("mxfp8-quantized", "\"num_bits\": 8, \"symmetric\": false"), TARE_E_UNKNOWN, where,
           "symmetric is false");
    refuse(COMPRESSED("pack-quantized", "\"num_bits\": 4, \"actorder\": \"spiral\""), TARE_E_UNKNOWN, where,
           "actorder is spiral");
    refuse(COMPRESSED("pack-quantized", "\"num_bits\": 4, \"strategy\": \"token\""), TARE_E_UNKNOWN, where,
           "strategy is token");
    refuse(COMPRESSED("pack-quantized", "\"num_bits\": 4, \"group_size\": 0"), TARE_E_CONFIG, where, "group_size");
    refuse(COMPRESSED("float-quantized", "\"num_bits\": 8, \"block_structure\": [128]"), TARE_E_CONFIG, where,
           "block_structure");
}

#define GROUPS(text) METHOD("compressed-tensors", ", \"format\": \"mixed-precision\"" text)

static void compressed_groups(void **state)
{
    (void)state;
    const char *where = "config.json: quantization_config";
    struct tare_quant q = accept(GROUPS(
        ", \"version\": \"0.19.0\", \"config_groups\": {\"a\": {\"format\": \"pack-quantized\", \"targets\": "
        "[\"Linear\"], "
        "\"weights\": {\"num_bits\": 4, \"group_size\": 32}}, \"b\": {\"format\": \"float-quantized\", \"targets\": "
        "[\"re:.*down_proj$\", \"x\"], \"weights\": {\"num_bits\": 8, \"type\": \"float\", \"strategy\": \"tensor\"}}, "
        "\"c\": "
        "{\"targets\": [\"y\"], \"weights\": null}}, \"ignore\": [\"lm_head\"]"));
    assert_true(q.n_groups == 3 && q.n_skipped == 1 && q.bits == 0 && q.group_size == 0);
    assert_string_equal(q.version, "0.19.0");
    assert_string_equal(q.groups[0].format, "pack-quantized");
    assert_true(q.groups[0].bits == 4 && q.groups[1].bits == 8 && q.groups[1].group_size == -1 && !q.groups[2].bits);
    assert_true(q.groups[1].n_targets == 2);
    assert_string_equal(q.groups[1].targets[0], "re:.*down_proj$");
    refuse(GROUPS(", \"config_groups\": []"), TARE_E_CONFIG, where, "config_groups must be an object");
    refuse(GROUPS(", \"config_groups\": {\"a\": {\"format\": \"other\"}}"), TARE_E_UNKNOWN, where, "format is other");
    refuse(GROUPS(", \"config_groups\": {\"a\": {\"targets\": [1], \"weights\": {\"num_bits\": 4}}}"), TARE_E_CONFIG,
           where, "targets must be a list");
    refuse(GROUPS(", \"ignore\": \"lm_head\""), TARE_E_CONFIG, where, "ignore must be a list");
    refuse(GROUPS(", \"sparsity_config\": {\"format\": \"sparse-other\"}"), TARE_E_UNKNOWN, where, "sparse-other");
    refuse(GROUPS(", \"transform_config\": {\"config_groups\": {\"u\": {}}}"), TARE_E_UNKNOWN, where,
           "transform_config");
    assert_int_equal(accept(GROUPS(", \"sparsity_config\": {}, \"transform_config\": {}")).n_groups, 0);
}

static void which(void **state)
{
    (void)state;
    struct tare_error err = {0};
    struct tare_quant q =
        accept("{\"quantization_config\": {\"quant_method\": \"awq\", \"bits\": 4}, \"quantization\": "
               "{\"bits\": 8, \"group_size\": 64}}");
    assert_int_equal(q.method, TARE_METHOD_MLX);
    assert_int_equal(q.bits, 8);
    q = accept("{\"quantization\": null, \"text_config\": {\"quantization_config\": {\"quant_method\": \"awq\", "
               "\"bits\": 3}}}");
    assert_int_equal(q.method, TARE_METHOD_AWQ);
    assert_int_equal(q.bits, 3);
    assert_string_equal(q.place, "config.json: text_config.quantization_config");
    q = accept("{\"text_config\": {\"quantization_config\": {\"quant_method\": \"awq\", \"bits\": 3}}, "
               "\"quantization_config\": {\"quant_method\": \"mlx\", \"bits\": 6}}");
    assert_int_equal(q.method, TARE_METHOD_MLX);
    assert_int_equal(q.bits, 6);
    refuse("{\"text_config\": {\"quantization_config\": {\"bits\": 3}}}", TARE_E_CONFIG,
           "text_config.quantization_config", "quant_method is missing");
    const char *beside = "{\"quant_method\": \"awq\", \"w_bit\": 2}";
    fixture_expect(read_beside("{}", beside, &q, &err), &err, TARE_OK, NULL, NULL);
    assert_string_equal(q.place, "quantize_config.json");
    assert_int_equal(q.bits, 2);
    fixture_expect(read_beside(MLX("\"bits\": 8"), beside, &q, &err), &err, TARE_OK, NULL, NULL);
    assert_int_equal(q.bits, 8);
    fixture_expect(read_beside("{}", "{\"bits\": 4}", &q, &err), &err, TARE_OK, NULL, NULL); /* old AutoGPTQ */
    assert_int_equal(q.method, TARE_METHOD_GPTQ);
    assert_int_equal(q.bits, 4);
}

static int forget(void **state)
{
    (void)state;
    tare_arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none),       cmocka_unit_test(awq),
        cmocka_unit_test(awq_wrong),  cmocka_unit_test(unknown),
        cmocka_unit_test(mlx),        cmocka_unit_test(which),
        cmocka_unit_test(modes),      cmocka_unit_test(by_name),
        cmocka_unit_test(compressed), cmocka_unit_test(compressed_groups),
    };
    return cmocka_run_group_tests(tests, NULL, forget);
}
