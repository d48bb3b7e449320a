/* SPDX-License-Identifier: MIT
 * scan.c - a JSON document as a stream of events: yajl, and the strictness that it lacks. */
#include "open/scan.h"

#include <setjmp.h>
#include <stdint.h>
#include <string.h>

/*
 * yajl uses what its allocator returns without looking. So it gets memory of an arena, and when that has none left the
 * parse is left by longjmp: nothing of yajl's lies elsewhere, and the arena is released in any case.
 */
struct memory {
    struct tare_arena arena;
    jmp_buf out;
};

struct block {
    size_t size;
    max_align_t data[];
};

static void *memory_alloc(void *context, size_t size)
{
    struct memory *memory = context;
    struct block *block = size > SIZE_MAX / 2 ? NULL : tare_arena_alloc(&memory->arena, sizeof *block + size);
    if (!block)
        longjmp(memory->out, 1);
    block->size = size;
    return block->data;
}

static void *memory_realloc(void *context, void *old, size_t size)
{
    const size_t before = old ? ((struct block *)old - 1)->size : 0;
    if (size <= before)
        return old;
    void *data = memory_alloc(context, size);
    if (before)
        memcpy(data, old, before);
    return data;
}

static void memory_free(void *context, void *old)
{
    (void)context;
    (void)old;
}

/* Length of the UTF-8 sequence at s, or 0 when it is none (Unicode 15, table 3-7: no overlong forms, no surrogates). */
static size_t utf8_length(const unsigned char *s, size_t n)
{
    const unsigned char lead = s[0];
    unsigned char low = 0x80, high = 0xbf;
    size_t more;
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if (lead == 0xe0)
        low = 0xa0;
    if (lead == 0xed)
        high = 0x9f;
    if (lead == 0xf0)
        low = 0x90;
    if (lead == 0xf4)
        high = 0x8f;
    if (more >= n || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i <= more; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return more + 1;
}

/* The four hexadecimal digits of "\uXXXX" at s, or -1. */
static long escape_at(const unsigned char *s, size_t n)
{
    long value = 0;
    if (n < 6 || s[0] != '\\' || s[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        const int c = s[i] >= 'A' && s[i] <= 'F' ? s[i] - 'A' + 'a' : s[i];
        if (c >= '0' && c <= '9')
            value = value * 16 + (c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + (c - 'a' + 10);
        else
            return -1;
    }
    return value;
}

/* The number of bytes of the escape at s, or 0 when it is half a surrogate pair. yajl reports all other errors. */
static size_t escape_length(const unsigned char *s, size_t n)
{
    const long first = escape_at(s, n);
    if (first < 0)
        return n < 2 || s[1] >= 0x80 ? 1 : 2;
    if (first < 0xd800 || first > 0xdfff)
        return 6;
    const long second = escape_at(s + 6, n - 6);
    return first < 0xdc00 && second >= 0xdc00 && second <= 0xdfff ? 12 : 0;
}

static enum tare_code check_bytes(const char *file, const char *what, const char *text, size_t n,
                                  struct tare_error *err)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < n;) {
        if (s[i] < 0x80 && s[i] != '\\') { /* nearly all */
            i++;
            continue;
        }
        const size_t step = s[i] == '\\' ? escape_length(s + i, n - i) : utf8_length(s + i, n - i);
        if (!step && s[i] == '\\')
            return tare_fail(err, TARE_E_FORMAT, file,
                             "byte %zu of %s is half a surrogate pair: no text can have it; the file is damaged", i,
                             what);
        if (!step)
            return tare_fail(err, TARE_E_FORMAT, file, "byte %zu of %s is no UTF-8: the file is damaged", i, what);
        i += step;
    }
    return TARE_OK;
}

static enum tare_code fail_syntax(yajl_handle handle, const char *file, const char *what, struct tare_error *err)
{
    char reason[160];
    const char *text = (const char *)yajl_get_error(handle, 0, NULL, 0);
    size_t n = strcspn(text, "\n");
    if (n && text[n - 1] == '.')
        n--;
    if (n >= sizeof reason)
        n = sizeof reason - 1;
    memcpy(reason, text, n);
    reason[n] = '\0';
    return tare_fail(err, TARE_E_FORMAT, file, "%s is no JSON (%s, near byte %zu): the file is damaged", what, reason,
                     yajl_get_bytes_consumed(handle));
}

/* What is changed after setjmp() must not be local to the function that calls it: hence `memory` of the caller. */
static enum tare_code parse(struct memory *memory, const char *file, const char *what, const char *text, size_t n,
                            const yajl_callbacks *callbacks, void *context, struct tare_error *err)
{
    yajl_alloc_funcs functions = {memory_alloc, memory_realloc, memory_free, memory};
    if (setjmp(memory->out))
        return tare_fail_memory(err);
    yajl_handle handle = yajl_alloc(callbacks, &functions, context);
    yajl_status status = yajl_parse(handle, (const unsigned char *)text, n);
    if (status == yajl_status_ok)
        status = yajl_complete_parse(handle);
    if (status == yajl_status_client_canceled)
        return err->code;
    return status == yajl_status_ok ? TARE_OK : fail_syntax(handle, file, what, err);
}

enum tare_code tare_scan(const char *file, const char *what, const char *text, size_t n,
                         const yajl_callbacks *callbacks, void *context, struct tare_error *err)
{
    struct memory memory = {0};
    enum tare_code code = check_bytes(file, what, text, n, err);
    if (!code)
        code = parse(&memory, file, what, text, n, callbacks, context, err);
    tare_arena_release(&memory.arena);
    return code;
}

bool tare_scan_integer(const char *digits, size_t n, uint64_t *value)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        const unsigned digit = (unsigned)(digits[i] - '0');
        if (digit > 9 || sum > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return n > 0;
}

struct tare_scan_word tare_scan_word(const void *bytes, size_t n)
{
    const unsigned char *s = bytes;
    struct tare_scan_word word = {""};
    size_t most = n < 64 ? n : 64;
    while (most < n && most && (s[most] & 0xc0) == 0x80) /* do not cut within a character */
        most--;
    for (size_t i = 0; i < most; i++)
        word.text[i] = s[i] < 0x20 || s[i] == 0x7f ? '?' : (char)s[i];
    if (most < n)
        memcpy(word.text + most, "...", 3);
    return word;
}
