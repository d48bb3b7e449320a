/* SPDX-License-Identifier: MIT
 * schema.h - what the files that turn a JSON schema into a grammar share. */
#ifndef TARE_GRAMMAR_SCHEMA_H
#define TARE_GRAMMAR_SCHEMA_H

#include <jansson.h>

#include "grammar/grammar.h"

/* A pointer whose rule is being, or was, written. */
struct tare_schema_ref {
    char *pointer; /* owned */
};
struct tare_schema {
    const json_t *root;
    struct tare_text *out; /* whole rules */
    struct tare_schema_ref *refs;
    size_t n_refs, refs_room, n_rules;
    int depth;
    bool any; /* rules of any value are wanted */
    struct tare_error *err;
};

/* Each writes an expression in parentheses, or one item. */
enum tare_code tare_schema_integer(struct tare_schema *s, const json_t *schema, struct tare_text *to);
enum tare_code tare_schema_number(struct tare_schema *s, const json_t *schema, struct tare_text *to);
enum tare_code tare_schema_string(struct tare_schema *s, const json_t *schema, struct tare_text *to);
enum tare_code tare_schema_pattern(struct tare_schema *s, const char *pattern, struct tare_text *to);
/* A literal of GBNF with these bytes of UTF-8. */
void tare_schema_literal(struct tare_text *to, const char *text, size_t size);
/* A whole number from 0 on at `key`, `fallback` where there is none. */
enum tare_code tare_schema_count(struct tare_schema *s, const json_t *schema, const char *key, int64_t fallback,
                                 int64_t *number);
enum tare_code tare_schema_refuse(struct tare_schema *s, const char *key, const char *why);

#endif
