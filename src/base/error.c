/* SPDX-License-Identifier: MIT
 * error.c - the one way to report a failure, and the names of codes. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/locale.h"

#define TEXT(x) #x
#define VERSION(a, b, c) TEXT(a) "." TEXT(b) "." TEXT(c)

/* Makes one line of an error, which may contain names from files, so that neither a terminal nor a JSON reader trips
 * over it. Control characters (C0, DEL, and C1, which are 0xc2 0x80 to 0x9f in UTF-8) become '?'; a character that
 * the end of the buffer has cut is removed. */
static void make_line(char *text)
{
    size_t n = 0;
    for (unsigned char *s = (unsigned char *)text; *s; s++, n++) {
        if (s[0] == 0xc2 && s[1] >= 0x80 && s[1] <= 0x9f)
            s[0] = s[1] = '?';
        if (s[0] < 0x20 || s[0] == 0x7f)
            s[0] = '?';
    }
    /* How many continuation bytes stand at the end. */
    size_t tail = 0;
    while (tail < n && tail < 4 && ((unsigned char)text[n - tail - 1] & 0xc0) == 0x80)
        tail++;
    const unsigned char lead = tail < n ? (unsigned char)text[n - tail - 1] : 0;
    const size_t needed = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (lead >= 0xc0 && tail < needed)
        text[n - tail - 1] = '\0';
}

enum tare_code tare_fail(struct tare_error *err, enum tare_code code, const char *where, const char *format, ...)
{
    if (err) {
        va_list args;
        err->code = code;
        snprintf(err->where, sizeof err->where, "%s", where ? where : "");
        va_start(args, format);
        tare_vformat(err->text, sizeof err->text, format, args);
        va_end(args);
        make_line(err->where);
        make_line(err->text);
    }
    return code;
}

enum tare_code tare_fail_memory(struct tare_error *err)
{
    return tare_fail(err, TARE_E_MEMORY, "", "out of memory");
}

int tare_version_number(void)
{
    return 10000 * TARE_VERSION_MAJOR + 100 * TARE_VERSION_MINOR + TARE_VERSION_PATCH;
}

enum tare_code tare_fail_system(struct tare_error *err, const char *where, const char *what)
{
    const int number = errno;
    const bool space = number == ENOSPC || number == EDQUOT || number == EFBIG;
    return tare_fail(err, space ? TARE_E_SPACE : TARE_E_IO, where, "%s: %s", what, strerror(number));
}

const char *tare_version(void)
{
    return VERSION(TARE_VERSION_MAJOR, TARE_VERSION_MINOR, TARE_VERSION_PATCH);
}

const char *tare_code_name(enum tare_code code)
{
    switch (code) {
#define NAME(number, name, exit_code, text)                                                                            \
    case TARE_##name:                                                                                                  \
        return #name;
        TARE_CODES(NAME)
#undef NAME
    }
    return "unknown";
}

int tare_code_exit(enum tare_code code)
{
    switch (code) {
#define EXIT(number, name, exit_code, text)                                                                            \
    case TARE_##name:                                                                                                  \
        return exit_code;
        TARE_CODES(EXIT)
#undef EXIT
    }
    return 4;
}

enum tare_code tare_fail_null(struct tare_error *err, const char *function)
{
    return tare_fail(err, TARE_E_ARGUMENT, function,
                     "NULL was given for something that it needs; its comment in the header says what may be NULL");
}
