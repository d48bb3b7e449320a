/* SPDX-License-Identifier: MIT
 * base64.c - decodes bytes that a JSON file holds as base64 letters (RFC 4648). */
#include "text/base64.h"

#include <stdint.h>

/* The six bits that a letter stands for, or -1. */
static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes in place: three bytes come out of every four letters, so writing never overtakes reading. One or two "=" at
 * the end stand for bytes that are not there. */
bool tare_base64_decode(char *text, size_t size, size_t *out)
{
    size_t n = 0, padding = 0;
    uint32_t bits = 0;
    if (size % 4)
        return false;
    while (padding < 2 && padding < size && text[size - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < size; i++) {
        const int six = i >= size - padding ? 0 : sextet(text[i]);
        if (six < 0)
            return false;
        bits = bits << 6 | (uint32_t)six;
        if (i % 4 != 3)
            continue;
        text[n++] = (char)(bits >> 16 & 0xff);
        text[n++] = (char)(bits >> 8 & 0xff);
        text[n++] = (char)(bits & 0xff);
        bits = 0;
    }
    *out = n - padding;
    return true;
}
