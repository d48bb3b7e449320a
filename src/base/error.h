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
/* The same where a public function was given NULL for what it needs: TARE_E_ARGUMENT at the function's name. */
enum tare_code tare_fail_null(struct tare_error *err, const char *function);
/* The same for the failure of an allocation. */
enum tare_code tare_fail_memory(struct tare_error *err);
/* The same for a call of the system that has just failed and left its reason in errno: "what: reason". The code is
 * TARE_E_SPACE where the disk or a quota is full, else TARE_E_IO. */
enum tare_code tare_fail_system(struct tare_error *err, const char *where, const char *what);

#endif
