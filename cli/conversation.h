/* SPDX-License-Identifier: MIT
 * conversation.h - the turns of a chat, and how they become ids of a model. */
#ifndef TARE_CLI_CONVERSATION_H
#define TARE_CLI_CONVERSATION_H

#include <stdio.h>

#include "tare.h"

struct cli_conversation {
    tare_template *form; /* the model's own, or a plain one */
    const tare_tokenizer *tokenizer;
    bool plain;
    struct tare_turn *turns; /* owned, with their contents */
    size_t n, room;
};

/* The template of the model at path; a model without one gets "User: .." and "Assistant: .." in lines. */
enum tare_code cli_conversation_open(struct cli_conversation *c, const tare_tokenizer *tokenizer, const char *path,
                                     const struct tare_options *options, struct tare_error *err);
void cli_conversation_close(struct cli_conversation *c);
/* role is static. A system turn takes the place of the one before. */
enum tare_code cli_conversation_say(struct cli_conversation *c, const char *role, const char *text,
                                    struct tare_error *err);
void cli_conversation_forget(struct cli_conversation *c); /* all but what the system said */
void cli_conversation_undo(struct cli_conversation *c);   /* the last turn */
/* All turns and what opens an answer, as ids; tare_ids_free(). */
enum tare_code cli_conversation_ids(const struct cli_conversation *c, int32_t **ids, size_t *n, struct tare_error *err);
/* Drop the oldest turns until the next one of the user, but not the system's nor the last; false: none is left. */
bool cli_conversation_shorten(struct cli_conversation *c);
/* [{"role": .., "content": ..}, ..], as `tare template --json` takes it in "messages". */
void cli_conversation_print(const struct cli_conversation *c, FILE *file);

#endif
