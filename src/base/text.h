/* SPDX-License-Identifier: MIT
 * text.h - a text that grows. */
#ifndef TARE_BASE_TEXT_H
#define TARE_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Zero-initialise. Once something was added, data ends with a NUL. The caller owns it: free() or tare_text_release().
 */
struct tare_text {
    char *data;
    size_t size, room;
    bool failed; /* memory ran out: nothing is added any more; check it once at the end */
};

void tare_text_add(struct tare_text *text, const char *bytes, size_t n);
void tare_text_puts(struct tare_text *text, const char *string);
void tare_text_format(struct tare_text *text, const char *format, ...) TARE_PRINTF(2, 3);
void tare_text_json(struct tare_text *text, const char *string); /* quoted and escaped; NULL gives null */
void tare_text_release(struct tare_text *text);

bool tare_ends_with(const char *text, const char *end); /* true as well when end is the whole text */
int tare_hex_digit(int character); /* 0 to 15, for either case of letters; -1 for any other character */

#endif
