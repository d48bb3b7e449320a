/* SPDX-License-Identifier: MIT
 * jinja_parser.h - what the two halves of the parser share. */
#ifndef TARE_TEMPLATE_JINJA_PARSER_H
#define TARE_TEMPLATE_JINJA_PARSER_H

#include "template/jinja.h"

struct j_parser {
    struct j_state *s;
    const struct j_token *token;
    int depth, loops;   /* loops: around this place, in this function */
    uint8_t takes;      /* special names of the macro that is read */
    bool soft;          /* inside an if: an unknown filter is an error only when it is reached */
    const char *unknown; /* the first unknown filter or test outside of an if, for the error */
    struct j_value unknown_name;
    int unknown_line;
};

struct j_node *j_node_new(struct j_parser *p, enum j_node_kind kind);
/* Add to node->items (or node->more). */
void j_node_add(struct j_parser *p, struct j_node *node, struct j_node *item);
void j_node_add_more(struct j_parser *p, struct j_node *node, struct j_node *item);
struct j_node *j_unexpected(struct j_parser *p, const char *expected); /* fails */
bool j_at_name(const struct j_parser *p, const char *name);
bool j_skip(struct j_parser *p, enum j_token_kind kind);
bool j_skip_name(struct j_parser *p, const char *name);
bool j_expect(struct j_parser *p, enum j_token_kind kind, const char *what);
void j_next(struct j_parser *p);
bool j_deeper(struct j_parser *p); /* false: too deep */

struct j_node *j_parse_expression(struct j_parser *p, bool condition);
/* until: a name that ends it as well, or NULL. */
struct j_node *j_parse_tuple(struct j_parser *p, bool simple, bool condition, const char *until, bool parentheses);
struct j_node *j_parse_filter(struct j_parser *p, struct j_node *node, bool inline_start);

#endif
