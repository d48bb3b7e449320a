/* SPDX-License-Identifier: MIT
 * page_routes.c - answers for the page. */
#include "serve/page_routes.h"

#include <stdlib.h>
#include <string.h>

#include "serve/fields.h"
#include "serve/inspect.h"

void serve_page_answer(struct http_connection *connection, const struct embedded_file *file, struct evbuffer *out)
{
    evbuffer_add_reference(out, file->data, (size_t)(file->end - file->data), NULL, NULL);
    http_answer(connection, 200, serve_page_type(file), out);
}

bool serve_prepare_plan(struct serve_job *job)
{
    if (!serve_find_model(job))
        return false;
    char *text = serve_inspect_plan(job->model->model, job->model->id);
    if (!text)
        return serve_fail(&job->failure, 503, NULL, "Out of memory.");
    serve_put(job->ready, text);
    free(text);
    return true;
}

bool serve_prepare_module(struct serve_job *job)
{
    struct tare_error err = {0};
    if (!serve_find_model(job))
        return false;
    const char *name = json_string_value(fields_get(job->body, "name"));
    if (!name)
        return serve_fail(&job->failure, 400, "name", "name is needed: that of a parameter.");
    char *text = serve_inspect_module(job->model->model, name, &err);
    if (!text)
        return serve_fail(&job->failure,
                          err.code == TARE_E_ABSENT   ? 404
                          : err.code == TARE_E_MEMORY ? 503
                                                      : 400,
                          "name", "%s", err.text);
    serve_put(job->ready, text);
    free(text);
    return true;
}
