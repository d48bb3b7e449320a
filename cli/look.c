/* SPDX-License-Identifier: MIT
 * look.c - how check and explain begin: they read their flags and plan the model. */
#include "look.h"

#include "print.h"

int cli_look(const struct cli_verb *verb, int argc, char **argv, struct cli_look *look)
{
    struct cli_look_asked asked = {.tie = TARE_TIE_AUTO, .zeros = TARE_ZEROS_AUTO};
    *look = (struct cli_look){0};
    const int status = cli_parse(verb, &asked, argc, argv, &look->words);
    if (status != CLI_GO_ON)
        return status;

    look->json = asked.json;
    look->html = asked.html;
    struct cli_source *source = &look->source;
    if (cli_source_find_headers(source, look->words ? argv[0] : NULL, &look->err) != TARE_OK) {
        cli_source_release(source);
        return cli_fail(&look->err);
    }
    source->options.tie = (enum tare_tie)asked.tie;
    source->options.zeros = (enum tare_zeros)asked.zeros;
    source->options.no_data = source->options.no_data || asked.no_data;
    source->options.threads = (int)asked.threads;
    look->code = cli_source_plan(source, &look->model, &look->err);
    look->status = look->code == TARE_OK ? 0 : cli_fail(&look->err);
    look->report = look->model ? tare_model_report(look->model) : NULL;
    if (look->report)
        return CLI_GO_ON;
    cli_look_release(look);
    return look->status;
}

void cli_look_release(struct cli_look *look)
{
    tare_model_free(look->model);
    cli_source_release(&look->source);
}
