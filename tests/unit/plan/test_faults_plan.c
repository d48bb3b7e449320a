/* SPDX-License-Identifier: MIT
 * test_faults_plan.c - planning, and the plan as JSON, with the n-th allocation failing, for every n: out of memory and
 * no model, or the same outcome as ever with a whole report; no crash, no leak. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "fixture.h"
#include "tare.h"

/* Plan path with each allocation failing in turn; `want` is the outcome without a failure. The number of allocations.
 */
static long plan_each(const char *path, enum tare_code want)
{
    struct tare_options options = TARE_OPTIONS_INIT;
    options.threads = 1; /* the counter is one thread's */
    for (long n = 0;; n++) {
        struct tare_error err = {0};
        tare_model *model = NULL;
        allocations = n;
        const enum tare_code code = tare_plan(&model, path, &options, &err);
        const bool through = allocations >= 0;
        allocations = -1;
        if (code == TARE_E_MEMORY) {
            assert_false(through);
            fixture_expect(code, &err, TARE_E_MEMORY, NULL, "out of memory");
            if (model)
                assert_false(tare_model_report(model)->loads);
        } else { /* a failure that was got over may change nothing */
            if (code != want)
                fail_msg("allocation %ld: code %d (%s: %s), expected %d", n, code, err.where, err.text, want);
            const struct tare_report *r = tare_model_report(model);
            assert_non_null(r);
            assert_int_equal(r->code, want);
            assert_int_equal(r->loads, want == TARE_OK);
            assert_int_equal(r->sources, r->used + r->n_set_aside + r->n_unexpected + r->misshapen_sources);
            assert_int_equal(r->declared, r->bound + r->n_missing + r->n_misshapen);
            assert_true(r->sources > 0 && r->declared > 0);
        }
        tare_model_free(model);
        if (through)
            return n;
    }
}

static void sound(void **state)
{
    (void)state;
    assert_true(plan_each(TARE_SOURCE_DIR "/models/fable", TARE_OK) > 20);
}

/* Two heads, of which one lacks its scales; a misshapen norm, a missing layer, a tensor too many. */
static char *broken_folder(void)
{
    char *folder = fixture_begin();
    const struct fixture_tensor tensors[] = {
        {"lm_head.qweight", "I32", 2, {16, 1}, NULL},
        {"model.lm_head.weight", "F16", 2, {8, 16}, NULL},
        {"model.embed_tokens.weight", "F16", 2, {8, 16}, NULL},
        {"model.norm.weight", "F16", 1, {15}, NULL},
        {"lm_head.bias", "F16", 1, {8}, NULL},
        {"odd.weight", "F16", 1, {3}, NULL},
    };
    fixture_safetensors(folder, "model.safetensors", tensors, FIXTURE_COUNT(tensors));
    fixture_text(
        folder, "config.json",
        "{\"model_type\": \"qwen2\", \"hidden_size\": 16, \"num_hidden_layers\": 1, \"intermediate_size\": 16, "
        "\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"rms_norm_eps\": 1e-6, \"vocab_size\": 8, "
        "\"tie_word_embeddings\": true, \"quantization_config\": {\"quant_method\": \"awq\", \"bits\": 4, "
        "\"group_size\": 16, \"version\": \"GEMM\", \"modules_to_not_convert\": [\"visual\", \"x\"]}}");
    return folder;
}

static void broken(void **state)
{
    (void)state;
    char *folder = broken_folder();
    assert_true(plan_each(folder, TARE_E_SHAPE) > 20);
    fixture_end(folder);
}

/* All that only GPTQ has: rules, act-order that is folded, a bias of zeros, zeros judged. */
static void gptq(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t out, in;
    } linears[] = {{"self_attn.q_proj", 32, 32}, {"self_attn.k_proj", 32, 32}, {"self_attn.v_proj", 32, 32},
                   {"self_attn.o_proj", 32, 32}, {"mlp.gate_proj", 64, 32},    {"mlp.up_proj", 64, 32},
                   {"mlp.down_proj", 32, 64}};
    char *folder = fixture_begin(), names[7][3][64];
    struct fixture_tensor tensors[32] = {{"model.embed_tokens.weight", "F16", 2, {8, 32}, NULL},
                                         {"model.norm.weight", "F16", 1, {32}, NULL},
                                         {"model.layers.0.input_layernorm.weight", "F16", 1, {32}, NULL},
                                         {"model.layers.0.post_attention_layernorm.weight", "F16", 1, {32}, NULL},
                                         {"model.layers.0.mlp.up_proj.bias", "F16", 1, {64}, NULL},
                                         {"model.layers.0.mlp.down_proj.g_idx", "I32", 1, {64}, NULL}};
    int32_t order[64];
    size_t n = 6;
    for (int i = 0; i < 64; i++)
        order[i] = i < 32;
    tensors[5].data = order;
    for (int k = 0; k < 7; k++) {
        static const char *const parts[] = {"qweight", "qzeros", "scales"};
        const int64_t shapes[3][2] = {{linears[k].in / 8, linears[k].out},
                                      {linears[k].in / 32, linears[k].out / 8},
                                      {linears[k].in / 32, linears[k].out}};
        for (int i = 0; i < 3; i++) {
            snprintf(names[k][i], sizeof names[k][i], "model.layers.0.%s.%s", linears[k].name, parts[i]);
            tensors[n++] =
                (struct fixture_tensor){names[k][i], i == 2 ? "F16" : "I32", 2, {shapes[i][0], shapes[i][1]}, NULL};
        }
    }
    fixture_safetensors(folder, "model.safetensors", tensors, n);
    fixture_text(
        folder, "config.json",
        "{\"model_type\": \"llama\", \"hidden_size\": 32, \"num_hidden_layers\": 1, \"intermediate_size\": 64, "
        "\"num_attention_heads\": 1, \"num_key_value_heads\": 1, \"rms_norm_eps\": 1e-6, \"vocab_size\": 8, "
        "\"tie_word_embeddings\": true, \"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 8, "
        "\"group_size\": 32, \"checkpoint_format\": \"gptq_v2\", \"desc_act\": true, \"dynamic\": "
        "{\"-:.*lm_head\": {}, \"+:model.*proj\": {\"bits\": 4}}}}");
    assert_true(plan_each(folder, TARE_OK) > 20);
    fixture_end(folder);
}

/* Groups with patterns, ignore lists, act-order, and each packing's fault when the config says otherwise. */
static void compressed_each(const char *second, enum tare_code want)
{
    static const struct {
        const char *name;
        int64_t out, in;
    } linears[] = {{"self_attn.q_proj", 32, 32}, {"self_attn.k_proj", 32, 32}, {"self_attn.v_proj", 32, 32},
                   {"self_attn.o_proj", 32, 32}, {"mlp.gate_proj", 64, 32},    {"mlp.up_proj", 64, 32}};
    char *folder = fixture_begin(), names[6][3][64], config[2048];
    struct fixture_tensor tensors[32] = {{"model.embed_tokens.weight", "F16", 2, {8, 32}, NULL},
                                         {"model.norm.weight", "F16", 1, {32}, NULL},
                                         {"model.layers.0.input_layernorm.weight", "F16", 1, {32}, NULL},
                                         {"model.layers.0.post_attention_layernorm.weight", "F16", 1, {32}, NULL},
                                         {"model.layers.0.mlp.down_proj.weight", "F8_E4M3", 2, {32, 64}, NULL},
                                         {"model.layers.0.mlp.down_proj.weight_scale", "BF16", 2, {32, 1}, NULL},
                                         {"model.layers.0.mlp.up_proj.weight_g_idx", "I32", 1, {32}, NULL}};
    size_t n = 7;
    for (int k = 0; k < 6; k++) {
        static const char *const parts[] = {"weight_packed", "weight_scale", "weight_zero_point"};
        const int64_t shapes[3][2] = {{linears[k].out, linears[k].in / 8},
                                      {linears[k].out, linears[k].in / 32},
                                      {linears[k].out / 8, linears[k].in / 32}};
        for (int i = 0; i < 3; i++) {
            snprintf(names[k][i], sizeof names[k][i], "model.layers.0.%s.%s", linears[k].name, parts[i]);
            tensors[n++] =
                (struct fixture_tensor){names[k][i], i == 1 ? "F16" : "I32", 2, {shapes[i][0], shapes[i][1]}, NULL};
        }
    }
    fixture_safetensors(folder, "model.safetensors", tensors, n);
    snprintf(
        config, sizeof config,
        "{\"model_type\": \"llama\", \"hidden_size\": 32, \"num_hidden_layers\": 1, \"intermediate_size\": 64, "
        "\"num_attention_heads\": 1, \"num_key_value_heads\": 1, \"rms_norm_eps\": 1e-6, \"vocab_size\": 8, "
        "\"tie_word_embeddings\": true, \"quantization_config\": {\"quant_method\": \"compressed-tensors\", "
        "\"format\": \"mixed-precision\", \"version\": \"0.12.2\", \"ignore\": [\"re:lm_head\"], \"config_groups\": "
        "{\"a\": {\"format\": \"pack-quantized\", \"targets\": [\"Linear\"], \"weights\": {\"num_bits\": 4, "
        "\"symmetric\": false, \"group_size\": 32}}, \"b\": {\"targets\": [\"re:.*down_proj\"], \"format\": "
        "\"float-quantized\", \"weights\": {\"num_bits\": 8, \"type\": \"float\", \"strategy\": \"%s\"}}}}}",
        second);
    fixture_text(folder, "config.json", config);
    assert_true(plan_each(folder, want) > 20);
    fixture_end(folder);
}

static void compressed(void **state)
{
    (void)state;
    compressed_each("channel", TARE_OK);
    compressed_each("tensor", TARE_E_CONFIG);
}

/* Names longer than a block of the arena: each copy of one is an allocation of its own, which can fail. */
static void long_names(void **state)
{
    (void)state;
    const size_t n = ((size_t)1 << 20) + 100;
    char *folder = fixture_begin(), *name = malloc(n + 1), *text = malloc(3 * n + 1000);
    assert_true(name && text);
    memset(name, 'a', n); /* sorts before "lm_head" */
    name[n] = 0;
    sprintf(text,
            "{\"%s.lm_head.weight\": {\"dtype\": \"F16\", \"shape\": [1], \"data_offsets\": [0, 2]}, "
            "\"lm_head.weight\": {\"dtype\": \"F16\", \"shape\": [1], \"data_offsets\": [2, 4]}}",
            name);
    fixture_header(folder, "model.safetensors", text, 4);
    sprintf(text,
            "{\"model_type\": \"qwen2\", \"hidden_size\": 16, \"num_hidden_layers\": 1, \"intermediate_size\": 16, "
            "\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"rms_norm_eps\": 1e-6, \"vocab_size\": 8, "
            "\"quantization_config\": {\"quant_method\": \"awq\", \"bits\": 4, \"modules_to_not_convert\": [\"%s\"]}}",
            name);
    fixture_text(folder, "config.json", text);
    assert_true(plan_each(folder, TARE_E_SHAPE) > 20);
    free(name);
    free(text);
    fixture_end(folder);
}

static void json_each(const char *path, enum tare_code want)
{
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_error err = {0};
    tare_model *model = NULL;
    assert_int_equal(tare_plan(&model, path, &options, &err), want);
    for (int parameters = 0; parameters < 2; parameters++) {
        char *whole = tare_model_json(model, parameters);
        assert_non_null(whole);
        for (long n = 0;; n++) {
            allocations = n;
            char *text = tare_model_json(model, parameters);
            const bool through = allocations >= 0;
            allocations = -1;
            if (!text)
                assert_false(through);
            else
                assert_string_equal(text, whole);
            tare_text_free(text);
            if (through) {
                assert_true(n > 0);
                break;
            }
        }
        tare_text_free(whole);
    }
    tare_model_free(model);
}

static void json(void **state)
{
    (void)state;
    json_each(TARE_SOURCE_DIR "/models/fable", TARE_OK);
    char *folder = broken_folder();
    json_each(folder, TARE_E_SHAPE);
    fixture_end(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound),  cmocka_unit_test(gptq),       cmocka_unit_test(compressed),
        cmocka_unit_test(broken), cmocka_unit_test(long_names), cmocka_unit_test(json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
