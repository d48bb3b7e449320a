/* SPDX-License-Identifier: MIT
 * lookup.h - drafts from the text itself. */
#ifndef TARE_RUN_SESSION_LOOKUP_H
#define TARE_RUN_SESSION_LOOKUP_H

#include <stddef.h>
#include <stdint.h>

/* What followed the last earlier place of the longest run of the last 4, 3 or 2 ids: up to `most` ids into draft.
 * Returns how many; 0: there is no such place. */
size_t tare_lookup(const int32_t *ids, size_t n, int32_t *draft, size_t most);

#endif
