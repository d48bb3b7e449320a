/* SPDX-License-Identifier: MIT
 * chat.c - tare chat: a conversation, turn by turn. The session keeps what was said, so that only the part of a
 * new turn that it does not hold yet is fed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "line.h"
#include "print.h"
#include "progress.h"
#include "report.h"
#include "source.h"
#include "writing/conversation.h"
#include "writing/draft.h"

/* The longest answer in tokens, unless --max-tokens says otherwise. */
#define ANSWER_TOKENS 2048
/* Tokens of the context that a question must leave free. */
#define ROOM_FOR_ANSWER 64

struct talk {
    tare_model *model;
    tare_tokenizer *tokenizer;
    tare_session *session;
    tare_grammar *grammar;
    struct cli_conversation said;
    struct cli_generation asked;
    struct cli_draft draft;
    const char *system; /* --system, or NULL */
    int64_t context, kv_bits;
    struct cli_lines *lines;
    /* The text of the answer so far, `size` bytes in an allocation of `room`; owned. */
    char *answer;
    size_t size;
    size_t room;
    /* Tokens of the last question and of its answer, and the seconds that they took. */
    int64_t fed;
    int64_t written;
    double feed_seconds;
    double seconds;
};

static void talk_release(struct talk *t)
{
    free(t->answer);
    cli_lines_close(t->lines);
    cli_conversation_close(&t->said);
    cli_draft_close(&t->draft);
    cli_generation_release(&t->asked);
    tare_grammar_free(t->grammar);
    tare_session_free(t->session);
    tare_tokenizer_free(t->tokenizer);
    tare_model_free(t->model);
}

static enum tare_code prepare(struct talk *t, const struct cli_source *source, struct tare_error *err)
{
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    const struct cli_file *grammar = &t->asked.grammar;
    enum tare_code code;
    options.threads = source->options.threads;
    options.context = t->context;
    options.kv_bits = (int)t->kv_bits;
    options.cancel = &cli_interrupted;
    if ((code = tare_tokenizer_open(&t->tokenizer, source->path, &source->options, err)) ||
        (grammar->data &&
         (code = tare_grammar_open(&t->grammar, t->tokenizer, t->asked.kind, grammar->data, grammar->size, err))) ||
        (code = cli_conversation_open(&t->said, t->tokenizer, source->path, &source->options, err)) ||
        (code = cli_draft_open(&t->draft, &t->asked, t->tokenizer, t->context, options.threads, err)))
        return code;
    options.pool = t->draft.threads;
    if ((code = tare_session_open(&t->session, t->model, &options, err)))
        return code;
    t->asked.options.grammar = t->grammar;
    return t->system ? cli_conversation_say(&t->said, "system", t->system, err) : TARE_OK;
}

static void note(const char *text)
{
    cli_colour(stderr, CLI_FAINT);
    fputs(text, stderr);
    cli_colour(stderr, CLI_PLAIN);
    putc('\n', stderr);
}

/* Encodes the conversation; drops its oldest turns until it fits into the context. */
static enum tare_code fitting_ids(struct talk *t, int32_t **ids, size_t *n, struct tare_error *err)
{
    const int64_t context = tare_session_context(t->session);
    for (;;) {
        const enum tare_code code = cli_conversation_ids(&t->said, ids, n, err);
        if (code != TARE_OK)
            return code;
        if ((int64_t)*n + ROOM_FOR_ANSWER <= context || (int64_t)*n < context / 2)
            return TARE_OK;
        const unsigned long long tokens = *n;
        tare_ids_free(*ids);
        *ids = NULL;
        if (!cli_conversation_shorten(&t->said)) {
            *err = (struct tare_error){.code = TARE_E_ARGUMENT, .where = "context"};
            snprintf(err->text, sizeof err->text,
                     "this turn alone has %llu tokens, and the context %lld: say less, or give --context", tokens,
                     (long long)context);
            return err->code;
        }
        note("(the context is full: the oldest turns are forgotten)");
    }
}

/* Adds to the text of the answer, which grows. Returns false when memory ran out. */
static bool append(struct talk *t, const char *text, size_t size)
{
    if (t->size + size + 1 > t->room) {
        const size_t room = 2 * (t->size + size) + 256;
        char *more = realloc(t->answer, room);
        if (!more)
            return false;
        t->answer = more;
        t->room = room;
    }
    memcpy(t->answer + t->size, text, size);
    t->size += size;
    t->answer[t->size] = '\0';
    return true;
}

/* Writes an answer to the ids. In a conversation without a template the space that opens the answer is left out. */
static enum tare_code write_answer(struct talk *t, const int32_t *ids, size_t n, struct tare_error *err)
{
    tare_generate *g = NULL;
    struct tare_generated step = TARE_GENERATED_INIT;
    const double start = cli_seconds();
    enum tare_code code = tare_generate_open(&g, t->session, t->tokenizer, ids, n, &t->asked.options, err);
    t->size = 0;
    t->fed = (int64_t)n;
    t->written = 0;
    while (code == TARE_OK && !step.finish && !cli_interrupt_came() && !ferror(stdout)) {
        code = tare_generate_next(g, &step, err);
        if (t->written == 0)
            t->feed_seconds = cli_seconds() - start;
        t->written += step.id >= 0 && step.finish != TARE_FINISH_END;
        const bool space = t->size == 0 && step.bytes && step.text[0] == ' ';
        if (code == TARE_OK && !append(t, step.text + space, step.bytes - space)) {
            code = TARE_E_MEMORY;
            *err = (struct tare_error){.code = TARE_E_MEMORY, .text = "out of memory"};
            break;
        }
        if (code == TARE_OK)
            cli_write(step.text + space, step.bytes - space);
    }
    t->seconds = cli_seconds() - start - t->feed_seconds;
    tare_generate_free(g);
    putchar('\n');
    fflush(stdout);
    return code;
}

/* Feeds the ids that the session does not hold yet, and lets it answer. */
static enum tare_code answer(struct talk *t, struct tare_error *err)
{
    int32_t *ids = NULL;
    size_t n = 0, same = 0;
    enum tare_code code = fitting_ids(t, &ids, &n, err);
    if (code == TARE_OK) {
        const int32_t *held = tare_session_ids(t->session);
        const size_t length = (size_t)tare_session_length(t->session);
        /* At least one id must be fed, for its logits. */
        while (same < length && same + 1 < n && held[same] == ids[same])
            same++;
        code = tare_session_rewind(t->session, (int64_t)same, err);
    }
    if (code == TARE_OK) {
        const size_t from =
            (size_t)tare_session_length(t->session) < same ? (size_t)tare_session_length(t->session) : same;
        code = write_answer(t, ids + from, n - from, err);
    }
    tare_ids_free(ids);
    return code;
}

/* ---- what somebody types ----------------------------------------------------------------------------------------- */

static void print_stats(const struct talk *t)
{
    printf("%zu turns, %lld of %lld tokens of the context\n", t->said.n, (long long)tare_session_length(t->session),
           (long long)tare_session_context(t->session));
    if (t->written > 0)
        printf("last: %lld tokens read in %.2f s, %lld written at %.1f tokens/s\n", (long long)t->fed, t->feed_seconds,
               (long long)t->written, t->seconds > 0 ? (double)(t->written - 1) / t->seconds : 0.0);
}

/* Obeys /save: writes the conversation into a file as JSON. */
static void save(const struct talk *t, const char *path)
{
    FILE *file = *path ? fopen(path, "wxe") : NULL;
    if (!*path)
        fputs("/save needs the name of a file\n", stderr);
    else if (!file)
        cli_fail_system(path);
    if (!file)
        return;
    cli_conversation_print(&t->said, file);
    if (ferror(file) | fclose(file))
        cli_fail_system(path);
    else
        printf("%zu turns are in %s\n", t->said.n, path);
}

static void print_help(void)
{
    puts("/system TEXT   what the model is told about its part; empty: show it\n"
         "/reset         forget the conversation\n"
         "/save FILE     write it as JSON, for tare template --json\n"
         "/stats         tokens and speed\n"
         "/quit          or Ctrl-D\n"
         "A line that ends in \\ continues; so does what stands between lines of \"\"\". Ctrl-C stops an answer.");
}

/* Obeys a line that begins with "/". Returns false to quit. */
static bool command(struct talk *t, const char *line, struct tare_error *err)
{
    const size_t word = strcspn(line, " \t");
    const char *rest = line + word + strspn(line + word, " \t");
    const struct tare_turn *first = t->said.n ? t->said.turns : NULL;
    if (!strncmp(line, "/quit", word) || !strncmp(line, "/exit", word))
        return word < 2;
    if (!strncmp(line, "/reset", word))
        cli_conversation_forget(&t->said);
    else if (!strncmp(line, "/system", word) && *rest)
        return cli_conversation_say(&t->said, "system", rest, err) == TARE_OK;
    else if (!strncmp(line, "/system", word))
        puts(first && !strcmp(first->role, "system") ? first->content : "(nothing is set)");
    else if (!strncmp(line, "/save", word))
        save(t, rest);
    else if (!strncmp(line, "/stats", word))
        print_stats(t);
    else
        print_help();
    fflush(stdout);
    return true;
}

/* Joins lines that belong together, in t->answer, which holds nothing else at that time. NULL at the end of input. */
static const char *whole_input(struct talk *t, const char *line)
{
    bool interrupted, block = !strcmp(line, "\"\"\"");
    size_t length = strlen(line);
    t->size = 0;
    append(t, "", 0);
    while (block || (length && line[length - 1] == '\\')) {
        if (strcmp(line, "\"\"\"") && !append(t, line, length - !block))
            return NULL;
        if (t->size && !append(t, "\n", 1))
            return NULL;
        line = cli_lines_next(t->lines, ". ", &interrupted);
        if (!line || interrupted)
            return line;
        length = strlen(line);
        if (block && !strcmp(line, "\"\"\""))
            return t->answer;
    }
    return append(t, line, length) ? t->answer : NULL;
}

/* Takes one turn of the conversation. An answer that was stopped is kept as far as it came; a question that failed is
 * taken back. */
static enum tare_code turn(struct talk *t, const char *text, struct tare_error *err)
{
    enum tare_code code = cli_conversation_say(&t->said, "user", text, err);
    if (code != TARE_OK)
        return code;
    code = answer(t, err);
    if (code == TARE_OK || code == TARE_E_CANCELLED)
        return cli_conversation_say(&t->said, "assistant", t->size ? t->answer : "", err);
    cli_conversation_undo(&t->said);
    return code;
}

static int converse(struct talk *t)
{
    struct tare_error err = {0};
    bool interrupted, goes_on = true;
    int status = 0;
    const char *line;
    while (goes_on && (line = cli_lines_next(t->lines, "> ", &interrupted)) != NULL) {
        const char *text = interrupted || line[0] == '/' ? line : whole_input(t, line);
        if (!text)
            break;
        cli_lines_remember(t->lines, text);
        enum tare_code code = TARE_OK;
        if (text[0] == '/')
            goes_on = command(t, text, &err);
        else if (text[strspn(text, " \t\n")])
            code = turn(t, text, &err);
        if (interrupted || cli_interrupt_came()) {
            cli_interrupt_forget();
            putchar('\n');
        }
        if (code != TARE_OK)
            status = cli_fail(&err);
        if (code != TARE_OK && !cli_is_terminal(stdin)) /* a script learns of it by the exit status */
            break;
        status = code == TARE_OK ? 0 : status;
    }
    return cli_finish(status);
}

static int plan_and_talk(struct talk *t, const struct cli_source *source)
{
    struct tare_error err = {0};
    if (cli_source_plan(source, &t->model, &err) != TARE_OK)
        return cli_fail(&err);
    cli_report_warn(t->model);
    cli_interrupt_forget();
    if (prepare(t, source, &err) != TARE_OK)
        return cli_fail(&err);
    if (t->said.plain) {
        if (t->asked.options.n_stops == 0) {
            static const char *const next[] = {"\nUser:"};
            t->asked.options.stops = next;
            t->asked.options.n_stops = 1;
        }
        note("(the model has no chat template: turns are plain lines, \"User: ..\" and \"Assistant: ..\")");
    }
    if (cli_is_terminal(stdin))
        note("(/help lists what else can be said; Ctrl-C stops an answer, Ctrl-D ends)");
    t->lines = cli_lines_open("tare");
    return t->lines ? converse(t) : cli_fail_system("chat");
}

struct asked {
    const char *system;
    struct cli_sampling sampling;
    int64_t context;
    int64_t kv_bits;
    int tie;
    int zeros;
    int64_t threads;
};

static const struct cli_flag flags[] = {
    {.name = "system",
     CLI_IS_TEXT(struct asked, system),
     .value = "TEXT",
     .usual = true,
     .help = "what the model is told about its part",
     .more = "It stands before the conversation as the system's turn."},
    CLI_FLAGS_SAMPLING(struct asked, sampling),
    {.name = "context",
     CLI_IS_WHOLE(struct asked, context, 1, INT32_MAX),
     .value = "N",
     .help = "most tokens of the conversation; default: the model's, at most 4096"},
    CLI_FLAG_KV_BITS(struct asked, kv_bits),
    CLI_FLAG_TIE(struct asked, tie),
    CLI_FLAG_ZEROS(struct asked, zeros),
    CLI_FLAG_THREADS(struct asked, threads),
};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct asked asked = {.sampling = CLI_SAMPLING_INIT, .tie = TARE_TIE_AUTO, .zeros = TARE_ZEROS_AUTO};
    asked.sampling.most = ANSWER_TOKENS;
    int words = 0, status = cli_parse(verb, &asked, argc, argv, &words);
    if (status != CLI_GO_ON)
        return status;
    struct talk t = {.system = asked.system, .context = asked.context, .kv_bits = asked.kv_bits};
    struct cli_source source;
    struct tare_error err = {0};
    if (cli_source_find(&source, words ? argv[0] : NULL, &err) != TARE_OK)
        return cli_fail(&err);
    source.options.tie = (enum tare_tie)asked.tie;
    source.options.zeros = (enum tare_zeros)asked.zeros;
    source.options.threads = (int)asked.threads;
    status = cli_sampling_take(verb, &asked.sampling, &t.asked);
    if (status == CLI_GO_ON)
        status = plan_and_talk(&t, &source);
    talk_release(&t);
    return status;
}

const struct cli_verb cli_chat = {
    .name = "chat",
    .summary = "Talk with it.",
    .about = "Talks with the model by its own chat template, line by line; without one, turns are plain lines. "
             "Only what is new of a turn is computed, and the oldest turns are forgotten when the context is full. "
             "A line that ends with a backslash is continued by the next one, and lines between two of \"\"\" are one "
             "turn.\n\n"
             "/system TEXT, /reset, /save FILE and /stats are commands, and /help lists them. "
             "Ctrl-C stops an answer, and Ctrl-D ends the conversation.",
    .words = {{.name = "MODEL", .takes = CLI_TAKES_MODEL, .optional = true}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare chat --temp 0.7", "Talks with the built-in model, which only tells stories."},
                 {"echo Hello | tare chat models/fable --max-tokens 20", "Asks one thing."}},
    .see = "run template",
    .run = run,
};
