/* SPDX-License-Identifier: MIT
 * ls.c - tare ls: what the Hugging Face cache holds. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "hub/cached.h"
#include "hub_setting.h"
#include "print.h"

/* What is known of a snapshot from its headers. */
struct model {
    /* "awq-gemm 4 bits, float16": packings with their bits; "" when it was not planned. */
    char formats[160];
    int bits;
    const char *state;
};

static void add_format(struct model *model, const struct tare_report_format *format)
{
    const size_t at = strlen(model->formats);
    if (!format->bits && at) /* plain norms and embeddings beside packed weights are no news */
        return;
    snprintf(model->formats + at, sizeof model->formats - at, "%s%s", at ? ", " : "", format->packing);
    model->bits = format->bits > model->bits ? format->bits : model->bits;
}

/* Plans the snapshot from headers alone. */
static void look(const struct tare_cached *cached, struct model *model)
{
    char path[TARE_HUB_PATH + 1024];
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_error err = {0};
    tare_model *plan = NULL;
    memset(model, 0, sizeof *model);
    model->state = cached->fault;
    if (cached->fault)
        return;
    options.no_data = true;
    options.threads = 1;
    snprintf(path, sizeof path, "%s%s%s", cached->snapshot, *cached->file ? "/" : "", cached->file);
    const enum tare_code code = tare_plan(&plan, path, &options, &err);
    const struct tare_report *report = plan ? tare_model_report(plan) : NULL;
    model->state = code == TARE_OK ? "sound" : code == TARE_E_UNKNOWN ? "unknown to tare" : "does not load";
    for (int pass = 0; pass < 2 && report; pass++) /* packed ones first */
        for (size_t i = 0; i < report->n_formats; i++)
            if ((report->formats[i].bits != 0) == (pass == 0))
                add_format(model, &report->formats[i]);
    tare_model_free(plan);
}

static void put_time(FILE *file, int64_t seconds, const char *form)
{
    char text[32] = "";
    const time_t when = (time_t)seconds;
    struct tm local;
    if (seconds && gmtime_r(&when, &local))
        strftime(text, sizeof text, form, &local);
    fputs(text, file);
}

static void put_json(const struct tare_cached *cached, const struct model *model, bool first)
{
    printf("%s\n  {\"model\": ", first ? "" : ",");
    cli_put_json(stdout, cached->id);
    fputs(", \"commit\": ", stdout);
    cli_put_json(stdout, cached->commit);
    fputs(", \"revisions\": ", stdout);
    cli_put_json(stdout, cached->revisions);
    fputs(", \"formats\": ", stdout);
    cli_put_json(stdout, model->formats);
    printf(", \"bits\": %d, \"bytes\": %" PRIu64 ", \"files\": %zu, \"state\": ", model->bits, cached->bytes,
           cached->files);
    cli_put_json(stdout, model->state);
    fputs(", \"used\": \"", stdout);
    put_time(stdout, cached->used, "%Y-%m-%dT%H:%M:%SZ");
    fputs("\", \"path\": ", stdout);
    cli_put_json(stdout, cached->snapshot);
    putchar('}');
}

/* The name with which the other verbs find it. */
static int put_name(const struct tare_cached *cached)
{
    const char *revisions = cached->revisions;
    const bool main = strncmp(revisions, "main", 4) == 0 && (!revisions[4] || revisions[4] == ',');
    cli_put(stdout, cached->id);
    if (main || !*cached->commit)
        return (int)strlen(cached->id);
    const int n = *revisions ? (int)strcspn(revisions, ",") : 8;
    printf("@%.*s", n, *revisions ? revisions : cached->commit);
    return (int)strlen(cached->id) + 1 + n;
}

static void put_row(const struct tare_cached *cached, const struct model *model, int width)
{
    const int n = put_name(cached);
    printf("%*s  %9s  ", n < width ? width - n : 0, "", cli_bytes(cached->bytes).text);
    put_time(stdout, cached->used, "%Y-%m-%d");
    fputs("  ", stdout);
    cli_put(stdout, *model->formats ? model->formats : "-");
    if (model->bits)
        printf(" (%d bits)", model->bits);
    fputs("  ", stdout);
    cli_colour(stdout, strcmp(model->state, "sound") == 0 ? CLI_GOOD : CLI_DOUBT);
    fputs(model->state, stdout);
    cli_colour(stdout, CLI_PLAIN);
    putchar('\n');
}

static void put_all(const struct tare_cached_list *list, bool json)
{
    int width = 0;
    uint64_t bytes = 0;
    struct model model;
    for (size_t i = 0; i < list->n; i++) {
        const int n = (int)strlen(list->all[i].id) + 9;
        width = n > width && n < 60 ? n : width;
    }
    if (json)
        putchar('[');
    for (size_t i = 0; i < list->n; i++) {
        look(&list->all[i], &model);
        bytes += list->all[i].bytes;
        if (json)
            put_json(&list->all[i], &model, i == 0);
        else
            put_row(&list->all[i], &model, width);
    }
    if (json)
        fputs(list->n ? "\n]\n" : "]\n", stdout);
    else if (list->n > 1)
        printf("%zu revisions, %s\n", list->n, cli_bytes(bytes).text);
}

struct asked {
    struct cli_hub_flags hub;
    bool json;
};

static const struct cli_flag flags[] = {
    {.name = "json", CLI_IS_SWITCH(struct asked, json), .usual = true, .help = "print one JSON list (docs/json.md)"},
    {.name = "cache-dir",
     CLI_IS_TEXT(struct asked, hub.cache),
     .value = "DIR",
     .takes = CLI_TAKES_FOLDER,
     .help = "instead of HF_HUB_CACHE"},
};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct cli_hub setting;
    struct asked asked = {0};
    struct tare_cached_list list = {0};
    struct tare_error err = {0};
    int words = 0;
    int status = cli_parse(verb, &asked, argc, argv, &words);
    if (status != CLI_GO_ON)
        return status;
    if (cli_hub_read(&setting, &asked.hub, &err) || tare_cached_read(&list, &setting.hub, &err)) {
        status = cli_fail(&err);
    } else {
        put_all(&list, asked.json);
        if (!asked.json && !list.n) {
            fputs("the cache is empty: ", stderr);
            cli_put(stderr, setting.hub.cache);
            putc('\n', stderr);
        }
        status = 0;
    }
    tare_cached_release(&list);
    return status;
}

const struct cli_verb cli_ls = {
    .name = "ls",
    .summary = "What the Hugging Face cache holds.",
    .about =
        "One line for each revision: the name with which other verbs find it, its size, when it was last read, its "
        "formats, and whether its headers are sound. Contents are not hashed: tare verify does that.",
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare ls", "Lists the cache."}},
    .see = "pull rm verify",
    .run = run,
};
