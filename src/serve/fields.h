/* SPDX-License-Identifier: MIT
 * fields.h - JSON that is read strictly: a field has the type and the range that it should have, or the request is
 * refused by name. null means that a field is absent. */
#ifndef TARE_SERVE_FIELDS_H
#define TARE_SERVE_FIELDS_H

#include <jansson.h>
#include <stdint.h>

#include "serve/failure.h"

/* Read a body. NULL: it is not the JSON that is taken, and failure says why. Owned, json_decref(). */
json_t *fields_read(const char *text, size_t size, struct serve_failure *failure);

/* The value of a field; NULL: it is absent or null. */
json_t *fields_get(const json_t *object, const char *name);

/* Each leaves *value alone where the field is absent, and returns false where it is refused. */
bool fields_integer(const json_t *object, const char *name, int64_t least, int64_t most, int64_t *value,
                    struct serve_failure *failure);
bool fields_real(const json_t *object, const char *name, double least, double most, double *value,
                 struct serve_failure *failure);
bool fields_flag(const json_t *object, const char *name, bool *value, struct serve_failure *failure);
/* These are borrowed from the object. */
bool fields_object(const json_t *object, const char *name, const json_t **value, struct serve_failure *failure);
bool fields_list(const json_t *object, const char *name, const json_t **value, struct serve_failure *failure);
/* Without U+0000. */
bool fields_text(const json_t *object, const char *name, const char **value, struct serve_failure *failure);

/* A list of ids of a vocabulary; owned by the caller, free(). At least one where `some`. */
bool fields_ids(const json_t *list, const char *name, int64_t vocabulary, bool some, int32_t **ids, size_t *n,
                struct serve_failure *failure);

#endif
