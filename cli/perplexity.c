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
/* How many logits are held at once: that many bytes and rows at most. More rows would not be faster. */
#define LOGITS_BYTES ((size_t)64 << 20)
#define MOST_ROWS 256

enum { USUAL, EXACT, PATHS };

/* One way of computing. All paths score the same windows. */
struct path {
    tare_session *session;
    /* (rows, columns). */
    float *logits;
    /* The sums of -ln p and of its square, over the scored ids. */
    double sum;
    double squares;
};

struct measure {
    int64_t kv_bits;
    tare_model *model;
    tare_tokenizer *tokenizer;
    int threads;
    /* The first path computes as run and chat do; otherwise it is exact. */
    bool as_run;
    /* There is a second path, an exact one, with which the first is compared. */
    bool against;
    struct path paths[PATHS];
    int n_paths;
    int32_t *ids;
    size_t n;
    int64_t context, windows;
    size_t rows, columns;
    /* The sum of KL(exact, usual). */
    double divergence;
    /* How many ids were scored, and for how many of them both paths have the same best id. */
    uint64_t scored;
    uint64_t same_best;
    double seconds;
};

/* Computes ln(sum_i exp(row[i])), in double because many small numbers are added. *best receives the place of the
 * largest number, the first one of equal ones. */
static double log_sum(const float *row, size_t columns, size_t *best)
{
    double sum = 1; /* the largest number contributes exp(0) */
    *best = 0;
    for (size_t i = 1; i < columns; i++)
        *best = row[i] > row[*best] ? i : *best;
    const float most = row[*best];
    for (size_t i = 0; i < columns; i++)
        sum += i == *best ? 0 : (double)expf(row[i] - most);
    return log(sum) + (double)most;
}

/* Computes sum_i p[i] * (ln p[i] - ln q[i]) of two rows of logits. A logarithm of a probability is the logit less
 * log_sum(). */
static double divergence(const float *p, double p_sum, const float *q, double q_sum, size_t columns)
{
    double total = 0;
    for (size_t i = 0; i < columns; i++) {
        const double ln_p = (double)p[i] - p_sum, share = (double)expf((float)ln_p);
        if (share > 0)
            total += share * (ln_p - ((double)q[i] - q_sum));
    }
    return total;
}

static enum tare_code fail(struct tare_error *err, enum tare_code code, const char *where, const char *text)
{
    *err = (struct tare_error){.code = code};
    snprintf(err->where, sizeof err->where, "%s", where);
    snprintf(err->text, sizeof err->text, "%s", text);
    return code;
}

/* Scores the id `next` by one row of logits of each path. */
static enum tare_code score_row(struct measure *m, size_t i, int32_t next, struct tare_error *err)
{
    const float *rows[PATHS] = {NULL};
    double sums[PATHS] = {0};
    size_t best[PATHS] = {0};
    bool finite = true;
    if ((size_t)next >= m->columns)
        return fail(err, TARE_E_ARGUMENT, "ids", "the text has an id for which the model has no logit");
    for (int k = 0; k < m->n_paths; k++) {
        struct path *path = &m->paths[k];
        rows[k] = path->logits + i * m->columns;
        sums[k] = log_sum(rows[k], m->columns, &best[k]);
        const double nats = sums[k] - (double)rows[k][next];
        path->sum += nats;
        path->squares += nats * nats;
        finite = finite && isfinite(nats);
    }
    if (m->against) {
        m->divergence += divergence(rows[EXACT], sums[EXACT], rows[USUAL], sums[USUAL], m->columns);
        m->same_best += best[EXACT] == best[USUAL];
    }
    if (!finite || !isfinite(m->divergence))
        return fail(err, TARE_E_FORMAT, "logits", "are not finite: tare verify looks for NaN in the weights");
    m->scored++;
    return TARE_OK;
}

/* Feeds n ids, and scores with the logits of each id the id that follows it. */
static enum tare_code score(struct measure *m, const int32_t *ids, size_t n, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    for (size_t done = 0, part; done < n && !code; done += part) {
        part = n - done < m->rows ? n - done : m->rows;
        for (int k = 0; k < m->n_paths && !code; k++)
            code = tare_session_feed(m->paths[k].session, ids + done, part, true, m->paths[k].logits, err);
        for (size_t i = 0; i < part && !code; i++)
            code = score_row(m, i, ids[done + i + 1], err);
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
        for (int k = 0; k < m->n_paths && !code; k++)
            code = tare_session_rewind(m->paths[k].session, 0, err);
        if (!code)
            code = score(m, m->ids + start, left < (size_t)m->context ? left : (size_t)m->context, err);
        if (!code && cli_progress_show(&progress, "tokens", m->scored, m->n - 1))
            code = fail(err, TARE_E_CANCELLED, "", "interrupted");
    }
    cli_progress_wipe(&progress);
    return code;
}

/* Opens a session for each path, with room for its logits. The sessions share their weights. */
static enum tare_code open_paths(struct measure *m, struct tare_error *err)
{
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    enum tare_code code;
    options.threads = m->threads;
    options.context = m->context;
    options.cancel = &cli_interrupted;
    m->n_paths = m->against ? 2 : 1;
    for (int k = 0; k < m->n_paths; k++) {
        struct path *path = &m->paths[k];
        options.exact = !(m->as_run || m->against) || k == EXACT;
        options.kv_bits = k == EXACT ? 0 : (int)m->kv_bits;
        if ((code = tare_session_open(&path->session, m->model, &options, err)))
            return code;
        m->context = options.context = tare_session_context(path->session);
        m->columns = (size_t)tare_session_vocabulary(path->session);
        m->rows = LOGITS_BYTES / (m->columns * sizeof *path->logits);
        m->rows = m->rows < 1 ? 1 : m->rows > MOST_ROWS ? MOST_ROWS : m->rows;
        path->logits = calloc(m->rows, m->columns * sizeof *path->logits);
        if (!path->logits)
            return fail(err, TARE_E_MEMORY, "", "out of memory");
    }
    return TARE_OK;
}

static enum tare_code prepare(struct measure *m, const struct cli_source *source, const struct cli_file *text,
                              struct tare_error *err)
{
    enum tare_code code;
    if ((code = tare_tokenizer_open(&m->tokenizer, source->path, &source->options, err)) ||
        (code = tare_tokenizer_encode(m->tokenizer, text->data, text->size, true, &m->ids, &m->n, err)))
        return code;
    if (m->n < 2)
        return fail(err, TARE_E_ARGUMENT, "text", "has less than two tokens: there is nothing to predict");
    if ((code = open_paths(m, err)))
        return code;
    const int64_t whole = ((int64_t)m->n - 1) / m->context;
    m->windows = whole > 0 ? whole : 1;
    return TARE_OK;
}

struct figures {
    /* The mean of -ln p. */
    double nats;
    /* exp(nats). */
    double perplexity;
    /* One standard error of perplexity. */
    double error;
};

static struct figures figures(const struct measure *m, int k)
{
    const struct path *path = &m->paths[k];
    const double n = (double)m->scored, mean = path->sum / n, spread = path->squares / n - mean * mean;
    const double error = n > 1 && spread > 0 ? exp(mean) * sqrt(spread / (n - 1)) : 0;
    return (struct figures){mean, exp(mean), error};
}

static void print_json(const struct measure *m, const char *file)
{
    const struct figures f = figures(m, USUAL), exact = figures(m, EXACT);
    const double n = (double)m->scored;
    printf("{\"tare\": \"%s\", \"model\": ", tare_version());
    cli_put_json(stdout, tare_model_report(m->model)->model);
    fputs(", \"file\": ", stdout);
    cli_put_json(stdout, file);
    printf(", \"perplexity\": %.9g, \"error\": %.6g, \"nats\": %.12g", f.perplexity, f.error, f.nats);
    if (m->against)
        printf(
            ", \"exact\": {\"perplexity\": %.9g, \"error\": %.6g, \"nats\": %.12g}, \"kl\": %.9g, \"same_best\": %.6f",
            exact.perplexity, exact.error, exact.nats, m->divergence / n, (double)m->same_best / n);
    printf(", \"tokens\": %llu, \"left_out\": %llu, \"windows\": %lld, \"context\": %lld, \"seconds\": %.3f}\n",
           (unsigned long long)m->scored, (unsigned long long)(m->n - 1 - m->scored), (long long)m->windows,
           (long long)m->context, m->seconds);
}

static void print_words(const struct measure *m, const char *file)
{
    const struct figures f = figures(m, USUAL), exact = figures(m, EXACT);
    const double n = (double)m->scored;
    cli_put(stdout, tare_model_report(m->model)->model);
    printf(": perplexity %.4f +- %.4f on ", f.perplexity, f.error);
    cli_put(stdout, file);
    printf("\n  %llu tokens in %lld window%s of %lld, %llu left out; %.4f nats each; %.1f tokens/s\n",
           (unsigned long long)m->scored, (long long)m->windows, m->windows == 1 ? "" : "s", (long long)m->context,
           (unsigned long long)(m->n - 1 - m->scored), f.nats, m->seconds > 0 ? n / m->seconds : 0.0);
    if (m->against)
        printf("  all in float32: perplexity %.4f; KL divergence from it %.6f nats; the same best token %.2f%%\n",
               exact.perplexity, m->divergence / n, 100 * (double)m->same_best / n);
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
    if (json)
        print_json(m, path);
    else
        print_words(m, path);
    return 0;
}

struct asked {
    int64_t context;
    bool as_run;
    bool against_exact;
    int64_t kv_bits;
    bool json;
    int tie;
    int zeros;
    int64_t threads;
};

static const struct cli_flag flags[] = {
    {.name = "context",
     CLI_IS_WHOLE(struct asked, context, 1, INT32_MAX),
     .value = "N",
     .usual = true,
     .help = "ids of a window; default: the model's, at most 4096",
     .more = "Each id of a window predicts the one after it. The first id of the text is not scored, nor is what is "
             "left after the last whole window."},
    {.name = "as-run",
     CLI_IS_SWITCH(struct asked, as_run),
     .help = "as run and chat compute, activations in 8 bits; default: all in float32",
     .more = "Float32 is what the checkpoint says."},
    {.name = "against-exact",
     CLI_IS_SWITCH(struct asked, against_exact),
     .help = "both ways: what --as-run costs, and the KL divergence",
     .more = "It also prints the share of tokens whose best guess is the same."},
    CLI_FLAG_KV_BITS(struct asked, kv_bits),
    {.name = "json", CLI_IS_SWITCH(struct asked, json), .usual = true, .help = "print one JSON object (docs/json.md)"},
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
    struct measure m = {.context = asked.context,
                        .as_run = asked.as_run,
                        .against = asked.against_exact,
                        .kv_bits = asked.kv_bits,
                        .threads = (int)asked.threads};
    struct cli_source source;
    struct tare_error err = {0};
    if (cli_source_find(&source, argv[0], &err) != TARE_OK)
        return cli_fail(&err);
    source.options.tie = (enum tare_tie)asked.tie;
    source.options.zeros = (enum tare_zeros)asked.zeros;
    source.options.threads = m.threads;
    status = plan_and_measure(&m, &source, argv[1], asked.json);
    for (int k = 0; k < PATHS; k++) {
        free(m.paths[k].logits);
        tare_session_free(m.paths[k].session);
    }
    tare_ids_free(m.ids);
    tare_tokenizer_free(m.tokenizer);
    tare_model_free(m.model);
    return status;
}

const struct cli_verb cli_perplexity = {
    .name = "perplexity",
    .summary = "How well it predicts a text.",
    .about =
        "Says how well the model predicts the text in FILE, or on standard input where that is \"-\": exp of the mean "
        "of -ln p. "
        "The text is tokenized as a prompt is, and cut into windows of --context ids that do not overlap. "
        "Each id of a window predicts the one after it, the last one of a window the first one of the next; so every "
        "id of the text but the first is predicted once. "
        "What is left after the last whole window is not scored, but where there is no whole one.",
    .words = {{.name = "MODEL", .takes = CLI_TAKES_MODEL}, {.name = "FILE", .takes = CLI_TAKES_FILE}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare run --max-tokens 100 \"Once upon a time\" | tare perplexity fable -",
                  "Scores a story of the model's own."}},
    .see = "run diff bench",
    .run = run,
};
