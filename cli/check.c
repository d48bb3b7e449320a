/* SPDX-License-Identifier: MIT
 * check.c - tare check: will it load, is it sound, what is set aside and why. */
#include <stdio.h>

#include "cli.h"
#include "print.h"
#include "report.h"
#include "source.h"

static void verdict(const struct tare_report *report, enum tare_code code, const struct tare_error *err)
{
    const size_t findings = cli_report_count(report, TARE_WARNING);
    if (code != TARE_OK) {
        cli_colour(stdout, CLI_BAD);
        fputs("does not load: ", stdout);
        if (*err->where) {
            cli_put(stdout, err->where);
            fputs(": ", stdout);
        }
        cli_put(stdout, err->text);
    } else if (findings) {
        cli_colour(stdout, CLI_DOUBT);
        printf("loads, with %zu finding%s", findings, findings == 1 ? "" : "s");
    } else {
        cli_colour(stdout, CLI_GOOD);
        fputs("sound: it loads, and every tensor is accounted for", stdout);
    }
    cli_colour(stdout, CLI_PLAIN);
    putchar('\n');
}

static int print_json(const tare_model *model, int status)
{
    char *text = tare_model_json(model, false);
    if (!text) {
        cli_error("", "out of memory");
        return tare_code_exit(TARE_E_MEMORY);
    }
    puts(text);
    tare_text_free(text);
    return status;
}

int cli_check(const struct cli_verb *verb, int argc, char **argv)
{
    bool json = false, no_data = false;
    int tie = TARE_TIE_AUTO, zeros = TARE_ZEROS_AUTO, words = 0;
    int64_t threads = 0;
    const struct cli_flag flags[] = {
        {"json", 0, CLI_SWITCH, &json, NULL, "print the report as one JSON object (docs/json.md)", 0, 0, NULL},
        {"no-data", 0, CLI_SWITCH, &no_data, NULL, "read headers only: the head is not compared with the embedding", 0,
         0, NULL},
        CLI_FLAG_TIE(&tie),
        CLI_FLAG_ZEROS(&zeros),
        CLI_FLAG_THREADS(&threads),
    };
    int status = cli_parse(verb, flags, sizeof flags / sizeof *flags, argc, argv, 1, &words);
    if (status != CLI_GO_ON)
        return status;

    struct cli_source source;
    struct tare_error err = {0};
    tare_model *model = NULL;
    if (cli_source_find(&source, words ? argv[0] : NULL, &err) != TARE_OK)
        return cli_fail(&err);
    source.options.tie = (enum tare_tie)tie;
    source.options.zeros = (enum tare_zeros)zeros;
    source.options.no_data = no_data;
    source.options.threads = (int)threads;
    const enum tare_code code = cli_source_plan(&source, &model, &err);
    status = code == TARE_OK ? 0 : cli_fail(&err);
    const struct tare_report *report = model ? tare_model_report(model) : NULL;
    if (!report) {
        tare_model_free(model);
        return status;
    }
    if (code == TARE_OK && cli_report_count(report, TARE_WARNING))
        status = 1;
    if (json) {
        status = print_json(model, status);
    } else {
        cli_report_what(report);
        cli_report_heads(report);
        cli_report_set_aside(report, false);
        cli_report_strict(report, false);
        cli_report_account(report);
        cli_report_findings(report);
        verdict(report, code, &err);
    }
    tare_model_free(model);
    return status;
}
