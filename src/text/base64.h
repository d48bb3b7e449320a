/* SPDX-License-Identifier: MIT
 * base64.h - decodes bytes that a JSON file holds as base64 letters. */
#ifndef TARE_TEXT_BASE64_H
#define TARE_TEXT_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Decodes a text of `size` bytes in place; *out becomes the number of bytes. Returns false when it is no base64 with
 * its padding. */
bool tare_base64_decode(char *text, size_t size, size_t *out);

#endif
