/* SPDX-License-Identifier: MIT
 * jinja_eval.c - expressions to values. */
#include <string.h>

#include "template/jinja.h"

/* ---- names ------------------------------------------------------------------------------------------------------- */

static bool same_name(struct j_value a, struct j_value b)
{
    return a.size == b.size && (a.as.text == b.as.text || !memcmp(a.as.text, b.as.text, a.size));
}

static struct j_value lookup(struct j_state *s, struct j_value name)
{
    for (const struct j_scope *scope = s->scope; scope; scope = scope->parent)
        for (size_t i = 0; i < scope->n; i++)
            if (same_name(scope->variables[i].name, name))
                return scope->variables[i].value;
    const struct j_value *given = j_dict_get(s, s->context, name);
    if (given)
        return *given;
    const struct j_builtin *global = j_global_find(name);
    if (global)
        return (struct j_value){.kind = J_FUNCTION, .as.builtin = global};
    return (struct j_value){.kind = J_UNDEFINED, .owner = J_ABSENT, .as.text = name.as.text, .size = name.size};
}

void j_scope_set(struct j_state *s, struct j_scope *scope, struct j_value name, struct j_value value)
{
    for (size_t i = 0; i < scope->n; i++)
        if (same_name(scope->variables[i].name, name)) {
            scope->variables[i].value = value;
            return;
        }
    if (scope->n == scope->room) {
        const size_t room = scope->room ? scope->room * 2 : 4;
        struct j_variable *more = j_alloc(s, room, sizeof *more);
        if (!more)
            return;
        if (scope->n)
            memcpy(more, scope->variables, scope->n * sizeof *more);
        scope->variables = more;
        scope->room = room;
    }
    scope->variables[scope->n++] = (struct j_variable){name, value};
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

/* Put what was given into the places of the parameters. */
static void bind_named(struct j_state *s, const struct j_builtin *builtin, const struct j_pair *named, struct j_value *a)
{
    const char *p = builtin->parameters;
    for (int i = 1; *p; i++) {
        p += *p == '?';
        const size_t n = strcspn(p, " ");
        if (n == named->key.size && !memcmp(p, named->key.as.text, n)) {
            if (a[i].kind != J_ABSENT)
                j_fail(s, "%s() got multiple values for argument '%.*s'", builtin->name, (int)n, p);
            a[i] = named->value;
            return;
        }
        p += n + (p[n] == ' ');
    }
    j_fail(s, "%s() got an unexpected keyword argument '%.*s'", builtin->name, (int)named->key.size,
           named->key.as.text);
}

static void bind(struct j_state *s, const struct j_builtin *builtin, const struct j_args *args, struct j_value *a)
{
    const char *p = builtin->parameters;
    size_t most = 0;
    for (const char *q = p; *q; q++)
        most += q == p || *q == ' ';
    if (args->n > most) {
        j_fail(s, "%s() takes at most %zu arguments (%zu given)", builtin->name, most, args->n);
        return;
    }
    for (size_t i = 0; i < args->n; i++)
        a[i + 1] = args->items[i];
    for (size_t i = 0; i < args->n_named && !s->failed; i++)
        bind_named(s, builtin, &args->named[i], a);
    for (int i = 1; *p && !s->failed; i++) {
        const size_t n = strcspn(p, " ");
        if (*p != '?' && a[i].kind == J_ABSENT)
            j_fail(s, "%s() missing required argument: '%.*s'", builtin->name, (int)n, p);
        p += n + (p[n] == ' ');
    }
}

struct j_value j_call_builtin(struct j_state *s, const struct j_builtin *builtin, struct j_value self,
                              const struct j_args *args)
{
    struct j_value a[J_PARAMETERS + 1] = {self};
    if (!builtin->parameters)
        return j_fail(s, "access to '%s' of '%s' object is unsafe", builtin->name, j_type(self));
    if (*builtin->parameters != '*')
        bind(s, builtin, args, a);
    return s->failed ? j_make(J_UNDEFINED) : builtin->run(s, a, args);
}

static struct j_value fail_undefined(struct j_state *s, struct j_value v)
{
    return j_binary(s, T_ADD, v, v);
}

struct j_value j_call(struct j_state *s, struct j_value callee, const struct j_args *args)
{
    if (s->failed)
        return j_make(J_UNDEFINED);
    switch (callee.kind) {
    case J_UNDEFINED:
        return fail_undefined(s, callee);
    case J_FUNCTION:
        return j_call_builtin(s, callee.as.builtin, callee, args);
    case J_METHOD:
        return j_call_builtin(s, callee.as.method->builtin, callee.as.method->self, args);
    case J_MACRO:
        return j_macro_call(s, callee.as.macro, args);
    case J_LOOP:
        if (args->n == 1 && !args->n_named)
            return j_loop_call(s, callee.as.loop, args->items[0]);
        return j_fail(s, "loop() takes one argument");
    case J_JOINER: {
        struct j_list *joiner = callee.as.list;
        return joiner->at++ ? joiner->items[0] : j_text("", 0);
    }
    default:
        return j_fail(s, "'%s' object is not callable", j_type(callee));
    }
}

static void add_named(struct j_state *s, struct j_dict *named, struct j_value key, struct j_value value)
{
    if (s->failed)
        return;
    if (key.kind != J_TEXT)
        j_fail(s, "keywords must be strings");
    else if (j_dict_get(s, named, key))
        j_fail(s, "got multiple values for keyword argument '%.*s'", (int)key.size, key.as.text);
    else
        j_dict_append(s, named, key, value);
}

/* Arguments of a call, filter or test. */
static struct j_args arguments(struct j_state *s, const struct j_node *node)
{
    struct j_args args = {0};
    struct j_value star = j_make(J_ABSENT);
    if (node->n || node->b) {
        struct j_list *list = j_list_new(s, node->n);
        for (size_t i = 0; i < node->n && !s->failed; i++)
            j_list_add(s, list, j_eval(s, node->items[i]));
        if (node->b && !s->failed) {
            struct j_walk walk;
            struct j_value item;
            star = j_eval(s, node->b);
            for (j_walk_init(s, &walk, star); j_walk_next(s, &walk, &item);)
                j_list_add(s, list, item);
        }
        if (!s->failed) {
            args.items = list->items;
            args.n = list->n;
        }
    }
    if (!node->n_more && !node->c)
        return args;
    struct j_dict *named = j_dict_new(s, node->n_more);
    for (size_t i = 0; i < node->n_more && !s->failed; i++)
        add_named(s, named, node->more[i]->value, j_eval(s, node->more[i]->a));
    if (node->c && !s->failed) {
        const struct j_value more = j_eval(s, node->c);
        if (!s->failed && more.kind != J_DICT)
            j_fail(s, "argument after ** must be a mapping, not %s", j_type(more));
        for (size_t i = 0; !s->failed && i < more.as.dict->n; i++)
            add_named(s, named, more.as.dict->pairs[i].key, more.as.dict->pairs[i].value);
    }
    if (!s->failed) {
        args.named = named->pairs;
        args.n_named = named->n;
    }
    return args;
}

static struct j_value eval_call(struct j_state *s, const struct j_node *node)
{
    const struct j_node *callee = node->a;
    if (callee->kind != N_ATTRIBUTE) {
        const struct j_value function = j_eval(s, callee);
        const struct j_args args = arguments(s, node);
        s->line = node->line;
        return j_call(s, function, &args);
    }
    const struct j_value object = j_eval(s, callee->a); /* a method is called without being made a value */
    const struct j_builtin *method = s->failed ? NULL : j_method_find(object, callee->value);
    if (method && method->parameters) {
        const struct j_args args = arguments(s, node);
        s->line = node->line;
        return s->failed ? j_make(J_UNDEFINED) : j_call_builtin(s, method, object, &args);
    }
    const struct j_value function = s->failed ? object : j_attribute(s, object, callee->value);
    const struct j_args args = s->failed ? (struct j_args){0} : arguments(s, node);
    s->line = node->line;
    return j_call(s, function, &args);
}

struct j_value j_eval_filter(struct j_state *s, const struct j_node *node, struct j_value subject)
{
    const struct j_value value = node->a && node->a->kind == N_FILTER && subject.kind != J_ABSENT
                                     ? j_eval_filter(s, node->a, subject)
                                     : (node->a ? j_eval(s, node->a) : subject);
    if (s->failed)
        return value;
    s->line = node->line;
    if (!node->builtin)
        return j_fail(s, "no %s named '%.*s'", node->kind == N_TEST ? "test" : "filter", (int)node->value.size,
                      node->value.as.text);
    const struct j_args args = arguments(s, node);
    return s->failed ? value : j_call_builtin(s, node->builtin, value, &args);
}

/* ---- operators --------------------------------------------------------------------------------------------------- */

static bool compare(struct j_state *s, int op, struct j_value a, struct j_value b)
{
    switch (op) {
    case T_EQ:
        return j_equal(s, a, b);
    case T_NE:
        return !j_equal(s, a, b);
    case T_IN:
        return j_in(s, a, b);
    case T_NOT_IN:
        return !j_in(s, a, b);
    default:
        break;
    }
    if ((a.kind == J_FLOAT && a.as.real != a.as.real) || (b.kind == J_FLOAT && b.as.real != b.as.real))
        if (j_is_number(a) && j_is_number(b))
            return false;
    const int order = j_order(s, a, b, op == T_LT ? "<" : op == T_LE ? "<=" : op == T_GT ? ">" : ">=");
    return op == T_LT ? order < 0 : op == T_LE ? order <= 0 : op == T_GT ? order > 0 : order >= 0;
}

static struct j_value eval_compare(struct j_state *s, const struct j_node *node)
{
    struct j_value left = j_eval(s, node->a);
    for (size_t i = 0; i < node->n && !s->failed; i++) {
        const struct j_value right = j_eval(s, node->items[i]->a);
        if (s->failed || !compare(s, node->items[i]->op, left, right))
            return j_bool(false);
        left = right;
    }
    return j_bool(true);
}

static struct j_value eval_concat(struct j_state *s, const struct j_node *node)
{
    struct j_value text = j_text("", 0);
    for (size_t i = 0; i < node->n && !s->failed; i++) {
        const struct j_value item = j_string(s, j_eval(s, node->items[i]));
        if (!s->failed)
            text = j_join(s, text, item);
    }
    return text;
}

static struct j_value eval_list(struct j_state *s, const struct j_node *node)
{
    struct j_list *list = j_list_new(s, node->n);
    for (size_t i = 0; i < node->n && !s->failed; i++)
        j_list_add(s, list, j_eval(s, node->items[i]));
    return j_listed(node->kind == N_LIST ? J_LIST : J_TUPLE, list);
}

static struct j_value eval_dict(struct j_state *s, const struct j_node *node)
{
    struct j_dict *dict = j_dict_new(s, node->n / 2);
    for (size_t i = 0; i + 1 < node->n && !s->failed; i += 2) {
        const struct j_value key = j_eval(s, node->items[i]);
        j_dict_set(s, dict, key, j_eval(s, node->items[i + 1]));
    }
    return j_dicted(dict);
}

static struct j_value eval_item(struct j_state *s, const struct j_node *node)
{
    const struct j_value object = j_eval(s, node->a);
    if (s->failed)
        return object;
    if (node->b->kind == N_SLICE) {
        const struct j_node *const parts[3] = {node->b->a, node->b->b, node->b->c};
        struct j_value bounds[3];
        for (int i = 0; i < 3; i++)
            bounds[i] = parts[i] ? j_eval(s, parts[i]) : j_make(J_NONE);
        s->line = node->line;
        return s->failed ? object : j_slice(s, object, bounds);
    }
    const struct j_value key = j_eval(s, node->b);
    s->line = node->line;
    return s->failed ? key : j_item(s, object, key);
}

static struct j_value eval_condition(struct j_state *s, const struct j_node *node)
{
    const bool truth = j_truth(j_eval(s, node->a));
    if (s->failed)
        return j_make(J_UNDEFINED);
    if (truth)
        return j_eval(s, node->b);
    if (node->c)
        return j_eval(s, node->c);
    return (struct j_value){.kind = J_UNDEFINED, .as.text = "inline if without else", .size = 22};
}

static struct j_value eval_logic(struct j_state *s, const struct j_node *node)
{
    const struct j_value left = j_eval(s, node->a);
    return s->failed || j_truth(left) == (node->kind == N_OR) ? left : j_eval(s, node->b);
}

static struct j_value eval(struct j_state *s, const struct j_node *node)
{
    struct j_value a;
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
        a = j_eval(s, node->a);
        return s->failed ? a : j_negate(s, a, node->kind == N_NEGATE);
    case N_NOT:
        return j_bool(!j_truth(j_eval(s, node->a)));
    case N_AND:
    case N_OR:
        return eval_logic(s, node);
    case N_BINARY:
        a = j_eval(s, node->a);
        if (!s->failed) {
            const struct j_value b = j_eval(s, node->b);
            s->line = node->line;
            return s->failed ? b : j_binary(s, node->op, a, b);
        }
        return a;
    case N_CONCAT:
        return eval_concat(s, node);
    case N_COMPARE:
        return eval_compare(s, node);
    case N_CONDITION:
        return eval_condition(s, node);
    case N_ATTRIBUTE:
        a = j_eval(s, node->a);
        s->line = node->line;
        return s->failed ? a : j_attribute(s, a, node->value);
    case N_ITEM:
        return eval_item(s, node);
    case N_CALL:
        return eval_call(s, node);
    case N_FILTER:
    case N_TEST:
        return j_eval_filter(s, node, j_make(J_ABSENT));
    default:
        return j_fail(s, "a slice stands where a value belongs");
    }
}

struct j_value j_eval(struct j_state *s, const struct j_node *node)
{
    if (!j_spend(s, 1))
        return j_make(J_UNDEFINED);
    if (++s->depth > J_DEPTH_MOST)
        return j_fail_limit(s, "the template is nested too deeply: more than %d steps inside one another", J_DEPTH_MOST);
    s->line = node->line;
    const struct j_value value = eval(s, node);
    s->depth--;
    return value;
}
