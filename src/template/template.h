/* SPDX-License-Identifier: MIT
 * template.h - a chat template that is open, and one rendering of it. */
#ifndef TARE_TEMPLATE_TEMPLATE_H
#define TARE_TEMPLATE_TEMPLATE_H

#include "config/json.h"

struct tare_checkpoint;

struct tare_template_text {
    const char *file; /* where it stands: "chat_template.jinja"; static */
    char *text;       /* owned; NULL: there is none */
    size_t size;
};

/* A template is not changed once it is open. */
struct tare_template {
    struct tare_template_text usual, with_tools; /* without one with tools the usual one serves */
    json_t *tokens;                              /* "bos_token" and its kin: the text of each; NULL: made of a text */
};

/* The templates of a model's files, at least one, and its special tokens. What was read stays on failure. */
enum tare_code tare_template_find(tare_template *template, const struct tare_checkpoint *checkpoint,
                                  struct tare_error *err);
/* *text is owned by the caller: free(). variables is an object; clock as in struct tare_template_request. */
enum tare_code tare_template_run(const struct tare_template_text *template, const json_t *variables, const char *clock,
                                 char **text, size_t *text_size, struct tare_error *err);

#endif
