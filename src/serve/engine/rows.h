/* SPDX-License-Identifier: MIT
 * rows.h - which positions of texts are held once for several of them, so that memory is counted once, too. A text has a
 * part of its own, which hangs on the part that it shares with others, and so on. */
#ifndef TARE_SERVE_ROWS_H
#define TARE_SERVE_ROWS_H

#include <stdint.h>

struct serve_rows;

/* Opens a part [at, to) of a text that shares [0, at) with the text of `of`; NULL: with none, and `at` is 0. Returns NULL
 * when memory ran out. */
struct serve_rows *serve_rows_open(struct serve_rows *of, int64_t at, int64_t to);

/* Lets a part go. When nobody holds it any more, [*from, *to) are the positions that are free now, and the part that it
 * hung on is returned, to be released as well; else the range is empty. */
struct serve_rows *serve_rows_release(struct serve_rows *rows, int64_t *from, int64_t *to);

/* Ends a part earlier. Returns where it ended. */
int64_t serve_rows_shorten(struct serve_rows *rows, int64_t to);

#endif
