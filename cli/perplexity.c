/* SPDX-License-Identifier: MIT
 * perplexity.c - tare perplexity: how well a model predicts a text.
 *
 *     perplexity = exp(-1/n sum_i ln p(id[i + 1] | id[start(i)] .. id[i]))
 *
 * The text is tokenized once, as a prompt is, and cut into windows of `context` ids: window k feeds ids
 * [k context, (k + 1) context), each of which predicts the one after it. So every id of the text but the first is
 * predicted once, with what stands before it in its window. What is left at the end, shorter than a window, is not
 * scored, but for a text that has no whole window.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "file.h"
#include "print.h"
#include "progress.h"
#include "report.h"
#include "source.h"

#define LARGEST_TEXT ((size_t)1 << 30)
#define LOGITS_BYTES ((size_t)64 << 20) /* logits that are held at once */
#define MOST_ROWS 256                   /* the same; more at once would not be faster */

struct measure {
    tare_model *model;
    tare_tokenizer *tokenizer;
    tare_session *session;
    int threads;
    int32_t *ids;
    size_t n;
    int64_t context, windows;
    float *logits; /* (rows, columns) */
    size_t rows, columns;
    double sum, squares; /* of -ln p, and of its square */
    uint64_t scored;
    double seconds;
};

/* -ln softmax(row)[id], in double: a sum of many small parts. */
static double surprise(const float *row, size_t columns, int32_t id)
{
    float most = row[0];
    for (size_t i = 1; i < columns; i++)
        most = row[i] > most ? row[i] : most;
    double sum = (double)expf(row[0] - most);
    for (size_t i = 1; i < columns; i++)
        sum += (double)expf(row[i] - most);
    return log(sum) + (double)most - (double)row[id];
}

static enum tare_code fail(struct tare_error *err, enum tare_code code, const char *where, const char *text)
{
    *err = (struct tare_error){.code = code};
    snprintf(err->where, sizeof err->where, "%s", where);
    snprintf(err->text, sizeof err->text, "%s", text);
    return code;
}

/* Score id[i + 1] after feeding id[i], n of them. */
static enum tare_code score(struct measure *m, const int32_t *ids, size_t n, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    for (size_t done = 0, part; done < n && !code; done += part) {
        part = n - done < m->rows ? n - done : m->rows;
        if ((code = tare_session_feed(m->session, ids + done, part, true, m->logits, err)))
            break;
        for (size_t i = 0; i < part && !code; i++) {
            const int32_t next = ids[done + i + 1];
            if ((size_t)next >= m->columns)
                return fail(err, TARE_E_ARGUMENT, "ids", "the text has an id for which the model has no logit");
            const double nats = surprise(m->logits + i * m->columns, m->columns, next);
            if (!isfinite(nats))
                return fail(err, TARE_E_FORMAT, "logits", "are not finite: tare verify looks for NaN in the weights");
            m->sum += nats;
            m->squares += nats * nats;
        }
        m->scored += part;
    }
    return code;
}

static enum tare_code score_windows(struct measure *m, struct tare_error *err)
{
    struct cli_progress progress = cli_progress_init();
    enum tare_code code = TARE_OK;
    progress.counts = true;
    for (int64_t w = 0; w < m->windows && !code; w++) {
        const size_t start = (size_t)(w * m->context), left = m->n - 1 - start;
        if (!(code = tare_session_rewind(m->session, 0, err)))
            code = score(m, m->ids + start, left < (size_t)m->context ? left : (size_t)m->context, err);
        if (!code && cli_progress_show(&progress, "tokens", m->scored, m->n - 1))
            code = fail(err, TARE_E_CANCELLED, "", "interrupted");
    }
    cli_progress_wipe(&progress);
    return code;
}

/* Ids, a session, and room for logits. */
static enum tare_code prepare(struct measure *m, const struct cli_source *source, const struct cli_file *text,
                              struct tare_error *err)
{
    enum tare_code code;
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    if ((code = tare_tokenizer_open(&m->tokenizer, source->path, &source->options, err)) ||
        (code = tare_tokenizer_encode(m->tokenizer, text->data, text->size, true, &m->ids, &m->n, err)))
        return code;
    if (m->n < 2)
        return fail(err, TARE_E_ARGUMENT, "text", "has less than two tokens: there is nothing to predict");
    options.threads = m->threads;
    options.context = m->context;
    options.cancel = &cli_interrupted;
    if ((code = tare_session_open(&m->session, m->model, &options, err)))
        return code;
    m->context = tare_session_context(m->session);
    m->columns = (size_t)tare_session_vocabulary(m->session);
    const int64_t whole = ((int64_t)m->n - 1) / m->context;
    m->windows = whole > 0 ? whole : 1;
    m->rows = LOGITS_BYTES / (m->columns * sizeof *m->logits);
    m->rows = m->rows < 1 ? 1 : m->rows > MOST_ROWS ? MOST_ROWS : m->rows;
    m->logits = calloc(m->rows, m->columns * sizeof *m->logits);
    return m->logits ? TARE_OK : fail(err, TARE_E_MEMORY, "", "out of memory");
}

static void print(const struct measure *m, const char *file, bool json)
{
    const double n = (double)m->scored, mean = m->sum / n, perplexity = exp(mean);
    const double spread = m->squares / n - mean * mean;
    const double error = n > 1 && spread > 0 ? perplexity * sqrt(spread / (n - 1)) : 0; /* of the mean, one sigma */
    const unsigned long long left = (unsigned long long)(m->n - 1 - m->scored);
    if (json) {
        printf("{\"tare\": \"%s\", \"model\": ", tare_version());
        cli_put_json(stdout, tare_model_report(m->model)->model);
        fputs(", \"file\": ", stdout);
        cli_put_json(stdout, file);
        printf(", \"perplexity\": %.9g, \"error\": %.6g, \"nats\": %.12g, \"tokens\": %llu, \"left_out\": %llu, "
               "\"windows\": %lld, \"context\": %lld, \"seconds\": %.3f}\n",
               perplexity, error, mean, (unsigned long long)m->scored, left, (long long)m->windows,
               (long long)m->context, m->seconds);
        return;
    }
    cli_put(stdout, tare_model_report(m->model)->model);
    printf(": perplexity %.4f +- %.4f on ", perplexity, error);
    cli_put(stdout, file);
    printf("\n  %llu tokens in %lld window%s of %lld, %llu left out; %.4f nats each; %.1f tokens/s\n",
           (unsigned long long)m->scored, (long long)m->windows, m->windows == 1 ? "" : "s", (long long)m->context,
           left, mean, m->seconds > 0 ? n / m->seconds : 0.0);
}

static int plan_and_measure(struct measure *m, const struct cli_source *source, const char *path, bool json)
{
    struct tare_error err = {0};
    struct cli_file text = {0};
    cli_interrupt_catch();
    if (cli_source_plan(source, &m->model, &err) != TARE_OK)
        return cli_fail(&err);
    cli_report_warn(m->model);
    int status = cli_file_read(&text, path, LARGEST_TEXT);
    if (status == CLI_GO_ON && prepare(m, source, &text, &err) != TARE_OK)
        status = cli_fail(&err);
    free(text.data);
    if (status != CLI_GO_ON)
        return status;
    const double start = cli_seconds();
    if (score_windows(m, &err) != TARE_OK)
        return cli_fail(&err);
    m->seconds = cli_seconds() - start;
    print(m, path, json);
    return 0;
}

int cli_perplexity(const struct cli_verb *verb, int argc, char **argv)
{
    struct measure m = {0};
    bool json = false;
    int tie = TARE_TIE_AUTO, zeros = TARE_ZEROS_AUTO, words = 0;
    int64_t threads = 0;
    const struct cli_flag flags[] = {
        {"context", 0, CLI_WHOLE, &m.context, "N",
         "ids fed in a window; each predicts the next one, the first of the\n"
         "                       text is not scored, nor is what is left after the last whole\n"
         "                       window; default: the model's, at most 4096",
         1, INT32_MAX, NULL},
        {"json", 0, CLI_SWITCH, &json, NULL, "print one JSON object (docs/json.md)", 0, 0, NULL},
        CLI_FLAG_TIE(&tie),
        CLI_FLAG_ZEROS(&zeros),
        CLI_FLAG_THREADS(&threads),
    };
    int status = cli_parse(verb, flags, sizeof flags / sizeof *flags, argc, argv, 2, &words);
    if (status != CLI_GO_ON)
        return status;
    if (words != 2)
        return cli_wrong("perplexity: a model and a file of text are needed: tare perplexity MODEL FILE");
    struct cli_source source;
    struct tare_error err = {0};
    if (cli_source_find(&source, argv[0], &err) != TARE_OK)
        return cli_fail(&err);
    source.options.tie = (enum tare_tie)tie;
    source.options.zeros = (enum tare_zeros)zeros;
    source.options.threads = m.threads = (int)threads;
    status = plan_and_measure(&m, &source, argv[1], json);
    free(m.logits);
    tare_session_free(m.session);
    tare_ids_free(m.ids);
    tare_tokenizer_free(m.tokenizer);
    tare_model_free(m.model);
    return status;
}
