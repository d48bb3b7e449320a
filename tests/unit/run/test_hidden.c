/* SPDX-License-Identifier: MIT
 * test_hidden.c - hidden states of the last layer are what the head is multiplied with, for models of every kind of
 * stream: head * hidden gives the logits, and asking for them changes nothing.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blocks/decoder.h"
#include "plan/plan.h"
#include "sample.h"

enum { VOCABULARY = 40, DIM = 32, IDS = 21 };

static const struct {
    const char *config;
    float scale, cap; /* of the logits */
} models[] = {
    {"{\"model_type\": \"llama\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"intermediate_size\": 48,"
     "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"rms_norm_eps\": 1e-5, \"vocab_size\": 40,"
     "\"max_position_embeddings\": 1024, \"tie_word_embeddings\": true}",
     1, 0},
    {"{\"model_type\": \"mamba2\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"num_heads\": 4, \"head_dim\": 16,"
     "\"vocab_size\": 40, \"state_size\": 8, \"layer_norm_epsilon\": 1e-5, \"conv_kernel\": 4, \"n_groups\": 2,"
     "\"use_bias\": false, \"use_conv_bias\": true, \"tie_word_embeddings\": true}",
     1, 0},
    {"{\"model_type\": \"rwkv7\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"intermediate_size\": 24,"
     "\"norm_eps\": 1e-5, \"head_dim\": 8, \"a_low_rank_dim\": 4, \"v_low_rank_dim\": 4, \"gate_low_rank_dim\": 4,"
     "\"decay_low_rank_dim\": 4, \"vocab_size\": 40, \"tie_word_embeddings\": true}",
     1, 0},
    /* a scale and a bound on logits */
    {"{\"model_type\": \"cohere\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"intermediate_size\": 48,"
     "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"layer_norm_eps\": 1e-5, \"vocab_size\": 40,"
     "\"rope_theta\": 10000.0, \"logit_scale\": 0.0625, \"tie_word_embeddings\": true}",
     0.0625f, 0},
    {"{\"model_type\": \"gemma3n\", \"tie_word_embeddings\": true, \"text_config\": {\"hidden_size\": 32,"
     "\"num_hidden_layers\": 4, \"intermediate_size\": 24, \"num_attention_heads\": 4, \"head_dim\": 8,"
     "\"rms_norm_eps\": 1e-5, \"vocab_size\": 40, \"num_key_value_heads\": 2, \"num_kv_shared_layers\": 2,"
     "\"vocab_size_per_layer_input\": 38, \"sliding_window\": 9, \"max_position_embeddings\": 1024,"
     "\"rope_local_base_freq\": 10000.0, \"rope_theta\": 10000.0, \"final_logit_softcapping\": 30.0,"
     "\"layer_types\": [\"sliding_attention\", \"full_attention\", \"sliding_attention\", \"full_attention\"],"
     "\"activation_sparsity_pattern\": [0.5, 0.5, 0.0, 0.0], \"hidden_size_per_layer_input\": 8,"
     "\"altup_num_inputs\": 3, \"altup_correct_scale\": true, \"altup_active_idx\": 1, \"laurel_rank\": 4}}",
     1, 30},
    /* a head of its own; layers that mix through residual attention */
    {"{\"model_type\": \"kimi_k3\", \"text_config\": {\"model_type\": \"kimi_linear\", \"hidden_size\": 32,"
     "\"num_hidden_layers\": 3, \"num_attention_heads\": 2, \"intermediate_size\": 24, \"kv_lora_rank\": 12,"
     "\"qk_nope_head_dim\": 8, \"qk_rope_head_dim\": 4, \"v_head_dim\": 8, \"mla_use_output_gate\": true,"
     "\"linear_attn_config\": {\"kda_layers\": [1, 2], \"full_attn_layers\": [3], \"num_heads\": 2, \"head_dim\": 8,"
     "\"short_conv_kernel_size\": 4}, \"attn_res_block_size\": 2, \"rms_norm_eps\": 1e-5, \"vocab_size\": 40,"
     "\"max_position_embeddings\": 1024, \"tie_word_embeddings\": false}, \"tie_word_embeddings\": false}",
     1, 0},
};

static tare_session *open_exact(tare_model *model)
{
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    struct tare_error err = {0};
    tare_session *s = NULL;
    options.threads = 2;
    options.context = 64;
    options.exact = true;
    if (tare_session_open(&s, model, &options, &err))
        fail_msg("%s: %s", err.where, err.text);
    return s;
}

/* The head's weights as float32, through the public reader. */
static float *read_head(const tare_model *model)
{
    const struct tare_head *head = &model->tree.head;
    const struct tare_parameter *p = head->weight && head->weight->active ? head->weight : model->decoder->embedding;
    struct tare_error err = {0};
    tare_reader *reader = NULL;
    float *weight = calloc(VOCABULARY * DIM, sizeof *weight);
    assert_non_null(weight);
    if (tare_reader_open(&reader, model, p->name, TARE_VIEW_PARAMETER, &err) ||
        tare_read_floats(reader, 0, VOCABULARY, "float32", weight, VOCABULARY * DIM * sizeof *weight, &err))
        fail_msg("%s: %s", err.where, err.text);
    tare_reader_free(reader);
    return weight;
}

static void expect_logits(const float *weight, const float *hidden, const float *logits, float scale, float cap)
{
    for (int id = 0; id < VOCABULARY; id++) {
        double sum = 0;
        for (int k = 0; k < DIM; k++)
            sum += (double)weight[id * DIM + k] * (double)hidden[k];
        sum *= (double)scale;
        if (cap > 0)
            sum = (double)cap * tanh(sum / (double)cap);
        if (logits[id] > -INFINITY) /* an id that the model never says */
            assert_true(fabs(sum - (double)logits[id]) < 1e-5 * (1 + fabs(sum)));
    }
}

static void test_models(void **unused)
{
    (void)unused;
    for (size_t m = 0; m < FIXTURE_COUNT(models); m++) {
        char *folder = fixture_begin();
        sample_checkpoint(folder, models[m].config);
        tare_model *model = sample_plan(folder);
        tare_session *a = open_exact(model), *b = open_exact(model), *c = open_exact(model), *d = open_exact(model);
        float *weight = read_head(model);
        static float logits[IDS * VOCABULARY], want[IDS * VOCABULARY], hidden[IDS * DIM], last[DIM], other[IDS * DIM];
        int32_t ids[IDS];
        for (int i = 0; i < IDS; i++)
            ids[i] = (i * 7 + 3) % 37;
        assert_int_equal(tare_session_width(a), DIM);
        const struct tare_feed feeds[] = {
            {.session = a, .ids = ids, .n = IDS, .all = true, .logits = logits, .hidden = hidden},
            {.session = b, .ids = ids, .n = IDS, .hidden = last}};
        assert_int_equal(tare_session_feed_each(feeds, 2, 0, NULL), TARE_OK);
        assert_int_equal(tare_session_feed(c, ids, IDS, true, want, NULL), TARE_OK);
        assert_memory_equal(logits, want, sizeof want);
        assert_memory_equal(last, hidden + (size_t)(IDS - 1) * DIM, sizeof last);
        for (int i = 0; i < IDS; i++) {
            expect_logits(weight, hidden + i * DIM, logits + i * VOCABULARY, models[m].scale, models[m].cap);
            assert_int_equal(tare_session_hidden(d, ids + i, 1, i % 2, other + i * DIM, NULL), TARE_OK);
        }
        sample_near(other, hidden, IDS * DIM, 2e-5f); /* one after another */
        struct tare_error err = {0};
        fixture_expect(tare_session_hidden(d, ids, 1, false, NULL, &err), &err, TARE_E_ARGUMENT, "hidden", NULL);
        free(weight);
        tare_session_free(a);
        tare_session_free(b);
        tare_session_free(c);
        tare_session_free(d);
        tare_model_free(model);
        fixture_end(folder);
    }
}

/* A packed model computes with activations in 8 bits; its states are near those in float32. */
static void test_packed(void **unused)
{
    (void)unused;
    struct tare_error err = {0};
    tare_model *model = NULL;
    tare_session *s = NULL;
    float usual[4 * 192], exact[4 * 192];
    const int32_t ids[] = {5, 77, 300, 12};
    if (tare_plan(&model, TARE_SOURCE_DIR "/models/fable", NULL, &err) || tare_session_open(&s, model, NULL, &err))
        fail_msg("%s: %s", err.where, err.text);
    tare_session *e = open_exact(model);
    assert_int_equal(tare_session_width(s), 192);
    assert_int_equal(tare_session_hidden(s, ids, 4, true, usual, NULL), TARE_OK);
    assert_int_equal(tare_session_hidden(e, ids, 4, true, exact, NULL), TARE_OK);
    double dot = 0, a = 0, b = 0;
    for (int i = 0; i < 4 * 192; i++) {
        dot += (double)usual[i] * (double)exact[i];
        a += (double)usual[i] * (double)usual[i];
        b += (double)exact[i] * (double)exact[i];
    }
    assert_true(dot / sqrt(a * b) > 0.999);
    tare_session_free(s);
    tare_session_free(e);
    tare_model_free(model);
}

/* A rope that depends on the text's length sees the same length in parts as at once. */
static void test_later(void **unused)
{
    (void)unused;
    static const char config[] =
        "{\"model_type\": \"llama\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"intermediate_size\": 48,"
        "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"rms_norm_eps\": 1e-5, \"vocab_size\": 40,"
        "\"max_position_embeddings\": 16, \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 4.0},"
        "\"tie_word_embeddings\": true}";
    char *folder = fixture_begin();
    sample_checkpoint(folder, config);
    tare_model *model = sample_plan(folder);
    tare_session *s = open_exact(model);
    struct tare_error err = {0};
    const int32_t ids[4] = {1, 2, 3, 4};
    struct tare_feed feed = {.session = s, .ids = ids, .n = 4, .later = 61};
    fixture_expect(tare_session_feed_each(&feed, 1, 0, &err), &err, TARE_E_ARGUMENT, "later", "61");
    feed.later = SIZE_MAX;
    fixture_expect(tare_session_feed_each(&feed, 1, 0, &err), &err, TARE_E_ARGUMENT, "later", NULL);
    static const size_t parts[][2] = {{40, 0}, {10, 30}, {10, 0}};
    float got[3][VOCABULARY];
    int32_t text[40];
    for (int i = 0; i < 40; i++)
        text[i] = (i * 7 + 3) % 37;
    for (int i = 0; i < 3; i++) {
        tare_session *one = open_exact(model);
        const size_t n = parts[i][0];
        struct tare_feed first = {.session = one, .ids = text, .n = n, .logits = got[i], .later = parts[i][1]};
        assert_int_equal(tare_session_feed_each(&first, 1, 0, NULL), TARE_OK);
        if (n < 40)
            assert_int_equal(tare_session_feed(one, text + n, 40 - n, false, got[i], NULL), TARE_OK);
        tare_session_free(one);
    }
    assert_memory_equal(got[1], got[0], sizeof got[0]);
    assert_memory_not_equal(got[2], got[0], sizeof got[0]); /* the first part saw a shorter text */
    tare_session_free(s);
    tare_model_free(model);
    fixture_end(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_models), cmocka_unit_test(test_packed),
                                       cmocka_unit_test(test_later)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
