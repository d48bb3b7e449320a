/* SPDX-License-Identifier: MIT
 * run.c - tare run: go on with a text. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "print.h"
#include "progress.h"
#include "prompt.h"
#include "report.h"
#include "source.h"

/* What one text needs; all owned. */
struct writer {
    tare_model *model;
    tare_tokenizer *tokenizer;
    tare_session *session;
    tare_stream *stream;
    int32_t *ids; /* of the prompt */
    size_t n;
    float *logits;
    struct tare_sampling sampling;
    int kv_bits;
    int64_t most;   /* tokens to write */
    int64_t tokens; /* written so far */
    double seconds; /* spent on them */
};

static void writer_release(struct writer *w)
{
    free(w->logits);
    tare_stream_free(w->stream);
    tare_session_free(w->session);
    tare_ids_free(w->ids);
    tare_tokenizer_free(w->tokenizer);
    tare_model_free(w->model);
}

/* A terminal is protected from what a model may say; a file or pipe gets it as it is. */
static void write_text(const char *text, size_t size)
{
    if (cli_is_terminal(stdout))
        cli_put_lines(stdout, text, size);
    else
        fwrite(text, 1, size, stdout);
    fflush(stdout);
}

static enum tare_code open_session(struct writer *w, int threads, struct tare_error *err)
{
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    const int64_t want = (int64_t)w->n + w->most;
    options.threads = threads;
    options.kv_bits = w->kv_bits;
    options.cancel = &cli_interrupted;
    options.context = want > 4096 ? want : 0;
    enum tare_code code = tare_session_open(&w->session, w->model, &options, err);
    if (code == TARE_E_ARGUMENT && options.context) { /* more than the model takes: then as much as it does */
        options.context = 0;
        code = tare_session_open(&w->session, w->model, &options, err);
    }
    return code;
}

static enum tare_code prepare(struct writer *w, const struct cli_source *source, const struct cli_prompt *prompt,
                              struct tare_error *err)
{
    enum tare_code code;
    const char *piece = NULL;
    if ((code = tare_tokenizer_open(&w->tokenizer, source->path, &source->options, err)) ||
        (code = tare_tokenizer_encode(w->tokenizer, prompt->text, prompt->size, true, &w->ids, &w->n, err)) ||
        (code = open_session(w, source->options.threads, err)) ||
        (code = tare_stream_open(&w->stream, w->tokenizer, true, err)))
        return code;
    /* The stream sees the prompt too: whether a piece starts with a space depends on what stands before it. */
    for (size_t i = 0; i < w->n && code == TARE_OK; i++)
        code = tare_stream_put(w->stream, w->ids[i], &piece, err);
    w->logits = malloc((size_t)tare_session_vocabulary(w->session) * sizeof *w->logits);
    if (!w->logits && code == TARE_OK) {
        *err = (struct tare_error){.code = TARE_E_MEMORY, .text = "out of memory"};
        code = TARE_E_MEMORY;
    }
    return code;
}

static enum tare_code write_on(struct writer *w, struct tare_error *err)
{
    const int64_t columns = tare_session_vocabulary(w->session), context = tare_session_context(w->session);
    const char *piece = NULL;
    enum tare_code code = tare_session_feed(w->session, w->ids, w->n, false, w->logits, err);
    const double start = cli_seconds();
    while (code == TARE_OK && w->tokens < w->most && !cli_interrupt_came() && !ferror(stdout)) {
        const int32_t id = tare_sample(w->logits, columns, &w->sampling, (uint64_t)w->tokens);
        if (tare_tokenizer_ends(w->tokenizer, id))
            break;
        w->tokens++;
        if ((code = tare_stream_put(w->stream, id, &piece, err)) != TARE_OK)
            break;
        write_text(piece, strlen(piece));
        w->seconds = cli_seconds() - start;
        if (w->tokens == w->most || tare_session_length(w->session) == context)
            break;
        code = tare_session_feed(w->session, &id, 1, false, w->logits, err);
    }
    if (code == TARE_OK && (code = tare_stream_end(w->stream, &piece, err)) == TARE_OK)
        write_text(piece, strlen(piece));
    return code == TARE_OK && cli_interrupt_came() ? TARE_E_CANCELLED : code;
}

static void print_rate(const struct writer *w)
{
    if (!cli_is_terminal(stderr))
        return;
    cli_colour(stderr, CLI_FAINT);
    fprintf(stderr, "%lld tokens, %.1f tokens/s", (long long)w->tokens,
            w->seconds > 0 ? (double)w->tokens / w->seconds : 0.0);
    cli_colour(stderr, CLI_PLAIN);
    putc('\n', stderr);
}

static int tell(struct writer *w, const struct cli_source *source, const struct cli_prompt *prompt)
{
    struct tare_error err = {0};
    enum tare_code code = prepare(w, source, prompt, &err);
    if (code != TARE_OK)
        return cli_fail(&err);
    if (w->n == 0)
        return cli_wrong("run: the prompt has no tokens");
    write_text(prompt->text, prompt->size);
    code = write_on(w, &err);
    putchar('\n');
    fflush(stdout);
    if (code == TARE_E_CANCELLED)
        return tare_code_exit(code); /* whoever pressed Ctrl-C knows why it ends */
    if (code != TARE_OK)
        return cli_fail(&err);
    print_rate(w);
    return 0;
}

/* Plan first: a model that is not there is the better message than a prompt that is not. */
static int plan_and_tell(struct writer *w, const struct cli_source *source, const char *word)
{
    struct tare_error err = {0};
    struct cli_prompt prompt = {0};
    if (cli_source_plan(source, &w->model, &err) != TARE_OK)
        return cli_fail(&err);
    cli_report_warn(w->model);
    int status = cli_prompt_get(&prompt, word, source->fable);
    if (status == CLI_GO_ON) {
        cli_interrupt_catch();
        status = tell(w, source, &prompt);
    }
    free(prompt.owned);
    return status;
}

/* Another seed each time, where none was asked for. */
static uint64_t any_seed(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000007u ^ (uint64_t)t.tv_nsec << 20 ^ (uint64_t)getpid();
}

int cli_run(const struct cli_verb *verb, int argc, char **argv)
{
    double temp = 0, top_p = 1, min_p = 0;
    int64_t most = 256, top_k = 0, seed = -1, threads = 0, kv_bits = 0;
    int tie = TARE_TIE_AUTO, zeros = TARE_ZEROS_AUTO, words = 0;
    const struct cli_flag flags[] = {
        {"max-tokens", 0, CLI_WHOLE, &most, "N", "most tokens to write; default 256", 1, INT32_MAX, NULL},
        {"temp", 0, CLI_REAL, &temp, "T", "temperature; default 0: always the likeliest", 0, 100, NULL},
        {"top-p", 0, CLI_REAL, &top_p, "P", "only the likeliest, up to this sum; default 1: all", 0, 1, NULL},
        {"top-k", 0, CLI_WHOLE, &top_k, "K", "only the K likeliest; default 0: all", 0, INT32_MAX, NULL},
        {"min-p", 0, CLI_REAL, &min_p, "P", "none below this part of the likeliest; default 0", 0, 1, NULL},
        {"seed", 0, CLI_WHOLE, &seed, "N", "same seed, same text; default: another each time", 0, INT64_MAX, NULL},
        CLI_FLAG_KV_BITS(&kv_bits),
        CLI_FLAG_TIE(&tie),
        CLI_FLAG_ZEROS(&zeros),
        CLI_FLAG_THREADS(&threads),
    };
    int status = cli_parse(verb, flags, sizeof flags / sizeof *flags, argc, argv, 2, &words);
    if (status != CLI_GO_ON)
        return status;

    const bool named = words == 2 || (words == 1 && cli_source_names_model(argv[0]));
    const char *word = words == 2 ? argv[1] : words == 1 && !named ? argv[0] : NULL;
    struct cli_source source;
    struct tare_error err = {0};
    struct writer w = {.most = most, .kv_bits = (int)kv_bits};
    if (cli_source_find(&source, named ? argv[0] : NULL, &err) != TARE_OK)
        return cli_fail(&err);
    source.options.tie = (enum tare_tie)tie;
    source.options.zeros = (enum tare_zeros)zeros;
    source.options.threads = (int)threads;
    w.sampling = (struct tare_sampling){.size = sizeof w.sampling,
                                        .temperature = (float)temp,
                                        .top_p = (float)top_p,
                                        .top_k = (int)top_k,
                                        .min_p = (float)min_p,
                                        .seed = seed < 0 ? any_seed() : (uint64_t)seed};
    status = plan_and_tell(&w, &source, word);
    writer_release(&w);
    return status;
}
