/* SPDX-License-Identifier: MIT
 * jinja_expression.c - parses expressions into trees by recursive descent. From loose to tight: if-else, or, and,
 * not, comparisons, + -, ~, * / // %, **, unary, then subscripts, calls, filters and tests. */
#include <string.h>

#include "template/jinja_parser.h"

static struct tare_jinja_node *parse_unary(struct tare_jinja_parser *p, bool filters);

/* Makes a node over one or two others. Its height is limited, because evaluating it recurses that deep. */
static struct tare_jinja_node *with(struct tare_jinja_parser *p, enum tare_jinja_node_kind kind,
                                    struct tare_jinja_node *a, struct tare_jinja_node *b)
{
    struct tare_jinja_node *node = tare_jinja_node_new(p, kind);
    if (!node)
        return NULL;
    node->a = a;
    node->b = b;
    const int left = a ? a->height : 0, right = b ? b->height : 0;
    node->height = 1 + (left > right ? left : right);
    if (node->height > TARE_JINJA_DEPTH_MOST / 3)
        tare_jinja_fail_limit(p->s, "an expression has more than %d parts in a row", TARE_JINJA_DEPTH_MOST / 3);
    return node;
}

/* Does a tuple without parentheses end here? */
static bool tuple_ends(const struct tare_jinja_parser *p, const char *until)
{
    const uint8_t kind = p->token->kind;
    return kind == T_VARIABLE_END || kind == T_BLOCK_END || kind == T_RPAREN || (until && tare_jinja_at_name(p, until));
}

static struct tare_jinja_node *parse_list(struct tare_jinja_parser *p)
{
    struct tare_jinja_node *node = tare_jinja_node_new(p, N_LIST);
    tare_jinja_next(p);
    while (!p->s->failed && p->token->kind != T_RBRACKET) {
        if (node->n && !tare_jinja_expect(p, T_COMMA, "','"))
            break;
        if (p->token->kind != T_RBRACKET)
            tare_jinja_node_add(p, node, tare_jinja_parse_expression(p, true));
    }
    tare_jinja_expect(p, T_RBRACKET, "']'");
    return node;
}

static struct tare_jinja_node *parse_dict(struct tare_jinja_parser *p)
{
    struct tare_jinja_node *node = tare_jinja_node_new(p, N_DICT);
    tare_jinja_next(p);
    while (!p->s->failed && p->token->kind != T_RBRACE) {
        if (node->n && !tare_jinja_expect(p, T_COMMA, "','"))
            break;
        if (p->token->kind == T_RBRACE)
            break;
        tare_jinja_node_add(p, node, tare_jinja_parse_expression(p, true));
        if (tare_jinja_expect(p, T_COLON, "':'"))
            tare_jinja_node_add(p, node, tare_jinja_parse_expression(p, true));
    }
    tare_jinja_expect(p, T_RBRACE, "'}'");
    return node;
}

static struct tare_jinja_node *constant(struct tare_jinja_parser *p, struct tare_jinja_value value)
{
    struct tare_jinja_node *node = tare_jinja_node_new(p, N_CONST);
    if (node)
        node->value = value;
    tare_jinja_next(p);
    return node;
}

/* Notes caller, varargs and kwargs: as in Jinja2, a macro accepts these only if its body mentions them. */
static struct tare_jinja_node *parse_name(struct tare_jinja_parser *p)
{
    const struct tare_jinja_value name = p->token->value;
    if (tare_jinja_is(name, "true") || tare_jinja_is(name, "True") || tare_jinja_is(name, "false") ||
        tare_jinja_is(name, "False"))
        return constant(p, tare_jinja_bool((*name.as.text | 32) == 't'));
    if (tare_jinja_is(name, "none") || tare_jinja_is(name, "None"))
        return constant(p, tare_jinja_make(TARE_JINJA_NONE));
    p->takes |= (uint8_t)((tare_jinja_is(name, "caller") ? TAKES_CALLER : 0) |
                          (tare_jinja_is(name, "varargs") ? TAKES_VARARGS : 0) |
                          (tare_jinja_is(name, "kwargs") ? TAKES_KWARGS : 0));
    struct tare_jinja_node *node = constant(p, name);
    if (node)
        node->kind = N_NAME;
    return node;
}

/* Strings that follow one another become one, as in Python. */
static struct tare_jinja_node *parse_strings(struct tare_jinja_parser *p)
{
    struct tare_jinja_value text = p->token->value;
    struct tare_jinja_node *node = constant(p, text);
    for (; p->token->kind == T_TEXT && !p->s->failed; tare_jinja_next(p))
        text = tare_jinja_join(p->s, text, p->token->value);
    if (node)
        node->value = text;
    return node;
}

static struct tare_jinja_node *parse_primary(struct tare_jinja_parser *p)
{
    struct tare_jinja_node *node = NULL;
    if (!tare_jinja_deeper(p))
        return NULL;
    switch (p->token->kind) {
    case T_NAME:
        node = parse_name(p);
        break;
    case T_TEXT:
        node = parse_strings(p);
        break;
    case T_INTEGER:
    case T_FLOAT:
        node = constant(p, p->token->value);
        break;
    case T_LPAREN:
        tare_jinja_next(p);
        node = tare_jinja_parse_tuple(p, false, true, NULL, true);
        tare_jinja_expect(p, T_RPAREN, "')'");
        break;
    case T_LBRACKET:
        node = parse_list(p);
        break;
    case T_LBRACE:
        node = parse_dict(p);
        break;
    default:
        node = tare_jinja_unexpected(p, NULL);
    }
    p->depth--;
    return node;
}

struct tare_jinja_node *tare_jinja_parse_tuple(struct tare_jinja_parser *p, bool simple, bool condition,
                                               const char *until, bool parentheses)
{
    struct tare_jinja_node *first = NULL, *tuple = NULL;
    while (!p->s->failed && !tuple_ends(p, until)) {
        struct tare_jinja_node *item = simple ? parse_primary(p) : tare_jinja_parse_expression(p, condition);
        if (tuple)
            tare_jinja_node_add(p, tuple, item);
        first = first ? first : item;
        if (p->token->kind != T_COMMA)
            break;
        if (!tuple && (tuple = tare_jinja_node_new(p, N_TUPLE)))
            tare_jinja_node_add(p, tuple, first);
        tare_jinja_next(p);
    }
    if (p->s->failed || tuple || first)
        return tuple ? tuple : first;
    return parentheses ? tare_jinja_node_new(p, N_TUPLE) : tare_jinja_unexpected(p, "an expression");
}

/* Reads one argument into the node (see struct tare_jinja_node). Returns false when it is out of order: positional
 * ones come first, then *, named ones, and ** last. */
static bool parse_argument(struct tare_jinja_parser *p, struct tare_jinja_node *node)
{
    if (p->token->kind == T_POW) {
        tare_jinja_next(p);
        if (node->c)
            return false;
        node->c = tare_jinja_parse_expression(p, true);
    } else if (node->c) {
        return false;
    } else if (p->token->kind == T_MUL) {
        tare_jinja_next(p);
        if (node->b)
            return false;
        node->b = tare_jinja_parse_expression(p, true);
    } else if (p->token->kind == T_NAME && p->token[1].kind == T_ASSIGN) {
        struct tare_jinja_node *keyword = tare_jinja_node_new(p, N_KEYWORD);
        if (!keyword)
            return false;
        keyword->value = p->token->value;
        tare_jinja_next(p);
        tare_jinja_next(p);
        keyword->a = tare_jinja_parse_expression(p, true);
        tare_jinja_node_add_more(p, node, keyword);
    } else {
        if (node->n_more || node->b)
            return false;
        tare_jinja_node_add(p, node, tare_jinja_parse_expression(p, true));
    }
    return true;
}

static void parse_arguments(struct tare_jinja_parser *p, struct tare_jinja_node *node)
{
    bool any = false;
    tare_jinja_expect(p, T_LPAREN, "'('");
    while (!p->s->failed && p->token->kind != T_RPAREN) {
        if (any && (!tare_jinja_expect(p, T_COMMA, "','") || p->token->kind == T_RPAREN))
            break;
        any = true;
        if (!parse_argument(p, node) && !p->s->failed)
            tare_jinja_fail(p->s, "invalid syntax for function call expression");
    }
    tare_jinja_expect(p, T_RPAREN, "')'");
}

static struct tare_jinja_node *parse_call(struct tare_jinja_parser *p, struct tare_jinja_node *callee)
{
    struct tare_jinja_node *node = with(p, N_CALL, callee, NULL);
    if (node)
        parse_arguments(p, node);
    return node;
}

/* Reads what stands between brackets: an expression, or a slice start:stop:step with any part left out. */
static struct tare_jinja_node *parse_subscribed(struct tare_jinja_parser *p)
{
    struct tare_jinja_node *parts[3] = {NULL, NULL, NULL};
    int at = 0;
    if (p->token->kind != T_COLON) {
        parts[0] = tare_jinja_parse_expression(p, true);
        if (p->token->kind != T_COLON)
            return parts[0];
    }
    while (!p->s->failed && at < 2 && tare_jinja_skip(p, T_COLON)) {
        at++;
        if (p->token->kind != T_COLON && p->token->kind != T_RBRACKET && p->token->kind != T_COMMA)
            parts[at] = tare_jinja_parse_expression(p, true);
    }
    struct tare_jinja_node *node = with(p, N_SLICE, parts[0], parts[1]);
    if (node)
        node->c = parts[2];
    return node;
}

static struct tare_jinja_node *parse_subscript(struct tare_jinja_parser *p, struct tare_jinja_node *object)
{
    struct tare_jinja_node *key = NULL;
    if (tare_jinja_skip(p, T_DOT)) {
        const struct tare_jinja_token *token = p->token;
        if (token->kind == T_INTEGER)
            return with(p, N_ITEM, object, constant(p, token->value));
        if (token->kind != T_NAME)
            return tare_jinja_unexpected(p, "name or number");
        struct tare_jinja_node *node = with(p, N_ATTRIBUTE, object, NULL);
        if (node)
            node->value = token->value;
        tare_jinja_next(p);
        return node;
    }
    tare_jinja_next(p);
    while (!p->s->failed && p->token->kind != T_RBRACKET) {
        if (key && !tare_jinja_expect(p, T_COMMA, "','"))
            break;
        struct tare_jinja_node *item = parse_subscribed(p);
        if (!key) {
            key = item;
            continue;
        }
        struct tare_jinja_node *tuple = key->kind == N_TUPLE && key->flag ? key : tare_jinja_node_new(p, N_TUPLE);
        if (tuple && tuple != key) {
            tuple->flag = true;
            tare_jinja_node_add(p, tuple, key);
        }
        key = tuple;
        tare_jinja_node_add(p, key, item);
    }
    if (!key && !p->s->failed)
        return tare_jinja_unexpected(p, "an expression");
    tare_jinja_expect(p, T_RBRACKET, "']'");
    return with(p, N_ITEM, object, key);
}

static struct tare_jinja_node *parse_postfix(struct tare_jinja_parser *p, struct tare_jinja_node *node)
{
    while (!p->s->failed) {
        if (p->token->kind == T_DOT || p->token->kind == T_LBRACKET)
            node = parse_subscript(p, node);
        else if (p->token->kind == T_LPAREN)
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

/* Reads the name of a filter or test, which may have dots, into node->value. An unknown one is an error at once,
 * except inside an if (p->soft), where it counts only if it is reached. */
static void parse_builtin_name(struct tare_jinja_parser *p, struct tare_jinja_node *node, const char *what)
{
    node->value = p->token->value;
    if (!tare_jinja_expect(p, T_NAME, "a name"))
        return;
    while (tare_jinja_skip(p, T_DOT)) {
        node->value = tare_jinja_join(p->s, tare_jinja_join(p->s, node->value, tare_jinja_word(".")), p->token->value);
        tare_jinja_expect(p, T_NAME, "a name");
    }
    node->builtin = node->kind == N_FILTER ? tare_jinja_filter_find(node->value) : tare_jinja_test_find(node->value);
    if (!node->builtin && !p->soft && !p->unknown) {
        p->unknown = what;
        p->unknown_name = node->value;
        p->unknown_line = node->line;
    }
}

struct tare_jinja_node *tare_jinja_parse_filter(struct tare_jinja_parser *p, struct tare_jinja_node *node,
                                                bool inline_start)
{
    while (!p->s->failed && (p->token->kind == T_PIPE || inline_start)) {
        if (!inline_start)
            tare_jinja_next(p);
        inline_start = false;
        node = with(p, N_FILTER, node, NULL);
        if (!node)
            return NULL;
        parse_builtin_name(p, node, "filter");
        if (p->token->kind == T_LPAREN)
            parse_arguments(p, node);
    }
    return node;
}

static struct tare_jinja_node *parse_test(struct tare_jinja_parser *p, struct tare_jinja_node *subject)
{
    tare_jinja_next(p);
    const bool negated = tare_jinja_skip_name(p, "not");
    struct tare_jinja_node *node = with(p, N_TEST, subject, NULL);
    if (!node)
        return NULL;
    parse_builtin_name(p, node, "test");
    const uint8_t kind = p->token->kind;
    if (kind == T_LPAREN) {
        parse_arguments(p, node);
    } else if ((kind == T_NAME || kind == T_TEXT || kind == T_INTEGER || kind == T_FLOAT || kind == T_LBRACKET ||
                kind == T_LBRACE) &&
               !tare_jinja_at_name(p, "else") && !tare_jinja_at_name(p, "or") && !tare_jinja_at_name(p, "and")) {
        if (tare_jinja_at_name(p, "is"))
            return tare_jinja_fail(p->s, "tests cannot be chained with is"), NULL;
        tare_jinja_node_add(p, node, parse_postfix(p, parse_primary(p)));
    }
    return negated ? with(p, N_NOT, node, NULL) : node;
}

static struct tare_jinja_node *parse_filters(struct tare_jinja_parser *p, struct tare_jinja_node *node)
{
    while (!p->s->failed) {
        if (p->token->kind == T_PIPE)
            node = tare_jinja_parse_filter(p, node, false);
        else if (tare_jinja_at_name(p, "is"))
            node = parse_test(p, node);
        else if (p->token->kind == T_LPAREN)
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

static struct tare_jinja_node *parse_unary(struct tare_jinja_parser *p, bool filters)
{
    struct tare_jinja_node *node;
    if (!tare_jinja_deeper(p))
        return NULL;
    if (p->token->kind == T_SUB || p->token->kind == T_ADD) {
        const enum tare_jinja_node_kind kind = p->token->kind == T_SUB ? N_NEGATE : N_PLUS;
        tare_jinja_next(p);
        node = with(p, kind, parse_unary(p, false), NULL);
    } else {
        node = parse_primary(p);
    }
    node = parse_postfix(p, node);
    if (filters)
        node = parse_filters(p, node);
    p->depth--;
    return node;
}

/* Returns how tightly a binary operator binds; 0 for a token that is none. */
static int strength(uint8_t kind)
{
    switch (kind) {
    case T_ADD:
    case T_SUB:
        return 1;
    case T_TILDE:
        return 2;
    case T_MUL:
    case T_DIV:
    case T_FLOORDIV:
    case T_MOD:
        return 3;
    case T_POW:
        return 4;
    default:
        return 0;
    }
}

/* Reads operators that bind at least as tightly as `least`. All are left-associative, ** too, as in Jinja2. A chain a
 * ~ b ~ c becomes one N_CONCAT; its flag is set while it may grow. */
static struct tare_jinja_node *parse_arithmetic(struct tare_jinja_parser *p, int least)
{
    struct tare_jinja_node *node = least > 4 ? parse_unary(p, true) : parse_arithmetic(p, least + 1);
    while (!p->s->failed && least <= 4 && strength(p->token->kind) == least) {
        const uint8_t op = p->token->kind;
        tare_jinja_next(p);
        struct tare_jinja_node *right = least == 4 ? parse_unary(p, true) : parse_arithmetic(p, least + 1);
        if (op == T_TILDE && node && node->kind == N_CONCAT && node->flag) {
            tare_jinja_node_add(p, node, right);
        } else if (op == T_TILDE) {
            struct tare_jinja_node *concat = tare_jinja_node_new(p, N_CONCAT);
            tare_jinja_node_add(p, concat, node);
            tare_jinja_node_add(p, concat, right);
            if (concat)
                concat->flag = true;
            node = concat;
        } else {
            node = with(p, N_BINARY, node, right);
            if (node)
                node->op = op;
        }
    }
    if (node && node->kind == N_CONCAT && least <= 2)
        /* The chain is complete: another ~ outside takes it as one operand. */
        node->flag = false;
    return node;
}

/* Reads a comparison operator. Returns T_END, and reads nothing, when there is none. */
static uint8_t comparison(struct tare_jinja_parser *p)
{
    const uint8_t kind = p->token->kind;
    if (kind == T_EQ || kind == T_NE || kind == T_LT || kind == T_LE || kind == T_GT || kind == T_GE) {
        tare_jinja_next(p);
        return kind;
    }
    if (tare_jinja_skip_name(p, "in"))
        return T_IN;
    if (tare_jinja_at_name(p, "not") && p->token[1].kind == T_NAME && tare_jinja_is(p->token[1].value, "in")) {
        tare_jinja_next(p);
        tare_jinja_next(p);
        return T_NOT_IN;
    }
    return T_END;
}

static struct tare_jinja_node *parse_compare(struct tare_jinja_parser *p)
{
    struct tare_jinja_node *first = parse_arithmetic(p, 1), *node = NULL;
    uint8_t op;
    while (!p->s->failed && (op = comparison(p)) != T_END) {
        struct tare_jinja_node *operand = with(p, N_OPERAND, parse_arithmetic(p, 1), NULL);
        if (!node)
            node = with(p, N_COMPARE, first, NULL);
        if (!operand || !node)
            return NULL;
        operand->op = op;
        tare_jinja_node_add(p, node, operand);
    }
    return node ? node : first;
}

static struct tare_jinja_node *parse_not(struct tare_jinja_parser *p)
{
    if (!tare_jinja_at_name(p, "not"))
        return parse_compare(p);
    tare_jinja_next(p);
    if (!tare_jinja_deeper(p))
        return NULL;
    struct tare_jinja_node *node = with(p, N_NOT, parse_not(p), NULL);
    p->depth--;
    return node;
}

static struct tare_jinja_node *parse_and(struct tare_jinja_parser *p)
{
    struct tare_jinja_node *node = parse_not(p);
    while (!p->s->failed && tare_jinja_skip_name(p, "and"))
        node = with(p, N_AND, node, parse_not(p));
    return node;
}

static struct tare_jinja_node *parse_or(struct tare_jinja_parser *p)
{
    struct tare_jinja_node *node = parse_and(p);
    while (!p->s->failed && tare_jinja_skip_name(p, "or"))
        node = with(p, N_OR, node, parse_and(p));
    return node;
}

struct tare_jinja_node *tare_jinja_parse_expression(struct tare_jinja_parser *p, bool condition)
{
    if (!tare_jinja_deeper(p))
        return NULL;
    const char *unknown = p->unknown;
    struct tare_jinja_node *node = parse_or(p);
    while (condition && !p->s->failed && tare_jinja_skip_name(p, "if")) {
        struct tare_jinja_node *test = parse_or(p), *other = NULL;
        if (tare_jinja_skip_name(p, "else"))
            other = tare_jinja_parse_expression(p, true);
        /* An unknown filter in a conditional expression is an error only when it is reached. */
        p->unknown = unknown;
        node = with(p, N_CONDITION, test, node);
        if (node)
            node->c = other;
    }
    p->depth--;
    return node;
}
