/* SPDX-License-Identifier: MIT
 * page.c - finds the files of the page. The two tables are made by cmake/embed.cmake. */
#include "serve/page.h"

#include <string.h>

extern const struct embedded_file serve_page_files[], serve_page_reports[];

static const struct embedded_file *find(const struct embedded_file *files, const char *name)
{
    for (; files->name; files++)
        if (strcmp(files->name, name) == 0)
            return files;
    return NULL;
}

const struct embedded_file *serve_page_find(const char *path)
{
    if (*path != '/')
        return NULL;
    return find(serve_page_files, path[1] ? path + 1 : "index.html");
}

const char *serve_page_type(const struct embedded_file *file)
{
    const char *end = strrchr(file->name, '.');
    if (end && strcmp(end, ".html") == 0)
        return "text/html; charset=utf-8";
    if (end && strcmp(end, ".css") == 0)
        return "text/css; charset=utf-8";
    if (end && strcmp(end, ".js") == 0)
        return "text/javascript; charset=utf-8";
    return end && strcmp(end, ".svg") == 0 ? "image/svg+xml" : "application/octet-stream";
}

const struct embedded_file *serve_page_report(const char *name)
{
    return find(serve_page_reports, name);
}
