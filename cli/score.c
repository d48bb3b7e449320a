/* SPDX-License-Identifier: MIT
 * score.c - how well a model predicts a text.
 *
 *     perplexity = exp(-1/n sum_i ln p(id[i + 1] | id[start(i)] .. id[i]))
 *
 * The text is tokenized once, as a prompt is, and cut into windows of `context` ids: window k feeds ids
 * [k context, (k + 1) context), each of which predicts the one after it. So every id of the text but the first is
 * predicted once, with what stands before it in its window. What is left at the end, shorter than a window, is not
 * scored, but for a text that has no whole window.
 */
#include "score.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"

/* How many logits are held at once: that many bytes and rows at most. More rows would not be faster. */
#define LOGITS_BYTES ((size_t)64 << 20)
#define MOST_ROWS 256

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
static enum tare_code score_row(struct cli_score *m, size_t i, int32_t next, struct tare_error *err)
{
    const float *rows[CLI_SCORE_PATHS] = {NULL};
    double sums[CLI_SCORE_PATHS] = {0};
    size_t best[CLI_SCORE_PATHS] = {0};
    bool finite = true;
    if ((size_t)next >= m->columns)
        return fail(err, TARE_E_ARGUMENT, "ids", "the text has an id for which the model has no logit");
    for (int k = 0; k < m->n_paths; k++) {
        struct cli_score_path *path = &m->paths[k];
        rows[k] = path->logits + i * m->columns;
        sums[k] = log_sum(rows[k], m->columns, &best[k]);
        const double nats = sums[k] - (double)rows[k][next];
        path->sum += nats;
        path->squares += nats * nats;
        finite = finite && isfinite(nats);
    }
    if (m->n_paths > 1) {
        m->divergence += divergence(rows[1], sums[1], rows[0], sums[0], m->columns);
        m->same_best += best[1] == best[0];
    }
    if (!finite || !isfinite(m->divergence))
        return fail(err, TARE_E_FORMAT, "logits", "are not finite: tare verify looks for NaN in the weights");
    m->scored++;
    return TARE_OK;
}

/* Feeds n ids, and scores with the logits of each id the id that follows it. */
static enum tare_code score(struct cli_score *m, const int32_t *ids, size_t n, struct tare_error *err)
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

static enum tare_code score_windows(struct cli_score *m, struct tare_error *err)
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
static enum tare_code open_paths(struct cli_score *m, struct tare_error *err)
{
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    enum tare_code code;
    options.threads = m->threads;
    options.context = m->context;
    options.cancel = &cli_interrupted;
    for (int k = 0; k < m->n_paths; k++) {
        struct cli_score_path *path = &m->paths[k];
        options.exact = path->exact;
        options.kv_bits = path->kv_bits;
        if ((code = tare_session_open(&path->session, path->model, &options, err)))
            return code;
        const size_t columns = (size_t)tare_session_vocabulary(path->session);
        if (k && columns != m->columns)
            return fail(err, TARE_E_ARGUMENT, "ids", "the two models have unlike numbers of ids");
        m->context = options.context = tare_session_context(path->session);
        m->columns = columns;
        m->rows = LOGITS_BYTES / (m->columns * sizeof *path->logits);
        m->rows = m->rows < 1 ? 1 : m->rows > MOST_ROWS ? MOST_ROWS : m->rows;
        path->logits = calloc(m->rows, m->columns * sizeof *path->logits);
        if (!path->logits)
            return fail(err, TARE_E_MEMORY, "", "out of memory");
    }
    return TARE_OK;
}

static enum tare_code prepare(struct cli_score *m, const struct cli_source *source, const char *text, size_t size,
                              struct tare_error *err)
{
    enum tare_code code;
    if ((code = tare_tokenizer_open(&m->tokenizer, source->path, &source->options, err)) ||
        (code = tare_tokenizer_encode(m->tokenizer, text, size, true, &m->ids, &m->n, err)))
        return code;
    if (m->n < 2)
        return fail(err, TARE_E_ARGUMENT, "text", "has less than two tokens: there is nothing to predict");
    if ((code = open_paths(m, err)))
        return code;
    const int64_t whole = ((int64_t)m->n - 1) / m->context;
    m->windows = whole > 0 ? whole : 1;
    return TARE_OK;
}

enum tare_code cli_score_text(struct cli_score *m, const struct cli_source *source, const char *text, size_t size,
                              struct tare_error *err)
{
    enum tare_code code = prepare(m, source, text, size, err);
    const double start = cli_seconds();
    if (!code)
        code = score_windows(m, err);
    m->seconds = cli_seconds() - start;
    return code;
}

struct cli_figures cli_score_figures(const struct cli_score *m, int k)
{
    const struct cli_score_path *path = &m->paths[k];
    const double n = (double)m->scored, mean = path->sum / n, spread = path->squares / n - mean * mean;
    const double error = n > 1 && spread > 0 ? exp(mean) * sqrt(spread / (n - 1)) : 0;
    return (struct cli_figures){mean, exp(mean), error};
}

void cli_score_free(struct cli_score *m)
{
    for (int k = 0; k < CLI_SCORE_PATHS; k++) {
        free(m->paths[k].logits);
        tare_session_free(m->paths[k].session);
    }
    tare_ids_free(m->ids);
    tare_tokenizer_free(m->tokenizer);
}
