/* SPDX-License-Identifier: MIT
 * check.c - tare check: says whether a model will load, whether it is sound, and what is set aside and why. */
#include <stdio.h>

#include "cli.h"
#include "cost.h"
#include "html.h"
#include "look.h"
#include "print.h"
#include "report.h"
#include "serve/inspect.h"

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

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct cli_look look;
    int status = cli_look(verb, argc, argv, &look);
    if (status != CLI_GO_ON)
        return status;
    const struct tare_report *report = look.report;
    status = look.code == TARE_OK && cli_report_count(report, TARE_WARNING) ? 1 : look.status;
    if (look.html)
        status = cli_html_write(look.html, "check.html", serve_inspect_plan(look.model, NULL), status);
    if (look.json) {
        status = cli_put_made(cli_cost_json(&look, tare_model_json(look.model, false)), status);
    } else if (!look.html) {
        cli_report_what(report);
        cli_report_heads(report);
        cli_report_set_aside(report, false);
        cli_report_strict(report, false);
        cli_report_account(report);
        cli_cost_print(&look);
        cli_report_findings(report);
        verdict(report, look.code, &look.err);
    }
    cli_look_release(&look);
    return status;
}

static const struct cli_flag flags[] = {
    CLI_FLAGS_LOOK("print the report as one JSON object (docs/json.md)"),
    CLI_FLAG_HTML(struct cli_look_asked, html),
};

const struct cli_verb cli_check = {
    .name = "check",
    .summary = "Will it load, is it sound, what is set aside and why?",
    .about = "Plans the checkpoint and says what the plan is: the model type and its size, the formats of its weights, "
             "which output head counts, which tensors are set aside and by which rule, and each finding. "
             "The last line is the verdict. "
             "Only headers are read, and so much data as the question of the head needs.",
    .words = {{.name = "MODEL", .takes = CLI_TAKES_MODEL, .optional = true}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare check models/fable", "Checks a folder."},
                 {"tare check models/fable --json | grep model_type", "Asks the report one thing."},
                 {"tare check models/fable --html fable.html", "Writes the report as one page to look at."}},
    .exit_one = "It loads, with findings.",
    .see = "explain verify repair",
    .run = run,
};
