/* SPDX-License-Identifier: MIT
 * text.c - a text that grows, with its way into JSON, and small questions about texts. */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/locale.h"

void tare_text_add(struct tare_text *text, const char *bytes, size_t n)
{
    if (text->failed || !tare_grow(&text->data, &text->room, text->size + n + 1, 1)) {
        text->failed = true;
        return;
    }
    if (n)
        memcpy(text->data + text->size, bytes, n);
    text->size += n;
    text->data[text->size] = '\0';
}

void tare_text_puts(struct tare_text *text, const char *string)
{
    tare_text_add(text, string, strlen(string));
}

void tare_text_format(struct tare_text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = tare_vformat(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || text->failed || !tare_grow(&text->data, &text->room, text->size + (size_t)n + 1, 1)) {
        text->failed = true;
        return;
    }
    va_start(args, format);
    tare_vformat(text->data + text->size, (size_t)n + 1, format, args);
    va_end(args);
    text->size += (size_t)n;
}

void tare_text_json(struct tare_text *text, const char *string)
{
    if (!string) {
        tare_text_puts(text, "null");
        return;
    }
    tare_text_add(text, "\"", 1);
    for (const char *run = string; *run;) {
        size_t n = 0;
        while ((unsigned char)run[n] >= 0x20 && run[n] != '"' && run[n] != '\\' && run[n] != 0x7f)
            n++;
        tare_text_add(text, run, n);
        run += n;
        if (*run == '"' || *run == '\\')
            tare_text_format(text, "\\%c", *run++);
        else if (*run)
            tare_text_format(text, "\\u%04x", (unsigned)(unsigned char)*run++);
    }
    tare_text_add(text, "\"", 1);
}

void tare_text_release(struct tare_text *text)
{
    free(text->data);
    *text = (struct tare_text){0};
}

void tare_text_free(char *text)
{
    free(text);
}

bool tare_ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

int tare_hex_digit(int c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}
