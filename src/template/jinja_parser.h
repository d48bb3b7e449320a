/* SPDX-License-Identifier: MIT
 * jinja_parser.h - what the two halves of the parser, statements and expressions, use together. */
#ifndef TARE_TEMPLATE_JINJA_PARSER_H
#define TARE_TEMPLATE_JINJA_PARSER_H

#include "template/jinja.h"

struct tare_jinja_parser {
    struct tare_jinja_state *s;
    const struct tare_jinja_token *token;
    int depth, loops;    /* loops: around this place, in this function */
    uint8_t takes;       /* special names of the macro that is read */
    bool soft;           /* inside an if: an unknown filter is an error only when it is reached */
    const char *unknown; /* the first unknown filter or test outside of an if, for the error */
    struct tare_jinja_value unknown_name;
    int unknown_line;
};

struct tare_jinja_node *tare_jinja_node_new(struct tare_jinja_parser *p, enum tare_jinja_node_kind kind);
/* Add to node->items (or node->more). */
void tare_jinja_node_add(struct tare_jinja_parser *p, struct tare_jinja_node *node, struct tare_jinja_node *item);
void tare_jinja_node_add_more(struct tare_jinja_parser *p, struct tare_jinja_node *node, struct tare_jinja_node *item);
struct tare_jinja_node *tare_jinja_unexpected(struct tare_jinja_parser *p, const char *expected); /* fails */
bool tare_jinja_at_name(const struct tare_jinja_parser *p, const char *name);
bool tare_jinja_skip(struct tare_jinja_parser *p, enum tare_jinja_token_kind kind);
bool tare_jinja_skip_name(struct tare_jinja_parser *p, const char *name);
bool tare_jinja_expect(struct tare_jinja_parser *p, enum tare_jinja_token_kind kind, const char *what);
void tare_jinja_next(struct tare_jinja_parser *p);
bool tare_jinja_deeper(struct tare_jinja_parser *p); /* false: too deep */

struct tare_jinja_node *tare_jinja_parse_expression(struct tare_jinja_parser *p, bool condition);
/* until: a name that ends it as well, or NULL. */
struct tare_jinja_node *tare_jinja_parse_tuple(struct tare_jinja_parser *p, bool simple, bool condition,
                                               const char *until, bool parentheses);
struct tare_jinja_node *tare_jinja_parse_filter(struct tare_jinja_parser *p, struct tare_jinja_node *node,
                                                bool inline_start);

#endif
