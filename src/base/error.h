/* SPDX-License-Identifier: MIT
 * error.h - the one way to fail. */
#ifndef TARE_BASE_ERROR_H
#define TARE_BASE_ERROR_H

#include "tare.h"

#if defined(__GNUC__)
#define TARE_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define TARE_PRINTF(text, first)
#endif

/* Fill err (may be NULL) and return code, so that `return tare_fail(err, TARE_E_SHAPE, name, "...", ..)` reads as one
 * step. */
enum tare_code tare_fail(struct tare_error *err, enum tare_code code, const char *where, const char *format, ...)
    TARE_PRINTF(4, 5);
/* The same for the failure of an allocation. */
enum tare_code tare_fail_memory(struct tare_error *err);

#endif
