/* SPDX-License-Identifier: MIT
 * template.c - tare template: shows what a model's chat template makes of messages. It reads only the tokenizer's
 * files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "print.h"
#include "prompt.h"
#include "source.h"

/* Makes a request of standard input, which is one text of JSON or what the user says. */
static int render(const struct cli_source *source, const struct tare_template_request *asked)
{
    struct tare_template_request request = *asked;
    struct tare_error err = {0};
    char clock[40], *text = NULL;
    const time_t now = time(NULL);
    struct tm tm;
    size_t n = 0;
    tare_template *chat;
    if (localtime_r(&now, &tm) && strftime(clock, sizeof clock, "%Y-%m-%dT%H:%M:%S", &tm))
        request.clock = clock;
    enum tare_code code = tare_template_open(&chat, source->path, &source->options, &err);
    if (!code)
        code = tare_template_render(chat, &request, &text, &n, &err);
    tare_template_free(chat);
    if (code)
        return cli_fail(&err);
    fwrite(text, 1, n, stdout);
    tare_text_free(text);
    return cli_finish(0);
}

int cli_template(const struct cli_verb *verb, int argc, char **argv)
{
    bool as_json = false;
    int words = 0;
    struct cli_source source;
    struct cli_prompt prompt = {0};
    struct tare_error err = {0};
    const struct cli_flag flags[] = {{"json", 0, CLI_SWITCH, &as_json, NULL,
                                      "stdin is {\"messages\": [..], \"tools\": [..], ..}, not a user's text", 0, 0,
                                      NULL}};
    int status = cli_parse(verb, flags, sizeof flags / sizeof *flags, argc, argv, 1, &words);
    if (status != CLI_GO_ON)
        return status;
    if (words != 1)
        return cli_wrong("template: which model? usage: tare template %s", verb->usage);
    if (cli_source_find(&source, argv[0], &err))
        return cli_fail(&err);
    status = cli_prompt_get(&prompt, "template", NULL, false,
                            as_json ? "standard input is empty: give it {\"messages\": [..], \"tools\": [..]}"
                                    : "standard input is empty: give it what the user says, or with --json messages");
    if (status != CLI_GO_ON)
        return status;
    char *text = strndup(prompt.text, prompt.size);
    const struct tare_turn turn = {"user", text};
    struct tare_template_request request = TARE_TEMPLATE_REQUEST_INIT;
    if (!text) {
        status = cli_fail_system("standard input");
    } else if (strlen(text) < prompt.size) {
        status = cli_wrong("template: standard input has a NUL at byte %zu", strlen(text));
    } else {
        request.variables = as_json ? text : NULL;
        request.turns = as_json ? NULL : &turn;
        request.n_turns = 1;
        request.add_generation_prompt = !as_json;
        status = render(&source, &request);
    }
    free(text);
    free(prompt.owned);
    return status;
}
