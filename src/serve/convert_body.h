/* SPDX-License-Identifier: MIT
 * convert_body.h - helpers for requests in other forms, which become requests for a chat. */
#ifndef TARE_SERVE_CONVERT_BODY_H
#define TARE_SERVE_CONVERT_BODY_H

#include "serve/job.h"

/* Copies a field under another name, where it is there. */
void convert_field(json_t *to, const char *name, const json_t *from, const char *as);
/* Adds a message; content may be NULL. Steals content and calls. */
void convert_message(json_t *list, const char *role, json_t *content, json_t *calls);
/* A call for a message's tool_calls; arguments is a text of JSON. A new reference. */
json_t *convert_call(const char *id, const char *name, const char *arguments);
/* A tool for a request's tools. A new reference. */
json_t *convert_tool(const json_t *from, const char *parameters);
/* The parts of a content that are texts, joined. NULL: some part is none of the types that are taken. A new reference. */
json_t *convert_text(const json_t *content, const char *const *types, struct serve_failure *failure);
/* Puts the made body in the place of the one that came, and prepares the chat. Steals `made`. */
bool convert_done(struct serve_job *job, json_t *made);

#endif
