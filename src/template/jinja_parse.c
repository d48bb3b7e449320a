/* SPDX-License-Identifier: MIT
 * jinja_parse.c - parses statements into trees. The comment over each parser says which fields of the node hold
 * what. */
#include <string.h>

#include "template/jinja_parser.h"

static struct tare_jinja_node *parse_body(struct tare_jinja_parser *p, const char *const *ends);

struct tare_jinja_node *tare_jinja_node_new(struct tare_jinja_parser *p, enum tare_jinja_node_kind kind)
{
    struct tare_jinja_node *node = tare_jinja_alloc(p->s, 1, sizeof *node);
    if (!node)
        return NULL;
    node->kind = (uint8_t)kind;
    node->line = p->token->line;
    return node;
}

static void add(struct tare_jinja_parser *p, struct tare_jinja_node ***items, size_t *n, struct tare_jinja_node *item)
{
    if (p->s->failed || !item)
        return;
    /* The room is always the next power of two, so no field is needed for it. */
    if ((*n & (*n - 1)) == 0) {
        struct tare_jinja_node **more = tare_jinja_alloc(p->s, *n ? *n * 2 : 1, sizeof *more);
        if (!more)
            return;
        if (*n)
            memcpy(more, *items, *n * sizeof *more);
        *items = more;
    }
    (*items)[(*n)++] = item;
}

void tare_jinja_node_add(struct tare_jinja_parser *p, struct tare_jinja_node *node, struct tare_jinja_node *item)
{
    if (node)
        add(p, &node->items, &node->n, item);
    if (node && item && node->height <= item->height)
        node->height = item->height + 1;
}

void tare_jinja_node_add_more(struct tare_jinja_parser *p, struct tare_jinja_node *node, struct tare_jinja_node *item)
{
    if (node)
        add(p, &node->more, &node->n_more, item);
}

/* Returns what a token is called in errors. */
static const char *token_name(const struct tare_jinja_token *token, char room[64])
{
    switch (token->kind) {
    case T_BLOCK_END:
        return "end of statement block";
    case T_VARIABLE_END:
        return "end of print statement";
    case T_INTEGER:
        return "integer";
    case T_FLOAT:
        return "float";
    case T_TEXT:
        return "string";
    case T_END:
    case T_DATA:
        return "end of template";
    default:
        snprintf(room, 64, "%.*s", token->value.size > 60 ? 60 : (int)token->value.size, token->value.as.text);
        return room;
    }
}

struct tare_jinja_node *tare_jinja_unexpected(struct tare_jinja_parser *p, const char *expected)
{
    char room[64];
    p->s->line = p->token->line;
    if (expected)
        tare_jinja_fail(p->s, "expected %s, got '%s'", expected, token_name(p->token, room));
    else
        tare_jinja_fail(p->s, "unexpected '%s'", token_name(p->token, room));
    return NULL;
}

bool tare_jinja_at_name(const struct tare_jinja_parser *p, const char *name)
{
    return p->token->kind == T_NAME && tare_jinja_is(p->token->value, name);
}

void tare_jinja_next(struct tare_jinja_parser *p)
{
    if (p->token->kind != T_END)
        p->token++;
    p->s->line = p->token->line;
}

bool tare_jinja_skip(struct tare_jinja_parser *p, enum tare_jinja_token_kind kind)
{
    if (p->s->failed || p->token->kind != kind)
        return false;
    tare_jinja_next(p);
    return true;
}

bool tare_jinja_skip_name(struct tare_jinja_parser *p, const char *name)
{
    if (p->s->failed || !tare_jinja_at_name(p, name))
        return false;
    tare_jinja_next(p);
    return true;
}

bool tare_jinja_expect(struct tare_jinja_parser *p, enum tare_jinja_token_kind kind, const char *what)
{
    if (tare_jinja_skip(p, kind))
        return true;
    if (!p->s->failed)
        tare_jinja_unexpected(p, what);
    return false;
}

bool tare_jinja_deeper(struct tare_jinja_parser *p)
{
    if (p->s->failed)
        return false;
    /* A parenthesis costs three levels. */
    if (++p->depth > TARE_JINJA_NEST_MOST * 3) {
        tare_jinja_fail_limit(p->s, "the template is nested more than %d deep", TARE_JINJA_NEST_MOST);
        return false;
    }
    return true;
}

static bool can_assign(const struct tare_jinja_node *target)
{
    if (target->kind != N_TUPLE && target->kind != N_LIST)
        return target->kind == N_NAME || target->kind == N_SPACE_TARGET;
    for (size_t i = 0; i < target->n; i++)
        if (!can_assign(target->items[i]))
            return false;
    return true;
}

/* Parses what is assigned to. `until` is a name that ends it; `spaces` says whether it may be an attribute of a
 * namespace. */
static struct tare_jinja_node *parse_target(struct tare_jinja_parser *p, const char *until, bool spaces)
{
    if (spaces && p->token->kind == T_NAME && p->token[1].kind == T_DOT) {
        struct tare_jinja_node *node = tare_jinja_node_new(p, N_SPACE_TARGET), *name = tare_jinja_node_new(p, N_CONST);
        if (!node || !name)
            return NULL;
        node->value = p->token->value;
        tare_jinja_next(p);
        tare_jinja_next(p);
        name->value = p->token->value;
        node->a = name;
        tare_jinja_expect(p, T_NAME, "a name");
        return node;
    }
    struct tare_jinja_node *target = tare_jinja_parse_tuple(p, true, true, until, false);
    if (target && !p->s->failed && !can_assign(target)) {
        tare_jinja_fail(p->s, "this cannot be assigned to");
        return NULL;
    }
    return target;
}

/* Parses a body that has names of its own, and where an unknown filter is an error at once. */
static struct tare_jinja_node *parse_inner(struct tare_jinja_parser *p, const char *const *ends, int loops)
{
    const bool soft = p->soft;
    const int around = p->loops;
    p->soft = false;
    p->loops = loops;
    struct tare_jinja_node *body = parse_body(p, ends);
    p->soft = soft;
    p->loops = around;
    return body;
}

/* a: target, b: what is walked, c: condition; more: body, else; flag: recursive */
static struct tare_jinja_node *parse_for(struct tare_jinja_parser *p)
{
    static const char *const ends[] = {"endfor", "else", NULL}, *const end[] = {"endfor", NULL};
    struct tare_jinja_node *node = tare_jinja_node_new(p, N_FOR);
    if (!node)
        return NULL;
    node->a = parse_target(p, "in", false);
    if (!p->s->failed && !tare_jinja_skip_name(p, "in"))
        return tare_jinja_unexpected(p, "'in'");
    node->b = tare_jinja_parse_tuple(p, false, false, "recursive", false);
    if (tare_jinja_skip_name(p, "if"))
        node->c = tare_jinja_parse_expression(p, true);
    node->flag = tare_jinja_skip_name(p, "recursive");
    tare_jinja_expect(p, T_BLOCK_END, "end of statement block");
    tare_jinja_node_add_more(p, node, parse_inner(p, ends, p->loops + 1));
    if (tare_jinja_skip_name(p, "endfor"))
        return node;
    tare_jinja_skip_name(p, "else");
    tare_jinja_expect(p, T_BLOCK_END, "end of statement block");
    tare_jinja_node_add_more(p, node, parse_inner(p, end, p->loops));
    tare_jinja_skip_name(p, "endfor");
    return node;
}

/* items: N_BRANCH (a: test, b: body); c: else */
static struct tare_jinja_node *parse_if(struct tare_jinja_parser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL}, *const end[] = {"endif", NULL};
    struct tare_jinja_node *node = tare_jinja_node_new(p, N_IF);
    const bool soft = p->soft;
    p->soft = true;
    do {
        struct tare_jinja_node *branch = tare_jinja_node_new(p, N_BRANCH);
        if (!branch)
            return NULL;
        branch->a = tare_jinja_parse_tuple(p, false, false, NULL, false);
        tare_jinja_expect(p, T_BLOCK_END, "end of statement block");
        branch->b = parse_body(p, ends);
        tare_jinja_node_add(p, node, branch);
    } while (!p->s->failed && tare_jinja_skip_name(p, "elif"));
    if (tare_jinja_skip_name(p, "else")) {
        tare_jinja_expect(p, T_BLOCK_END, "end of statement block");
        node->c = parse_body(p, end);
    }
    tare_jinja_skip_name(p, "endif");
    p->soft = soft;
    return node;
}

/* N_SET, a: target, b: value; or N_SET_BLOCK, b: body, c: filters */
static struct tare_jinja_node *parse_set(struct tare_jinja_parser *p)
{
    static const char *const end[] = {"endset", NULL};
    struct tare_jinja_node *node = tare_jinja_node_new(p, N_SET);
    if (!node)
        return NULL;
    node->a = parse_target(p, NULL, true);
    if (tare_jinja_skip(p, T_ASSIGN)) {
        node->b = tare_jinja_parse_tuple(p, false, true, NULL, false);
        return node;
    }
    node->kind = N_SET_BLOCK;
    node->c = tare_jinja_parse_filter(p, NULL, false);
    tare_jinja_expect(p, T_BLOCK_END, "end of statement block");
    node->b = parse_inner(p, end, p->loops);
    tare_jinja_skip_name(p, "endset");
    return node;
}

/* items: targets, more: values, b: body */
static struct tare_jinja_node *parse_with(struct tare_jinja_parser *p)
{
    static const char *const end[] = {"endwith", NULL};
    struct tare_jinja_node *node = tare_jinja_node_new(p, N_WITH);
    while (!p->s->failed && p->token->kind != T_BLOCK_END) {
        if (node->n && !tare_jinja_expect(p, T_COMMA, "','"))
            break;
        tare_jinja_node_add(p, node, parse_target(p, NULL, false));
        if (tare_jinja_expect(p, T_ASSIGN, "'='"))
            tare_jinja_node_add_more(p, node, tare_jinja_parse_expression(p, true));
    }
    tare_jinja_expect(p, T_BLOCK_END, "end of statement block");
    if (!p->s->failed)
        node->b = parse_inner(p, end, p->loops);
    tare_jinja_skip_name(p, "endwith");
    return node;
}

/* items: parameters (N_NAME), more: defaults of the last ones */
static void parse_parameters(struct tare_jinja_parser *p, struct tare_jinja_node *node)
{
    tare_jinja_expect(p, T_LPAREN, "'('");
    while (!p->s->failed && p->token->kind != T_RPAREN) {
        if (node->n && !tare_jinja_expect(p, T_COMMA, "','"))
            break;
        struct tare_jinja_node *name = tare_jinja_node_new(p, N_NAME);
        if (!name)
            break;
        name->value = p->token->value;
        if (!tare_jinja_expect(p, T_NAME, "a name"))
            break;
        tare_jinja_node_add(p, node, name);
        if (tare_jinja_skip(p, T_ASSIGN))
            tare_jinja_node_add_more(p, node, tare_jinja_parse_expression(p, true));
        else if (node->n_more)
            tare_jinja_fail(p->s, "a parameter without a default follows one with a default");
    }
    tare_jinja_expect(p, T_RPAREN, "')'");
}

/* Body of a function: b; what special names it takes. */
static void parse_function(struct tare_jinja_parser *p, struct tare_jinja_node *node, const char *const *end)
{
    const uint8_t around = p->takes;
    p->takes = 0;
    tare_jinja_expect(p, T_BLOCK_END, "end of statement block");
    if (!p->s->failed)
        node->b = parse_inner(p, end, 0);
    node->takes = p->takes;
    p->takes |= around;
    tare_jinja_skip_name(p, end[0]);
}

static struct tare_jinja_node *parse_macro(struct tare_jinja_parser *p)
{
    static const char *const end[] = {"endmacro", NULL};
    struct tare_jinja_node *node = tare_jinja_node_new(p, N_MACRO);
    if (!node)
        return NULL;
    node->value = p->token->value;
    if (tare_jinja_expect(p, T_NAME, "a name"))
        parse_parameters(p, node);
    parse_function(p, node, end);
    return node;
}

/* a: the call, NULL: a generation block; b: N_MACRO */
static struct tare_jinja_node *parse_call_block(struct tare_jinja_parser *p, bool generation)
{
    static const char *const call[] = {"endcall", NULL}, *const generated[] = {"endgeneration", NULL};
    struct tare_jinja_node *node = tare_jinja_node_new(p, N_CALL_BLOCK), *macro = tare_jinja_node_new(p, N_MACRO);
    if (!node || !macro)
        return NULL;
    node->b = macro;
    macro->value = tare_jinja_word("caller");
    if (!generation) {
        if (p->token->kind == T_LPAREN)
            parse_parameters(p, macro);
        node->a = tare_jinja_parse_expression(p, true);
        if (!p->s->failed && node->a->kind != N_CALL)
            return tare_jinja_fail(p->s, "expected a call"), NULL;
    }
    parse_function(p, macro, generation ? generated : call);
    return node;
}

/* a: filters, b: body */
static struct tare_jinja_node *parse_filter_block(struct tare_jinja_parser *p)
{
    static const char *const end[] = {"endfilter", NULL};
    struct tare_jinja_node *node = tare_jinja_node_new(p, N_FILTER_BLOCK);
    if (!node)
        return NULL;
    node->a = tare_jinja_parse_filter(p, NULL, true);
    tare_jinja_expect(p, T_BLOCK_END, "end of statement block");
    node->b = parse_inner(p, end, p->loops);
    tare_jinja_skip_name(p, "endfilter");
    return node;
}

/* Parses block and autoescape, which are only scopes here. */
static struct tare_jinja_node *parse_scope(struct tare_jinja_parser *p, const char *word)
{
    const char *const ends[] = {word, NULL};
    struct tare_jinja_node *node = tare_jinja_node_new(p, N_SCOPE);
    if (!node)
        return NULL;
    while (!p->s->failed && p->token->kind != T_BLOCK_END && p->token->kind != T_END)
        tare_jinja_next(p);
    tare_jinja_expect(p, T_BLOCK_END, "end of statement block");
    node->b = parse_inner(p, ends, p->loops);
    tare_jinja_skip_name(p, word);
    if (p->token->kind == T_NAME)
        tare_jinja_next(p); /* endblock NAME */
    return node;
}

static struct tare_jinja_node *parse_jump(struct tare_jinja_parser *p, enum tare_jinja_node_kind kind)
{
    if (p->loops)
        return tare_jinja_node_new(p, kind);
    tare_jinja_fail(p->s, "'%s' outside of a loop", kind == N_BREAK ? "break" : "continue");
    return NULL;
}

static struct tare_jinja_node *parse_refused(struct tare_jinja_parser *p, struct tare_jinja_value tag)
{
    struct tare_jinja_node *node = tare_jinja_node_new(p, N_REFUSE);
    if (node)
        node->value = tag;
    while (!p->s->failed && p->token->kind != T_BLOCK_END && p->token->kind != T_END)
        tare_jinja_next(p);
    return node;
}

static struct tare_jinja_node *parse_print(struct tare_jinja_parser *p)
{
    struct tare_jinja_node *node = tare_jinja_node_new(p, N_OUTPUT);
    if (node)
        node->a = tare_jinja_parse_tuple(p, false, true, NULL, false);
    return node;
}

static struct tare_jinja_node *parse_tag(struct tare_jinja_parser *p)
{
    const struct tare_jinja_value tag = p->token->value;
    if (p->token->kind != T_NAME)
        return tare_jinja_unexpected(p, "the name of a tag");
    tare_jinja_next(p);
    if (tare_jinja_is(tag, "for"))
        return parse_for(p);
    if (tare_jinja_is(tag, "if"))
        return parse_if(p);
    if (tare_jinja_is(tag, "set"))
        return parse_set(p);
    if (tare_jinja_is(tag, "with"))
        return parse_with(p);
    if (tare_jinja_is(tag, "macro"))
        return parse_macro(p);
    if (tare_jinja_is(tag, "call") || tare_jinja_is(tag, "generation"))
        return parse_call_block(p, tare_jinja_is(tag, "generation"));
    if (tare_jinja_is(tag, "filter"))
        return parse_filter_block(p);
    if (tare_jinja_is(tag, "block"))
        return parse_scope(p, "endblock");
    if (tare_jinja_is(tag, "autoescape") && tare_jinja_at_name(p, "false"))
        return parse_scope(p, "endautoescape");
    if (tare_jinja_is(tag, "print"))
        return parse_print(p);
    if (tare_jinja_is(tag, "break") || tare_jinja_is(tag, "continue"))
        return parse_jump(p, tare_jinja_is(tag, "break") ? N_BREAK : N_CONTINUE);
    if (tare_jinja_is(tag, "include") || tare_jinja_is(tag, "extends") || tare_jinja_is(tag, "import") ||
        tare_jinja_is(tag, "from"))
        return parse_refused(p, tag);
    tare_jinja_fail(p->s, "unknown tag '%.*s'", (int)tag.size, tag.as.text);
    return NULL;
}

static bool at_end_tag(const struct tare_jinja_parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (p->token[1].kind == T_NAME && tare_jinja_is(p->token[1].value, *ends))
            return true;
    return false;
}

static struct tare_jinja_node *parse_data(struct tare_jinja_parser *p)
{
    struct tare_jinja_node *node = tare_jinja_node_new(p, N_DATA);
    if (node)
        node->value = p->token->value;
    tare_jinja_next(p);
    return node;
}

/* Parses statements up to a tag named in `ends`; that name is then the present token. Without `ends` it parses up to
 * the end of the template. */
static struct tare_jinja_node *parse_body(struct tare_jinja_parser *p, const char *const *ends)
{
    struct tare_jinja_node *node = tare_jinja_node_new(p, N_BLOCK);
    if (!tare_jinja_deeper(p))
        return NULL;
    while (!p->s->failed && p->token->kind != T_END) {
        if (p->token->kind == T_DATA) {
            tare_jinja_node_add(p, node, parse_data(p));
        } else if (tare_jinja_skip(p, T_VARIABLE_BEGIN)) {
            tare_jinja_node_add(p, node, parse_print(p));
            tare_jinja_expect(p, T_VARIABLE_END, "end of print statement");
        } else if (at_end_tag(p, ends)) {
            tare_jinja_next(p);
            p->depth--;
            return node;
        } else if (tare_jinja_skip(p, T_BLOCK_BEGIN)) {
            tare_jinja_node_add(p, node, parse_tag(p));
            tare_jinja_expect(p, T_BLOCK_END, "end of statement block");
        } else {
            tare_jinja_unexpected(p, NULL);
        }
    }
    if (ends && !p->s->failed)
        tare_jinja_fail(p->s, "unexpected end of template: {%% %s %%} is missing", ends[0]);
    p->depth--;
    return node;
}

struct tare_jinja_node *tare_jinja_parse(struct tare_jinja_state *s, const struct tare_jinja_tokens *tokens)
{
    struct tare_jinja_parser p = {.s = s, .token = tokens->items};
    struct tare_jinja_node *root = parse_body(&p, NULL);
    if (!s->failed && p.unknown) {
        s->line = p.unknown_line;
        tare_jinja_fail(s, "no %s named '%.*s'", p.unknown, (int)p.unknown_name.size, p.unknown_name.as.text);
    }
    return s->failed ? NULL : root;
}
