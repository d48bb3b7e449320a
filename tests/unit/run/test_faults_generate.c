/* SPDX-License-Identifier: MIT
 * test_faults_generate.c - two texts in one step when the n-th allocation fails, for every n: the call says so and has
 * changed nothing, or one text says so and the other one goes on.
 */
#include <string.h>

#include "faults.h"

static tare_model *model;
static tare_tokenizer *tokenizer;
static char want[2][512];

static int begin(void **unused)
{
    (void)unused;
    struct tare_error err = {0};
    if (tare_plan(&model, TARE_SOURCE_DIR "/models/fable", NULL, &err) ||
        tare_tokenizer_open(&tokenizer, TARE_SOURCE_DIR "/models/fable", NULL, &err))
        fail_msg("%s: %s", err.where, err.text);
    return 0;
}

static int end(void **unused)
{
    (void)unused;
    tare_tokenizer_free(tokenizer);
    tare_model_free(model);
    return 0;
}

struct one {
    tare_session *session;
    tare_generate *generate;
    char text[512];
    enum tare_finish finish;
};

static enum tare_code open_one(struct one *one, int number, struct tare_error *err)
{
    static const int32_t prompt[] = {20, 21, 22, 20, 21, 22, 20, 21, 22};
    struct tare_session_options with = TARE_SESSION_OPTIONS_INIT;
    struct tare_generate_options o = TARE_GENERATE_OPTIONS_INIT;
    with.threads = 1;
    with.context = 64;
    o.max_tokens = 8;
    o.prompt_chunk = 4;
    o.draft = TARE_DRAFT_LOOKUP;
    o.logprobs = o.prompt_logprobs = number;
    o.top_logprobs = 2;
    o.stops = (const char *const[]){"zzz"};
    o.n_stops = 1;
    const enum tare_code code = tare_session_open(&one->session, model, &with, err);
    return code ? code : tare_generate_open(&one->generate, one->session, tokenizer, prompt, 9, &o, err);
}

/* Steps both until they have ended. Returns the first error, of the call or of a text. */
static enum tare_code step_both(struct one both[2], struct tare_error *err)
{
    enum tare_code first = TARE_OK;
    tare_generate *const list[] = {both[0].generate, both[1].generate};
    while (!both[0].finish || !both[1].finish) {
        struct tare_generated steps[2] = {TARE_GENERATED_INIT, TARE_GENERATED_INIT};
        struct tare_error now = {0};
        const enum tare_code code = tare_generate_each(list, 2, steps, 0, &now);
        if (code) {
            assert_true(first == TARE_OK); /* only one allocation fails, so the call works when it is made again */
            *err = now;
            first = code;
            continue;
        }
        for (int i = 0; i < 2; i++) {
            strncat(both[i].text, steps[i].text, sizeof both[i].text - strlen(both[i].text) - 1);
            if (steps[i].code && !both[i].finish) {
                *err = *tare_generate_error(both[i].generate);
                first = steps[i].code;
            }
            both[i].finish = steps[i].finish;
        }
    }
    return first;
}

static enum tare_code tell(void *user, struct tare_error *err)
{
    struct one both[2] = {{0}, {0}};
    (void)user;
    enum tare_code code = open_one(&both[0], 0, err);
    if (!code)
        code = open_one(&both[1], 1, err);
    if (!code)
        code = step_both(both, err);
    for (int i = 0; i < 2; i++) {
        const bool whole = both[i].finish && both[i].finish != TARE_FINISH_FAILED;
        if (whole && !want[i][0])
            memcpy(want[i], both[i].text, sizeof want[i]);
        if (whole)
            assert_string_equal(both[i].text, want[i]);
        tare_generate_free(both[i].generate);
        tare_session_free(both[i].session);
    }
    return code;
}

static void test_each(void **unused)
{
    (void)unused;
    struct tare_error err = {0};
    assert_int_equal(tell(NULL, &err), TARE_OK);
    assert_true(want[0][0] && !strcmp(want[0], want[1]));
    assert_true(fault_each(tell, NULL) > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each)};
    return cmocka_run_group_tests(tests, begin, end);
}
