/* SPDX-License-Identifier: MIT
 * test_inspect.c - what the page is told: the plan with its sources and config, and histograms that count what the reader
 * reads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "fixture.h"
#include "serve/inspect.h"
#include "serve/page.h"
#include "tare.h"

static tare_model *plan(const char *folder)
{
    tare_model *model = NULL;
    struct tare_error err = {0};
    tare_plan(&model, folder, NULL, &err);
    assert_non_null(model);
    return model;
}

static json_t *parsed(char *text)
{
    json_error_t error;
    assert_non_null(text);
    json_t *made = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!made)
        fail_msg("%s: %s", error.text, text);
    free(text);
    return made;
}

static int64_t sum_of(const json_t *list)
{
    int64_t sum = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        sum += json_integer_value(json_array_get(list, i));
    return sum;
}

static void test_plan(void **state)
{
    tare_model *model = plan(TARE_SOURCE_DIR "/models/fable");
    const struct tare_report *report = tare_model_report(model);
    json_t *all = parsed(serve_inspect_plan(model, "a \"name\" </script>"));
    const json_t *its = json_object_get(all, "plan"), *sources = json_object_get(all, "sources");
    (void)state;
    assert_string_equal(json_string_value(json_object_get(its, "model")), "a \"name\" </script>");
    assert_int_equal(json_array_size(json_object_get(its, "parameters")), report->n_parameters);
    assert_int_equal(json_array_size(sources), report->sources);
    assert_true(json_is_true(json_object_get(json_object_get(all, "config"), "tie_word_embeddings")));
    size_t aside = 0;
    for (size_t i = 0; i < json_array_size(sources); i++) {
        const json_t *rule = json_object_get(json_array_get(sources, i), "rule");
        aside += json_is_string(rule);
        assert_true(json_is_string(rule) || json_is_null(rule));
    }
    assert_int_equal(aside, report->n_set_aside);
    json_decref(all);
    tare_model_free(model);
}

/* A model that does not load, and one without a config that can be read, are shown too. */
static void test_plan_that_fails(void **state)
{
    char *folder = fixture_begin();
    (void)state;
    fixture_text(folder, "config.json", "{\"model_type\": \"llama\"}");
    fixture_shard(folder, "model.safetensors", "stray");
    tare_model *model = plan(folder);
    json_t *all = parsed(serve_inspect_plan(model, NULL));
    assert_string_equal(json_string_value(json_object_get(json_object_get(all, "plan"), "model")), folder);
    assert_true(json_is_false(json_object_get(json_object_get(all, "plan"), "loads")));
    assert_true(json_is_array(json_object_get(all, "sources")));
    json_decref(all);
    tare_model_free(model);
    fixture_end(folder);
}

/* Counts of codes, scales and zeros by the reader itself. */
static void check_packed(const tare_model *model, const char *name)
{
    tare_reader *reader = NULL;
    assert_int_equal(tare_reader_open(&reader, model, name, TARE_VIEW_PARAMETER, NULL), TARE_OK);
    const struct tare_tensor_info *info = tare_reader_info(reader);
    const size_t n = (size_t)(info->rows * info->columns), groups = (size_t)(info->rows * info->groups);
    uint8_t *codes = malloc(n);
    float *scales = malloc(groups * sizeof *scales), *offsets = malloc(groups * sizeof *offsets);
    assert_int_equal(tare_read_codes(reader, 0, info->rows, codes, scales, offsets, NULL), TARE_OK);
    int64_t counts[256] = {0}, zeros[256] = {0};
    for (size_t i = 0; i < n; i++)
        counts[codes[i]]++;
    for (size_t i = 0; i < groups; i++)
        zeros[(int)roundf(-offsets[i] / scales[i])]++;

    json_t *all = parsed(serve_inspect_module(model, name, NULL));
    assert_int_equal(json_integer_value(json_object_get(all, "rows_read")), info->rows);
    const json_t *list = json_object_get(all, "codes"), *its = json_object_get(all, "zeros");
    assert_int_equal(json_array_size(list), 1 << info->bits);
    for (size_t i = 0; i < json_array_size(list); i++)
        assert_int_equal(json_integer_value(json_array_get(list, i)), counts[i]);
    const json_t *bins = json_object_get(its, "bins");
    const int least = (int)json_number_value(json_object_get(its, "least"));
    for (size_t i = 0; i < json_array_size(bins); i++)
        assert_int_equal(json_integer_value(json_array_get(bins, i)), zeros[(size_t)least + i]);
    assert_int_equal(sum_of(json_object_get(json_object_get(all, "scales"), "bins")), groups);
    json_decref(all);
    free(codes);
    free(scales);
    free(offsets);
    tare_reader_free(reader);
}

static void test_module(void **state)
{
    tare_model *model = plan(TARE_SOURCE_DIR "/models/fable");
    struct tare_error err = {0};
    (void)state;
    check_packed(model, "model.layers.0.self_attn.o_proj.weight");
    check_packed(model, "model.layers.5.mlp.down_proj");

    json_t *all = parsed(serve_inspect_module(model, "model.norm.weight", &err));
    const json_t *values = json_object_get(all, "values");
    assert_null(json_object_get(all, "codes"));
    assert_int_equal(sum_of(json_object_get(values, "bins")), json_integer_value(json_object_get(all, "columns")));
    assert_true(json_number_value(json_object_get(values, "least")) <
                json_number_value(json_object_get(values, "most")));
    json_decref(all);

    assert_null(serve_inspect_module(model, "no.such.module", &err));
    assert_int_equal(err.code, TARE_E_ABSENT);
    assert_null(serve_inspect_module(model, "lm_head", &err));
    tare_model_free(model);
}

#define LAYER "model.layers.0."

/* A matrix of 2,100,000 numbers is sampled: rows from the first to the last, each of which has its own number. */
static void test_sample(void **state)
{
    enum { ROWS = 2100, COLUMNS = 1000 };
    static float numbers[ROWS * COLUMNS];
    char *folder = fixture_begin();
    const struct fixture_tensor tensors[] = {{"model.embed_tokens.weight", "F32", 2, {ROWS, COLUMNS}, numbers},
                                             {"model.norm.weight", "F32", 1, {COLUMNS}, numbers},
                                             {LAYER "input_layernorm.weight", "F32", 1, {COLUMNS}, numbers},
                                             {LAYER "post_attention_layernorm.weight", "F32", 1, {COLUMNS}, numbers},
                                             {LAYER "self_attn.q_proj.weight", "F32", 2, {COLUMNS, COLUMNS}, NULL},
                                             {LAYER "self_attn.k_proj.weight", "F32", 2, {COLUMNS, COLUMNS}, NULL},
                                             {LAYER "self_attn.v_proj.weight", "F32", 2, {COLUMNS, COLUMNS}, NULL},
                                             {LAYER "self_attn.o_proj.weight", "F32", 2, {COLUMNS, COLUMNS}, NULL},
                                             {LAYER "mlp.gate_proj.weight", "F32", 2, {8, COLUMNS}, NULL},
                                             {LAYER "mlp.up_proj.weight", "F32", 2, {8, COLUMNS}, NULL},
                                             {LAYER "mlp.down_proj.weight", "F32", 2, {COLUMNS, 8}, NULL}};
    (void)state;
    for (size_t i = 0; i < FIXTURE_COUNT(numbers); i++)
        numbers[i] = (float)(i / COLUMNS);
    numbers[1] = NAN;
    fixture_text(
        folder, "config.json",
        "{\"model_type\": \"llama\", \"hidden_size\": 1000, \"num_hidden_layers\": 1, \"intermediate_size\": 8, "
        "\"num_attention_heads\": 1, \"rms_norm_eps\": 1e-6, \"vocab_size\": 2100, \"tie_word_embeddings\": true}");
    fixture_safetensors(folder, "model.safetensors", tensors, FIXTURE_COUNT(tensors));
    tare_model *model = plan(folder);
    struct tare_error err = {0};
    char *text = serve_inspect_module(model, "model.embed_tokens.weight", &err);
    if (!text)
        fail_msg("%s: %s", err.where, err.text);
    json_t *all = parsed(text);
    const json_t *values = json_object_get(all, "values");
    const int64_t read = json_integer_value(json_object_get(all, "rows_read"));
    assert_in_range(read, 1000, 1048);
    assert_int_equal(json_integer_value(json_object_get(values, "not_finite")), 1);
    assert_int_equal(sum_of(json_object_get(values, "bins")), read * COLUMNS - 1);
    assert_true(json_number_value(json_object_get(values, "least")) == 0);
    assert_true(json_number_value(json_object_get(values, "most")) > ROWS - 200);
    json_decref(all);
    tare_model_free(model);
    fixture_end(folder);
}

static void test_page(void **state)
{
    const struct embedded_file *page = serve_page_find("/");
    (void)state;
    assert_non_null(page);
    assert_string_equal(page->name, "index.html");
    assert_string_equal(serve_page_type(page), "text/html; charset=utf-8");
    assert_memory_equal(page->data, "<!doctype html>", 15);
    assert_string_equal(serve_page_type(serve_page_find("/app.js")), "text/javascript; charset=utf-8");
    assert_null(serve_page_find(""));
    assert_null(serve_page_find("/../CMakeLists.txt"));
    assert_null(serve_page_find("app.js"));
    assert_non_null(serve_page_report("check.html"));
    assert_null(serve_page_report("other.html"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),   cmocka_unit_test(test_plan_that_fails),
        cmocka_unit_test(test_module), cmocka_unit_test(test_sample),
        cmocka_unit_test(test_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
