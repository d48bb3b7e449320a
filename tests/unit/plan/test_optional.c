/* SPDX-License-Identifier: MIT
 * test_optional.c - a parameter that running takes and conversions leave out: ERNIE 4.5's correction of the scores by
 * which experts are chosen.
 */
#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"
#include "sample.h"

enum { VOCABULARY = 24, EXPERTS = 4, PIECES = 64 };
#define BIAS_NAME "model.layers.0.mlp.moe_statics.e_score_correction_bias"

static const char config[] =
    "{\"model_type\": \"ernie4_5_moe\", \"hidden_size\": 16, \"intermediate_size\": 16, \"num_hidden_layers\": 1,"
    "\"num_attention_heads\": 2, \"num_key_value_heads\": 2, \"vocab_size\": 24, \"rms_norm_eps\": 1e-5,"
    "\"rope_theta\": 10000.0, \"max_position_embeddings\": 64, \"tie_word_embeddings\": true, \"use_bias\": false,"
    "\"moe_num_experts\": 4, \"moe_layer_start_index\": 0, \"moe_intermediate_size\": 8, \"moe_capacity\": [],"
    "\"moe_k\": 1, \"moe_layer_interval\": 1, \"moe_use_aux_free\": true, \"moe_num_shared_experts\": 0}";

/* A checkpoint of all that the config declares, and the bias, of n numbers; NULL: without. */
static tare_model *plan_with(const char *folder, float *bias, int64_t n)
{
    static struct fixture_tensor t[PIECES];
    tare_model *model = NULL;
    size_t count = 0;
    fixture_text(folder, "config.json", config);
    fixture_safetensors(folder, "model.safetensors", NULL, 0);
    assert_int_equal(tare_plan(&model, folder, NULL, NULL), TARE_E_STRICT);
    const struct tare_report *report = tare_model_report(model);
    for (; count < report->n_missing; count++) {
        const struct tare_report_tensor *from = &report->missing[count];
        int64_t size = 1;
        t[count] = (struct fixture_tensor){.name = from->name, .dtype = "F32", .rank = from->rank};
        for (int d = 0; d < from->rank; d++)
            size *= t[count].shape[d] = from->shape[d];
        float *data = malloc((size_t)size * sizeof *data);
        sample_fill(data, size, from->name, from->rank > 1 ? 0 : 1, 0.4f);
        t[count].data = data;
    }
    if (bias)
        t[count] = (struct fixture_tensor){.name = BIAS_NAME, .dtype = "F32", .rank = 2, .shape = {1, n}, .data = bias};
    fixture_safetensors(folder, "model.safetensors", t, count + (bias ? 1 : 0));
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)t[i].data);
    tare_model_free(model);
    return sample_plan(folder);
}

static void logits_with(float *bias, float *logits)
{
    static const int32_t ids[] = {3, 5, 7, 11};
    char *folder = fixture_begin();
    tare_model *model = plan_with(folder, bias, EXPERTS);
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    tare_session *s = NULL;
    options.threads = 1;
    assert_int_equal(tare_session_open(&s, model, &options, NULL), TARE_OK);
    assert_int_equal(tare_session_feed(s, ids, 4, false, logits, NULL), TARE_OK);
    tare_session_free(s);
    tare_model_free(model);
    fixture_end(folder);
}

static void test_running_takes_it(void **unused)
{
    float without[VOCABULARY], zero[VOCABULARY], other[VOCABULARY], same[VOCABULARY];
    float none[EXPERTS] = {0}, all[EXPERTS] = {9, 9, 9, 9};
    (void)unused;
    logits_with(NULL, without);
    logits_with(none, zero);
    logits_with(all, same); /* all experts alike: nothing changes but rounding of what is compared */
    assert_memory_equal(without, zero, sizeof zero);
    sample_near(same, without, VOCABULARY, 1e-6f);
    int differs = 0;
    for (int e = 0; e < EXPERTS; e++) { /* one expert for every token: it cannot be the best of all four choices */
        float one[EXPERTS] = {0};
        one[e] = 9;
        logits_with(one, other);
        differs += memcmp(other, without, sizeof other) != 0;
    }
    assert_true(differs >= EXPERTS - 1);
}

static void test_plan_leaves_it_out(void **unused)
{
    float bias[EXPERTS] = {1, 2, 3, 4};
    (void)unused;
    char *folder = fixture_begin();
    tare_model *model = plan_with(folder, bias, EXPERTS);
    const struct tare_report *report = tare_model_report(model);
    const struct tare_parameter *p = tare_tree_find(&model->tree, BIAS_NAME);
    assert_non_null(p);
    assert_true(p->optional && !p->active && !p->entry && p->aside);
    assert_int_equal(report->declared, model->tree.n - 2); /* and without the tied head */
    tare_model_free(model);
    fixture_end(folder);
}

/* One that does not fit is not left out in silence: it loads, and is not run. */
static void test_of_another_size(void **unused)
{
    float bias[EXPERTS + 1] = {1, 2, 3, 4, 5};
    (void)unused;
    char *folder = fixture_begin();
    tare_model *model = plan_with(folder, bias, EXPERTS + 1);
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    tare_session *s = NULL;
    assert_int_equal(tare_session_open(&s, model, &options, NULL), TARE_E_UNKNOWN);
    assert_null(s);
    tare_model_free(model);
    fixture_end(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_running_takes_it),
                                       cmocka_unit_test(test_plan_leaves_it_out),
                                       cmocka_unit_test(test_of_another_size)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
