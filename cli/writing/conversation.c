/* SPDX-License-Identifier: MIT
 * conversation.c - keeps the turns of a chat and turns them into ids by the model's template. */
#include "writing/conversation.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "print.h"

static const char PLAIN[] = "{%- for message in messages -%}{{ message.role | capitalize }}: {{ message.content }}\n"
                            "{% endfor -%}{%- if add_generation_prompt -%}Assistant:{%- endif -%}";

static enum tare_code fail_memory(struct tare_error *err)
{
    *err = (struct tare_error){.code = TARE_E_MEMORY, .text = "out of memory"};
    return TARE_E_MEMORY;
}

enum tare_code cli_conversation_open(struct cli_conversation *c, const tare_tokenizer *tokenizer, const char *path,
                                     const struct tare_options *options, struct tare_error *err)
{
    enum tare_code code = tare_template_open(&c->form, path, options, err);
    c->tokenizer = tokenizer;
    if (code == TARE_E_ABSENT) {
        c->plain = true;
        code = tare_template_from_text(&c->form, PLAIN, sizeof PLAIN - 1, err);
    }
    return code;
}

static void drop(struct cli_conversation *c, size_t at)
{
    free((char *)(size_t)c->turns[at].content); /* a copy that cli_conversation_say() made */
    memmove(c->turns + at, c->turns + at + 1, (c->n - at - 1) * sizeof *c->turns);
    c->n--;
}

void cli_conversation_close(struct cli_conversation *c)
{
    while (c->n)
        drop(c, c->n - 1);
    free(c->turns);
    tare_template_free(c->form);
}

static bool is_system(const struct cli_conversation *c)
{
    return c->n && !strcmp(c->turns[0].role, "system");
}

enum tare_code cli_conversation_say(struct cli_conversation *c, const char *role, const char *text,
                                    struct tare_error *err)
{
    const bool system = !strcmp(role, "system");
    char *copy = strdup(text);
    if (c->n == c->room) {
        struct tare_turn *more = realloc(c->turns, (2 * c->room + 8) * sizeof *more);
        if (more) {
            c->turns = more;
            c->room = 2 * c->room + 8;
        }
    }
    if (!copy || c->n == c->room) {
        free(copy);
        return fail_memory(err);
    }
    if (system && is_system(c))
        drop(c, 0);
    const size_t at = system ? 0 : c->n;
    memmove(c->turns + at + 1, c->turns + at, (c->n - at) * sizeof *c->turns);
    c->turns[at] = (struct tare_turn){role, copy};
    c->n++;
    return TARE_OK;
}

void cli_conversation_forget(struct cli_conversation *c)
{
    while (c->n > (is_system(c) ? 1u : 0u))
        drop(c, c->n - 1);
}

void cli_conversation_undo(struct cli_conversation *c)
{
    if (c->n)
        drop(c, c->n - 1);
}

bool cli_conversation_shorten(struct cli_conversation *c)
{
    const size_t first = is_system(c) ? 1 : 0;
    if (c->n < first + 3)
        return false;
    do
        drop(c, first);
    while (c->n > first + 1 && strcmp(c->turns[first].role, "user"));
    return true;
}

enum tare_code cli_conversation_ids(const struct cli_conversation *c, int32_t **ids, size_t *n, struct tare_error *err)
{
    struct tare_template_request request = TARE_TEMPLATE_REQUEST_INIT;
    char clock[32] = "", *text = NULL;
    size_t size = 0;
    struct tm now;
    const time_t seconds = time(NULL);
    if (localtime_r(&seconds, &now))
        strftime(clock, sizeof clock, "%Y-%m-%dT%H:%M:%S", &now);
    request.turns = c->turns;
    request.n_turns = c->n;
    request.add_generation_prompt = true;
    request.clock = clock;
    enum tare_code code = tare_template_render(c->form, &request, &text, &size, err);
    /* A template writes its special tokens itself; to plain text they must be added. */
    if (code == TARE_OK)
        code = tare_tokenizer_encode(c->tokenizer, text, size, c->plain, ids, n, err);
    tare_text_free(text);
    return code;
}

void cli_conversation_print(const struct cli_conversation *c, FILE *file)
{
    fputs("[", file);
    for (size_t i = 0; i < c->n; i++) {
        fprintf(file, "%s\n  {\"role\": \"%s\", \"content\": ", i ? "," : "", c->turns[i].role);
        cli_put_json(file, c->turns[i].content);
        fputs("}", file);
    }
    fputs("\n]\n", file);
}
