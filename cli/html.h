/* SPDX-License-Identifier: MIT
 * html.h - writes a report as one page that needs nothing else. */
#ifndef TARE_CLI_HTML_H
#define TARE_CLI_HTML_H

/* The flag, in a verb's own struct. */
#define CLI_FLAG_HTML(s, member)                                                                                       \
    {                                                                                                                  \
        .name = "html", CLI_IS_TEXT(s, member), .value = "FILE", .takes = CLI_TAKES_FILE,                              \
        .help = "write the report as one page to look at, instead of lines",                                           \
        .more = "The file holds all that it needs, so it opens without a network and can be attached to an issue. "    \
                "A file of that name is replaced."                                                                     \
    }

/*
 * Write a page.
 *
 *   path    the file
 *   report  which page of src/serve/page.h: "check.html"
 *   json    its data, which this function frees with free(); NULL: memory ran out
 *   status  the exit status to end with
 *
 * Returns status, or that of the error, which is printed.
 */
int cli_html_write(const char *path, const char *report, char *json, int status);

#endif
