/* SPDX-License-Identifier: MIT
 * jinja_parse.c - statements to trees. */
#include <string.h>

#include "template/jinja_parser.h"

static struct j_node *parse_body(struct j_parser *p, const char *const *ends);

struct j_node *j_node_new(struct j_parser *p, enum j_node_kind kind)
{
    struct j_node *node = j_alloc(p->s, 1, sizeof *node);
    if (!node)
        return NULL;
    node->kind = (uint8_t)kind;
    node->line = p->token->line;
    return node;
}

static void add(struct j_parser *p, struct j_node ***items, size_t *n, struct j_node *item)
{
    if (p->s->failed || !item)
        return;
    if ((*n & (*n - 1)) == 0) { /* room is a power of two */
        struct j_node **more = j_alloc(p->s, *n ? *n * 2 : 1, sizeof *more);
        if (!more)
            return;
        if (*n)
            memcpy(more, *items, *n * sizeof *more);
        *items = more;
    }
    (*items)[(*n)++] = item;
}

void j_node_add(struct j_parser *p, struct j_node *node, struct j_node *item)
{
    if (node)
        add(p, &node->items, &node->n, item);
    if (node && item && node->height <= item->height)
        node->height = item->height + 1;
}

void j_node_add_more(struct j_parser *p, struct j_node *node, struct j_node *item)
{
    if (node)
        add(p, &node->more, &node->n_more, item);
}

/* What a token is called in errors. */
static const char *token_name(const struct j_token *token, char room[64])
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

struct j_node *j_unexpected(struct j_parser *p, const char *expected)
{
    char room[64];
    p->s->line = p->token->line;
    if (expected)
        j_fail(p->s, "expected %s, got '%s'", expected, token_name(p->token, room));
    else
        j_fail(p->s, "unexpected '%s'", token_name(p->token, room));
    return NULL;
}

bool j_at_name(const struct j_parser *p, const char *name)
{
    return p->token->kind == T_NAME && j_is(p->token->value, name);
}

void j_next(struct j_parser *p)
{
    if (p->token->kind != T_END)
        p->token++;
    p->s->line = p->token->line;
}

bool j_skip(struct j_parser *p, enum j_token_kind kind)
{
    if (p->s->failed || p->token->kind != kind)
        return false;
    j_next(p);
    return true;
}

bool j_skip_name(struct j_parser *p, const char *name)
{
    if (p->s->failed || !j_at_name(p, name))
        return false;
    j_next(p);
    return true;
}

bool j_expect(struct j_parser *p, enum j_token_kind kind, const char *what)
{
    if (j_skip(p, kind))
        return true;
    if (!p->s->failed)
        j_unexpected(p, what);
    return false;
}

bool j_deeper(struct j_parser *p)
{
    if (p->s->failed)
        return false;
    if (++p->depth > J_NEST_MOST * 3) { /* a parenthesis costs three */
        j_fail_limit(p->s, "the template is nested more than %d deep", J_NEST_MOST);
        return false;
    }
    return true;
}

static bool can_assign(const struct j_node *target)
{
    if (target->kind != N_TUPLE && target->kind != N_LIST)
        return target->kind == N_NAME || target->kind == N_SPACE_TARGET;
    for (size_t i = 0; i < target->n; i++)
        if (!can_assign(target->items[i]))
            return false;
    return true;
}

/* until: the name that ends it; spaces: may it be an attribute of a namespace? */
static struct j_node *parse_target(struct j_parser *p, const char *until, bool spaces)
{
    if (spaces && p->token->kind == T_NAME && p->token[1].kind == T_DOT) {
        struct j_node *node = j_node_new(p, N_SPACE_TARGET), *name = j_node_new(p, N_CONST);
        if (!node || !name)
            return NULL;
        node->value = p->token->value;
        j_next(p);
        j_next(p);
        name->value = p->token->value;
        node->a = name;
        j_expect(p, T_NAME, "a name");
        return node;
    }
    struct j_node *target = j_parse_tuple(p, true, true, until, false);
    if (target && !p->s->failed && !can_assign(target)) {
        j_fail(p->s, "this cannot be assigned to");
        return NULL;
    }
    return target;
}

/* A body where names of its own live, and where an unknown filter is an error at once. */
static struct j_node *parse_inner(struct j_parser *p, const char *const *ends, int loops)
{
    const bool soft = p->soft;
    const int around = p->loops;
    p->soft = false;
    p->loops = loops;
    struct j_node *body = parse_body(p, ends);
    p->soft = soft;
    p->loops = around;
    return body;
}

/* a: target, b: what is walked, c: condition; more: body, else; flag: recursive */
static struct j_node *parse_for(struct j_parser *p)
{
    static const char *const ends[] = {"endfor", "else", NULL}, *const end[] = {"endfor", NULL};
    struct j_node *node = j_node_new(p, N_FOR);
    if (!node)
        return NULL;
    node->a = parse_target(p, "in", false);
    if (!p->s->failed && !j_skip_name(p, "in"))
        return j_unexpected(p, "'in'");
    node->b = j_parse_tuple(p, false, false, "recursive", false);
    if (j_skip_name(p, "if"))
        node->c = j_parse_expression(p, true);
    node->flag = j_skip_name(p, "recursive");
    j_expect(p, T_BLOCK_END, "end of statement block");
    j_node_add_more(p, node, parse_inner(p, ends, p->loops + 1));
    if (j_skip_name(p, "endfor"))
        return node;
    j_skip_name(p, "else");
    j_expect(p, T_BLOCK_END, "end of statement block");
    j_node_add_more(p, node, parse_inner(p, end, p->loops));
    j_skip_name(p, "endfor");
    return node;
}

/* items: N_BRANCH (a: test, b: body); c: else */
static struct j_node *parse_if(struct j_parser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL}, *const end[] = {"endif", NULL};
    struct j_node *node = j_node_new(p, N_IF);
    const bool soft = p->soft;
    p->soft = true;
    do {
        struct j_node *branch = j_node_new(p, N_BRANCH);
        if (!branch)
            return NULL;
        branch->a = j_parse_tuple(p, false, false, NULL, false);
        j_expect(p, T_BLOCK_END, "end of statement block");
        branch->b = parse_body(p, ends);
        j_node_add(p, node, branch);
    } while (!p->s->failed && j_skip_name(p, "elif"));
    if (j_skip_name(p, "else")) {
        j_expect(p, T_BLOCK_END, "end of statement block");
        node->c = parse_body(p, end);
    }
    j_skip_name(p, "endif");
    p->soft = soft;
    return node;
}

/* N_SET, a: target, b: value; or N_SET_BLOCK, b: body, c: filters */
static struct j_node *parse_set(struct j_parser *p)
{
    static const char *const end[] = {"endset", NULL};
    struct j_node *node = j_node_new(p, N_SET);
    if (!node)
        return NULL;
    node->a = parse_target(p, NULL, true);
    if (j_skip(p, T_ASSIGN)) {
        node->b = j_parse_tuple(p, false, true, NULL, false);
        return node;
    }
    node->kind = N_SET_BLOCK;
    node->c = j_parse_filter(p, NULL, false);
    j_expect(p, T_BLOCK_END, "end of statement block");
    node->b = parse_inner(p, end, p->loops);
    j_skip_name(p, "endset");
    return node;
}

/* items: targets, more: values, b: body */
static struct j_node *parse_with(struct j_parser *p)
{
    static const char *const end[] = {"endwith", NULL};
    struct j_node *node = j_node_new(p, N_WITH);
    while (!p->s->failed && p->token->kind != T_BLOCK_END) {
        if (node->n && !j_expect(p, T_COMMA, "','"))
            break;
        j_node_add(p, node, parse_target(p, NULL, false));
        if (j_expect(p, T_ASSIGN, "'='"))
            j_node_add_more(p, node, j_parse_expression(p, true));
    }
    j_expect(p, T_BLOCK_END, "end of statement block");
    if (!p->s->failed)
        node->b = parse_inner(p, end, p->loops);
    j_skip_name(p, "endwith");
    return node;
}

/* items: parameters (N_NAME), more: defaults of the last ones */
static void parse_parameters(struct j_parser *p, struct j_node *node)
{
    j_expect(p, T_LPAREN, "'('");
    while (!p->s->failed && p->token->kind != T_RPAREN) {
        if (node->n && !j_expect(p, T_COMMA, "','"))
            break;
        struct j_node *name = j_node_new(p, N_NAME);
        if (!name)
            break;
        name->value = p->token->value;
        if (!j_expect(p, T_NAME, "a name"))
            break;
        j_node_add(p, node, name);
        if (j_skip(p, T_ASSIGN))
            j_node_add_more(p, node, j_parse_expression(p, true));
        else if (node->n_more)
            j_fail(p->s, "a parameter without a default follows one with a default");
    }
    j_expect(p, T_RPAREN, "')'");
}

/* Body of a function: b; what special names it takes. */
static void parse_function(struct j_parser *p, struct j_node *node, const char *const *end)
{
    const uint8_t around = p->takes;
    p->takes = 0;
    j_expect(p, T_BLOCK_END, "end of statement block");
    if (!p->s->failed)
        node->b = parse_inner(p, end, 0);
    node->takes = p->takes;
    p->takes |= around;
    j_skip_name(p, end[0]);
}

static struct j_node *parse_macro(struct j_parser *p)
{
    static const char *const end[] = {"endmacro", NULL};
    struct j_node *node = j_node_new(p, N_MACRO);
    if (!node)
        return NULL;
    node->value = p->token->value;
    if (j_expect(p, T_NAME, "a name"))
        parse_parameters(p, node);
    parse_function(p, node, end);
    return node;
}

/* a: the call, NULL: a generation block; b: N_MACRO */
static struct j_node *parse_call_block(struct j_parser *p, bool generation)
{
    static const char *const call[] = {"endcall", NULL}, *const generated[] = {"endgeneration", NULL};
    struct j_node *node = j_node_new(p, N_CALL_BLOCK), *macro = j_node_new(p, N_MACRO);
    if (!node || !macro)
        return NULL;
    node->b = macro;
    macro->value = j_word("caller");
    if (!generation) {
        if (p->token->kind == T_LPAREN)
            parse_parameters(p, macro);
        node->a = j_parse_expression(p, true);
        if (!p->s->failed && node->a->kind != N_CALL)
            return j_fail(p->s, "expected a call"), NULL;
    }
    parse_function(p, macro, generation ? generated : call);
    return node;
}

/* a: filters, b: body */
static struct j_node *parse_filter_block(struct j_parser *p)
{
    static const char *const end[] = {"endfilter", NULL};
    struct j_node *node = j_node_new(p, N_FILTER_BLOCK);
    if (!node)
        return NULL;
    node->a = j_parse_filter(p, NULL, true);
    j_expect(p, T_BLOCK_END, "end of statement block");
    node->b = parse_inner(p, end, p->loops);
    j_skip_name(p, "endfilter");
    return node;
}

/* block and autoescape: a scope of its own */
static struct j_node *parse_scope(struct j_parser *p, const char *word)
{
    const char *const ends[] = {word, NULL};
    struct j_node *node = j_node_new(p, N_SCOPE);
    if (!node)
        return NULL;
    while (!p->s->failed && p->token->kind != T_BLOCK_END && p->token->kind != T_END)
        j_next(p);
    j_expect(p, T_BLOCK_END, "end of statement block");
    node->b = parse_inner(p, ends, p->loops);
    j_skip_name(p, word);
    if (p->token->kind == T_NAME)
        j_next(p); /* endblock NAME */
    return node;
}

static struct j_node *parse_jump(struct j_parser *p, enum j_node_kind kind)
{
    if (p->loops)
        return j_node_new(p, kind);
    j_fail(p->s, "'%s' outside of a loop", kind == N_BREAK ? "break" : "continue");
    return NULL;
}

static struct j_node *parse_refused(struct j_parser *p, struct j_value tag)
{
    struct j_node *node = j_node_new(p, N_REFUSE);
    if (node)
        node->value = tag;
    while (!p->s->failed && p->token->kind != T_BLOCK_END && p->token->kind != T_END)
        j_next(p);
    return node;
}

static struct j_node *parse_print(struct j_parser *p)
{
    struct j_node *node = j_node_new(p, N_OUTPUT);
    if (node)
        node->a = j_parse_tuple(p, false, true, NULL, false);
    return node;
}

static struct j_node *parse_tag(struct j_parser *p)
{
    const struct j_value tag = p->token->value;
    if (p->token->kind != T_NAME)
        return j_unexpected(p, "the name of a tag");
    j_next(p);
    if (j_is(tag, "for"))
        return parse_for(p);
    if (j_is(tag, "if"))
        return parse_if(p);
    if (j_is(tag, "set"))
        return parse_set(p);
    if (j_is(tag, "with"))
        return parse_with(p);
    if (j_is(tag, "macro"))
        return parse_macro(p);
    if (j_is(tag, "call") || j_is(tag, "generation"))
        return parse_call_block(p, j_is(tag, "generation"));
    if (j_is(tag, "filter"))
        return parse_filter_block(p);
    if (j_is(tag, "block"))
        return parse_scope(p, "endblock");
    if (j_is(tag, "autoescape") && j_at_name(p, "false"))
        return parse_scope(p, "endautoescape");
    if (j_is(tag, "print"))
        return parse_print(p);
    if (j_is(tag, "break") || j_is(tag, "continue"))
        return parse_jump(p, j_is(tag, "break") ? N_BREAK : N_CONTINUE);
    if (j_is(tag, "include") || j_is(tag, "extends") || j_is(tag, "import") || j_is(tag, "from"))
        return parse_refused(p, tag);
    j_fail(p->s, "unknown tag '%.*s'", (int)tag.size, tag.as.text);
    return NULL;
}

static bool at_end_tag(const struct j_parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (p->token[1].kind == T_NAME && j_is(p->token[1].value, *ends))
            return true;
    return false;
}

static struct j_node *parse_data(struct j_parser *p)
{
    struct j_node *node = j_node_new(p, N_DATA);
    if (node)
        node->value = p->token->value;
    j_next(p);
    return node;
}

/* Statements up to a tag of `ends`, whose name is then the token; without ends, up to the end. */
static struct j_node *parse_body(struct j_parser *p, const char *const *ends)
{
    struct j_node *node = j_node_new(p, N_BLOCK);
    if (!j_deeper(p))
        return NULL;
    while (!p->s->failed && p->token->kind != T_END) {
        if (p->token->kind == T_DATA) {
            j_node_add(p, node, parse_data(p));
        } else if (j_skip(p, T_VARIABLE_BEGIN)) {
            j_node_add(p, node, parse_print(p));
            j_expect(p, T_VARIABLE_END, "end of print statement");
        } else if (at_end_tag(p, ends)) {
            j_next(p);
            p->depth--;
            return node;
        } else if (j_skip(p, T_BLOCK_BEGIN)) {
            j_node_add(p, node, parse_tag(p));
            j_expect(p, T_BLOCK_END, "end of statement block");
        } else {
            j_unexpected(p, NULL);
        }
    }
    if (ends && !p->s->failed)
        j_fail(p->s, "unexpected end of template: {%% %s %%} is missing", ends[0]);
    p->depth--;
    return node;
}

struct j_node *j_parse(struct j_state *s, const struct j_tokens *tokens)
{
    struct j_parser p = {.s = s, .token = tokens->items};
    struct j_node *root = parse_body(&p, NULL);
    if (!s->failed && p.unknown) {
        s->line = p.unknown_line;
        j_fail(s, "no %s named '%.*s'", p.unknown, (int)p.unknown_name.size, p.unknown_name.as.text);
    }
    return s->failed ? NULL : root;
}
