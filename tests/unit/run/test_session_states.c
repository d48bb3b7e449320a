/* SPDX-License-Identifier: MIT
 * test_session_states.c - forks, rewinding, several sessions in one step, and steps that are cancelled anywhere, each
 * on models that attend, one that recurs, and one that does both. What a session does is compared with one that never
 * did anything else, bit for bit.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"
#include "sample.h"

enum { VOCABULARY = 40, CONTEXT = 600, IDS = 600 };

/* Tokens take all experts where there are some: an expert with a single token is multiplied otherwise, in bits, than
 * one with several, and so depends on what else is in the pass. */
static const char *const configs[] = {
    "{\"model_type\": \"llama\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"intermediate_size\": 48,"
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"rms_norm_eps\": 1e-5, \"vocab_size\": 40,"
    "\"max_position_embeddings\": 1024, \"tie_word_embeddings\": true}",

    "{\"model_type\": \"mamba2\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"num_heads\": 4, \"head_dim\": 16,"
    "\"vocab_size\": 40, \"state_size\": 8, \"layer_norm_epsilon\": 1e-5, \"conv_kernel\": 4, \"n_groups\": 2,"
    "\"use_bias\": false, \"use_conv_bias\": true, \"tie_word_embeddings\": true}",

    "{\"model_type\": \"falcon_h1\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"intermediate_size\": 24,"
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 8, \"mamba_d_conv\": 4, \"mamba_d_head\": 8,"
    "\"mamba_d_ssm\": 32, \"mamba_d_state\": 8, \"mamba_n_groups\": 1, \"mamba_n_heads\": 4, \"vocab_size\": 40,"
    "\"rms_norm_eps\": 1e-5, \"max_position_embeddings\": 1024, \"embedding_multiplier\": 1.0,"
    "\"lm_head_multiplier\": 1.0, \"tie_word_embeddings\": true}",

    "{\"model_type\": \"qwen3_next\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"intermediate_size\": 24,"
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 8, \"linear_num_value_heads\": 4,"
    "\"linear_num_key_heads\": 2, \"linear_key_head_dim\": 8, \"linear_value_head_dim\": 6,"
    "\"linear_conv_kernel_dim\": 4, \"full_attention_interval\": 2, \"rms_norm_eps\": 1e-5, \"vocab_size\": 40,"
    "\"rope_theta\": 10000.0, \"max_position_embeddings\": 1024, \"tie_word_embeddings\": true}",

    "{\"model_type\": \"rwkv7\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"intermediate_size\": 24,"
    "\"norm_eps\": 1e-5, \"head_dim\": 8, \"a_low_rank_dim\": 4, \"v_low_rank_dim\": 4, \"gate_low_rank_dim\": 4,"
    "\"decay_low_rank_dim\": 4, \"vocab_size\": 40, \"tie_word_embeddings\": true}",
    /* several residual streams; layers that borrow keys and values */
    "{\"model_type\": \"gemma3n\", \"tie_word_embeddings\": true, \"text_config\": {\"hidden_size\": 32,"
    "\"num_hidden_layers\": 4, \"intermediate_size\": 24, \"num_attention_heads\": 4, \"head_dim\": 8,"
    "\"rms_norm_eps\": 1e-5, \"vocab_size\": 40, \"num_key_value_heads\": 2, \"num_kv_shared_layers\": 2,"
    "\"vocab_size_per_layer_input\": 38, \"sliding_window\": 9, \"max_position_embeddings\": 1024,"
    "\"rope_local_base_freq\": 10000.0, \"rope_theta\": 10000.0, \"final_logit_softcapping\": 30.0,"
    "\"layer_types\": [\"sliding_attention\", \"full_attention\", \"sliding_attention\", \"full_attention\"],"
    "\"activation_sparsity_pattern\": [0.5, 0.5, 0.0, 0.0], \"hidden_size_per_layer_input\": 8,"
    "\"altup_num_inputs\": 3, \"altup_correct_scale\": true, \"altup_active_idx\": 1, \"laurel_rank\": 4}}",

    /* an index that chooses blocks of keys; routed experts */
    "{\"model_type\": \"minimax_m3_vl\", \"text_config\": {\"hidden_size\": 32, \"num_hidden_layers\": 2,"
    "\"dense_intermediate_size\": 24, \"intermediate_size\": 8, \"shared_intermediate_size\": 8, \"head_dim\": 8,"
    "\"moe_layer_freq\": [0, 1], \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"num_local_experts\": 5,"
    "\"num_experts_per_tok\": 2, \"rms_norm_eps\": 1e-5, \"rotary_dim\": 4, \"vocab_size\": 40,"
    "\"max_position_embeddings\": 1024, \"tie_word_embeddings\": true, \"sparse_attention_config\":"
    "{\"sparse_attention_freq\": [1, 1], \"sparse_block_size\": 8, \"sparse_index_dim\": 8, \"sparse_local_block\": 1,"
    "\"sparse_num_index_heads\": 2, \"sparse_topk_blocks\": 3}}}",

    /* layers that begin with the keys and values of another */
    "{\"model_type\": \"hunyuan\", \"hidden_size\": 32, \"num_hidden_layers\": 3, \"intermediate_size\": 32,"
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"attention_bias\": false, \"moe_topk\": 2,"
    "\"num_experts\": 4, \"num_shared_expert\": 1, \"use_mixed_mlp_moe\": true, \"use_qk_norm\": true,"
    "\"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, \"use_cla\": true, \"cla_share_factor\": 3,"
    "\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 1.0, \"alpha\": 10.0}, \"vocab_size\": 40,"
    "\"tie_word_embeddings\": true}",

    "{\"model_type\": \"deepseek_v32\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"intermediate_size\": 24,"
    "\"num_attention_heads\": 4, \"q_lora_rank\": 12, \"kv_lora_rank\": 12, \"qk_nope_head_dim\": 8,"
    "\"qk_rope_head_dim\": 4, \"v_head_dim\": 8, \"index_n_heads\": 4, \"index_head_dim\": 8, \"index_topk\": 24,"
    "\"rms_norm_eps\": 1e-5, \"vocab_size\": 40, \"max_position_embeddings\": 1024, \"tie_word_embeddings\": false}",

    "{\"model_type\": \"deepseek_v41\", \"hidden_size\": 16, \"num_hidden_layers\": 3, \"num_attention_heads\": 4,"
    "\"head_dim\": 12, \"q_lora_rank\": 12, \"qk_rope_head_dim\": 4, \"o_groups\": 2, \"o_lora_rank\": 8,"
    "\"moe_intermediate_size\": 8, \"n_routed_experts\": 2, \"num_experts_per_tok\": 2, \"hc_mult\": 2,"
    "\"compress_ratios\": [3, 3, 0], \"kv_source_layer_ids\": [0], \"index_source_layer_ids\": [0, 1],"
    "\"index_n_heads\": 2, \"index_head_dim\": 8, \"index_topk\": 6, \"sliding_window\": 16, \"rms_norm_eps\": 1e-6,"
    "\"candidate_source_layer_id\": 0, \"candidate_topk_blocks\": 5, \"candidate_block_size\": 4,"
    "\"vocab_size\": 40, \"max_position_embeddings\": 1024, \"tie_word_embeddings\": false}",

    "{\"model_type\": \"longcat_flash_ngram\", \"hidden_size\": 32, \"num_layers\": 1, \"ffn_hidden_size\": 24,"
    "\"expert_ffn_hidden_size\": 8, \"moe_topk\": 2, \"n_routed_experts\": 1, \"zero_expert_num\": 1,"
    "\"num_attention_heads\": 4, \"q_lora_rank\": 12, \"kv_lora_rank\": 12, \"qk_nope_head_dim\": 8,"
    "\"qk_rope_head_dim\": 4, \"v_head_dim\": 8, \"mla_scale_q_lora\": true, \"mla_scale_kv_lora\": true,"
    "\"ngram_vocab_size_ratio\": 2, \"emb_neighbor_num\": 3, \"emb_split_num\": 2, \"routed_scaling_factor\": 2.0,"
    "\"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, \"vocab_size\": 40, \"max_position_embeddings\": 1024,"
    "\"tie_word_embeddings\": false}",

    "{\"model_type\": \"kimi_k3\", \"text_config\": {\"model_type\": \"kimi_linear\", \"hidden_size\": 32,"
    "\"num_hidden_layers\": 3, \"num_attention_heads\": 2, \"intermediate_size\": 24, \"kv_lora_rank\": 12,"
    "\"qk_nope_head_dim\": 8, \"qk_rope_head_dim\": 4, \"v_head_dim\": 8, \"mla_use_output_gate\": true,"
    "\"linear_attn_config\": {\"kda_layers\": [1, 2], \"full_attn_layers\": [3], \"num_heads\": 2, \"head_dim\": 8,"
    "\"short_conv_kernel_size\": 4}, \"attn_res_block_size\": 2, \"rms_norm_eps\": 1e-5, \"vocab_size\": 40,"
    "\"max_position_embeddings\": 1024, \"tie_word_embeddings\": false}, \"tie_word_embeddings\": false}",
};
enum { MODELS = FIXTURE_COUNT(configs) };

static char *folder[MODELS];
static int32_t ids[2][IDS]; /* two texts */
static const float nothing[VOCABULARY];

static int begin(void **unused)
{
    (void)unused;
    for (int i = 0; i < MODELS; i++) {
        folder[i] = fixture_begin();
        sample_checkpoint(folder[i], configs[i]);
    }
    float random[2 * IDS];
    sample_fill(random, 2 * IDS, "ids", VOCABULARY / 2.0f, VOCABULARY / 2.0f);
    for (int i = 0; i < 2 * IDS; i++)
        ids[i / IDS][i % IDS] = (int32_t)random[i] % VOCABULARY;
    return 0;
}

static int end(void **unused)
{
    (void)unused;
    for (int i = 0; i < MODELS; i++)
        fixture_end(folder[i]);
    return 0;
}

static tare_session *open_of(tare_model *model, const volatile int *cancel)
{
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    struct tare_error err = {0};
    tare_session *s = NULL;
    options.threads = 2;
    options.context = CONTEXT;
    options.cancel = cancel;
    options.kv_bits = 32; /* sums of one and of many tokens differ in their last bits, which rounding to 16 may widen */
    if (tare_session_open(&s, model, &options, &err))
        fail_msg("%s: %s", err.where, err.text);
    return s;
}

static tare_session *open_session(int which)
{
    tare_model *model = sample_plan(folder[which]);
    tare_session *s = open_of(model, NULL);
    tare_model_free(model);
    return s;
}

static tare_session *fork_of(const tare_session *s)
{
    tare_session *fork = NULL;
    assert_int_equal(tare_session_fork(&fork, s, NULL), TARE_OK);
    assert_int_equal(tare_session_length(fork), tare_session_length(s));
    return fork;
}

/* Feed ids [from, to) of a text; the logits of the last one. */
static void feed(tare_session *s, int text, int from, int to, float *logits)
{
    struct tare_error err = {0};
    if (tare_session_feed(s, ids[text] + from, (size_t)(to - from), false, logits, &err))
        fail_msg("%s: %s", err.where, err.text);
}

static void rewind_to(tare_session *s, int length)
{
    struct tare_error err = {0};
    if (tare_session_rewind(s, length, &err))
        fail_msg("%s: %s", err.where, err.text);
    assert_int_equal(tare_session_length(s), length);
}

static void same(const float *got, const float *want)
{
    assert_memory_not_equal(want, nothing, sizeof nothing);
    for (int i = 0; i < VOCABULARY; i++)
        if (memcmp(&got[i], &want[i], sizeof *got) != 0)
            fail_msg("LINE logit %d: got %.9g, expected %.9g", i, (double)got[i], (double)want[i]);
}

/* The first `shared` ids of text 0, then to `end` those of a text: by a session that does nothing else. */
static void expect(int which, int shared, int text, int last, const float *got)
{
    float want[VOCABULARY] = {0};
    tare_session *s = open_session(which);
    if (shared > 0)
        feed(s, 0, 0, shared, NULL);
    feed(s, text, shared, last, want);
    same(got, want);
    tare_session_free(s);
}

static void test_forks(void **unused)
{
    (void)unused;
    for (int m = 0; m < MODELS; m++) {
        float a[VOCABULARY], b[VOCABULARY], c[VOCABULARY];
        tare_session *first = open_session(m);
        feed(first, 0, 0, 150, NULL); /* more than one chunk of a state, and not to its end */
        tare_session *second = fork_of(first);
        feed(second, 1, 150, 160, b);
        feed(first, 0, 150, 170, a);
        tare_session *third = fork_of(second);
        feed(second, 1, 160, 170, NULL);
        tare_session_free(first);
        tare_session_free(second);
        expect(m, 150, 0, 170, a);
        expect(m, 150, 1, 160, b);
        assert_int_equal(tare_session_length(third), 160);
        assert_memory_equal(tare_session_ids(third), ids[0], 150 * sizeof ids[0][0]);
        assert_memory_equal(tare_session_ids(third) + 150, ids[1] + 150, 10 * sizeof ids[0][0]);
        rewind_to(third, 150);
        feed(third, 0, 150, 170, c);
        same(c, a);
        tare_session_free(third);
    }
}

/* Rewinding to every kind of place, and going on another way, is as never having gone there. */
static void test_rewinding(void **unused)
{
    (void)unused;
    static const int places[] = {200, 199, 150, 149, 128, 100, 2};
    for (int m = 0; m < MODELS; m++) {
        float got[VOCABULARY];
        for (size_t i = 0; i < FIXTURE_COUNT(places); i++) {
            tare_session *s = open_session(m);
            feed(s, 0, 0, 150, NULL);
            feed(s, 0, 150, 200, NULL);
            rewind_to(s, places[i]);
            feed(s, 1, places[i], 220, got);
            expect(m, places[i], 1, 220, got);
            tare_session_free(s);
        }
    }
}

static void test_rewinding_again(void **unused)
{
    (void)unused;
    for (int m = 0; m < MODELS; m++) {
        float got[VOCABULARY];
        tare_session *s = open_session(m);
        feed(s, 0, 0, 100, NULL);
        feed(s, 0, 100, 120, NULL);
        rewind_to(s, 110); /* between what both turns stand for */
        rewind_to(s, 105);
        rewind_to(s, 50);
        feed(s, 1, 50, 60, NULL);
        rewind_to(s, 50);
        tare_session *fork = fork_of(s);
        feed(fork, 1, 50, 60, got);
        expect(m, 50, 1, 60, got);
        feed(s, 0, 50, 90, got);
        expect(m, 50, 0, 90, got);
        rewind_to(s, 0);
        feed(s, 0, 0, 100, NULL);
        feed(s, 1, 100, 110, got);
        expect(m, 100, 1, 110, got);
        tare_session_free(fork);

        struct tare_error err = {0};
        fixture_expect(tare_session_rewind(s, 111, &err), &err, TARE_E_ARGUMENT, "length", "110 tokens");
        fixture_expect(tare_session_rewind(s, -1, &err), &err, TARE_E_ARGUMENT, "length", "-1");
        assert_int_equal(tare_session_length(s), 110);
        tare_session_free(s);
    }
}

/* Three sessions, one of them a fork, in steps of one, two or several passes. */
static void test_together(void **unused)
{
    (void)unused;
    for (int m = 0; m < MODELS; m++) {
        float got[3][VOCABULARY];
        tare_session *a = open_session(m);
        feed(a, 0, 0, 90, NULL);
        tare_session *b = fork_of(a), *c = fork_of(a);
        rewind_to(c, 40);
        struct tare_feed feeds[] = {{.session = a,
                                     .ids = ids[0] + 90,
                                     .n = 20,
                                     .all = false,
                                     .logits = got[0]}, /* the rest of a pass goes to the others */
                                    {.session = b, .ids = ids[1] + 90, .n = 400, .all = false, .logits = got[1]},
                                    {.session = c, .ids = ids[1] + 40, .n = 2, .all = false, .logits = got[2]}};
        assert_int_equal(tare_session_feed_each(feeds, 3, 0, NULL), TARE_OK);
        expect(m, 90, 0, 110, got[0]);
        expect(m, 90, 1, 490, got[1]);
        expect(m, 40, 1, 42, got[2]);

        feeds[0] = (struct tare_feed){.session = a, .ids = ids[0] + 110, .n = 3, .all = false, .logits = got[0]};
        feeds[1] = (struct tare_feed){.session = c, .ids = ids[1] + 42, .n = 5, .all = false, .logits = got[1]};
        assert_int_equal(tare_session_feed_each(feeds, 2, 0, NULL), TARE_OK);
        rewind_to(b, 90);
        feed(b, 0, 90, 110, NULL);
        feed(b, 0, 110, 113, got[2]);
        same(got[0], got[2]);
        tare_session_free(a);
        tare_session_free(b);
        tare_session_free(c);
    }
}

/* A token each: products of one token give the same bits as those of several. */
static void test_one_each(void **unused)
{
    (void)unused;
    for (int m = 0; m < MODELS; m++) {
        float got[2][VOCABULARY], want[VOCABULARY];
        tare_session *a = open_session(m), *b = fork_of(a), *alone = fork_of(a);
        for (int i = 0; i < 30; i++) {
            struct tare_feed feeds[] = {{.session = a, .ids = ids[0] + i, .n = 1, .all = i % 2, .logits = got[0]},
                                        {.session = b, .ids = ids[1] + i, .n = 1, .all = false, .logits = got[1]}};
            assert_int_equal(tare_session_feed_each(feeds, 2, 0, NULL), TARE_OK);
            feed(alone, 1, i, i + 1, want);
            assert_memory_equal(got[1], want, sizeof want);
        }
        tare_session_free(a);
        tare_session_free(b);
        tare_session_free(alone);
    }
}

/* Room that was made before changes no result; a text of twice the tokens takes more. */
static void test_reserved(void **unused)
{
    (void)unused;
    for (int m = 0; m < MODELS; m++) {
        float got[VOCABULARY];
        struct tare_error err = {0};
        tare_session *s = open_session(m);
        assert_true(tare_session_bytes(s, 200) >= tare_session_bytes(s, 100) && tare_session_bytes(s, 100) > 0);
        assert_true(tare_session_bytes(s, INT64_MAX) >= tare_session_bytes(s, (int64_t)1 << 40));
        assert_true(tare_session_bytes(s, -1) == tare_session_bytes(s, 0));
        feed(s, 0, 0, 10, NULL);
        assert_int_equal(tare_session_reserve(s, 300, &err), TARE_OK);
        assert_int_equal(tare_session_length(s), 10);
        fixture_expect(tare_session_reserve(s, 9, &err), &err, TARE_E_ARGUMENT, "tokens", "10 to 600");
        fixture_expect(tare_session_reserve(s, CONTEXT + 1, &err), &err, TARE_E_ARGUMENT, "tokens", "601");
        feed(s, 0, 10, 60, got);
        expect(m, 10, 0, 60, got);
        tare_session_free(s);
    }
    assert_int_equal(tare_session_reserve(NULL, 1, NULL), TARE_E_ARGUMENT);
}

/* A step that one of its sessions cannot do changes none of them. */
static void test_refused(void **unused)
{
    (void)unused;
    float got[VOCABULARY];
    tare_session *a = open_session(1), *b = fork_of(a), *other = open_session(0);
    struct tare_error err = {0};
    struct tare_feed feeds[] = {{.session = a, .ids = ids[0], .n = 10, .all = false, .logits = NULL},
                                {.session = b, .ids = ids[0], .n = 10, .all = false, .logits = NULL}};
    fixture_expect(tare_session_feed_each(feeds, 0, 0, &err), &err, TARE_E_ARGUMENT, "feeds", NULL);
    fixture_expect(tare_session_feed_each(NULL, 2, 0, &err), &err, TARE_E_ARGUMENT, "feeds", NULL);
    feeds[1].session = a;
    fixture_expect(tare_session_feed_each(feeds, 2, 0, &err), &err, TARE_E_ARGUMENT, "session", "twice");
    feeds[1].session = other;
    fixture_expect(tare_session_feed_each(feeds, 2, 0, &err), &err, TARE_E_ARGUMENT, "session", "number 1");
    feeds[1].session = NULL;
    fixture_expect(tare_session_feed_each(feeds, 2, 0, &err), &err, TARE_E_ARGUMENT, "session", "number 1");
    feeds[1] = (struct tare_feed){.session = b, .ids = (const int32_t[]){0, VOCABULARY}, .n = 2};
    fixture_expect(tare_session_feed_each(feeds, 2, 0, &err), &err, TARE_E_ARGUMENT, "ids", "id 40, number 1");
    feeds[1] = (struct tare_feed){.session = b, .ids = ids[0], .n = CONTEXT + 1};
    fixture_expect(tare_session_feed_each(feeds, 2, 0, &err), &err, TARE_E_ARGUMENT, "context", NULL);
    assert_int_equal(tare_session_length(a), 0);
    assert_int_equal(tare_session_length(b), 0);
    feed(a, 0, 0, 20, got);
    expect(1, 0, 0, 20, got);
    tare_session_free(a);
    tare_session_free(b);
    tare_session_free(other);
}

/* A block that raises `cancel` when it has run that many times. */
static struct {
    struct tare_block_ops ops;
    void (*forward)(const void *block, struct tare_pass *pass, const float *x, float *y);
    volatile int cancel;
    int left;
} trap;

static void trapped(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    trap.forward(block, pass, x, y);
    if (trap.left > 0 && --trap.left == 0)
        trap.cancel = 1;
}

/* The first layer's mixer is trapped: a pass is cancelled where a layer begins. */
static tare_session *open_trapped(int which)
{
    tare_model *model = sample_plan(folder[which]);
    struct tare_block *mixer = &model->decoder->layers[0].mixer;
    trap.ops = *mixer->ops;
    trap.forward = mixer->ops->forward;
    trap.ops.forward = trapped;
    trap.cancel = trap.left = 0;
    mixer->ops = &trap.ops;
    tare_session *s = open_of(model, &trap.cancel);
    tare_model_free(model);
    return s;
}

/* 500 ids are two passes. Whichever is cancelled, the session holds whole passes and continues as if nothing had been.
 */
static void test_cancelled(void **unused)
{
    (void)unused;
    for (int m = 0; m < MODELS; m++)
        for (int at = 1; at <= 2; at++) {
            float got[VOCABULARY];
            struct tare_error err = {0};
            tare_session *s = open_trapped(m);
            feed(s, 0, 0, 30, NULL);
            trap.left = at;
            fixture_expect(tare_session_feed(s, ids[0] + 30, 500, false, got, &err), &err, TARE_E_CANCELLED, NULL,
                           "cancelled");
            const int length = at == 1 ? 30 : 30 + 256;
            assert_int_equal(tare_session_length(s), length);
            assert_memory_equal(tare_session_ids(s), ids[0], (size_t)length * sizeof ids[0][0]);
            trap.cancel = 0;
            tare_session *fork = fork_of(s);
            rewind_to(fork, 30); /* where the pass that was cancelled has written */
            feed(fork, 1, 30, 40, got);
            expect(m, 30, 1, 40, got);
            tare_session_free(fork);
            fork = fork_of(s);
            feed(s, 1, length, 540, got);
            expect(m, length, 1, 540, got);
            feed(fork, 0, length, 540, got);
            expect(m, length, 0, 540, got);
            rewind_to(fork, 20); /* from what is left of both turns */
            feed(fork, 1, 20, 40, got);
            expect(m, 20, 1, 40, got);
            tare_session_free(fork);
            tare_session_free(s);
        }
}

/* Of several sessions, none keeps what a cancelled pass did. */
static void test_cancelled_together(void **unused)
{
    (void)unused;
    for (int m = 0; m < MODELS; m++) {
        float got[VOCABULARY];
        struct tare_error err = {0};
        tare_session *a = open_trapped(m);
        feed(a, 0, 0, 30, NULL);
        tare_session *b = fork_of(a);
        struct tare_feed feeds[] = {{.session = a, .ids = ids[0] + 30, .n = 200, .all = false, .logits = NULL},
                                    {.session = b, .ids = ids[1] + 30, .n = 200, .all = false, .logits = NULL}};
        trap.left = 2; /* the first pass: 200 of a, 56 of b; the second one: the rest of b */
        fixture_expect(tare_session_feed_each(feeds, 2, 0, &err), &err, TARE_E_CANCELLED, NULL, NULL);
        trap.cancel = 0;
        assert_int_equal(tare_session_length(a), 230);
        assert_int_equal(tare_session_length(b), 86);
        feed(a, 0, 230, 240, got);
        expect(m, 230, 0, 240, got);
        rewind_to(b, 30);
        feed(b, 1, 30, 60, got);
        expect(m, 30, 1, 60, got);
        tare_session_free(a);
        tare_session_free(b);
    }
}

/* Recurrent models go through a text again to rewind; that may be cancelled too. */
static bool has_sums(const struct tare_block *block)
{
    struct tare_state_part parts[TARE_STATE_PARTS];
    const int n = block->ops->state ? block->ops->state(block->self, parts) : 0;
    bool sums = false;
    for (int i = 0; i < n; i++)
        sums = sums || parts[i].kind == TARE_STATE_SUM;
    return sums;
}

/* Does rewinding go through the text once more? Not where all that is kept are rows. */
static bool goes_through(int which)
{
    tare_model *model = sample_plan(folder[which]);
    bool sums = false;
    for (int64_t i = 0; i < model->decoder->n_layers; i++)
        sums = sums || has_sums(&model->decoder->layers[i].mixer) || has_sums(&model->decoder->layers[i].ffn);
    tare_model_free(model);
    return sums;
}

static void test_cancelled_rewinding(void **unused)
{
    (void)unused;
    for (int m = 0; m < MODELS; m++) {
        float got[VOCABULARY];
        struct tare_error err = {0};
        tare_session *s = open_trapped(m);
        feed(s, 0, 0, 100, NULL);
        feed(s, 0, 100, 150, NULL);
        trap.left = 1;
        const enum tare_code code = tare_session_rewind(s, 50, &err);
        if (goes_through(m))
            fixture_expect(code, &err, TARE_E_CANCELLED, NULL, "cancelled");
        trap.cancel = trap.left = 0;
        const int length = (int)tare_session_length(s);
        assert_int_equal(length, goes_through(m) ? 0 : 50); /* attention has nothing to go through */
        feed(s, 1, length, 70, got);
        expect(m, length, 1, 70, got);
        tare_session_free(s);
    }
}

/* A session in a file: going on from it, and back behind where it was saved. */
static void test_saved(void **unused)
{
    (void)unused;
    for (int m = 0; m < MODELS; m++) {
        float got[VOCABULARY];
        tare_session *s = open_session(m), *loaded = open_session(m);
        feed(s, 0, 0, 150, NULL);
        assert_int_equal(tare_session_save(s, fixture_path(folder[m], "saved"), NULL), TARE_OK);
        feed(loaded, 1, 0, 70, NULL); /* forgotten */
        feed(loaded, 1, 70, 80, NULL);
        assert_int_equal(tare_session_load(loaded, fixture_path(folder[m], "saved"), NULL), TARE_OK);
        tare_session *fork = fork_of(loaded);
        feed(loaded, 1, 150, 170, got);
        expect(m, 150, 1, 170, got);
        rewind_to(fork, 70);
        feed(fork, 1, 70, 90, got);
        expect(m, 70, 1, 90, got);
        tare_session_free(s);
        tare_session_free(loaded);
        tare_session_free(fork);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forks),
        cmocka_unit_test(test_rewinding),
        cmocka_unit_test(test_rewinding_again),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_one_each),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_reserved),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_cancelled_together),
        cmocka_unit_test(test_cancelled_rewinding),
        cmocka_unit_test(test_saved),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
