/* SPDX-License-Identifier: MIT
 * models.c - tare models: the model types, and what works for each. docs/architectures.md holds the same table. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "near.h"
#include "print.h"

static const char *mark(bool works)
{
    return works ? "yes" : "-";
}

static void text(const char *key, const char *value)
{
    if (value)
        printf("\"%s\": \"%s\", ", key, value);
    else
        printf("\"%s\": null, ", key);
}

static void json(const char *only)
{
    struct tare_model_type type = TARE_MODEL_TYPE_INIT;
    size_t n = 0;
    for (size_t i = 0; tare_model_type_get(i, &type); i++) {
        if (only && strcmp(only, type.model_type) != 0)
            continue;
        fputs(n++ ? ",\n {" : "[{", stdout);
        text("model_type", type.model_type);
        text("architecture", type.architecture);
        text("module", type.module);
        text("text_model", type.text_model);
        printf("\"plan\": %s, \"convert\": %s, \"run\": %s}", type.plans ? "true" : "false",
               type.converts ? "true" : "false", type.runs ? "true" : "false");
    }
    puts("]");
}

static void table(const char *only)
{
    struct tare_model_type type = TARE_MODEL_TYPE_INIT;
    size_t runs = 0, n = 0;
    printf("%-24s%-24s%-6s%-9s%s\n", "MODEL TYPE", "MODULE", "PLAN", "CONVERT", "RUN");
    for (; tare_model_type_get(n, &type); n++) {
        runs += type.runs;
        if (only && strcmp(only, type.model_type) != 0)
            continue;
        printf("%-24s%-24s%-6s%-9s%s", type.model_type, type.module, mark(type.plans), mark(type.converts),
               mark(type.runs));
        if (type.architecture)
            printf("  (%s)", type.architecture);
        putchar('\n');
    }
    if (!only)
        printf("%zu model types, %zu of them run\n", n, runs);
}

/* Refuses a type that does not exist, and names the nearest. */
static int find_type(const char *name)
{
    struct cli_near near = cli_near_init(name);
    struct tare_model_type type = TARE_MODEL_TYPE_INIT;
    for (size_t i = 0; tare_model_type_get(i, &type); i++) {
        if (strcmp(name, type.model_type) == 0)
            return CLI_GO_ON;
        cli_near_offer(&near, type.model_type);
    }
    return cli_wrong("models: no model type \"%s\"; the nearest is %s, and tare models lists all", name, near.name[0]);
}

struct asked {
    bool json;
};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct asked asked = {0};
    int words = 0;
    int status = cli_parse(verb, &asked, argc, argv, &words);
    if (status == CLI_GO_ON && words)
        status = find_type(argv[0]);
    if (status != CLI_GO_ON)
        return status;
    if (asked.json)
        json(words ? argv[0] : NULL);
    else
        table(words ? argv[0] : NULL);
    return 0;
}

static const struct cli_flag flags[] = {
    {.name = "json", CLI_IS_SWITCH(struct asked, json), .usual = true, .help = "print one JSON array"}};

const struct cli_verb cli_models = {
    .name = "models",
    .summary = "The model types, and what works for each.",
    .about = "Lists the model types that tare knows, the model_type of config.json, and for each whether it plans, "
             "converts and runs. With TYPE only that one.",
    .words = {{.name = "TYPE", .takes = CLI_TAKES_TYPE, .optional = true}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare models", "Lists all."}, {"tare models qwen2", "Says what works for Qwen2."}},
    .only_prints = true,
    .see = "check",
    .run = run,
};
