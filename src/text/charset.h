/* SPDX-License-Identifier: MIT
 * charset.h - sets of code points, as a regular expression's classes build them. */
#ifndef TARE_TEXT_CHARSET_H
#define TARE_TEXT_CHARSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tare_charset_range {
    uint32_t first, last;
};

/* Zero-initialise. Sorted and without overlap after tare_charset_settle(); the operations settle what they are given.
 */
struct tare_charset {
    struct tare_charset_range *ranges;
    size_t n, room;
    bool settled;
};

/* Each returns false when memory ran out. */
bool tare_charset_add(struct tare_charset *set, uint32_t first, uint32_t last);
bool tare_charset_join(struct tare_charset *set, struct tare_charset *other);      /* set |= other */
bool tare_charset_intersect(struct tare_charset *set, struct tare_charset *other); /* set &= other */
bool tare_charset_invert(struct tare_charset *set);
bool tare_charset_fold(struct tare_charset *set); /* add what differs only in case */
/* Adds a property by its name, without "^": a general category or its group ("Lu", "L", "Letter"), a script, or a
 * POSIX name; case, spaces, "_" and "-" do not matter. *known becomes false when there is no such name. Inside a
 * class, [:word:], \w and [:punct:] are other sets than the properties of these names: use tare_charset_add_posix()
 * there. */
bool tare_charset_add_property(struct tare_charset *set, const char *name, size_t size, bool *known);
bool tare_charset_add_posix(struct tare_charset *set, const char *name, size_t size, bool *known);
void tare_charset_settle(struct tare_charset *set);
bool tare_charset_equal(const struct tare_charset *a, const struct tare_charset *b); /* both settled */
void tare_charset_release(struct tare_charset *set);

#endif
