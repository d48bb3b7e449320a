/* SPDX-License-Identifier: MIT
 * locale.h - numbers as text, whatever locale the host has set: with a point, never with a comma.
 *
 * snprintf() and strtod() follow LC_NUMERIC of the calling thread. A library must not call setlocale(), which changes
 * the whole process; uselocale() (POSIX.1-2008) changes the calling thread alone, and is put back here at once.
 */
#ifndef TARE_BASE_LOCALE_H
#define TARE_BASE_LOCALE_H

#include <stdarg.h>
#include <stddef.h>

#include "base/error.h"

/* vsnprintf(), snprintf(), strtod() and strtof() in the C locale. */
int tare_vformat(char *text, size_t room, const char *format, va_list args);
int tare_format(char *text, size_t room, const char *format, ...) TARE_PRINTF(3, 4);
double tare_number_parse(const char *text, char **end);
float tare_float_parse(const char *text);

#endif
