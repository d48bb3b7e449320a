/* SPDX-License-Identifier: MIT
 * logits.c - tare logits: float32 logits of given ids, for parity tests in any language. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "npy.h"
#include "print.h"
#include "progress.h"
#include "report.h"
#include "source.h"

enum { TOP = 5 };

struct ids {
    int32_t *id;
    size_t n;
};

/* Reads "1,2,3": whole numbers from 0 to 2^31 - 1 with commas between them and nothing else. */
static int parse_ids(const char *text, struct ids *ids)
{
    size_t most = 1;
    for (const char *c = text; *c; c++)
        most += *c == ',';
    ids->id = calloc(most, sizeof *ids->id);
    if (!ids->id)
        return cli_fail_system("--ids");
    while (ids->n < most) {
        char word[16] = "";
        int64_t id = 0;
        const size_t length = strcspn(text, ",");
        snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), text);
        if (word[0] == '-' || length >= sizeof word || !cli_whole(word, 0, INT32_MAX, &id))
            return cli_wrong("logits: --ids takes ids from 0 to 2147483647 with commas between, not \"%s\"", word);
        ids->id[ids->n++] = (int32_t)id;
        text += length + (text[length] == ',');
    }
    return CLI_GO_ON;
}

static void print_piece(const tare_tokenizer *tokenizer, int32_t id)
{
    char *text = NULL;
    if (!tokenizer || tare_tokenizer_decode(tokenizer, &id, 1, false, &text, NULL, NULL) != TARE_OK)
        return;
    fputs(" \"", stdout);
    cli_put(stdout, text);
    putchar('"');
    tare_text_free(text);
}

/* Finds the ids of the TOP greatest logits of a row, greatest first; of equal ones the lower id comes first. */
static void print_top(const float *row, int64_t n, const tare_tokenizer *tokenizer)
{
    int64_t best[TOP] = {0};
    int found = 0;
    for (int64_t i = 0; i < n; i++) {
        int at = found < TOP ? found++ : TOP;
        if (at == TOP) {
            if (row[i] <= row[best[TOP - 1]])
                continue;
            at = TOP - 1;
        }
        for (; at > 0 && row[best[at - 1]] < row[i]; at--)
            best[at] = best[at - 1];
        best[at] = i;
    }
    for (int k = 0; k < found; k++) {
        printf("    %8.4f  %lld", (double)row[best[k]], (long long)best[k]);
        print_piece(tokenizer, (int32_t)best[k]);
        putchar('\n');
    }
}

static void print_rows(const struct cli_source *source, const struct ids *ids, const float *logits, int64_t columns)
{
    tare_tokenizer *tokenizer = NULL; /* its words make the list readable; without one only ids are shown */
    if (tare_tokenizer_open(&tokenizer, source->path, &source->options, NULL) != TARE_OK)
        tokenizer = NULL;
    for (size_t i = 0; i < ids->n; i++) {
        printf("%zu: after %ld", i, (long)ids->id[i]);
        print_piece(tokenizer, ids->id[i]);
        putchar('\n');
        print_top(logits + i * (size_t)columns, columns, tokenizer);
    }
    tare_tokenizer_free(tokenizer);
}

/* Feeds the first ids at once and the rest one by one. logits has shape (n, columns). */
static enum tare_code feed(tare_session *session, const struct ids *ids, size_t first, float *logits,
                           struct tare_error *err)
{
    const size_t columns = (size_t)tare_session_vocabulary(session);
    enum tare_code code = tare_session_feed(session, ids->id, first, true, logits, err);
    for (size_t i = first; code == TARE_OK && i < ids->n; i++)
        code = tare_session_feed(session, ids->id + i, 1, true, logits + i * columns, err);
    return code;
}

static int compute(const struct cli_source *source, tare_model *model, const struct ids *ids, size_t first,
                   const char *output)
{
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    struct tare_error err = {0};
    tare_session *session = NULL;
    options.context = (int64_t)ids->n;
    options.threads = source->options.threads;
    options.cancel = &cli_interrupted;
    options.exact = true;
    if (tare_session_open(&session, model, &options, &err) != TARE_OK)
        return cli_fail(&err);

    const int64_t columns = tare_session_vocabulary(session);
    float *logits = ids->n && columns > 0 ? calloc(ids->n, (size_t)columns * sizeof *logits) : NULL;
    int status = 0;
    if (!logits) {
        cli_error("logits", "no memory for them all: give fewer ids");
        status = tare_code_exit(TARE_E_MEMORY);
    } else if (feed(session, ids, first, logits, &err) != TARE_OK) {
        status = cli_fail(&err);
    } else if (output) {
        status = cli_npy_write(output, logits, ids->n, (size_t)columns);
    } else {
        print_rows(source, ids, logits, columns);
    }
    free(logits);
    tare_session_free(session);
    return status;
}

static int plan_and_compute(const struct cli_source *source, const struct ids *ids, size_t first, const char *output)
{
    struct tare_error err = {0};
    tare_model *model = NULL;
    int status = 0;
    cli_interrupt_catch();
    if (cli_source_plan(source, &model, &err) != TARE_OK) {
        status = cli_fail(&err);
    } else {
        cli_report_warn(model);
        status = compute(source, model, ids, first, output);
    }
    tare_model_free(model);
    return status;
}

struct asked {
    const char *ids;
    const char *output;
    int64_t prefill;
    int tie;
    int zeros;
    int64_t threads;
};

static const struct cli_flag flags[] = {
    {.name = "ids", CLI_IS_TEXT(struct asked, ids), .value = "1,2,3", .needed = true, .help = "the ids to feed"},
    {.name = "output",
     .letter = 'o',
     CLI_IS_TEXT(struct asked, output),
     .value = "FILE.npy",
     .takes = CLI_TAKES_FILE,
     .usual = true,
     .help = "write float32 (ids, vocabulary); without it: the best five"},
    {.name = "prefill",
     CLI_IS_WHOLE(struct asked, prefill, 1, INT32_MAX),
     .value = "N",
     .help = "feed the first N at once, the rest one by one; default: all at once"},
    CLI_FLAG_TIE(struct asked, tie),
    CLI_FLAG_ZEROS(struct asked, zeros),
    CLI_FLAG_THREADS(struct asked, threads),
};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct asked asked = {.tie = TARE_TIE_AUTO, .zeros = TARE_ZEROS_AUTO};
    int words = 0, status = cli_parse(verb, &asked, argc, argv, &words);
    if (status != CLI_GO_ON)
        return status;

    struct cli_source source;
    struct tare_error err = {0};
    struct ids ids = {0};
    status = parse_ids(asked.ids, &ids);
    if (status == CLI_GO_ON && (size_t)asked.prefill > ids.n)
        status = cli_wrong("logits: --prefill %lld is more than the %zu ids given", (long long)asked.prefill, ids.n);
    if (status == CLI_GO_ON && cli_source_find(&source, words ? argv[0] : NULL, &err) != TARE_OK)
        status = cli_fail(&err);
    if (status == CLI_GO_ON) {
        source.options.tie = (enum tare_tie)asked.tie;
        source.options.zeros = (enum tare_zeros)asked.zeros;
        source.options.threads = (int)asked.threads;
        status = plan_and_compute(&source, &ids, asked.prefill ? (size_t)asked.prefill : ids.n, asked.output);
    }
    free(ids.id);
    return status;
}

const struct cli_verb cli_logits = {
    .name = "logits",
    .summary = "The model's float32 logits for some ids.",
    .about = "Computes the logits of each id of --ids, all in float32, for tests of parity in any language. "
             "-o writes them as a .npy file of shape (ids, vocabulary); without it the best five of each position are "
             "printed, with their words where the model has a tokenizer.",
    .words = {{.name = "MODEL", .takes = CLI_TAKES_MODEL, .optional = true}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare logits --ids 1,2,3", "Shows what may follow each id."},
                 {"tare logits models/fable --ids 1,2,3 -o logits.npy", "Writes them for numpy."}},
    .see = "run tokenize perplexity",
    .run = run,
};
