/* SPDX-License-Identifier: MIT
 * messages.h - the messages of a chat, checked and in the form that templates expect. */
#ifndef TARE_SERVE_MESSAGES_H
#define TARE_SERVE_MESSAGES_H

#include <jansson.h>

#include "serve/failure.h"

/* What a template asks of messages. */
struct messages_form {
    /* Tools that are described in a message, since the template does not know them; NULL: none. */
    const json_t *tools;
    /* The template knows neither calls nor results, so that both become text. */
    bool plain;
    /* Ids of calls that have not 9 letters and digits become such, since the template refuses others (Mistral). */
    bool short_ids;
    /* Where a template has refused the first form: arguments stay text, and tools are described in the first message of the
     * user. */
    bool second;
};

/* The messages of a body as JSON for a template; NULL: they are refused. Owned, free(). */
char *messages_normal(const json_t *body, const struct messages_form *form, struct serve_failure *failure);

/* The variables that a request sets (chat_template_kwargs, reasoning_effort); *variables is owned, or NULL. */
bool messages_variables(const json_t *body, char **variables, struct serve_failure *failure);

#endif
