/* SPDX-License-Identifier: MIT
 * page_routes.h - what the server answers for its page: the page's files, and the plan and modules that it shows. */
#ifndef TARE_SERVE_PAGE_ROUTES_H
#define TARE_SERVE_PAGE_ROUTES_H

#include "serve/job.h"
#include "serve/page.h"

/* Answers with a file of the page. `out` is emptied. */
void serve_page_answer(struct http_connection *connection, const struct embedded_file *file, struct evbuffer *out);

/* In a worker's thread: POST /tare/plan {model} and POST /tare/module {model, name}; inspect.h has the answers. */
bool serve_prepare_plan(struct serve_job *job);
bool serve_prepare_module(struct serve_job *job);

#endif
