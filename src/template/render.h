/* SPDX-License-Identifier: MIT
 * render.h - one rendering, below tare_template_render() and tare_chat_render(). */
#ifndef TARE_TEMPLATE_RENDER_H
#define TARE_TEMPLATE_RENDER_H

#include "config/json.h"
#include "template/jinja.h"

/* name stands in errors, before the line. *text is owned by the caller: free(). variables is an object. */
enum tare_code tare_template_run(const char *name, const char *template, size_t size, const json_t *variables,
                                 const char *clock, char **text, size_t *text_size, struct tare_error *err);
/* A JSON object, and nothing else. *json is owned by the caller. */
enum tare_code tare_template_variables(const char *text, size_t size, json_t **json, struct tare_error *err);

#endif
