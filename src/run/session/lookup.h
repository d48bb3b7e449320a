/* SPDX-License-Identifier: MIT
 * lookup.h - guesses the next ids from the text itself. */
#ifndef TARE_RUN_SESSION_LOOKUP_H
#define TARE_RUN_SESSION_LOOKUP_H

#include <stddef.h>
#include <stdint.h>

/* Looks for the last earlier place where the text's final 4 ids stand, or else its final 3 or 2, and copies up to
 * `most` ids that followed there into draft. Returns their number, 0 when there is no such place. */
size_t tare_lookup(const int32_t *ids, size_t n, int32_t *draft, size_t most);

#endif
