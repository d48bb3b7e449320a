/* SPDX-License-Identifier: MIT
 * schema_object.h - what is made of other schemas. */
#ifndef TARE_GRAMMAR_SCHEMA_OBJECT_H
#define TARE_GRAMMAR_SCHEMA_OBJECT_H

#include "grammar/schema.h"

enum tare_code tare_schema_put(struct tare_schema *s, const json_t *schema, struct tare_text *to);
bool tare_schema_is_note(const char *key);                                /* says nothing of what is valid */
const json_t *tare_schema_find(struct tare_schema *s, const json_t *ref); /* what a $ref names, or NULL */
enum tare_code tare_schema_object(struct tare_schema *s, const json_t *schema, struct tare_text *to);
enum tare_code tare_schema_array(struct tare_schema *s, const json_t *schema, struct tare_text *to);
/* A schema that says what both say, where that can be said in one; owned by the caller. */
enum tare_code tare_schema_merge(struct tare_schema *s, const json_t *a, const json_t *b, json_t **both);

#endif
