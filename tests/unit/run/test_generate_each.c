/* SPDX-License-Identifier: MIT
 * test_generate_each.c - many texts a step: each becomes what it would become alone, to the bit, whoever comes and goes
 * beside it; log-probabilities of chosen ids and of prompts; what ends one text and not the others.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "kernels/kernels.h"

enum { TEXTS = 32, IDS = 96, TOP = 3, BYTES = 4096 };

static tare_model *model;
static tare_tokenizer *tokenizer;
static tare_grammar *grammar;

static int begin(void **unused)
{
    (void)unused;
    static const char schema[] = "{\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\"}, \"age\": "
                                 "{\"type\": \"integer\"}}, \"required\": [\"name\", \"age\"]}";
    struct tare_error err = {0};
    if (tare_plan(&model, TARE_SOURCE_DIR "/models/fable", NULL, &err) ||
        tare_tokenizer_open(&tokenizer, TARE_SOURCE_DIR "/models/fable", NULL, &err) ||
        tare_grammar_open(&grammar, tokenizer, TARE_GRAMMAR_SCHEMA, schema, strlen(schema), &err))
        fail_msg("%s: %s", err.where, err.text);
    return 0;
}

static int end(void **unused)
{
    (void)unused;
    tare_grammar_free(grammar);
    tare_tokenizer_free(tokenizer);
    tare_model_free(model);
    return 0;
}

/* One text and what came of it. */
struct text {
    tare_session *session;
    tare_generate *generate;
    int32_t *prompt;
    size_t n_prompt;
    char bytes[BYTES];
    size_t size, n, parts;
    int32_t ids[IDS];
    float logprob[IDS];
    struct tare_logprob top[IDS][TOP];
    enum tare_finish finish;
    enum tare_code code;
    int64_t right;
    size_t stop;
};

static void open_session(struct text *t, bool exact)
{
    struct tare_session_options o = TARE_SESSION_OPTIONS_INIT;
    struct tare_error err = {0};
    o.threads = 2;
    o.exact = exact;
    if (tare_session_open(&t->session, model, &o, &err))
        fail_msg("%s: %s", err.where, err.text);
}

static void encode(struct text *t, const char *prompt)
{
    assert_int_equal(tare_tokenizer_encode(tokenizer, prompt, strlen(prompt), true, &t->prompt, &t->n_prompt, NULL),
                     TARE_OK);
}

static void open_text(struct text *t, const char *prompt, const struct tare_generate_options *o)
{
    struct tare_error err = {0};
    open_session(t, false);
    encode(t, prompt);
    if (tare_generate_open(&t->generate, t->session, tokenizer, t->prompt, t->n_prompt, o, &err))
        fail_msg("%s: %s", err.where, err.text);
}

static void close_text(struct text *t)
{
    tare_generate_free(t->generate);
    tare_session_free(t->session);
    tare_ids_free(t->prompt);
    memset(t, 0, sizeof *t);
}

/* Adds what a step tells to what came of the text. */
static void add(struct text *t, const struct tare_generated *step)
{
    int64_t guessed;
    memcpy(t->bytes + t->size, step->text, step->bytes);
    t->size += step->bytes;
    assert_true(t->size < BYTES && t->n < IDS);
    assert_true(step->text[step->bytes] == '\0');
    t->parts += step->waiting > 0;
    assert_true(!step->waiting || (step->id < 0 && !step->finish && !step->bytes));
    if (step->id >= 0) {
        t->ids[t->n] = step->id;
        t->logprob[t->n] = step->logprob;
        assert_int_equal(step->n_top, TOP);
        assert_int_equal(step->top_stride, sizeof *step->top);
        memcpy(t->top[t->n++], step->top, sizeof t->top[0]);
    }
    t->finish = step->finish;
    t->code = step->code;
    t->stop = step->stop;
    tare_generate_drafts(t->generate, &guessed, &t->right);
}

static void finish_alone(struct text *t)
{
    struct tare_generated step = TARE_GENERATED_INIT;
    struct tare_error err = {0};
    while (!step.finish) {
        if (tare_generate_next(t->generate, &step, &err))
            fail_msg("%s: %s", err.where, err.text);
        add(t, &step);
    }
}

static void same(const struct text *got, const struct text *want)
{
    assert_int_equal(got->finish, want->finish);
    assert_int_equal(got->stop, want->stop);
    assert_int_equal(got->size, want->size);
    assert_memory_equal(got->bytes, want->bytes, want->size);
    assert_int_equal(got->n, want->n);
    assert_memory_equal(got->ids, want->ids, want->n * sizeof *want->ids);
    assert_memory_equal(got->logprob, want->logprob, want->n * sizeof *want->logprob);
    assert_memory_equal(got->top, want->top, want->n * sizeof *want->top);
}

static const char story[] = "The cat saw the dog. The dog saw the cat. The cat saw the";
static const char *const prompts[] = {
    "Once upon a time", story, "The fox", "A very long day began. ",
    "Once there was a little girl who lived in a house near the forest with her mother and her father and her old "
    "grey cat. Every morning she went out to the river to fetch water, and every morning the cat came with her. One "
    "day they met a fox, who asked them where they were going, and the girl said that they went to the river, as on "
    "every day. The fox laughed and said that the river had gone away in the night, and that nobody knew where to."};
static const char *const stops[] = {" the", "."};

/* The options of text i: all kinds are among them, and several of each. */
static struct tare_generate_options options_of(int i, struct tare_sampling *sampling)
{
    struct tare_generate_options o = TARE_GENERATE_OPTIONS_INIT;
    *sampling = (struct tare_sampling)TARE_SAMPLING_INIT;
    sampling->seed = (uint64_t)i;
    sampling->temperature = i % 2 ? 0.3f * (float)(i % 5) : 0;
    sampling->top_p = i % 3 ? 0.9f : 0;
    sampling->repetition_penalty = i % 6 == 1 ? 1.2f : 0;
    o.sampling = sampling;
    o.max_tokens = 10 + 2 * i;
    o.grammar = i % 4 == 1 ? grammar : NULL;
    o.stops = stops;
    o.n_stops = i % 7 == 2 ? 2 : 0;
    o.ignore_ends = i % 5 == 0;
    o.logprobs = true;
    o.top_logprobs = TOP;
    return o;
}

static void test_as_alone(void **unused)
{
    (void)unused;
    struct text *together = calloc(TEXTS, sizeof *together), *alone = calloc(1, sizeof *alone);
    struct {
        struct tare_generated step;
        int other; /* a host may keep more beside each step */
    } steps[TEXTS];
    tare_generate *list[TEXTS];
    int at[TEXTS], open = 0, ended = 0, round = 0;
    size_t parts = 0;
    int64_t right = 0;
    struct tare_sampling sampling;
    assert_true(together && alone);
    for (; ended < TEXTS; round++) {
        for (; open < TEXTS && open / 3 <= round; open++) { /* three arrive with each step */
            struct tare_generate_options o = options_of(open, &sampling);
            o.prompt_chunk = open % 2 ? 16 : 7;
            o.draft = open % 3 == 0 ? TARE_DRAFT_LOOKUP : TARE_DRAFT_NONE;
            open_text(&together[open], prompts[open % 5], &o);
        }
        int n = 0;
        for (int i = 0; i < open; i++)
            if (!together[i].finish) {
                steps[n].step = (struct tare_generated)TARE_GENERATED_INIT;
                steps[n].other = i;
                at[n] = i;
                list[n++] = together[i].generate;
            }
        assert_int_equal(tare_generate_each(list, (size_t)n, &steps->step, sizeof *steps, NULL), TARE_OK);
        for (int i = 0; i < n; i++) {
            assert_int_equal(steps[i].other, at[i]);
            add(&together[at[i]], &steps[i].step);
            ended += together[at[i]].finish != TARE_FINISH_NONE;
        }
    }
    bool seen[TARE_FINISH_FAILED + 1] = {0};
    for (int i = 0; i < TEXTS; i++) {
        const struct tare_generate_options o = options_of(i, &sampling);
        open_text(alone, prompts[i % 5], &o);
        finish_alone(alone);
        same(&together[i], alone);
        seen[alone->finish] = true;
        parts += together[i].parts;
        right += together[i].right;
        assert_int_equal(alone->parts, 0);
        close_text(alone);
        close_text(&together[i]);
    }
    assert_true(seen[TARE_FINISH_LENGTH] && seen[TARE_FINISH_STOP] && parts > TEXTS / 2 && right > 0);
    free(together);
    free(alone);
}

/* ---- log-probabilities ------------------------------------------------------------------------------------------- */

/* ln softmax(row)[id], in double. */
static double reference(const float *row, int64_t n, int32_t id)
{
    double sum = 0, most = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        most = (double)row[i] > most ? (double)row[i] : most;
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)row[i] - most);
    return (double)row[id] - most - log(sum);
}

static void expect_top(const struct tare_logprob *top, size_t n_top, const float *row, int64_t n)
{
    for (size_t k = 0; k < n_top; k++) {
        int64_t before = 0;
        for (int64_t i = 0; i < n; i++)
            before += row[i] > row[top[k].id] || (row[i] == row[top[k].id] && i < top[k].id);
        assert_int_equal(before, k);
        assert_true(fabs((double)top[k].logprob - reference(row, n, top[k].id)) < 2e-6);
    }
}

/* Feeds all ids that a generation went through to another session, one after another, for their rows of logits. */
static float *rows_of(const struct text *t, size_t n)
{
    struct text other = {0};
    open_session(&other, false);
    const size_t columns = (size_t)tare_session_vocabulary(other.session);
    float *rows = malloc(n * columns * sizeof *rows);
    assert_non_null(rows);
    for (size_t i = 0; i < n; i++) {
        const int32_t id = i < t->n_prompt ? t->prompt[i] : t->ids[i - t->n_prompt];
        assert_int_equal(tare_session_feed(other.session, &id, 1, false, rows + i * columns, NULL), TARE_OK);
    }
    tare_session_free(other.session);
    return rows;
}

static void test_logprobs(void **unused)
{
    (void)unused;
    struct tare_sampling sampling = TARE_SAMPLING_INIT;
    const struct tare_bias bias = {77, 100};
    for (int turn = 0; turn < 3; turn++) {
        struct text *t = calloc(1, sizeof *t);
        struct tare_generate_options o = TARE_GENERATE_OPTIONS_INIT;
        sampling.temperature = turn ? 1 : 0;
        sampling.repetition_penalty = turn ? 1.3f : 0;
        sampling.bias = &bias;
        sampling.n_bias = turn == 2;
        o.sampling = &sampling;
        o.max_tokens = 12;
        o.logprobs = true;
        o.top_logprobs = TOP;
        o.draft = turn == 0 ? TARE_DRAFT_LOOKUP : TARE_DRAFT_NONE;
        open_text(t, story, &o);
        finish_alone(t);
        assert_int_equal(t->n, 12);
        float *rows = rows_of(t, t->n_prompt + t->n);
        const int64_t columns = tare_session_vocabulary(t->session);
        for (size_t i = 0; i < t->n; i++) {
            const float *row = rows + (t->n_prompt - 1 + i) * (size_t)columns;
            assert_true(fabs((double)t->logprob[i] - reference(row, columns, t->ids[i])) < 2e-6);
            expect_top(t->top[i], TOP, row, columns);
            assert_true(turn != 0 || (t->ids[i] == t->top[i][0].id && t->logprob[i] == t->top[i][0].logprob));
            assert_true(turn != 2 || t->ids[i] == 77); /* the bias wins, and the log-probability does not show it */
        }
        free(rows);
        close_text(t);
        free(t);
    }
}

/* All ids of a prompt are told once, in order, in however many parts it is read; with no new id at all. */
static void test_prompt_logprobs(void **unused)
{
    (void)unused;
    struct text *t = calloc(1, sizeof *t);
    float *rows = NULL;
    float first[512];
    for (int64_t chunk = 0; chunk < 40; chunk += 13) {
        struct tare_generate_options o = TARE_GENERATE_OPTIONS_INIT;
        struct tare_generated step = TARE_GENERATED_INIT;
        struct tare_error err = {0};
        size_t told = 0;
        o.max_tokens = -1;
        o.prompt_chunk = chunk;
        o.prompt_logprobs = true;
        o.top_logprobs = TOP;
        open_text(t, prompts[4], &o);
        rows = rows ? rows : rows_of(t, t->n_prompt);
        const int64_t columns = tare_session_vocabulary(t->session);
        while (!step.finish) {
            if (tare_generate_next(t->generate, &step, &err))
                fail_msg("%s: %s", err.where, err.text);
            assert_true(step.id < 0 && isnan(step.logprob) && !step.n_top && !step.bytes);
            for (size_t i = 0; i < step.n_prompt; i++, told++) {
                const struct tare_prompt_logprob *p = &step.prompt[i];
                const float *row = rows + (told - 1) * (size_t)columns;
                assert_int_equal(p->id, t->prompt[told]);
                assert_int_equal(p->n_top, told ? TOP : 0);
                if (!told) {
                    assert_true(isnan(p->logprob));
                    continue;
                }
                assert_true(fabs((double)p->logprob - reference(row, columns, p->id)) < 2e-6);
                expect_top(p->top, p->n_top, row, columns);
                assert_true(!chunk || p->logprob == first[told]); /* the same bits in other parts */
                first[told] = p->logprob;
            }
            t->parts += step.waiting > 0;
        }
        assert_int_equal(step.finish, TARE_FINISH_LENGTH);
        assert_int_equal(told, t->n_prompt);
        assert_int_equal(t->parts, chunk ? (t->n_prompt - 1) / (size_t)chunk : 0);
        assert_int_equal(tare_session_length(t->session), t->n_prompt);
        close_text(t);
    }
    free(rows);
    free(t);
    struct tare_generate_options o = TARE_GENERATE_OPTIONS_INIT;
    struct tare_error err = {0};
    struct text other = {0};
    open_session(&other, false);
    encode(&other, "a");
    o.top_logprobs = 65;
    fixture_expect(tare_generate_open(&other.generate, other.session, tokenizer, other.prompt, 1, &o, &err), &err,
                   TARE_E_ARGUMENT, "top_logprobs", "0 to 64");
    close_text(&other);
}

/* A number that stands for nothing is refused, and not read as some other one. */
static void test_options_out_of_range(void **unused)
{
    (void)unused;
    static const char *const names[] = {"max_tokens", "prompt_chunk", "draft_most", "draft"};
    struct text t = {0};
    open_session(&t, false);
    encode(&t, "a");
    for (size_t i = 0; i < FIXTURE_COUNT(names); i++) {
        struct tare_generate_options o = TARE_GENERATE_OPTIONS_INIT;
        struct tare_error err = {0};
        o.max_tokens = i == 0 ? -2 : 0;
        o.prompt_chunk = i == 1 ? -1 : 0;
        o.draft_most = i == 2 ? -1 : 0;
        o.draft = i == 3 ? (enum tare_draft)3 : TARE_DRAFT_NONE;
        fixture_expect(tare_generate_open(&t.generate, t.session, tokenizer, t.prompt, 1, &o, &err), &err,
                       TARE_E_ARGUMENT, names[i], "expected");
    }
    close_text(&t);
}

/* ---- what ends one text ------------------------------------------------------------------------------------------ */

static void test_one_ends(void **unused)
{
    (void)unused;
    struct text *t = calloc(4, sizeof *t), *alone = calloc(1, sizeof *alone);
    struct tare_generated steps[4];
    tare_generate *list[4];
    volatile int cancel = 0;
    struct tare_generate_options o = TARE_GENERATE_OPTIONS_INIT;
    o.max_tokens = 30;
    o.logprobs = true;
    o.top_logprobs = TOP;
    o.prompt_chunk = 20;
    open_text(alone, story, &o);
    finish_alone(alone);
    for (int i = 0; i < 3; i++)
        open_text(&t[i], i == 1 ? prompts[4] : story, &o);
    tare_generate_free(t[1].generate);
    t[1].prompt[25] = 1 << 20; /* in the second part */
    assert_int_equal(tare_generate_open(&t[1].generate, t[1].session, tokenizer, t[1].prompt, t[1].n_prompt, &o, NULL),
                     TARE_OK);
    struct tare_session_options with = TARE_SESSION_OPTIONS_INIT;
    with.threads = 2;
    with.cancel = &cancel;
    assert_int_equal(tare_session_open(&t[3].session, model, &with, NULL), TARE_OK);
    encode(&t[3], story);
    assert_int_equal(tare_generate_open(&t[3].generate, t[3].session, tokenizer, t[3].prompt, t[3].n_prompt, &o, NULL),
                     TARE_OK);
    for (int round = 0; round < 60 && !t[0].finish; round++) {
        if (round == 6)
            tare_generate_cancel(t[2].generate);
        cancel = round >= 8;
        for (int i = 0; i < 4; i++) {
            steps[i] = (struct tare_generated)TARE_GENERATED_INIT;
            list[i] = t[i].generate;
        }
        assert_int_equal(tare_generate_each(list, 4, steps, 0, NULL), TARE_OK);
        for (int i = 0; i < 4; i++)
            add(&t[i], &steps[i]);
    }
    same(&t[0], alone);
    assert_int_equal(t[1].finish, TARE_FINISH_FAILED);
    assert_int_equal(t[1].code, TARE_E_ARGUMENT);
    fixture_expect(tare_generate_error(t[1].generate)->code, tare_generate_error(t[1].generate), TARE_E_ARGUMENT, "ids",
                   "id 1048576");
    assert_int_equal(tare_session_length(t[1].session), 20);
    for (int i = 2; i < 4; i++) {
        assert_int_equal(t[i].finish, TARE_FINISH_CANCELLED);
        assert_int_equal(t[i].code, TARE_OK);
        assert_int_equal(tare_generate_error(t[i].generate)->code, TARE_OK);
        assert_true(t[i].n < alone->n && t[i].size && !memcmp(t[i].bytes, alone->bytes, t[i].size));
    }
    assert_int_equal(tare_generate_next(t[1].generate, steps, NULL), TARE_E_ARGUMENT); /* and again */
    assert_string_equal(tare_finish_name(t[1].finish), "failed");
    for (int i = 0; i < 4; i++)
        close_text(&t[i]);
    close_text(alone);
    free(t);
    free(alone);
}

/* A call that is refused has changed nothing. */
static void test_refused(void **unused)
{
    (void)unused;
    static struct text t[2], exact, want;
    struct tare_generated steps[2] = {TARE_GENERATED_INIT, TARE_GENERATED_INIT};
    struct tare_generate_options o = TARE_GENERATE_OPTIONS_INIT;
    struct tare_error err = {0};
    tare_generate *list[2];
    o.max_tokens = 5;
    o.logprobs = true;
    o.top_logprobs = TOP;
    for (int i = 0; i < 2; i++) {
        open_text(&t[i], prompts[i], &o);
        list[i] = t[i].generate;
    }
    open_session(&exact, true);
    encode(&exact, "The");
    assert_int_equal(tare_generate_open(&exact.generate, exact.session, tokenizer, exact.prompt, 1, &o, NULL), TARE_OK);
    fixture_expect(tare_generate_each(list, 0, steps, 0, &err), &err, TARE_E_ARGUMENT, "generates", NULL);
    fixture_expect(tare_generate_each(NULL, 2, steps, 0, &err), &err, TARE_E_ARGUMENT, "generates", NULL);
    fixture_expect(tare_generate_each(list, 2, NULL, 0, &err), &err, TARE_E_ARGUMENT, "steps", NULL);
    fixture_expect(tare_generate_each((tare_generate *[]){list[0], NULL}, 2, steps, 0, &err), &err, TARE_E_ARGUMENT,
                   "generates", "number 1");
    fixture_expect(tare_generate_each((tare_generate *[]){list[0], list[0]}, 2, steps, 0, &err), &err, TARE_E_ARGUMENT,
                   "generates", "twice");
    fixture_expect(tare_generate_each((tare_generate *[]){list[0], exact.generate}, 2, steps, 0, &err), &err,
                   TARE_E_ARGUMENT, "generates", "computed alike");
    steps[1].size = 0;
    fixture_expect(tare_generate_each(list, 2, steps, 0, &err), &err, TARE_E_ARGUMENT, "steps", NULL);
    finish_alone(&t[0]);
    open_text(&want, prompts[0], &o);
    finish_alone(&want);
    same(&t[0], &want);
    for (int i = 0; i < 2; i++)
        close_text(&t[i]);
    close_text(&exact);
    close_text(&want);
}

/* U+0000 goes from a grammar through ids into text, and into a stop. */
static void test_nul(void **unused)
{
    (void)unused;
    static const char gbnf[] = "root ::= \"a\\x00b\\x00\\x00c\"";
    static const char *const stop[] = {"\0a", "\0\0", "b\0\0"}; /* two end at the same place: the longer one counts */
    static const size_t stop_size[] = {2, 2, 3};
    tare_grammar *nul = NULL;
    assert_int_equal(tare_grammar_open(&nul, tokenizer, TARE_GRAMMAR_GBNF, gbnf, strlen(gbnf), NULL), TARE_OK);
    for (size_t turn = 0; turn < 2; turn++) {
        static struct text t;
        struct tare_generate_options o = TARE_GENERATE_OPTIONS_INIT;
        o.grammar = nul;
        o.stops = stop;
        o.stop_sizes = stop_size;
        o.n_stops = turn ? 3 : 0;
        o.logprobs = true;
        o.top_logprobs = TOP;
        open_text(&t, "Once", &o);
        finish_alone(&t);
        assert_int_equal(t.finish, turn ? TARE_FINISH_STOP : TARE_FINISH_GRAMMAR);
        assert_int_equal(t.size, turn ? 2 : 6);
        assert_int_equal(t.stop, turn ? 2 : 0);
        assert_memory_equal(t.bytes, "a\0b\0\0c", t.size);
        close_text(&t);
    }
    tare_grammar_free(nul);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_alone),
                                       cmocka_unit_test(test_logprobs),
                                       cmocka_unit_test(test_prompt_logprobs),
                                       cmocka_unit_test(test_one_ends),
                                       cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_nul),
                                       cmocka_unit_test(test_options_out_of_range)};
    return cmocka_run_group_tests(tests, begin, end);
}
