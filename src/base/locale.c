/* SPDX-License-Identifier: MIT
 * locale.c - formatting and parsing in the C locale. */
#include "base/locale.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

struct swapped {
    locale_t own, before;
};

/* newlocale() of "C" allocates nothing in glibc and musl. Without memory elsewhere the host's locale stays. */
static struct swapped enter(void)
{
    struct swapped s = {.own = newlocale(LC_ALL_MASK, "C", (locale_t)0)};
    s.before = s.own ? uselocale(s.own) : (locale_t)0;
    return s;
}

static void leave(struct swapped s)
{
    if (!s.own)
        return;
    uselocale(s.before);
    freelocale(s.own);
}

int tare_vformat(char *text, size_t room, const char *format, va_list args)
{
    const struct swapped s = enter();
    const int n = vsnprintf(text, room, format, args);
    leave(s);
    return n;
}

int tare_format(char *text, size_t room, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = tare_vformat(text, room, format, args);
    va_end(args);
    return n;
}

double tare_number_parse(const char *text, char **end)
{
    const struct swapped s = enter();
    const double number = strtod(text, end);
    leave(s);
    return number;
}

float tare_float_parse(const char *text)
{
    const struct swapped s = enter();
    const float number = strtof(text, NULL);
    leave(s);
    return number;
}
