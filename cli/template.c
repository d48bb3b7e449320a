/* SPDX-License-Identifier: MIT
 * template.c - tare template: what a model's chat template makes of messages. Reads the tokenizer's files only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "print.h"
#include "prompt.h"
#include "source.h"

static void put(char **to, const char *text)
{
    const size_t n = strlen(text);
    memcpy(*to, text, n + 1);
    *to += n;
}

/* {"messages": [{"role": "user", "content": text}], "add_generation_prompt": true}; free() */
static char *from_text(const struct cli_prompt *prompt)
{
    char *json = malloc(prompt->size * 6 + 200), *to = json;
    if (!json)
        return NULL;
    put(&to, "{\"messages\": [{\"role\": \"user\", \"content\": \"");
    for (size_t i = 0; i < prompt->size; i++) {
        const unsigned char c = (unsigned char)prompt->text[i];
        if (c < 0x20 || c == '"' || c == '\\')
            to += snprintf(to, 7, "\\u%04x", c);
        else
            *to++ = (char)c;
    }
    put(&to, "\"}], \"add_generation_prompt\": true}");
    return json;
}

static int render(const struct cli_source *source, const char *variables, size_t size)
{
    struct tare_error err = {0};
    char clock[40], *text = NULL;
    const time_t now = time(NULL);
    struct tm tm;
    size_t n = 0;
    const bool known = localtime_r(&now, &tm) && strftime(clock, sizeof clock, "%Y-%m-%dT%H:%M:%S", &tm);
    if (tare_chat_render(source->path, &source->options, variables, size, known ? clock : NULL, &text, &n, &err))
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
    if ((status = cli_prompt_get(&prompt, NULL, false)) != CLI_GO_ON)
        return status;
    char *made = as_json ? NULL : from_text(&prompt);
    if (as_json)
        status = render(&source, prompt.text, prompt.size);
    else
        status = made ? render(&source, made, strlen(made)) : cli_fail_system("standard input");
    free(made);
    free(prompt.owned);
    return status;
}
