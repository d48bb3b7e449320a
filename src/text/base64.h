/* SPDX-License-Identifier: MIT
 * base64.h - bytes that a JSON file has as letters. */
#ifndef TARE_TEXT_BASE64_H
#define TARE_TEXT_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Decode text of `size` bytes in place, *out bytes come out; false where it is no base64 (with its padding). */
bool tare_base64_decode(char *text, size_t size, size_t *out);

#endif
