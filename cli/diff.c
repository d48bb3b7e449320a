/* SPDX-License-Identifier: MIT
 * diff.c - tare diff: compares two checkpoints, in whatever formats, parameter by parameter. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "cli.h"
#include "diff_headers.h"
#include "html.h"
#include "print.h"
#include "progress.h"
#include "source.h"

enum { SHOWN = 40 };

static void put_side(const struct tare_diff_side *side)
{
    cli_put(stdout, side->packing);
    if (side->bits)
        printf(" %d bits", side->bits);
    if (side->group_size)
        printf(" group %" PRId64, side->group_size);
}

/* Prints one line on a parameter that differs: both forms, the largest difference and its place, and how many numbers
 * differ. */
static void put_row(const struct tare_diff_row *row)
{
    printf("  %-11s", row->sameness == TARE_ONLY_FIRST    ? "only in A"
                      : row->sameness == TARE_ONLY_SECOND ? "only in B"
                                                          : tare_sameness_name(row->sameness));
    cli_put(stdout, row->name);
    if (row->sameness == TARE_DIFFERENT_SHAPE)
        printf(": %s in A, %s in B", cli_shape(row->side[0]->rank, row->side[0]->shape).text,
               cli_shape(row->side[1]->rank, row->side[1]->shape).text);
    else if (row->sameness == TARE_DIFFERENT) {
        fputs(" (", stdout);
        put_side(row->side[0]);
        fputs(", ", stdout);
        put_side(row->side[1]);
        printf("): %.3g at row %" PRId64 ", column %" PRId64 ": %.9g in A, %.9g in B; %" PRIu64 " of %" PRIu64
               " differ%s",
               row->largest, row->row, row->column, row->value[0], row->value[1], row->differing, row->elements,
               row->codes ? "; codes and scales are the same" : "");
    }
    putchar('\n');
}

static void summary(const struct tare_diff_report *report)
{
    static const char *const words[TARE_SAMENESS_COUNT] = {
        "equal bytes", "equal codes", "equal values", "different", "of another shape", "only in A", "only in B"};
    bool any = false;
    printf("  %-11s%zu: ", "parameters", report->n_rows);
    for (int k = 0; k < TARE_SAMENESS_COUNT; k++)
        if (report->counts[k]) {
            printf("%s%zu %s", any ? ", " : "", report->counts[k], words[k]);
            any = true;
        }
    putchar('\n');
    cli_colour(stdout, report->equal ? CLI_GOOD : CLI_BAD);
    if (report->equal)
        fputs(report->counts[TARE_SAME_BYTES] == report->n_rows ? "equal" : "equal, in another form", stdout);
    else if (report->largest < report->n_rows)
        printf("different: by %.3g at most", report->rows[report->largest].largest);
    else
        fputs("different", stdout);
    cli_colour(stdout, CLI_PLAIN);
    putchar('\n');
}

static void print(const struct tare_diff_report *report, bool all)
{
    size_t shown = 0, left = 0;
    for (size_t k = 0; k < report->n_rows; k++) {
        const bool differs = report->rows[k].sameness >= TARE_DIFFERENT;
        if (all || (differs && shown < SHOWN)) {
            put_row(&report->rows[k]);
            shown += differs;
        } else {
            left += differs;
        }
    }
    if (left)
        printf("  and %zu more; --all lists them\n", left);
    summary(report);
}

struct asked {
    bool json;
    bool all;
    bool headers;
    const char *html;
    int tie;
    int zeros;
    int64_t threads;
};

static int compare(tare_model *const model[2], const struct asked *asked)
{
    struct tare_diff_options options = TARE_DIFF_OPTIONS_INIT;
    struct cli_progress progress = cli_progress_init();
    struct tare_error err = {0};
    tare_diff *diff = NULL;
    options.threads = (int)asked->threads;
    options.progress = cli_progress_show;
    options.user = &progress;
    const enum tare_code code = tare_diff_open(&diff, model[0], model[1], &options, &err);
    cli_progress_wipe(&progress);
    if (code)
        return cli_fail(&err);
    const struct tare_diff_report *report = tare_diff_report(diff);
    int status = report->equal ? 0 : 1;
    if (asked->html)
        status = cli_html_write(asked->html, "diff.html", tare_diff_json(diff), status);
    if (asked->json) {
        status = cli_put_made(tare_diff_json(diff), status);
    } else if (!asked->html) {
        print(report, asked->all);
    }
    tare_diff_free(diff);
    return status;
}

static const struct cli_flag flags[] = {
    {.name = "json",
     CLI_IS_SWITCH(struct asked, json),
     .usual = true,
     .help = "print every parameter as one JSON object (docs/json.md)"},
    {.name = "all", CLI_IS_SWITCH(struct asked, all), .usual = true, .help = "list equal parameters too"},
    {.name = "headers",
     CLI_IS_SWITCH(struct asked, headers),
     .usual = true,
     .help = "compare names, shapes and formats; no weight is read",
     .more = "A model of the hub that is not in the cache is then read where it is, and not downloaded."},
    CLI_FLAG_HTML(struct asked, html),
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
    tare_model *model[2] = {NULL, NULL};
    struct cli_source source[2] = {0};
    cli_interrupt_catch();
    status = 0;
    for (int k = 0; k < 2 && !status; k++) {
        struct tare_options *options = &source[k].options;
        struct tare_error err = {0};
        if ((asked.headers ? cli_source_find_headers : cli_source_find)(&source[k], argv[k], &err) != TARE_OK) {
            status = cli_fail(&err);
            break;
        }
        options->tie = (enum tare_tie)asked.tie;
        options->zeros = (enum tare_zeros)asked.zeros;
        options->threads = (int)asked.threads;
        options->no_data = options->no_data || asked.headers;
        if (cli_source_plan(&source[k], &model[k], &err) != TARE_OK)
            status = cli_fail(&err);
    }
    if (!status && asked.headers)
        status = cli_diff_headers(model[0], model[1], asked.json, asked.all);
    else if (!status)
        status = compare(model, &asked);
    for (int k = 0; k < 2; k++) {
        tare_model_free(model[k]);
        cli_source_release(&source[k]);
    }
    return status;
}

const struct cli_verb cli_diff = {
    .name = "diff",
    .summary = "Two checkpoints in any formats: what is equal, and how far the rest is.",
    .about =
        "Compares two checkpoints in any formats, parameter by parameter: the same bytes; the same codes, scales and "
        "zeros in another layout; the same values, dequantized in float32; or the largest absolute difference, its "
        "row and column, and both numbers. "
        "Lists what differs, and sums up.",
    .words = {{.name = "A", .takes = CLI_TAKES_MODEL}, {.name = "B", .takes = CLI_TAKES_MODEL}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare diff models/fable fable", "Compares a folder with the built-in model."},
                 {"tare convert -o fable-awq --to awq && tare diff fable fable-awq --all",
                  "Shows what a conversion kept."}},
    .exit_one = "Something differs, or only one of them has it.",
    .see = "verify convert",
    .run = run,
};
