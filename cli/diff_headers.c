/* SPDX-License-Identifier: MIT
 * diff_headers.c - tare diff --headers: names, shapes and formats of two models; no weight is read. */
#include "diff_headers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "print.h"

/* The parameters of a model, by name. */
struct side {
    const struct tare_report *report;
    const struct tare_report_tensor **sorted;
    size_t n;
};

enum how { EQUAL, ONLY_A, ONLY_B, SHAPE, FORMAT, HOWS };
static const char *const words[HOWS] = {"equal", "only in A", "only in B", "another shape", "another format"};

struct counts {
    size_t of[HOWS];
};

static int by_name(const void *left, const void *right)
{
    const struct tare_report_tensor *const *a = left, *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

static bool sort(struct side *side, const tare_model *model)
{
    side->report = tare_model_report(model);
    side->n = side->report->n_parameters;
    side->sorted = calloc(side->n + 1, sizeof *side->sorted);
    for (size_t i = 0; i < side->n && side->sorted; i++)
        side->sorted[i] = &side->report->parameters[i];
    if (side->sorted && side->n)
        qsort(side->sorted, side->n, sizeof *side->sorted, by_name);
    return side->sorted != NULL;
}

static enum how compare(const struct tare_report_tensor *a, const struct tare_report_tensor *b)
{
    if (!a || !b)
        return a ? ONLY_A : ONLY_B;
    if (a->rank != b->rank || memcmp(a->shape, b->shape, sizeof *a->shape * (size_t)a->rank) != 0)
        return SHAPE;
    const char *first = a->packing ? a->packing : a->dtype, *second = b->packing ? b->packing : b->dtype;
    const bool same = strcmp(first ? first : "", second ? second : "") == 0;
    return same && a->bits == b->bits && a->group_size == b->group_size ? EQUAL : FORMAT;
}

/* "awq-gemm 4/128 (4096, 4096)", or "-". */
struct text {
    char text[256];
};
static struct text what(const struct tare_report_tensor *t)
{
    struct text out = {"-"};
    if (t && t->bits)
        snprintf(out.text, sizeof out.text, "%s %d/%lld %s", t->packing, t->bits, (long long)t->group_size,
                 cli_shape(t->rank, t->shape).text);
    else if (t)
        snprintf(out.text, sizeof out.text, "%s %s",
                 t->packing ? t->packing
                 : t->dtype ? t->dtype
                            : "?",
                 cli_shape(t->rank, t->shape).text);
    return out;
}

static void put(const struct tare_report_tensor *a, const struct tare_report_tensor *b, enum how how, bool json,
                bool first)
{
    const char *name = a ? a->name : b->name;
    if (json) {
        printf("%s\n  {\"name\": ", first ? "" : ",");
        cli_put_json(stdout, name);
        printf(", \"how\": \"%s\", \"a\": ", words[how]);
        cli_put_json(stdout, what(a).text);
        fputs(", \"b\": ", stdout);
        cli_put_json(stdout, what(b).text);
        putchar('}');
        return;
    }
    printf("  %-14s ", words[how]);
    cli_put(stdout, name);
    printf(": %s, %s\n", what(a).text, what(b).text);
}

static struct counts walk(const struct side *a, const struct side *b, bool json, bool all)
{
    struct counts counts = {{0}};
    bool first = true;
    for (size_t i = 0, k = 0; i < a->n || k < b->n;) {
        const struct tare_report_tensor *x = i < a->n ? a->sorted[i] : NULL, *y = k < b->n ? b->sorted[k] : NULL;
        const int order = !x ? 1 : !y ? -1 : strcmp(x->name, y->name);
        x = order <= 0 ? x : NULL;
        y = order >= 0 ? y : NULL;
        i += x != NULL;
        k += y != NULL;
        const enum how how = compare(x, y);
        counts.of[how]++;
        if (all || how != EQUAL) {
            put(x, y, how, json, first);
            first = false;
        }
    }
    return counts;
}

int cli_diff_headers(const tare_model *a, const tare_model *b, bool json, bool all)
{
    struct side side[2] = {{0}};
    int status = 0;
    if (!sort(&side[0], a) || !sort(&side[1], b)) {
        cli_error("", "out of memory");
        status = tare_code_exit(TARE_E_MEMORY);
    } else {
        if (json)
            fputs("{\"parameters\": [", stdout);
        const struct counts counts = walk(&side[0], &side[1], json, all);
        const size_t differ = counts.of[ONLY_A] + counts.of[ONLY_B] + counts.of[SHAPE] + counts.of[FORMAT];
        if (json)
            printf("],\n \"equal\": %zu, \"differ\": %zu}\n", counts.of[EQUAL], differ);
        else
            printf("headers: %zu of %zu parameters have the same shape and format; their content was not read\n",
                   counts.of[EQUAL], counts.of[EQUAL] + differ);
        status = differ ? 1 : 0;
    }
    free(side[0].sorted);
    free(side[1].sorted);
    return status;
}
