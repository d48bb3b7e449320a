/* SPDX-License-Identifier: MIT
 * look.c - how check and explain begin: they read their flags and plan the model. */
#include "look.h"

#include "print.h"
#include "source.h"

int cli_look(const struct cli_verb *verb, const char *json_help, int room, int argc, char **argv, struct cli_look *look)
{
    bool no_data = false;
    int tie = TARE_TIE_AUTO, zeros = TARE_ZEROS_AUTO;
    int64_t threads = 0;
    *look = (struct cli_look){0};
    const struct cli_flag flags[] = {
        {"json", 0, CLI_SWITCH, &look->json, NULL, json_help, 0, 0, NULL},
        {"no-data", 0, CLI_SWITCH, &no_data, NULL, "read headers only: the head is not compared with the embedding", 0,
         0, NULL},
        CLI_FLAG_TIE(&tie),
        CLI_FLAG_ZEROS(&zeros),
        CLI_FLAG_THREADS(&threads),
    };
    const int status = cli_parse(verb, flags, sizeof flags / sizeof *flags, argc, argv, room, &look->words);
    if (status != CLI_GO_ON)
        return status;

    struct cli_source source;
    if (cli_source_find(&source, look->words ? argv[0] : NULL, &look->err) != TARE_OK)
        return cli_fail(&look->err);
    source.options.tie = (enum tare_tie)tie;
    source.options.zeros = (enum tare_zeros)zeros;
    source.options.no_data = no_data;
    source.options.threads = (int)threads;
    look->code = cli_source_plan(&source, &look->model, &look->err);
    look->status = look->code == TARE_OK ? 0 : cli_fail(&look->err);
    look->report = look->model ? tare_model_report(look->model) : NULL;
    if (look->report)
        return CLI_GO_ON;
    tare_model_free(look->model);
    return look->status;
}
