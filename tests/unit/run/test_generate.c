/* SPDX-License-Identifier: MIT
 * test_generate.c - stop strings, however the text is cut; lookup; on fable: drafts change nothing, finishes, masks. */
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "run/session/lookup.h"
#include "run/session/stop.h"

static void test_stops(void **unused)
{
    (void)unused;
    static const char *const stops[] = {"abc", "b", "\n\nUser:", "xyxz"};
    static const struct {
        size_t first, n;
        const char *text, *want;
        bool found;
    } cases[] = {{0, 1, "aababc!", "aab", true},
                 {0, 2, "aab", "aa", true},
                 {2, 1, "hi\n\nUse\n\nUser: x", "hi\n\nUse", true},
                 {3, 1, "xyxyxz", "xy", true},
                 {3, 1, "xyxyx", "xyxyx", false},
                 {0, 0, "abc", "abc", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t size = strlen(cases[i].text);
        for (unsigned cuts = 0; cuts < 1u << (size - 1) && cuts < 1u << 12; cuts++) { /* every way to cut it */
            struct tare_stops s = {0};
            struct tare_text out = {0};
            bool found = false;
            assert_int_equal(tare_stops_open(&s, stops + cases[i].first, NULL, cases[i].n, NULL), TARE_OK);
            for (size_t from = 0, to; from < size && !found; from = to) {
                for (to = from + 1; to < size && !(cuts >> (to - 1) & 1); to++)
                    ;
                assert_int_equal(tare_stops_put(&s, cases[i].text + from, to - from, &out, &found, NULL), TARE_OK);
                if (found)
                    break;
            }
            if (!found)
                assert_int_equal(tare_stops_end(&s, &out, NULL), TARE_OK);
            assert_int_equal(found, cases[i].found);
            assert_int_equal(out.size, strlen(cases[i].want));
            assert_memory_equal(out.data, cases[i].want, out.size);
            tare_text_release(&out);
            tare_stops_release(&s);
        }
    }
    struct tare_stops s = {0};
    assert_int_equal(tare_stops_open(&s, (const char *const[]){""}, NULL, 1, NULL), TARE_E_ARGUMENT);
    tare_stops_release(&s);
}

static void test_lookup(void **unused)
{
    (void)unused;
    int32_t draft[8];
    const int32_t ids[] = {1, 2, 3, 9, 8, 1, 2, 4, 7, 1, 2}, loop[] = {5, 5, 5, 5}, none[] = {1, 2, 3};
    assert_int_equal(tare_lookup(ids, 11, draft, 3), 3); /* the last place */
    assert_true(draft[0] == 4 && draft[1] == 7 && draft[2] == 1);
    assert_int_equal(tare_lookup(ids, 7, draft, 8), 5); /* 3 9 8 1 2 */
    assert_int_equal(draft[0], 3);
    assert_int_equal(tare_lookup(loop, 4, draft, 8), 1);
    assert_int_equal(tare_lookup(none, 3, draft, 8), 0);
    assert_int_equal(tare_lookup(none, 1, draft, 8), 0);
    assert_int_equal(tare_lookup(none, 0, draft, 8), 0);
}

struct story {
    tare_model *model;
    tare_tokenizer *tokenizer;
    char text[8192];
    int32_t ids[512];
    size_t n;
    enum tare_finish finish;
    int64_t guessed, right, length;
};

static void tell(struct story *s, const char *prompt, const struct tare_generate_options *o)
{
    struct tare_error err = {0};
    struct tare_generated step = TARE_GENERATED_INIT;
    tare_session *session = NULL;
    tare_generate *g = NULL;
    int32_t *ids = NULL;
    size_t n = 0, size = 0;
    assert_int_equal(tare_tokenizer_encode(s->tokenizer, prompt, strlen(prompt), true, &ids, &n, &err), TARE_OK);
    assert_int_equal(tare_session_open(&session, s->model, NULL, &err), TARE_OK);
    assert_int_equal(tare_generate_open(&g, session, s->tokenizer, ids, n, o, &err), TARE_OK);
    for (s->n = 0; !step.finish && s->n < 512;) {
        if (tare_generate_next(g, &step, &err))
            fail_msg("%s: %s", err.where, err.text);
        if (step.id >= 0)
            s->ids[s->n++] = step.id;
        assert_true(size + step.bytes < sizeof s->text);
        memcpy(s->text + size, step.text, step.bytes + 1);
        size += step.bytes;
    }
    s->finish = step.finish;
    tare_generate_drafts(g, &s->guessed, &s->right);
    s->length = tare_session_length(session) - (int64_t)n;
    for (int64_t i = 0; i < s->length; i++) /* the session holds what was given out, and no guesses */
        assert_int_equal(tare_session_ids(session)[(int64_t)n + i], s->ids[i]);
    assert_true(s->length <= (int64_t)s->n && s->length + 1 >= (int64_t)s->n);
    tare_generate_free(g);
    tare_session_free(session);
    tare_ids_free(ids);
}

static void open_fable(struct story *s)
{
    struct tare_error err = {0};
    *s = (struct story){0};
    if (tare_plan(&s->model, TARE_SOURCE_DIR "/models/fable", NULL, &err) ||
        tare_tokenizer_open(&s->tokenizer, TARE_SOURCE_DIR "/models/fable", NULL, &err))
        fail_msg("%s: %s", err.where, err.text);
}

static void close_fable(struct story *s)
{
    tare_tokenizer_free(s->tokenizer);
    tare_model_free(s->model);
}

static void test_drafts_change_nothing(void **unused)
{
    (void)unused;
    static struct story a, b;
    open_fable(&a);
    open_fable(&b);
    for (int turn = 0; turn < 4; turn++) {
        struct tare_generate_options o = TARE_GENERATE_OPTIONS_INIT;
        struct tare_sampling sampling = TARE_SAMPLING_INIT;
        o.sampling = &sampling;
        o.max_tokens = 120;
        sampling.seed = (uint64_t)turn;
        sampling.temperature = (float)turn * 0.2f;
        sampling.repetition_penalty = turn == 1 ? 1.1f : 1;
        const char *prompt = "The cat saw the dog. The dog saw the cat. The cat saw the";
        tell(&a, prompt, &o);
        o.draft = TARE_DRAFT_LOOKUP;
        tell(&b, prompt, &o);
        assert_string_equal(a.text, b.text);
        assert_int_equal(a.n, b.n);
        assert_true(a.guessed == 0 && b.guessed >= b.right);
    }
    assert_true(b.guessed > 0);
    close_fable(&a);
    close_fable(&b);
}

/* A model that reads along guesses what the text's own model draws, at any temperature, and the text stays the same,
 * whatever the other session holds, however short its context is. */
static void test_model_drafts(void **unused)
{
    (void)unused;
    static struct story a, b;
    static const int32_t elsewhere[] = {40, 41, 42, 43};
    struct tare_error err = {0};
    open_fable(&a);
    open_fable(&b);
    for (int turn = 0; turn < 4; turn++) {
        struct tare_generate_options o = TARE_GENERATE_OPTIONS_INIT;
        struct tare_sampling sampling = TARE_SAMPLING_INIT;
        struct tare_session_options other = TARE_SESSION_OPTIONS_INIT;
        o.sampling = &sampling;
        o.max_tokens = 100;
        sampling.seed = (uint64_t)turn;
        sampling.temperature = (float)turn * 0.3f;
        sampling.repetition_penalty = turn == 1 ? 1.1f : 1;
        other.exact = true;
        other.context = turn == 3 ? 40 : 0;
        tell(&a, "Once upon a time there was a", &o);
        o.draft = TARE_DRAFT_MODEL;
        assert_int_equal(tare_session_open(&o.drafter, b.model, &other, &err), TARE_OK);
        assert_int_equal(tare_session_feed(o.drafter, elsewhere, 4, false, NULL, &err), TARE_OK);
        tell(&b, "Once upon a time there was a", &o);
        assert_string_equal(a.text, b.text);
        assert_int_equal(a.n, b.n);
        assert_true(a.guessed == 0 && b.right <= b.guessed);
        assert_true(b.guessed > 0 && 10 * b.right > 8 * b.guessed);           /* it is the same model, nearly */
        assert_true(turn == 3 ? b.guessed < 40 : 4 * b.right > (int64_t)b.n); /* of the last one little fits */
        tare_session_free(o.drafter);
    }
    close_fable(&a);
    close_fable(&b);
}

/* The smaller model draws by the grammar, too: it is not asked for what may not come. */
static void test_model_drafts_by_grammar(void **unused)
{
    (void)unused;
    static struct story a, b;
    static const char form[] = "root ::= [a-f ]+ \"!\" [0-9]";
    struct tare_error err = {0};
    struct tare_generate_options o = TARE_GENERATE_OPTIONS_INIT;
    tare_grammar *grammar = NULL;
    open_fable(&a);
    open_fable(&b);
    assert_int_equal(tare_grammar_open(&grammar, a.tokenizer, TARE_GRAMMAR_GBNF, form, strlen(form), &err), TARE_OK);
    o.grammar = grammar;
    o.max_tokens = 60;
    tell(&a, "The", &o);
    o.draft = TARE_DRAFT_MODEL;
    assert_int_equal(tare_session_open(&o.drafter, b.model, NULL, &err), TARE_OK);
    tell(&b, "The", &o);
    assert_string_equal(a.text, b.text);
    assert_true(b.guessed > 0 && b.right > 0);
    tare_session_free(o.drafter);
    tare_grammar_free(grammar);
    close_fable(&a);
    close_fable(&b);
}

/* One session guesses for one text at a time. */
static void test_model_drafts_of_two(void **unused)
{
    (void)unused;
    static struct story s;
    struct tare_error err = {0};
    struct tare_generate_options o = TARE_GENERATE_OPTIONS_INIT;
    struct tare_generated steps[2] = {TARE_GENERATED_INIT, TARE_GENERATED_INIT};
    tare_session *sessions[3] = {NULL};
    tare_generate *g[2] = {NULL};
    open_fable(&s);
    for (int i = 0; i < 3; i++)
        assert_int_equal(tare_session_open(&sessions[i], s.model, NULL, &err), TARE_OK);
    o.draft = TARE_DRAFT_MODEL;
    o.drafter = sessions[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(tare_generate_open(&g[i], sessions[i], s.tokenizer, (const int32_t[]){40}, 1, &o, &err),
                         TARE_OK);
    fixture_expect(tare_generate_each(g, 2, steps, 0, &err), &err, TARE_E_ARGUMENT, "generates",
                   "number 1 comes twice");
    assert_int_equal(tare_generate_each(g, 1, steps, 0, &err), TARE_OK);
    for (int i = 0; i < 2; i++)
        tare_generate_free(g[i]);
    for (int i = 0; i < 3; i++)
        tare_session_free(sessions[i]);
    close_fable(&s);
}

static void test_model_drafts_refused(void **unused)
{
    (void)unused;
    static struct story s;
    struct tare_error err = {0};
    struct tare_generate_options o = TARE_GENERATE_OPTIONS_INIT;
    tare_session *session = NULL;
    tare_generate *g = NULL;
    open_fable(&s);
    assert_int_equal(tare_session_open(&session, s.model, NULL, &err), TARE_OK);
    o.draft = TARE_DRAFT_MODEL;
    for (int own = 0; own < 2; own++) {
        o.drafter = own ? session : NULL;
        fixture_expect(tare_generate_open(&g, session, s.tokenizer, (const int32_t[]){1}, 1, &o, &err), &err,
                       TARE_E_ARGUMENT, "drafter", "smaller model");
        assert_null(g);
    }
    tare_session_free(session);
    close_fable(&s);
}

static void test_finishes(void **unused)
{
    (void)unused;
    static struct story s;
    struct tare_error err = {0};
    struct tare_generate_options o = TARE_GENERATE_OPTIONS_INIT;
    struct tare_sampling sampling = TARE_SAMPLING_INIT;
    o.sampling = &sampling;
    open_fable(&s);
    o.max_tokens = 7;
    tell(&s, "Once upon a time", &o);
    assert_int_equal(s.finish, TARE_FINISH_LENGTH);
    assert_int_equal(s.n, 7);
    char *const whole = strdup(s.text);
    const char *stop[] = {"nothing", whole + 5};
    o.stops = stop;
    o.n_stops = 2;
    tell(&s, "Once upon a time", &o);
    assert_int_equal(s.finish, TARE_FINISH_STOP);
    assert_int_equal(strlen(s.text), 5);
    assert_memory_equal(s.text, whole, 5);
    const char *const gbnf = "root ::= \" The \" [a-z]+ \".\"", *const schema = "{\"type\":\"boolean\"}";
    tare_grammar *grammar = NULL;
    o.n_stops = 0;
    o.max_tokens = 100;
    assert_int_equal(tare_grammar_open(&grammar, s.tokenizer, TARE_GRAMMAR_SCHEMA, schema, strlen(schema), &err), 0);
    o.grammar = grammar;
    for (sampling.seed = 0; sampling.seed < 5; sampling.seed++) {
        sampling.temperature = 5;
        tell(&s, "Once", &o);
        assert_int_equal(s.finish, TARE_FINISH_GRAMMAR);
        assert_true(!strcmp(s.text, "true") || !strcmp(s.text, "false"));
    }
    tare_grammar_free(grammar);
    assert_int_equal(tare_grammar_open(&grammar, s.tokenizer, TARE_GRAMMAR_GBNF, gbnf, strlen(gbnf), &err), 0);
    o.grammar = grammar;
    tell(&s, "Once upon a time.", &o);
    assert_memory_equal(s.text, " The ", 5);
    tare_grammar_free(grammar);
    free(whole);
    close_fable(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stops),
                                       cmocka_unit_test(test_lookup),
                                       cmocka_unit_test(test_drafts_change_nothing),
                                       cmocka_unit_test(test_model_drafts),
                                       cmocka_unit_test(test_model_drafts_by_grammar),
                                       cmocka_unit_test(test_model_drafts_of_two),
                                       cmocka_unit_test(test_model_drafts_refused),
                                       cmocka_unit_test(test_finishes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
