/* SPDX-License-Identifier: MIT
 * models.c - tare models: the model types, and what works for each. docs/architectures.md holds the same table. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
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

static void json(void)
{
    struct tare_model_type type = TARE_MODEL_TYPE_INIT;
    for (size_t i = 0; tare_model_type_get(i, &type); i++) {
        fputs(i ? ",\n {" : "[{", stdout);
        text("model_type", type.model_type);
        text("architecture", type.architecture);
        text("module", type.module);
        text("text_model", type.text_model);
        printf("\"plan\": %s, \"convert\": %s, \"run\": %s}", type.plans ? "true" : "false",
               type.converts ? "true" : "false", type.runs ? "true" : "false");
    }
    puts("]");
}

static void table(void)
{
    struct tare_model_type type = TARE_MODEL_TYPE_INIT;
    size_t runs = 0, n = 0;
    printf("%-24s%-24s%-6s%-9s%s\n", "MODEL TYPE", "MODULE", "PLAN", "CONVERT", "RUN");
    for (; tare_model_type_get(n, &type); n++) {
        printf("%-24s%-24s%-6s%-9s%s", type.model_type, type.module, mark(type.plans), mark(type.converts),
               mark(type.runs));
        if (type.architecture)
            printf("  (%s)", type.architecture);
        putchar('\n');
        runs += type.runs;
    }
    printf("%zu model types, %zu of them run\n", n, runs);
}

int cli_models(const struct cli_verb *verb, int argc, char **argv)
{
    bool as_json = false;
    int words = 0;
    const struct cli_flag flags[] = {{"json", 0, CLI_SWITCH, &as_json, NULL, "as one JSON array", 0, 0, NULL}};
    const int status = cli_parse(verb, flags, sizeof flags / sizeof *flags, argc, argv, 0, &words);
    if (status != CLI_GO_ON)
        return status;
    if (as_json)
        json();
    else
        table();
    return 0;
}
