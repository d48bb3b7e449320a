/* SPDX-License-Identifier: MIT
 * html.c - writes a report as one page: what stands before the data, the data, and what stands after them. */
#include "html.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "print.h"
#include "serve/page.h"

/* JSON within a script element: "<" could end it, and stands in texts only, where it may be written by its number. */
static void put_json(FILE *file, const char *json)
{
    for (size_t n; *json; json += n) {
        n = strcspn(json, "<");
        fwrite(json, 1, n, file);
        if (json[n] == '<') {
            fputs("\\u003c", file);
            n++;
        }
    }
}

/* The place of the data; the page is no C string. */
static const unsigned char *find_data(const struct embedded_file *page)
{
    const size_t length = strlen(SERVE_PAGE_DATA);
    for (const unsigned char *at = page->data; (size_t)(page->end - at) >= length; at++)
        if (memcmp(at, SERVE_PAGE_DATA, length) == 0)
            return at;
    return page->end;
}

int cli_html_write(const char *path, const char *report, char *json, int status)
{
    const struct embedded_file *page = serve_page_report(report);
    if (!json || !page) {
        free(json);
        cli_error("", "out of memory");
        return tare_code_exit(TARE_E_MEMORY);
    }
    FILE *file = fopen(path, "w");
    bool written = false;
    if (file) {
        const unsigned char *data = find_data(page), *after = data + strlen(SERVE_PAGE_DATA);
        fwrite(page->data, 1, (size_t)(data - page->data), file);
        put_json(file, json);
        if (after < page->end)
            fwrite(after, 1, (size_t)(page->end - after), file);
        written = !ferror(file);
        written = fclose(file) == 0 && written;
    }
    free(json);
    if (written)
        return status;
    cli_error(path, strerror(errno));
    return tare_code_exit(TARE_E_IO);
}
