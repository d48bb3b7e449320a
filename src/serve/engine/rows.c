/* SPDX-License-Identifier: MIT
 * rows.c - a tree of parts of texts, each with the number of its holders: texts, and parts that hang on it. */
#include "serve/engine/rows.h"

#include <stdlib.h>

struct serve_rows {
    struct serve_rows *above;
    int64_t from;
    int64_t to;
    int64_t holders;
};

/* The part that ends at a position, for which one may have to be cut in two. */
static struct serve_rows *end_at(struct serve_rows *rows, int64_t at)
{
    while (rows && at <= rows->from)
        rows = rows->above;
    if (!rows || at >= rows->to)
        return rows;
    struct serve_rows *first = malloc(sizeof *first);
    if (!first)
        return NULL;
    *first = (struct serve_rows){rows->above, rows->from, at, 1};
    rows->above = first;
    rows->from = at;
    return first;
}

struct serve_rows *serve_rows_open(struct serve_rows *of, int64_t at, int64_t to)
{
    struct serve_rows *above = at > 0 ? end_at(of, at) : NULL, *made = malloc(sizeof *made);
    if (!made || (at > 0 && !above)) {
        free(made);
        return NULL;
    }
    *made = (struct serve_rows){above, at, to, 1};
    if (above)
        above->holders++;
    return made;
}

struct serve_rows *serve_rows_release(struct serve_rows *rows, int64_t *from, int64_t *to)
{
    *from = *to = 0;
    if (--rows->holders > 0)
        return NULL;
    struct serve_rows *above = rows->above;
    *from = rows->from;
    *to = rows->to;
    free(rows);
    return above;
}

int64_t serve_rows_shorten(struct serve_rows *rows, int64_t to)
{
    const int64_t before = rows->to;
    rows->to = to > rows->from ? to : rows->from;
    return before;
}
