/* SPDX-License-Identifier: MIT
 * error.c - the one way to fail, and the names of codes. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

#define TEXT(x) #x
#define VERSION(a, b, c) TEXT(a) "." TEXT(b) "." TEXT(c)

enum tare_code tare_fail(struct tare_error *err, enum tare_code code, const char *where, const char *format, ...)
{
    if (err) {
        va_list args;
        err->code = code;
        snprintf(err->where, sizeof err->where, "%s", where ? where : "");
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return code;
}

enum tare_code tare_fail_memory(struct tare_error *err)
{
    return tare_fail(err, TARE_E_MEMORY, "", "out of memory");
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
