/* SPDX-License-Identifier: MIT
 * conversation.h - the turns of a chat, and how they become ids of a model. */
#ifndef TARE_CLI_CONVERSATION_H
#define TARE_CLI_CONVERSATION_H

#include <stdio.h>

#include "tare.h"

struct cli_conversation {
    /* The model's own template, or the plain one. */
    tare_template *form;
    const tare_tokenizer *tokenizer;
    bool plain;
    /* n turns in room for `room`; owned, and so are their contents. */
    struct tare_turn *turns;
    size_t n;
    size_t room;
};

/* Reads the template of the model at path. A model without one gets a plain template: lines of "User: .." and
 * "Assistant: ..". */
enum tare_code cli_conversation_open(struct cli_conversation *c, const tare_tokenizer *tokenizer, const char *path,
                                     const struct tare_options *options, struct tare_error *err);
void cli_conversation_close(struct cli_conversation *c);

/* Adds a turn. `role` is static, `text` is copied. A system turn replaces the earlier one. */
enum tare_code cli_conversation_say(struct cli_conversation *c, const char *role, const char *text,
                                    struct tare_error *err);

/* Drops all turns but the system's. */
void cli_conversation_forget(struct cli_conversation *c);

/* Drops the last turn. */
void cli_conversation_undo(struct cli_conversation *c);

/* Encodes all turns and what opens an answer. The ids are owned by the caller, tare_ids_free(). */
enum tare_code cli_conversation_ids(const struct cli_conversation *c, int32_t **ids, size_t *n, struct tare_error *err);

/* Drops the oldest turns up to the user's next one. The system's turn and the last one stay; returns false when there
 * is no other. */
bool cli_conversation_shorten(struct cli_conversation *c);

/* Prints [{"role": .., "content": ..}, ..], which `tare template --json` reads as "messages". */
void cli_conversation_print(const struct cli_conversation *c, FILE *file);

#endif
