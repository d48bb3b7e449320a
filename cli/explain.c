/* SPDX-License-Identifier: MIT
 * explain.c - tare explain: prints the whole plan, or where one tensor comes from or went. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "cost.h"
#include "look.h"
#include "near.h"
#include "print.h"
#include "report.h"

enum { COLUMNS = 3 }; /* name, shape and packing are aligned; the recipe and the sources after them are not */

/* The width of a name on the terminal. Control characters, which cli_put() makes longer, are not counted: they are so
 * rare in names that a crooked column is right for them. */
static int width_of(const char *text)
{
    return (int)strlen(text);
}

static const char *packing_of(const struct tare_report_tensor *t, char *room, size_t size)
{
    if (t->bits && t->group_size)
        snprintf(room, size, "%s %d/%lld", t->packing, t->bits, (long long)t->group_size);
    else
        snprintf(room, size, "%s", t->packing ? t->packing : t->dtype ? t->dtype : "?");
    return room;
}

static void cell(const char *text, int width)
{
    cli_put(stdout, text);
    printf("%*s", width - width_of(text) + 2, "");
}

static void widen(int *width, const char *text)
{
    const int w = width_of(text);
    *width = w > *width ? w : *width;
}

static void sources(const struct tare_report_tensor *t)
{
    const bool one = t->n_sources == 1 && strcmp(t->sources[0], t->name) == 0;
    for (size_t i = 0; i < t->n_sources && i < COLUMNS && !one; i++) {
        fputs(i ? ", " : " <- ", stdout);
        cli_put(stdout, t->sources[i]);
    }
    if (t->n_sources > COLUMNS)
        printf(" and %zu more", t->n_sources - COLUMNS);
}

static void parameters(const struct tare_report *report)
{
    char packing[96];
    int width[COLUMNS] = {0};
    for (size_t i = 0; i < report->n_parameters; i++) {
        const struct tare_report_tensor *t = &report->parameters[i];
        widen(&width[0], t->name);
        widen(&width[1], cli_shape(t->rank, t->shape).text);
        widen(&width[2], packing_of(t, packing, sizeof packing));
    }
    if (report->n_parameters)
        printf("  parameters\n");
    for (size_t i = 0; i < report->n_parameters; i++) {
        const struct tare_report_tensor *t = &report->parameters[i];
        printf("    ");
        cell(t->name, width[0]);
        cell(cli_shape(t->rank, t->shape).text, width[1]);
        cell(packing_of(t, packing, sizeof packing), width[2]);
        cli_put(stdout, t->rule ? t->rule : "");
        sources(t);
        putchar('\n');
    }
}

static void offer(struct cli_near *near, const struct tare_report_tensor *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cli_near_offer(near, t[i].name);
        for (size_t j = 0; j < t[i].n_sources; j++)
            if (strcmp(t[i].sources[j], t[i].name) != 0)
                cli_near_offer(near, t[i].sources[j]);
    }
}

static int no_such_tensor(const struct tare_report *report, const char *name)
{
    struct cli_near near = cli_near_init(name);
    offer(&near, report->parameters, report->n_parameters);
    offer(&near, report->set_aside, report->n_set_aside);
    offer(&near, report->missing, report->n_missing);
    offer(&near, report->unexpected, report->n_unexpected);
    offer(&near, report->misshapen, report->n_misshapen);
    char list[768] = "the model has no tensors";
    for (size_t i = 0; i < near.n; i++) {
        const size_t at = i ? strlen(list) : 0;
        snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "the nearest are ", near.name[i]);
    }
    return cli_wrong("%s: no tensor of that name; %s", name, list);
}

static int one_tensor(const tare_model *model, const struct tare_report *report, const char *name, bool json,
                      int status)
{
    char *text = tare_model_explain(model, name, json);
    if (!text)
        return no_such_tensor(report, name);
    if (json)
        return cli_put_made(text, status);
    const size_t n = strlen(text);
    cli_put_lines(stdout, text, n);
    if (n == 0 || text[n - 1] != '\n')
        putchar('\n');
    tare_text_free(text);
    return status;
}

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct cli_look look;
    int status = cli_look(verb, argc, argv, &look);
    if (status != CLI_GO_ON)
        return status;
    const struct tare_report *report = look.report;
    status = look.status;
    if (look.words == 2) {
        status = one_tensor(look.model, report, argv[1], look.json, status);
    } else if (look.json) {
        status = cli_put_made(cli_cost_json(&look, tare_model_json(look.model, true)), status);
    } else {
        cli_report_what(report);
        cli_report_heads(report);
        parameters(report);
        cli_report_set_aside(report, true);
        cli_report_strict(report, true);
        cli_report_account(report);
        cli_cost_print(&look);
        cli_report_findings(report);
    }
    cli_look_release(&look);
    return status;
}

static const struct cli_flag flags[] = {CLI_FLAGS_LOOK("print one JSON object (docs/json.md)")};

const struct cli_verb cli_explain = {
    .name = "explain",
    .summary = "The whole plan, or where one tensor comes from or went.",
    .about = "Prints the whole plan: each parameter of the model with its shape, its format and its source. "
             "With TENSOR it prints where that one comes from or went: its file and offset, each rewriting, its rule, "
             "the config key. "
             "A name that does not exist ends with 2 and the nearest names.",
    .words = {{.name = "MODEL", .takes = CLI_TAKES_MODEL, .optional = true},
              {.name = "TENSOR", .optional = true, .inside = true}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare explain models/fable", "Prints the whole plan."},
                 {"tare explain models/fable lm_head.qweight", "Says why the head is set aside."}},
    .see = "check convert",
    .run = run,
};
