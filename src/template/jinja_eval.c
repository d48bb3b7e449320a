/* SPDX-License-Identifier: MIT
 * jinja_eval.c - computes the values of expressions. */
#include <string.h>

#include "template/jinja.h"

/* ---- names ------------------------------------------------------------------------------------------------------- */

static bool same_name(struct tare_jinja_value a, struct tare_jinja_value b)
{
    return a.size == b.size && (a.as.text == b.as.text || !memcmp(a.as.text, b.as.text, a.size));
}

/* Looks for a name in the scopes from the innermost on, then among the given variables, then among the functions that
 * every template has. A name that is nowhere is an undefined value, not an error. */
static struct tare_jinja_value lookup(struct tare_jinja_state *s, struct tare_jinja_value name)
{
    for (const struct tare_jinja_scope *scope = s->scope; scope; scope = scope->parent)
        for (size_t i = 0; i < scope->n; i++)
            if (same_name(scope->variables[i].name, name))
                return scope->variables[i].value;
    const struct tare_jinja_value *given = tare_jinja_dict_get(s, s->context, name);
    if (given)
        return *given;
    const struct tare_jinja_builtin *global = tare_jinja_global_find(name);
    if (global)
        return (struct tare_jinja_value){.kind = TARE_JINJA_FUNCTION, .as.builtin = global};
    return (struct tare_jinja_value){
        .kind = TARE_JINJA_UNDEFINED, .owner = TARE_JINJA_ABSENT, .as.text = name.as.text, .size = name.size};
}

void tare_jinja_scope_set(struct tare_jinja_state *s, struct tare_jinja_scope *scope, struct tare_jinja_value name,
                          struct tare_jinja_value value)
{
    for (size_t i = 0; i < scope->n; i++)
        if (same_name(scope->variables[i].name, name)) {
            scope->variables[i].value = value;
            return;
        }
    if (scope->n == scope->room) {
        const size_t room = scope->room ? scope->room * 2 : 4;
        struct tare_jinja_variable *more = tare_jinja_alloc(s, room, sizeof *more);
        if (!more)
            return;
        if (scope->n)
            memcpy(more, scope->variables, scope->n * sizeof *more);
        scope->variables = more;
        scope->room = room;
    }
    scope->variables[scope->n++] = (struct tare_jinja_variable){name, value};
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

/* Puts a named argument into the place of its parameter. A table writes parameters as "old new ?count"; the "?" marks
 * one that may be left out. */
static void bind_named(struct tare_jinja_state *s, const struct tare_jinja_builtin *builtin,
                       const struct tare_jinja_pair *named, struct tare_jinja_value *a)
{
    const char *p = builtin->parameters;
    for (int i = 1; *p; i++) {
        p += *p == '?';
        const size_t n = strcspn(p, " ");
        if (n == named->key.size && !memcmp(p, named->key.as.text, n)) {
            if (a[i].kind != TARE_JINJA_ABSENT)
                tare_jinja_fail(s, "%s() got multiple values for argument '%.*s'", builtin->name, (int)n, p);
            a[i] = named->value;
            return;
        }
        p += n + (p[n] == ' ');
    }
    tare_jinja_fail(s, "%s() got an unexpected keyword argument '%.*s'", builtin->name, (int)named->key.size,
                    named->key.as.text);
}

/* Puts all arguments into the places of the parameters: a[0] is the subject, a[1] the first parameter. */
static void bind(struct tare_jinja_state *s, const struct tare_jinja_builtin *builtin,
                 const struct tare_jinja_args *args, struct tare_jinja_value *a)
{
    const char *p = builtin->parameters;
    size_t most = 0;
    for (const char *q = p; *q; q++)
        most += q == p || *q == ' ';
    if (args->n > most) {
        tare_jinja_fail(s, "%s() takes at most %zu arguments (%zu given)", builtin->name, most, args->n);
        return;
    }
    for (size_t i = 0; i < args->n; i++)
        a[i + 1] = args->items[i];
    for (size_t i = 0; i < args->n_named && !s->failed; i++)
        bind_named(s, builtin, &args->named[i], a);
    for (int i = 1; *p && !s->failed; i++) {
        const size_t n = strcspn(p, " ");
        if (*p != '?' && a[i].kind == TARE_JINJA_ABSENT)
            tare_jinja_fail(s, "%s() missing required argument: '%.*s'", builtin->name, (int)n, p);
        p += n + (p[n] == ' ');
    }
}

struct tare_jinja_value tare_jinja_call_builtin(struct tare_jinja_state *s, const struct tare_jinja_builtin *builtin,
                                                struct tare_jinja_value self, const struct tare_jinja_args *args)
{
    struct tare_jinja_value a[TARE_JINJA_PARAMETERS + 1] = {self};
    if (!builtin->parameters)
        return tare_jinja_fail(s, "access to '%s' of '%s' object is unsafe", builtin->name, tare_jinja_type(self));
    if (*builtin->parameters != '*')
        bind(s, builtin, args, a);
    return s->failed ? tare_jinja_make(TARE_JINJA_UNDEFINED) : builtin->run(s, a, args);
}

static struct tare_jinja_value fail_undefined(struct tare_jinja_state *s, struct tare_jinja_value v)
{
    return tare_jinja_binary(s, T_ADD, v, v);
}

static struct tare_jinja_value call_value(struct tare_jinja_state *s, struct tare_jinja_value callee,
                                          const struct tare_jinja_args *args)
{
    if (s->failed)
        return tare_jinja_make(TARE_JINJA_UNDEFINED);
    switch (callee.kind) {
    case TARE_JINJA_UNDEFINED:
        return fail_undefined(s, callee);
    case TARE_JINJA_FUNCTION:
        return tare_jinja_call_builtin(s, callee.as.builtin, callee, args);
    case TARE_JINJA_METHOD:
        return tare_jinja_call_builtin(s, callee.as.method->builtin, callee.as.method->self, args);
    case TARE_JINJA_MACRO:
        return tare_jinja_macro_call(s, callee.as.macro, args);
    case TARE_JINJA_LOOP:
        if (args->n == 1 && !args->n_named)
            return tare_jinja_loop_call(s, callee.as.loop, args->items[0]);
        return tare_jinja_fail(s, "loop() takes one argument");
    case TARE_JINJA_JOINER: {
        struct tare_jinja_list *joiner = callee.as.list;
        return joiner->at++ ? joiner->items[0] : tare_jinja_text("", 0);
    }
    default:
        return tare_jinja_fail(s, "'%s' object is not callable", tare_jinja_type(callee));
    }
}

static void add_named(struct tare_jinja_state *s, struct tare_jinja_dict *named, struct tare_jinja_value key,
                      struct tare_jinja_value value)
{
    if (s->failed)
        return;
    if (key.kind != TARE_JINJA_TEXT)
        tare_jinja_fail(s, "keywords must be strings");
    else if (tare_jinja_dict_get(s, named, key))
        tare_jinja_fail(s, "got multiple values for keyword argument '%.*s'", (int)key.size, key.as.text);
    else
        tare_jinja_dict_append(s, named, key, value);
}

/* Computes the arguments of a call, filter or test: items, then *b, then named ones, then **c. */
static struct tare_jinja_args arguments(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    struct tare_jinja_args args = {0};
    if (node->n || node->b) {
        struct tare_jinja_list *list = tare_jinja_list_new(s, node->n);
        for (size_t i = 0; i < node->n && !s->failed; i++)
            tare_jinja_list_add(s, list, tare_jinja_eval(s, node->items[i]));
        if (node->b && !s->failed) {
            struct tare_jinja_walk walk;
            struct tare_jinja_value item;
            const struct tare_jinja_value star = tare_jinja_eval(s, node->b);
            for (tare_jinja_walk_init(s, &walk, star); tare_jinja_walk_next(s, &walk, &item);)
                tare_jinja_list_add(s, list, item);
        }
        if (!s->failed) {
            args.items = list->items;
            args.n = list->n;
        }
    }
    if (!node->n_more && !node->c)
        return args;
    struct tare_jinja_dict *named = tare_jinja_dict_new(s, node->n_more);
    for (size_t i = 0; i < node->n_more && !s->failed; i++)
        add_named(s, named, node->more[i]->value, tare_jinja_eval(s, node->more[i]->a));
    if (node->c && !s->failed) {
        const struct tare_jinja_value more = tare_jinja_eval(s, node->c);
        if (!s->failed && more.kind != TARE_JINJA_DICT)
            tare_jinja_fail(s, "argument after ** must be a mapping, not %s", tare_jinja_type(more));
        for (size_t i = 0; !s->failed && i < more.as.dict->n; i++)
            add_named(s, named, more.as.dict->pairs[i].key, more.as.dict->pairs[i].value);
    }
    if (!s->failed) {
        args.named = named->pairs;
        args.n_named = named->n;
    }
    return args;
}

static struct tare_jinja_value eval_call(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    const struct tare_jinja_node *callee = node->a;
    if (callee->kind != N_ATTRIBUTE) {
        const struct tare_jinja_value function = tare_jinja_eval(s, callee);
        const struct tare_jinja_args args = arguments(s, node);
        s->line = node->line;
        return call_value(s, function, &args);
    }
    const struct tare_jinja_value object =
        /* A method is called at once, without being made a value first. */
        tare_jinja_eval(s, callee->a);
    const struct tare_jinja_builtin *method = s->failed ? NULL : tare_jinja_method_find(object, callee->value);
    if (method && method->parameters) {
        const struct tare_jinja_args args = arguments(s, node);
        s->line = node->line;
        return s->failed ? tare_jinja_make(TARE_JINJA_UNDEFINED) : tare_jinja_call_builtin(s, method, object, &args);
    }
    const struct tare_jinja_value function = s->failed ? object : tare_jinja_attribute(s, object, callee->value);
    struct tare_jinja_args args = {0};
    if (!s->failed)
        args = arguments(s, node);
    s->line = node->line;
    return call_value(s, function, &args);
}

/* Applies a chain of filters. `subject` stands at the start of a chain that has no expression there (a filter
 * block). */
struct tare_jinja_value tare_jinja_eval_filter(struct tare_jinja_state *s, const struct tare_jinja_node *node,
                                               struct tare_jinja_value subject)
{
    const struct tare_jinja_value value = node->a && node->a->kind == N_FILTER && subject.kind != TARE_JINJA_ABSENT
                                              ? tare_jinja_eval_filter(s, node->a, subject)
                                              : (node->a ? tare_jinja_eval(s, node->a) : subject);
    if (s->failed)
        return value;
    s->line = node->line;
    if (!node->builtin)
        return tare_jinja_fail(s, "no %s named '%.*s'", node->kind == N_TEST ? "test" : "filter", (int)node->value.size,
                               node->value.as.text);
    const struct tare_jinja_args args = arguments(s, node);
    return s->failed ? value : tare_jinja_call_builtin(s, node->builtin, value, &args);
}

/* ---- operators --------------------------------------------------------------------------------------------------- */

static bool compare(struct tare_jinja_state *s, int op, struct tare_jinja_value a, struct tare_jinja_value b)
{
    switch (op) {
    case T_EQ:
        return tare_jinja_equal(s, a, b);
    case T_NE:
        return !tare_jinja_equal(s, a, b);
    case T_IN:
        return tare_jinja_in(s, a, b);
    case T_NOT_IN:
        return !tare_jinja_in(s, a, b);
    default:
        break;
    }
    if ((a.kind == TARE_JINJA_FLOAT && a.as.real != a.as.real) ||
        (b.kind == TARE_JINJA_FLOAT && b.as.real != b.as.real))
        if (tare_jinja_is_number(a) && tare_jinja_is_number(b))
            return false;
    const int order = tare_jinja_order(s, a, b, op == T_LT ? "<" : op == T_LE ? "<=" : op == T_GT ? ">" : ">=");
    return op == T_LT ? order < 0 : op == T_LE ? order <= 0 : op == T_GT ? order > 0 : order >= 0;
}

/* a < b < c means a < b and b < c, with b computed once. */
static struct tare_jinja_value eval_compare(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    struct tare_jinja_value left = tare_jinja_eval(s, node->a);
    for (size_t i = 0; i < node->n && !s->failed; i++) {
        const struct tare_jinja_value right = tare_jinja_eval(s, node->items[i]->a);
        if (s->failed || !compare(s, node->items[i]->op, left, right))
            return tare_jinja_bool(false);
        left = right;
    }
    return tare_jinja_bool(true);
}

static struct tare_jinja_value eval_concat(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    struct tare_jinja_value text = tare_jinja_text("", 0);
    for (size_t i = 0; i < node->n && !s->failed; i++) {
        const struct tare_jinja_value item = tare_jinja_string(s, tare_jinja_eval(s, node->items[i]));
        if (!s->failed)
            text = tare_jinja_join(s, text, item);
    }
    return text;
}

static struct tare_jinja_value eval_list(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    struct tare_jinja_list *list = tare_jinja_list_new(s, node->n);
    for (size_t i = 0; i < node->n && !s->failed; i++)
        tare_jinja_list_add(s, list, tare_jinja_eval(s, node->items[i]));
    return tare_jinja_listed(node->kind == N_LIST ? TARE_JINJA_LIST : TARE_JINJA_TUPLE, list);
}

static struct tare_jinja_value eval_dict(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    struct tare_jinja_dict *dict = tare_jinja_dict_new(s, node->n / 2);
    for (size_t i = 0; i + 1 < node->n && !s->failed; i += 2) {
        const struct tare_jinja_value key = tare_jinja_eval(s, node->items[i]);
        tare_jinja_dict_set(s, dict, key, tare_jinja_eval(s, node->items[i + 1]));
    }
    return tare_jinja_dicted(dict);
}

static struct tare_jinja_value eval_item(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    const struct tare_jinja_value object = tare_jinja_eval(s, node->a);
    if (s->failed)
        return object;
    if (node->b->kind == N_SLICE) {
        const struct tare_jinja_node *const parts[3] = {node->b->a, node->b->b, node->b->c};
        struct tare_jinja_value bounds[3];
        for (int i = 0; i < 3; i++)
            bounds[i] = parts[i] ? tare_jinja_eval(s, parts[i]) : tare_jinja_make(TARE_JINJA_NONE);
        s->line = node->line;
        return s->failed ? object : tare_jinja_slice(s, object, bounds);
    }
    const struct tare_jinja_value key = tare_jinja_eval(s, node->b);
    s->line = node->line;
    return s->failed ? key : tare_jinja_item(s, object, key);
}

static struct tare_jinja_value eval_condition(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    const bool truth = tare_jinja_truth(tare_jinja_eval(s, node->a));
    if (s->failed)
        return tare_jinja_make(TARE_JINJA_UNDEFINED);
    if (truth)
        return tare_jinja_eval(s, node->b);
    if (node->c)
        return tare_jinja_eval(s, node->c);
    return (struct tare_jinja_value){.kind = TARE_JINJA_UNDEFINED, .as.text = "inline if without else", .size = 22};
}

/* As in Python, `and` and `or` give one of their operands, and the right one is computed only when needed. */
static struct tare_jinja_value eval_logic(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    const struct tare_jinja_value left = tare_jinja_eval(s, node->a);
    return s->failed || tare_jinja_truth(left) == (node->kind == N_OR) ? left : tare_jinja_eval(s, node->b);
}

static struct tare_jinja_value eval(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    struct tare_jinja_value a;
    switch (node->kind) {
    case N_CONST:
        return node->value;
    case N_NAME:
        return lookup(s, node->value);
    case N_LIST:
    case N_TUPLE:
        return eval_list(s, node);
    case N_DICT:
        return eval_dict(s, node);
    case N_NEGATE:
    case N_PLUS:
        a = tare_jinja_eval(s, node->a);
        return s->failed ? a : tare_jinja_negate(s, a, node->kind == N_NEGATE);
    case N_NOT:
        return tare_jinja_bool(!tare_jinja_truth(tare_jinja_eval(s, node->a)));
    case N_AND:
    case N_OR:
        return eval_logic(s, node);
    case N_BINARY:
        a = tare_jinja_eval(s, node->a);
        if (!s->failed) {
            const struct tare_jinja_value b = tare_jinja_eval(s, node->b);
            s->line = node->line;
            return s->failed ? b : tare_jinja_binary(s, node->op, a, b);
        }
        return a;
    case N_CONCAT:
        return eval_concat(s, node);
    case N_COMPARE:
        return eval_compare(s, node);
    case N_CONDITION:
        return eval_condition(s, node);
    case N_ATTRIBUTE:
        a = tare_jinja_eval(s, node->a);
        s->line = node->line;
        return s->failed ? a : tare_jinja_attribute(s, a, node->value);
    case N_ITEM:
        return eval_item(s, node);
    case N_CALL:
        return eval_call(s, node);
    case N_FILTER:
    case N_TEST:
        return tare_jinja_eval_filter(s, node, tare_jinja_make(TARE_JINJA_ABSENT));
    default:
        return tare_jinja_fail(s, "a slice stands where a value belongs");
    }
}

struct tare_jinja_value tare_jinja_eval(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    if (!tare_jinja_spend(s, 1))
        return tare_jinja_make(TARE_JINJA_UNDEFINED);
    if (++s->depth > TARE_JINJA_DEPTH_MOST)
        return tare_jinja_fail_limit(s, "the template is nested too deeply: more than %d steps inside one another",
                                     TARE_JINJA_DEPTH_MOST);
    s->line = node->line;
    const struct tare_jinja_value value = eval(s, node);
    s->depth--;
    return value;
}
