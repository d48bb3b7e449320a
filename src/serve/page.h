/* SPDX-License-Identifier: MIT
 * page.h - the files of src/serve/page, and the reports made of them, inside the program. */
#ifndef TARE_SERVE_PAGE_H
#define TARE_SERVE_PAGE_H

#include <stddef.h>

/* What cmake/embed.cmake puts into the program. */
struct embedded_file {
    /* Without its folder: "index.html". */
    const char *name;
    const unsigned char *data;
    const unsigned char *end;
};

/* Sent with every file of the page: it asks its own server alone, and runs no script that is written into markup. */
#define SERVE_PAGE_POLICY                                                                                              \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "              \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/* The file for the path of a request: "/" is the page, "/app.js" a file of it. NULL: there is none. */
const struct embedded_file *serve_page_find(const char *path);

/* Its Content-Type. */
const char *serve_page_type(const struct embedded_file *file);

/* A page that holds all it needs, "check.html" or "diff.html", with SERVE_PAGE_DATA once where its JSON belongs. */
#define SERVE_PAGE_DATA "TARE-DATA"
const struct embedded_file *serve_page_report(const char *name);

#endif
