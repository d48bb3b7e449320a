/* SPDX-License-Identifier: MIT
 * test_tie.c - the rule of docs/head.md on trees and weights made by hand: owners, aliases, flags, contents.
 */
#include "tree/tie.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "packing/packing.h"

#define ARGS(ARG) ARG(INT, x, 1) ARG(FLAG, tie_word_embeddings, true)
TARE_ARGS(ARGS);
static const struct tare_args_info silent_info = {args_list, 1, sizeof(struct args)}; /* has no such field */

static const struct args says_tied = {1, true}, says_untied = {1, false};

/* One tree, one list of weights and the levels top, model, language_model, language_model.model. */
struct scene {
    struct tare_arena arena;
    struct tare_tree tree;
    struct tare_weights weights;
    json_t *top, *text;
    struct tare_tie_level levels[4];
    struct tare_tie_result result;
    struct tare_error err;
};

static void begin(struct scene *s, const char *top, const char *text, enum tare_head_kind kind, const char *head,
                  bool tied)
{
    *s = (struct scene){0};
    s->tree.arena = s->weights.arena = &s->arena;
    const struct tare_at root = {&s->tree, ""};
    tare_head(root, head, tare_embedding(tare_at(root, "model"), "embed_tokens", 8, 4), kind, tied, NO_BIAS);
    assert_int_equal(s->tree.error.code, TARE_OK);
    s->top = json_loads(top, 0, NULL);
    s->text = text ? json_loads(text, 0, NULL) : NULL;
    assert_true(s->top && (s->text || !text));
    s->levels[0] = s->levels[1] = (struct tare_tie_level){"", s->top, NULL, "", NULL, NULL, false, false};
    s->levels[2] = s->levels[3] =
        (struct tare_tie_level){"language_model", s->text, NULL, "text_config", NULL, NULL, false, false};
    s->levels[1].owner = "model";
    s->levels[3].owner = "language_model.model";
}

static void with_args(struct scene *s, int level, const struct tare_args_info *info, const struct args *values)
{
    s->levels[level].args_info = info;
    s->levels[level].args = values;
}

static void put(struct scene *s, const char *name, const struct tare_packing *packing)
{
    static const int64_t shape[] = {8, 4};
    struct tare_module *m = tare_arena_alloc(&s->arena, sizeof *m);
    assert_non_null(m);
    *m = (struct tare_module){.name = name, .packing = packing, .rank = 2, .shape = shape, .dtype = TARE_F16};
    m->packed = packing->decode != NULL;
    assert_true(tare_grow(&s->weights.entries, &s->weights.room, s->weights.n + 1, sizeof *s->weights.entries));
    s->weights.entries[s->weights.n++] = (struct tare_entry){.name = name, .recipe = tare_recipe_take(&s->arena, m)};
}
#define DENSE &tare_packing_plain
#define PACKED &tare_packing_awq_gemm

static enum tare_code decide(struct scene *s)
{
    return tare_tie_decide(&s->tree, &s->weights, s->levels, 4, &s->result, &s->err);
}

static const struct tare_head_decision *decided(struct scene *s)
{
    fixture_expect(decide(s), &s->err, TARE_OK, NULL, NULL);
    assert_int_equal(s->result.n, 1);
    return &s->result.heads[0];
}

static void end(struct scene *s)
{
    free(s->weights.entries);
    tare_tree_release(&s->tree);
    json_decref(s->top);
    json_decref(s->text);
    tare_arena_release(&s->arena);
}

#define TRUE "{\"tie_word_embeddings\": true}"
#define FALSE "{\"tie_word_embeddings\": false}"
#define NULLED "{\"tie_word_embeddings\": null}"

/* A packed head of a model that has no parameter for it. */
static void expect(const char *head, const char *top, const char *text, enum tare_decision decision, const char *owner,
                   const char *evidence)
{
    struct scene s;
    char name[80];
    snprintf(name, sizeof name, "%s.weight", head);
    print_message("  %s, top %s, text %s\n", head, top, text ? text : "-");
    begin(&s, top, text, TARE_HEAD_NONE, NULL, true);
    put(&s, "model.embed_tokens.weight", DENSE);
    put(&s, name, PACKED);
    const struct tare_head_decision *h = decided(&s);
    assert_string_equal(h->prefix, head);
    assert_int_equal(h->decision, decision);
    assert_string_equal(h->evidence, evidence);
    if (owner)
        assert_string_equal(h->owner, owner);
    else
        assert_null(h->owner);
    assert_false(h->dense);
    assert_true(h->by_flag == (owner != NULL));
    assert_true((s.weights.entries[1].rule != NULL) == (decision == TARE_DECISION_DROP));
    assert_null(s.weights.entries[0].rule);
    end(&s);
}
#define DROP TARE_DECISION_DROP
#define KEEP TARE_DECISION_PRESERVE

static void owners(void **state)
{
    (void)state;
    const char *at_top = "config:tie_word_embeddings", *at_text = "config:text_config.tie_word_embeddings";
    expect("lm_head", TRUE, FALSE, DROP, "", at_top);
    expect("lm_head", FALSE, TRUE, KEEP, "", at_top);
    expect("lm_head", "{}", TRUE, KEEP, NULL, "none");
    expect("model.lm_head", TRUE, FALSE, DROP, "model", at_top);
    expect("model.lm_head", FALSE, TRUE, KEEP, "model", at_top);
    expect("language_model.lm_head", FALSE, TRUE, DROP, "language_model", at_text);
    expect("language_model.lm_head", TRUE, FALSE, KEEP, "language_model", at_text);
    expect("language_model.lm_head", TRUE, "{}", KEEP, NULL, "none"); /* a wrapper's flag is not the text model's */
    expect("language_model.lm_head", TRUE, NULL, KEEP, NULL, "none");
    expect("language_model.model.lm_head", FALSE, TRUE, DROP, "language_model.model", at_text);
    expect("vision.lm_head", TRUE, TRUE, KEEP, NULL, "none");
    expect("language_models.lm_head", TRUE, TRUE, KEEP, NULL, "none");
    expect("xmodel.lm_head", TRUE, TRUE, KEEP, NULL, "none");
    expect("lm_head", NULLED, NULL, KEEP, NULL, "none");
    expect("language_model.lm_head", TRUE, NULLED, KEEP, NULL, "none");
}

/* The owner has no level of its own, or is silent: one alias, no more. */
static void aliases(void **state)
{
    (void)state;
    static const struct {
        const char *head, *owner;
        int silent; /* this level says nothing: its fragment is taken away */
    } rows[] = {{"model.lm_head", "", 1},
                {"language_model.model.lm_head", "language_model", 3},
                {"language_model.lm_head", NULL, 2},
                {"lm_head", NULL, 0}};
    for (size_t i = 0; i < FIXTURE_COUNT(rows); i++)
        for (int absent = 0; absent < 2; absent++) {
            struct scene s;
            char name[80];
            snprintf(name, sizeof name, "%s.weight", rows[i].head);
            begin(&s, TRUE, TRUE, TARE_HEAD_NONE, NULL, true);
            put(&s, "model.embed_tokens.weight", DENSE);
            put(&s, name, PACKED);
            s.levels[rows[i].silent].fragment = NULL;
            if (absent)
                s.levels[rows[i].silent].owner = "elsewhere";
            const struct tare_head_decision *h = decided(&s);
            assert_int_equal(h->decision, rows[i].owner ? DROP : KEEP);
            if (rows[i].owner)
                assert_string_equal(h->owner, rows[i].owner);
            else
                assert_null(h->owner);
            end(&s);
        }
}

static void args_decide(void **state)
{
    (void)state;
    static const struct {
        const char *top;
        const struct tare_args_info *info;
        const struct args *args;
        enum tare_decision decision;
        const char *evidence;
    } rows[] = {{"{}", &args_info, &says_tied, DROP, "args:<root>.tie_word_embeddings"},
                {"{}", &args_info, &says_untied, KEEP, "args:<root>.tie_word_embeddings"},
                {"{}", &silent_info, &says_tied, KEEP, "none"},
                {NULLED, &args_info, &says_tied, KEEP, "none"},
                {FALSE, &args_info, &says_tied, KEEP, "config:tie_word_embeddings"},
                {TRUE, &args_info, &says_untied, DROP, "config:tie_word_embeddings"}};
    for (size_t i = 0; i < FIXTURE_COUNT(rows); i++) {
        struct scene s;
        begin(&s, rows[i].top, NULL, TARE_HEAD_NONE, NULL, true);
        put(&s, "model.embed_tokens.weight", DENSE);
        put(&s, "lm_head.weight", PACKED);
        with_args(&s, 0, rows[i].info, rows[i].args);
        const struct tare_head_decision *h = decided(&s);
        assert_int_equal(h->decision, rows[i].decision);
        assert_string_equal(h->evidence, rows[i].evidence);
        assert_true(h->by_flag == (strncmp(h->evidence, "config:", 7) == 0));
        end(&s);
    }
}

static void types(void **state)
{
    (void)state;
    static const char *const bad[] = {"1", "0", "\"true\"", "[]", "{}", "0.5"};
    for (size_t i = 0; i < FIXTURE_COUNT(bad); i++)
        for (int text = 0; text < 2; text++) {
            struct scene s;
            char config[80];
            snprintf(config, sizeof config, "{\"tie_word_embeddings\": %s}", bad[i]);
            begin(&s, text ? TRUE : config, text ? config : TRUE, TARE_HEAD_FLAG, "lm_head", true);
            fixture_expect(decide(&s), &s.err, TARE_E_CONFIG, text ? "config.json: text_config" : "config.json",
                           "expected true or false");
            end(&s);
        }
}

/* The model has the parameter: it is loaded, whatever its form; a tied one is set aside, dense or packed. */
static void heads_of_the_model(void **state)
{
    (void)state;
    for (int packed = 0; packed < 2; packed++)
        for (int tied = 0; tied < 2; tied++) {
            struct scene s;
            begin(&s, tied ? TRUE : FALSE, NULL, TARE_HEAD_FLAG, "lm_head", tied);
            put(&s, "model.embed_tokens.weight", DENSE);
            put(&s, "lm_head.weight", packed ? PACKED : DENSE);
            const struct tare_head_decision *h = decided(&s);
            assert_int_equal(h->decision, tied ? DROP : TARE_DECISION_LOAD);
            assert_string_equal(h->evidence, tied ? "config:tie_word_embeddings" : "target");
            assert_true(h->dense == !packed);
            assert_true((s.weights.entries[1].rule != NULL) == tied);
            assert_true(s.tree.head.weight->active == !tied);
            if (tied) { /* and taken back */
                assert_true(tare_head_restore(&s.tree, &s.weights, &s.result.heads[0]));
                assert_null(s.weights.entries[1].rule);
                assert_true(s.tree.head.weight->active);
                assert_int_equal(h->decision, TARE_DECISION_LOAD);
            }
            end(&s);
        }
    struct scene s;
    begin(&s, TRUE, NULL, TARE_HEAD_NONE, NULL, true);
    put(&s, "model.embed_tokens.weight", DENSE);
    put(&s, "lm_head.weight", PACKED);
    decided(&s);
    assert_false(tare_head_restore(&s.tree, &s.weights, &s.result.heads[0]));
    assert_non_null(s.weights.entries[1].rule);
    end(&s);
}

/* Content decides: a dense head is the model's own unless an explicit flag says tied; args' defaults do not count. */
static void content(void **state)
{
    (void)state;
    static const struct {
        const char *top;
        const struct tare_packing *form;
        bool active;
        enum tare_decision decision;
    } rows[] = {{"{}", DENSE, true, TARE_DECISION_LOAD},
                {FALSE, DENSE, true, TARE_DECISION_LOAD},
                {NULLED, DENSE, true, TARE_DECISION_LOAD},
                {TRUE, DENSE, false, DROP},
                {TRUE, PACKED, false, DROP},
                {FALSE, PACKED, false, KEEP},
                {"{}", PACKED, false, KEEP}};
    for (size_t i = 0; i < FIXTURE_COUNT(rows); i++) {
        struct scene s;
        begin(&s, rows[i].top, NULL, TARE_HEAD_CONTENT, "lm_head", false);
        put(&s, "model.embed_tokens.weight", DENSE);
        put(&s, "lm_head.weight", rows[i].form);
        with_args(&s, 0, &args_info, &says_tied);
        print_message("  row %zu\n", i);
        const enum tare_decision decision = decided(&s)->decision;
        assert_true(s.tree.head.weight->active == rows[i].active);
        assert_int_equal(decision, rows[i].decision);
        end(&s);
    }
    struct scene s; /* nothing there: tied */
    begin(&s, "{}", NULL, TARE_HEAD_CONTENT, "lm_head", false);
    put(&s, "model.embed_tokens.weight", DENSE);
    fixture_expect(decide(&s), &s.err, TARE_OK, NULL, NULL);
    assert_int_equal(s.result.n, 0);
    assert_false(s.tree.head.weight->active);
    end(&s);
}

/* Without a copy of the embedding, the dropped head is it. */
static void only_copy(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++)
        for (int packed = 0; packed < 2; packed++) {
            struct scene s;
            begin(&s, tied ? TRUE : FALSE, NULL, TARE_HEAD_FLAG, "lm_head", tied);
            put(&s, "lm_head.weight", packed ? PACKED : DENSE);
            const struct tare_head_decision *h = decided(&s);
            assert_int_equal(h->decision, TARE_DECISION_LOAD);
            assert_null(s.weights.entries[0].rule);
            assert_string_equal(s.weights.entries[0].name, tied ? "model.embed_tokens.weight" : "lm_head.weight");
            assert_ptr_equal(s.result.bound, tied ? &s.weights.entries[0] : NULL);
            end(&s);
        }
    struct scene s;
    begin(&s, TRUE, NULL, TARE_HEAD_FLAG, "lm_head", true);
    put(&s, "model.embed_tokens.weight", PACKED);
    put(&s, "lm_head.weight", DENSE);
    assert_int_equal(decided(&s)->decision, DROP);
    assert_null(s.result.bound);
    end(&s);
}

/* A head of another name is no candidate, but where it is absent an explicit true binds the embedding to it. */
static void another_name(void **state)
{
    (void)state;
    for (int there = 0; there < 2; there++)
        for (int tied = 0; tied < 2; tied++) {
            struct scene s;
            begin(&s, tied ? TRUE : FALSE, NULL, TARE_HEAD_OWN, "out", false); /* shorter than "lm_head" */
            put(&s, "model.embed_tokens.weight", DENSE);
            if (there)
                put(&s, "out.weight", DENSE);
            fixture_expect(decide(&s), &s.err, TARE_OK, NULL, NULL);
            assert_int_equal(s.result.n, 0);
            assert_true(s.tree.head.weight->active);
            assert_true(s.result.bind == tied);
            assert_int_equal(tare_tie_bind(&s.tree, &s.weights, &s.result, &s.err), TARE_OK);
            assert_int_equal(s.weights.n, there || tied ? 2 : 1);
            if (there || tied)
                assert_string_equal(s.weights.entries[1].name, "out.weight");
            end(&s);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners),    cmocka_unit_test(aliases),      cmocka_unit_test(args_decide),
        cmocka_unit_test(types),     cmocka_unit_test(content),      cmocka_unit_test(heads_of_the_model),
        cmocka_unit_test(only_copy), cmocka_unit_test(another_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
