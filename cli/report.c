/* SPDX-License-Identifier: MIT
 * report.c - the report in words. Every name in it comes from a file, so it goes through cli_put(). */
#include "report.h"

#include <stdio.h>
#include <string.h>

#include "print.h"

enum { FEW = 4, SOME = 12 };

static void label(const char *word)
{
    printf("  %-11s", word);
}

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static void format_line(const struct tare_report_format *f)
{
    cli_put(stdout, f->packing);
    if (f->bits)
        printf(" %d bits", f->bits);
    if (f->group_size)
        printf(" group %lld", (long long)f->group_size);
    printf(" (%zu module%s)", f->modules, plural(f->modules));
}

void cli_report_what(const struct tare_report *report)
{
    if (!report->model_type && !report->bytes)
        return; /* there was nothing to look at */
    cli_put(stdout, report->model ? report->model : "?");
    fputs(": ", stdout);
    cli_put(stdout, report->model_type ? report->model_type : "unknown model type");
    if (report->elements)
        printf(", %s parameters", cli_number(report->elements).text);
    if (report->bytes)
        printf(", %s", cli_bytes(report->bytes).text);
    putchar('\n');
    for (size_t i = 0; i < report->n_formats; i++) {
        if (i == 0)
            label("formats");
        else
            fputs(", ", stdout);
        format_line(&report->formats[i]);
    }
    if (report->n_formats)
        putchar('\n');
}

static bool ends(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Does the set of tensors that are set aside contain a packed head? */
static bool is_quantized_head(const struct tare_report *report)
{
    for (size_t i = 0; i < report->n_set_aside; i++) {
        const char *name = report->set_aside[i].name;
        if (ends(name, "lm_head.qweight") || ends(name, "lm_head.scales"))
            return true;
    }
    return false;
}

/* Prints why a head was dropped or kept: the file and key that said so, or the default, or nothing. */
static void head_reason(const struct tare_report_head *head)
{
    const bool tied = strcmp(head->decision, "drop") == 0;
    const char *colon = strchr(head->evidence, ':'), *where = head->where;
    if (strncmp(head->evidence, "config:", 7) == 0) {
        if (!where || !*where)
            printf("config.json: ");
        cli_put(stdout, where && *where ? where : colon + 1);
        if (!where || !strchr(where, '='))
            printf(" = %s", tied ? "true" : "false");
    } else if (strncmp(head->evidence, "args:", 5) == 0) {
        printf("config.json is silent; by default ");
        cli_put(stdout, where && *where ? where : colon + 1);
        if (!where || !strchr(where, '='))
            printf(" = %s", tied ? "true" : "false");
    } else if (strcmp(head->evidence, "none") == 0) {
        printf("nothing says that it is tied");
    } else {
        cli_put(stdout, where && *where ? where : head->evidence);
    }
}

/* Prints one line on an output head: what became of it, why, and whether it equals the embedding. */
static void head_line(const struct tare_report *report, const struct tare_report_head *head)
{
    label("head");
    cli_put(stdout, head->prefix);
    if (strcmp(head->decision, "load") == 0) {
        printf(": the model's own, loaded");
    } else {
        if (strcmp(head->decision, "drop") == 0)
            printf(": redundant %shead set aside (", is_quantized_head(report) ? "quantized " : "");
        else
            printf(": kept, though the model has no parameter for it (");
        head_reason(head);
        putchar(')');
    }
    if (!head->proof)
        fputs(strcmp(head->decision, "drop") == 0 ? ", not compared with the embedding" : "", stdout);
    else if (strcmp(head->proof, "equal") == 0)
        printf(", proved equal to the embedding");
    else
        printf(", it differs from the embedding");
    putchar('\n');
}

void cli_report_heads(const struct tare_report *report)
{
    for (size_t i = 0; i < report->n_heads; i++)
        head_line(report, &report->heads[i]);
}

static void tensor_line(const struct tare_report_tensor *t)
{
    printf("    ");
    cli_put(stdout, t->name);
    printf(" %s", cli_shape(t->rank, t->shape).text);
    if (t->dtype) {
        putchar(' ');
        cli_put(stdout, t->dtype);
    }
    if (t->expected)
        printf(", expected %s", cli_shape(t->expected_rank, t->expected).text);
    if (t->file) {
        fputs(", ", stdout);
        cli_put(stdout, t->file);
    }
    putchar('\n');
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Were two tensors set aside by the same rule, on the same evidence? */
static bool same_reason(const struct tare_report_tensor *a, const struct tare_report_tensor *b)
{
    return same(a->rule, b->rule) && same(a->evidence, b->evidence);
}

void cli_report_set_aside(const struct tare_report *report, bool all)
{
    const struct tare_report_tensor *t = report->set_aside;
    const size_t n = report->n_set_aside;
    for (size_t i = 0; i < n; i++) {
        size_t j = 0, members = 0, shown = 0;
        while (j < i && !same_reason(&t[i], &t[j]))
            j++;
        if (j < i)
            continue; /* printed with the first tensor of its rule */
        for (j = i; j < n; j++)
            members += same_reason(&t[i], &t[j]);
        label("set aside");
        printf("%zu tensor%s: ", members, plural(members));
        cli_put(stdout, t[i].rule ? t[i].rule : "?");
        if (t[i].evidence && *t[i].evidence) {
            fputs(" (", stdout);
            cli_put(stdout, t[i].evidence);
            putchar(')');
        }
        putchar('\n');
        for (j = i; j < n && (all || shown < FEW); j++) {
            if (!same_reason(&t[i], &t[j]))
                continue;
            tensor_line(&t[j]);
            shown++;
        }
        if (shown < members)
            printf("    and %zu more (tare explain names them)\n", members - shown);
    }
}

static void strict_list(const char *word, const struct tare_report_tensor *t, size_t n, bool all)
{
    const size_t shown = all || n < SOME ? n : SOME;
    if (n == 0)
        return;
    label(word);
    printf("%zu tensor%s\n", n, plural(n));
    for (size_t i = 0; i < shown; i++)
        tensor_line(&t[i]);
    if (shown < n)
        printf("    and %zu more (tare explain names them)\n", n - shown);
}

void cli_report_strict(const struct tare_report *report, bool all)
{
    strict_list("missing", report->missing, report->n_missing, all);
    strict_list("unexpected", report->unexpected, report->n_unexpected, all);
    strict_list("misshapen", report->misshapen, report->n_misshapen, all);
}

void cli_report_account(const struct tare_report *report)
{
    if (!report->sources && !report->declared)
        return;
    label("account");
    printf("%zu tensor%s = %zu used + %zu set aside", report->sources, plural(report->sources), report->used,
           report->n_set_aside);
    if (report->n_unexpected)
        printf(" + %zu unexpected", report->n_unexpected);
    if (report->misshapen_sources)
        printf(" + %zu misshapen", report->misshapen_sources);
    printf("; %zu parameter%s = %zu bound", report->declared, plural(report->declared), report->bound);
    if (report->n_missing)
        printf(" + %zu missing", report->n_missing);
    if (report->n_misshapen)
        printf(" + %zu misshapen", report->n_misshapen);
    putchar('\n');
}

static void finding_line(FILE *file, const struct tare_report_finding *finding)
{
    static const char *const word[] = {"note", "warning", "error"};
    static const enum cli_colour colour[] = {CLI_FAINT, CLI_DOUBT, CLI_BAD};
    cli_colour(file, colour[finding->level]);
    fputs(word[finding->level], file);
    cli_colour(file, CLI_PLAIN);
    fputs(": ", file);
    if (finding->where && *finding->where) {
        cli_put(file, finding->where);
        fputs(": ", file);
    }
    cli_put(file, finding->text);
    fputs(" [", file);
    cli_put(file, finding->code);
    fputs("]\n", file);
}

void cli_report_findings(const struct tare_report *report)
{
    for (size_t i = 0; i < report->n_findings; i++) {
        fputs("  ", stdout);
        finding_line(stdout, &report->findings[i]);
    }
}

size_t cli_report_count(const struct tare_report *report, enum tare_level least)
{
    size_t n = 0;
    for (size_t i = 0; i < report->n_findings; i++)
        n += report->findings[i].level >= least;
    return n;
}

void cli_report_warn(const tare_model *model)
{
    const struct tare_report *report = tare_model_report(model);
    for (size_t i = 0; report && i < report->n_findings; i++) {
        if (report->findings[i].level < TARE_WARNING)
            continue;
        fputs("tare: ", stderr);
        finding_line(stderr, &report->findings[i]);
    }
}
