/* SPDX-License-Identifier: MIT
 * grapheme.h - extended grapheme clusters (UAX #29), by the reference's idea of each code point. */
#ifndef TARE_TEXT_GRAPHEME_H
#define TARE_TEXT_GRAPHEME_H

#include <stddef.h>

/* Bytes of the first cluster of a text, which is valid and not empty. */
size_t tare_grapheme_size(const char *text, size_t size);

#endif
