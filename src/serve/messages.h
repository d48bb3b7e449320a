/* SPDX-License-Identifier: MIT
 * messages.h - the messages of a chat, checked and in the form that templates expect. */
#ifndef TARE_SERVE_MESSAGES_H
#define TARE_SERVE_MESSAGES_H

#include <jansson.h>

#include "serve/failure.h"

/* The messages of a body as JSON for a template; NULL: they are refused. Owned, free(). Tools that are not NULL are
 * described in the system message, for templates that do not know tools. With `short_ids` ids of calls that have not 9 letters
 * and digits become such, since the template refuses others (Mistral). */
char *messages_normal(const json_t *body, const json_t *tools, bool short_ids, struct serve_failure *failure);

/* The variables that a request sets (chat_template_kwargs, reasoning_effort); *variables is owned, or NULL. */
bool messages_variables(const json_t *body, char **variables, struct serve_failure *failure);

#endif
