/* SPDX-License-Identifier: MIT
 * banned.h - what library code does not call; every library source is compiled with -include of this file.
 *
 * Strings are written with a bound (snprintf, base/text.h), numbers are parsed with a check of their end (strtoll), and
 * a library never ends its host. The headers that declare these names come first, because a poisoned name cannot be
 * declared any more.
 */
#ifndef TARE_BASE_BANNED_H
#define TARE_BASE_BANNED_H

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#if defined(__GNUC__) && !defined(__APPLE__) /* there some of these are macros already, which cannot be poisoned */
#pragma GCC poison sprintf vsprintf gets
#pragma GCC poison strcpy strcat strncpy strncat strtok
#pragma GCC poison atoi atol atoll atof
#pragma GCC poison exit abort quick_exit system tmpnam setlocale
#endif

#endif
