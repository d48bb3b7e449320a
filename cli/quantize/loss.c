/* SPDX-License-Identifier: MIT
 * loss.c - what quantizing lost: the output is planned and read as any checkpoint, and its numbers are held against the
 * floats that they were made of, module by module. With a text, both models predict it, all in float32.
 */
#include "loss.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cli.h"
#include "file.h"
#include "print.h"
#include "record.h"
#include "report.h"
#include "score.h"

enum { SHOWN = 20 };

struct result {
    const struct cli_loss *loss;
    const struct tare_diff_report *diff;
    struct cli_score *score; /* NULL: no text */
    uint64_t bytes[2];
    double seconds;
};

static const struct tare_diff_row *row_at(const struct tare_diff_report *diff, size_t k)
{
    return (const struct tare_diff_row *)((const char *)diff->rows + k * diff->rows_stride);
}

static bool was_rounded(const struct tare_diff_row *row)
{
    return row->sameness >= TARE_DIFFERENT;
}

/* The most memory that the process had at once, in bytes. */
static uint64_t memory(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage))
        return 0;
#ifdef __APPLE__
    return (uint64_t)usage.ru_maxrss;
#else
    return (uint64_t)usage.ru_maxrss << 10;
#endif
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

static void put_real(FILE *file, const char *key, double value)
{
    fprintf(file, ", \"%s\": ", key);
    if (isfinite(value))
        fprintf(file, "%.9g", value);
    else
        fputs("null", file);
}

static void put_json_side(FILE *file, const char *key, const struct tare_diff_side *side)
{
    fprintf(file, ", \"%s\": {\"packing\": ", key);
    cli_put_json(file, side->packing ? side->packing : "");
    fprintf(file, ", \"bits\": %d, \"group_size\": %" PRId64 ", \"bytes\": %" PRIu64 "}", side->bits, side->group_size,
            side->bytes);
}

static void put_json_text(FILE *file, const struct result *r)
{
    const struct cli_score *score = r->score;
    const struct cli_figures made = cli_score_figures(score, 0), floats = cli_score_figures(score, 1);
    const double n = (double)score->scored;
    fputs(",\n    \"text\": {\"file\": ", file);
    cli_put_json(file, r->loss->text);
    fprintf(file, ", \"tokens\": %" PRIu64 ", \"context\": %" PRId64, score->scored, score->context);
    fprintf(file, ", \"before\": {\"perplexity\": %.9g, \"error\": %.6g}", floats.perplexity, floats.error);
    fprintf(file, ", \"after\": {\"perplexity\": %.9g, \"error\": %.6g}", made.perplexity, made.error);
    fprintf(file, ", \"kl\": %.9g, \"same_best\": %.6f}", score->divergence / n, (double)score->same_best / n);
}

static void put_json(FILE *file, const struct result *r)
{
    fprintf(file, "{\"tare\": \"%s\", \"bytes\": [%" PRIu64 ", %" PRIu64 "], \"seconds\": [%.3f, %.3f]", tare_version(),
            r->bytes[0], r->bytes[1], r->loss->seconds, r->seconds);
    fprintf(file, ", \"memory\": %" PRIu64, memory());
    if (r->score)
        put_json_text(file, r);
    fputs(",\n    \"modules\": [", file);
    bool first = true;
    for (size_t k = 0; k < r->diff->n_rows; k++) {
        const struct tare_diff_row *row = row_at(r->diff, k);
        if (!was_rounded(row))
            continue;
        fputs(first ? "\n      {\"name\": " : ",\n      {\"name\": ", file);
        cli_put_json(file, row->name);
        put_real(file, "relative", row->relative);
        put_real(file, "largest", row->largest);
        fprintf(file, ", \"row\": %" PRId64 ", \"column\": %" PRId64, row->row, row->column);
        put_json_side(file, "before", row->side[0]);
        put_json_side(file, "after", row->side[1]);
        fputs("}", file);
        first = false;
    }
    fputs("\n    ]}", file);
}

/* ---- words ----------------------------------------------------------------------------------------------------- */

static int worst_first(const void *a, const void *b)
{
    const struct tare_diff_row *x = *(const struct tare_diff_row *const *)a,
                               *y = *(const struct tare_diff_row *const *)b;
    return x->relative > y->relative ? -1 : x->relative < y->relative ? 1 : strcmp(x->name, y->name);
}

static void put_row(const struct tare_diff_row *row)
{
    printf("  %8.5f %10.3g  %9s -> ", row->relative, row->largest, cli_bytes(row->side[0]->bytes).text);
    printf("%-9s ", cli_bytes(row->side[1]->bytes).text);
    cli_put(stdout, row->side[1]->packing);
    if (row->side[1]->bits)
        printf(" %d bits", row->side[1]->bits);
    putchar(' ');
    cli_put(stdout, row->name);
    putchar('\n');
}

static void put_words(const struct result *r, const struct tare_diff_row **rows, size_t n)
{
    double squares = 0;
    uint64_t elements = 0;
    for (size_t k = 0; k < n; k++) {
        squares += rows[k]->relative * rows[k]->relative * (double)rows[k]->elements;
        elements += rows[k]->elements;
    }
    cli_put(stdout, r->loss->output);
    printf(": %s of %s (%.1f%%), ", cli_bytes(r->bytes[1]).text, cli_bytes(r->bytes[0]).text,
           r->bytes[0] ? 100 * (double)r->bytes[1] / (double)r->bytes[0] : 0);
    printf("%zu modules rounded, relative error %.5f\n", n, elements ? sqrt(squares / (double)elements) : 0);
    if (n)
        puts("  relative    largest      bytes               now         module");
    for (size_t k = 0; k < n && k < SHOWN; k++)
        put_row(rows[k]);
    if (n > SHOWN)
        printf("  and %zu more with less; --json lists all\n", n - SHOWN);
    if (r->score) {
        const struct cli_figures made = cli_score_figures(r->score, 0), floats = cli_score_figures(r->score, 1);
        printf("  perplexity %.4f, and %.4f before (+- %.4f), on %" PRIu64 " tokens of ", made.perplexity,
               floats.perplexity, floats.error, r->score->scored);
        cli_put(stdout, r->loss->text);
        printf("\n  KL divergence from before %.6f nats a token; the same best token %.2f%%\n",
               r->score->divergence / (double)r->score->scored,
               100 * (double)r->score->same_best / (double)r->score->scored);
    }
    printf("  quantizing took %.1f s, this report %.1f s, and all of it %s of memory at most\n", r->loss->seconds,
           r->seconds, cli_bytes(memory()).text);
}

/* Rows that were rounded, the worst first; NULL: no memory. */
static const struct tare_diff_row **sort_rows(const struct tare_diff_report *diff, size_t *n)
{
    const struct tare_diff_row **rows = calloc(diff->n_rows + 1, sizeof *rows);
    *n = 0;
    for (size_t k = 0; rows && k < diff->n_rows; k++)
        if (was_rounded(row_at(diff, k)))
            rows[(*n)++] = row_at(diff, k);
    if (rows)
        qsort(rows, *n, sizeof *rows, worst_first);
    return rows;
}

/* ---- the steps ------------------------------------------------------------------------------------------------- */

static int print(const struct result *r)
{
    char *text = NULL;
    size_t size = 0, n = 0;
    FILE *file = open_memstream(&text, &size);
    if (file)
        put_json(file, r);
    if (!file || fclose(file) || !text) {
        free(text);
        return cli_fail_system("report");
    }
    int status = cli_record_add(r->loss->output, "report", text);
    if (r->loss->json) {
        puts(text);
    } else {
        const struct tare_diff_row **rows = sort_rows(r->diff, &n);
        if (rows)
            put_words(r, rows, n);
        else
            status = cli_fail_system("report");
        free(rows);
    }
    free(text);
    return status;
}

static int score(struct result *r, tare_model *made, struct tare_error *err)
{
    struct cli_file text = {0};
    int status = cli_file_read(&text, r->loss->text, CLI_SCORE_TEXT);
    *r->score =
        (struct cli_score){.threads = r->loss->threads,
                           .n_paths = 2,
                           .paths = {{.model = made, .exact = true}, {.model = r->loss->floats, .exact = true}}};
    if (status == CLI_GO_ON && cli_score_text(r->score, r->loss->source, text.data, text.size, err) != TARE_OK)
        status = cli_fail(err);
    free(text.data);
    return status;
}

static int compare(struct result *r, tare_model *made, double start)
{
    struct tare_diff_options options = TARE_DIFF_OPTIONS_INIT;
    struct cli_progress progress = cli_progress_init();
    struct tare_error err = {0};
    struct cli_score scored = {0};
    tare_diff *diff = NULL;
    options.threads = r->loss->threads;
    options.progress = cli_progress_show;
    options.user = &progress;
    options.relative = true;
    const enum tare_code code = tare_diff_open(&diff, r->loss->floats, made, &options, &err);
    cli_progress_wipe(&progress);
    if (code)
        return cli_fail(&err);
    r->diff = tare_diff_report(diff);
    int status = CLI_GO_ON;
    if (r->loss->text) {
        r->score = &scored;
        status = score(r, made, &err);
    }
    r->seconds = cli_seconds() - start;
    if (status == CLI_GO_ON)
        status = print(r);
    cli_score_free(&scored);
    tare_diff_free(diff);
    return status;
}

int cli_loss_report(const struct cli_loss *loss)
{
    const double start = cli_seconds();
    struct result result = {.loss = loss};
    struct cli_source source;
    struct tare_error err = {0};
    tare_model *made = NULL;
    int status;
    if (cli_source_find(&source, loss->output, &err) != TARE_OK)
        return cli_fail(&err);
    source.options.threads = loss->threads;
    if (cli_source_plan(&source, &made, &err) != TARE_OK) {
        status = cli_fail(&err);
    } else {
        result.bytes[0] = tare_model_report(loss->floats)->bytes;
        result.bytes[1] = tare_model_report(made)->bytes;
        status = compare(&result, made, start);
    }
    tare_model_free(made);
    return status;
}
