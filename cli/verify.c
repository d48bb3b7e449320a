/* SPDX-License-Identifier: MIT
 * verify.c - tare verify: checks whether the content is what it should be. */
#include <stdio.h>

#include "cli.h"
#include "print.h"
#include "progress.h"
#include "source.h"

static void put_files(const struct tare_verify_report *report)
{
    size_t held = 0, match = 0;
    for (size_t k = 0; k < report->n_files; k++) {
        const struct tare_verify_file *file = &report->files[k];
        held += file->expected != NULL;
        match += file->expected && file->matches;
    }
    printf("  files      %zu, %s hashed: ", report->n_files, cli_bytes(report->bytes_hashed).text);
    if (held)
        printf("%zu of %zu are what the %s says\n", match, held, "hub cache or tare.json");
    else
        puts("nobody says what their sha256 should be");
    for (size_t k = 0; k < report->n_files; k++) {
        const struct tare_verify_file *file = &report->files[k];
        if (!*file->sha256)
            continue;
        printf("    %s  ", file->sha256);
        cli_put(stdout, file->name);
        if (file->source)
            printf(" (%s: %s)", file->source, file->matches ? "the same" : "another");
        putchar('\n');
    }
}

static void print(const struct tare_verify_report *report, bool hash, bool values)
{
    cli_put(stdout, report->model);
    putchar('\n');
    if (hash)
        put_files(report);
    if (values)
        printf("  numbers    %s looked at\n", cli_bytes(report->bytes_scanned).text);
    for (size_t k = 0; k < report->n_findings; k++) {
        const struct tare_report_finding *f = &report->findings[k];
        cli_colour(stdout, CLI_DOUBT);
        printf("  %s ", f->code);
        cli_colour(stdout, CLI_PLAIN);
        cli_put(stdout, f->where);
        fputs(": ", stdout);
        cli_put(stdout, f->text);
        putchar('\n');
    }
    cli_colour(stdout, report->n_findings ? CLI_DOUBT : CLI_GOOD);
    if (report->n_findings)
        printf("%zu finding%s", report->n_findings, report->n_findings == 1 ? "" : "s");
    else
        fputs("clean", stdout);
    cli_colour(stdout, CLI_PLAIN);
    putchar('\n');
}

static int verify_model(tare_model *model, const struct tare_verify_options *given, bool json)
{
    struct tare_verify_options options = *given;
    struct cli_progress progress = cli_progress_init();
    struct tare_error err = {0};
    tare_verify *verify = NULL;
    options.progress = cli_progress_show;
    options.user = &progress;
    const enum tare_code code = tare_verify_open(&verify, model, &options, &err);
    cli_progress_wipe(&progress);
    if (code)
        return cli_fail(&err);
    const struct tare_verify_report *report = tare_verify_report(verify);
    int status = report->n_findings ? 1 : 0;
    if (json) {
        status = cli_put_made(tare_verify_json(verify), status);
    } else {
        print(report, !options.no_hash, !options.no_values);
    }
    tare_verify_free(verify);
    return status;
}

struct asked {
    struct tare_verify_options verify;
    bool json;
    int zeros;
    int64_t threads;
};

static const struct cli_flag flags[] = {
    {.name = "json",
     CLI_IS_SWITCH(struct asked, json),
     .usual = true,
     .help = "print files and findings as one JSON object (docs/json.md)"},
    {.name = "no-hash",
     CLI_IS_SWITCH(struct asked, verify.no_hash),
     .usual = true,
     .help = "leave the files' sha256 out"},
    {.name = "no-values",
     CLI_IS_SWITCH(struct asked, verify.no_values),
     .usual = true,
     .help = "leave the numbers out"},
    CLI_FLAG_ZEROS(struct asked, zeros),
    CLI_FLAG_THREADS(struct asked, threads),
};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct asked asked = {.verify = TARE_VERIFY_OPTIONS_INIT, .zeros = TARE_ZEROS_AUTO};
    int words = 0, status = cli_parse(verb, &asked, argc, argv, &words);
    if (status != CLI_GO_ON)
        return status;
    struct cli_source source;
    struct tare_error err = {0};
    tare_model *model = NULL;
    if (cli_source_find(&source, words ? argv[0] : NULL, &err) != TARE_OK)
        return cli_fail(&err);
    source.options.zeros = (enum tare_zeros)asked.zeros;
    source.options.threads = asked.verify.threads = (int)asked.threads;
    cli_interrupt_catch();
    status = cli_source_plan(&source, &model, &err) == TARE_OK ? verify_model(model, &asked.verify, asked.json)
                                                               : cli_fail(&err);
    tare_model_free(model);
    return status;
}

const struct cli_verb cli_verify = {
    .name = "verify",
    .summary = "Is the content what it should be: hashes, and every number?",
    .about =
        "Holds the sha256 of each shard, and git's hash of each small file, against the name that the Hugging Face "
        "cache gives to it, and against tare.json where a conversion left one. "
        "All floats are searched for NaN and infinity, scales for denormal ones, packed weights for dead groups (their "
        "scale is 0, or all their codes are the zero) and zeros that the bits do not hold, the folder for weights "
        "that are there twice.",
    .words = {{.name = "MODEL", .takes = CLI_TAKES_MODEL, .optional = true}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare verify models/fable", "Looks at every file and every number."},
                 {"tare verify models/fable --no-values", "Compares the hashes only."}},
    .exit_one = "There are findings.",
    .see = "check diff repair",
    .run = run,
};
