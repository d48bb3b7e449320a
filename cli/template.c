/* SPDX-License-Identifier: MIT
 * template.c - tare template: shows what a model's chat template makes of messages. It reads only the tokenizer's
 * files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "print.h"
#include "writing/prompt.h"
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

struct asked {
    bool json;
};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct asked asked = {0};
    int words = 0;
    struct cli_source source;
    struct cli_prompt prompt = {0};
    struct tare_error err = {0};
    int status = cli_parse(verb, &asked, argc, argv, &words);
    if (status != CLI_GO_ON)
        return status;
    if (cli_source_find(&source, argv[0], &err))
        return cli_fail(&err);
    status =
        cli_prompt_get(&prompt, "template", NULL, false,
                       asked.json ? "standard input is empty: give it {\"messages\": [..], \"tools\": [..]}"
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
        request.variables = asked.json ? text : NULL;
        request.turns = asked.json ? NULL : &turn;
        request.n_turns = 1;
        request.add_generation_prompt = !asked.json;
        status = render(&source, &request);
    }
    free(text);
    free(prompt.owned);
    return status;
}

static const struct cli_flag flags[] = {
    {.name = "json",
     CLI_IS_SWITCH(struct asked, json),
     .usual = true,
     .help = "stdin is {\"messages\": [..], \"tools\": [..], ..}, not a user's text",
     .more = "Each further key is a variable of the template."},
};

const struct cli_verb cli_template = {
    .name = "template",
    .summary = "What the chat template makes of the messages on standard input.",
    .about = "Prints what the model's chat template makes of standard input: of a user's text, or with --json of an "
             "object of messages, tools and further variables. "
             "Only the tokenizer's files are read.",
    .words = {{.name = "MODEL", .takes = CLI_TAKES_MODEL}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"echo \"Tell me a story\" | tare template ORG/NAME", "Shows the prompt that a question becomes."}},
    .see = "chat tokenize",
    .run = run,
};
