/* SPDX-License-Identifier: MIT
 * edit_json.h - one key of a JSON text set or removed; every other byte stays as it is. */
#ifndef TARE_REPAIR_EDIT_JSON_H
#define TARE_REPAIR_EDIT_JSON_H

#include <jansson.h>

#include "base/text.h"

/*
 * text is JSON that tare_json_parse() took, of an object. path: keys from the top, ending with NULL; the objects before
 * the last key must be there. value NULL: remove the key. A new key becomes the last of its object, on a line of
 * its own where the others have one. Returns false when an object of the path is not there, or without memory
 * (out->failed).
 */
bool tare_json_edit(struct tare_text *out, const char *text, size_t n, const char *const *path, const json_t *value);
/* A value in one line; NULL for an absent one: NULL. Owned by the caller, free(). */
char *tare_json_line(const json_t *value);

#endif
