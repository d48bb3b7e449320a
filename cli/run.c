/* SPDX-License-Identifier: MIT
 * run.c - tare run: continue a text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "print.h"
#include "progress.h"
#include "report.h"
#include "source.h"
#include "writing/draft.h"
#include "writing/prompt.h"

/* Everything that writing one text needs; all pointers are owned but `cache`. */
struct writer {
    tare_model *model;
    tare_tokenizer *tokenizer;
    tare_session *session;
    tare_grammar *grammar;
    tare_generate *generation;
    struct cli_draft draft;
    int32_t *ids; /* of the prompt */
    size_t n;
    struct cli_generation asked;
    int kv_bits;
    bool exact;
    int64_t context;   /* --context, or 0 */
    const char *cache; /* --prompt-cache, or NULL */
    int64_t tokens;    /* written so far */
    double seconds;    /* spent on them */
};

static void writer_release(struct writer *w)
{
    tare_generate_free(w->generation);
    cli_draft_close(&w->draft);
    tare_grammar_free(w->grammar);
    cli_generation_release(&w->asked);
    tare_session_free(w->session);
    tare_ids_free(w->ids);
    tare_tokenizer_free(w->tokenizer);
    tare_model_free(w->model);
}

/* Opens a session with room for the prompt and the most that may be written, within what the model was made for. */
static enum tare_code open_session(struct writer *w, int threads, struct tare_error *err)
{
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    const int64_t want = (int64_t)w->n + w->asked.options.max_tokens, most = tare_model_context(w->model);
    options.threads = threads;
    options.kv_bits = w->kv_bits;
    options.exact = w->exact;
    options.cancel = &cli_interrupted;
    options.context = w->context ? w->context : want <= 4096 ? 0 : most > 0 && most < want ? most : want;
    const enum tare_code code = cli_draft_open(&w->draft, &w->asked, w->tokenizer, options.context, threads, err);
    options.pool = w->draft.threads;
    return code ? code : tare_session_open(&w->session, w->model, &options, err);
}

/* Loads the session from the file of --prompt-cache. *same receives how many ids of the prompt it holds, which are not
 * fed again. */
static enum tare_code take_cache(struct writer *w, size_t *same, struct tare_error *err)
{
    *same = 0;
    if (!w->cache)
        return TARE_OK;
    enum tare_code code = tare_session_load(w->session, w->cache, err);
    if (code == TARE_E_ABSENT) /* the file is made at the end of this run */
        return TARE_OK;
    if (code != TARE_OK)
        return code;
    const int32_t *held = tare_session_ids(w->session);
    const size_t length = (size_t)tare_session_length(w->session);
    /* At least one id must be fed, for its logits. */
    while (*same < length && *same + 1 < w->n && held[*same] == w->ids[*same])
        ++*same;
    return tare_session_rewind(w->session, (int64_t)*same, err);
}

static enum tare_code prepare(struct writer *w, const struct cli_source *source, const struct cli_prompt *prompt,
                              struct tare_error *err)
{
    enum tare_code code;
    const struct cli_file *grammar = &w->asked.grammar;
    if ((code = tare_tokenizer_open(&w->tokenizer, source->path, &source->options, err)) ||
        (grammar->data &&
         (code = tare_grammar_open(&w->grammar, w->tokenizer, w->asked.kind, grammar->data, grammar->size, err))) ||
        (code = tare_tokenizer_encode(w->tokenizer, prompt->text, prompt->size, true, &w->ids, &w->n, err)) ||
        (code = open_session(w, source->options.threads, err)))
        return code;
    size_t same = 0;
    w->asked.options.grammar = w->grammar;
    if (w->n == 0 || (code = take_cache(w, &same, err)))
        return code;
    return tare_generate_open(&w->generation, w->session, w->tokenizer, w->ids + same, w->n - same, &w->asked.options,
                              err);
}

static enum tare_code write_on(struct writer *w, struct tare_error *err)
{
    struct tare_generated step = TARE_GENERATED_INIT;
    enum tare_code code = TARE_OK;
    double start = 0;
    while (code == TARE_OK && !step.finish && !cli_interrupt_came() && !ferror(stdout)) {
        code = tare_generate_next(w->generation, &step, err);
        start = start > 0 ? start : cli_seconds(); /* the first token waits for the prompt, so time runs from there */
        w->tokens += step.id >= 0 && step.finish != TARE_FINISH_END;
        cli_write(step.text, step.bytes);
        w->seconds = cli_seconds() - start;
    }
    if (code == TARE_OK && step.finish == TARE_FINISH_STUCK) {
        *err = (struct tare_error){.code = TARE_E_FORMAT, .where = "grammar"};
        snprintf(err->text, sizeof err->text, "the model's vocabulary cannot spell what must follow");
        return err->code;
    }
    return code == TARE_OK && cli_interrupt_came() ? TARE_E_CANCELLED : code;
}

/* On a terminal: says how fast the text was written, and how many guesses of a draft were right. */
static void print_rate(const struct writer *w)
{
    if (!cli_is_terminal(stderr))
        return;
    cli_colour(stderr, CLI_FAINT);
    int64_t guessed, right;
    tare_generate_drafts(w->generation, &guessed, &right);
    fprintf(stderr, "%lld tokens, %.1f tokens/s", (long long)w->tokens,
            w->seconds > 0 ? (double)(w->tokens - 1) / w->seconds : 0.0);
    if (guessed)
        fprintf(stderr, ", %lld of %lld guesses right", (long long)right, (long long)guessed);
    cli_colour(stderr, CLI_PLAIN);
    putc('\n', stderr);
}

/* Writes the prompt and its continuation, and saves the session when that was asked for. Returns the exit status. */
static int tell(struct writer *w, const struct cli_source *source, const struct cli_prompt *prompt)
{
    struct tare_error err = {0};
    enum tare_code code = prepare(w, source, prompt, &err);
    if (code != TARE_OK)
        return cli_fail(&err);
    if (w->n == 0)
        return cli_wrong("run: the prompt has no tokens");
    cli_write(prompt->text, prompt->size);
    code = write_on(w, &err);
    putchar('\n');
    fflush(stdout);
    if (code == TARE_OK && w->cache)
        code = tare_session_save(w->session, w->cache, &err);
    if (code == TARE_E_CANCELLED)
        return tare_code_exit(code); /* whoever pressed Ctrl-C knows why it ends */
    if (code != TARE_OK)
        return cli_fail(&err);
    print_rate(w);
    return 0;
}

/* The plan comes first: when model and prompt are both missing, the message about the model helps more. */
static int plan_and_tell(struct writer *w, const struct cli_source *source, const char *word)
{
    struct tare_error err = {0};
    struct cli_prompt prompt = {0};
    if (cli_source_plan(source, &w->model, &err) != TARE_OK)
        return cli_fail(&err);
    cli_report_warn(w->model);
    int status = cli_prompt_get(&prompt, "run", word, source->fable,
                                "no prompt: give it as a word, tare run MODEL PROMPT, or on standard input");
    if (status == CLI_GO_ON) {
        cli_interrupt_catch();
        status = tell(w, source, &prompt);
    }
    free(prompt.owned);
    return status;
}

struct asked {
    struct cli_sampling sampling;
    const char *cache;
    int64_t context;
    bool exact;
    int64_t kv_bits;
    int tie;
    int zeros;
    int64_t threads;
};

static const struct cli_flag flags[] = {
    CLI_FLAGS_SAMPLING(struct asked, sampling),
    {.name = "prompt-cache",
     CLI_IS_TEXT(struct asked, cache),
     .value = "FILE",
     .takes = CLI_TAKES_FILE,
     .help = "continue the text in it as far as the prompt is the same; kept there",
     .more = "The text and its state are taken from the file as far as the prompt begins with the same tokens, and "
             "kept there afterwards. A file of another model is refused."},
    {.name = "context",
     CLI_IS_WHOLE(struct asked, context, 1, INT32_MAX),
     .value = "N",
     .help = "most tokens, prompt and text; default: what they need, at most the model's"},
    {.name = "exact",
     CLI_IS_SWITCH(struct asked, exact),
     .help = "all in float32; without it activations are rounded to 8 bits",
     .more = "They are rounded only on their way through packed weights."},
    CLI_FLAG_KV_BITS(struct asked, kv_bits),
    CLI_FLAG_TIE(struct asked, tie),
    CLI_FLAG_ZEROS(struct asked, zeros),
    CLI_FLAG_THREADS(struct asked, threads),
};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct asked asked = {.sampling = CLI_SAMPLING_INIT, .tie = TARE_TIE_AUTO, .zeros = TARE_ZEROS_AUTO};
    int words = 0, status = cli_parse(verb, &asked, argc, argv, &words);
    if (status != CLI_GO_ON)
        return status;

    const bool named = words == 2 || (words == 1 && cli_source_names_model(argv[0]));
    struct writer w = {
        .kv_bits = (int)asked.kv_bits, .exact = asked.exact, .context = asked.context, .cache = asked.cache};
    const char *word = words == 2 ? argv[1] : words == 1 && !named ? argv[0] : NULL;
    struct cli_source source;
    struct tare_error err = {0};
    if (cli_source_find(&source, named ? argv[0] : NULL, &err) != TARE_OK)
        return cli_fail(&err);
    source.options.tie = (enum tare_tie)asked.tie;
    source.options.zeros = (enum tare_zeros)asked.zeros;
    source.options.threads = (int)asked.threads;
    status = cli_sampling_take(verb, &asked.sampling, &w.asked);
    if (status == CLI_GO_ON)
        status = plan_and_tell(&w, &source, word);
    writer_release(&w);
    return status;
}

const struct cli_verb cli_run = {
    .name = "run",
    .summary = "Continue a text.",
    .about = "Prints the prompt and continues it, token by token. "
             "One word alone is the model if it is a path, contains a slash and no space, or is fable; else it is the "
             "prompt for fable. "
             "Without a prompt, standard input is read where it is no terminal. "
             "Ctrl-C ends it with 130.",
    .words = {{.name = "MODEL", .takes = CLI_TAKES_MODEL, .optional = true}, {.name = "PROMPT", .optional = true}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare run \"Once upon a time, a little bear\"", "Lets the built-in model tell a story."},
                 {"tare run models/fable \"One day\" --temp 0.6 --seed 1 --max-tokens 40", "The same text each time."},
                 {"tare run models/fable \"The hero:\" --json-schema examples/hero.json", "Writes valid JSON."}},
    .see = "chat logits bench",
    .run = run,
};
