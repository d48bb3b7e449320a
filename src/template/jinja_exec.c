/* SPDX-License-Identifier: MIT
 * jinja_exec.c - statements at work: output, scopes, loops, macros. */
#include <string.h>

#include "template/jinja.h"

static void no_space(struct j_state *s, struct j_value name)
{
    j_fail(s, "cannot assign an attribute of '%.*s': it is no namespace", (int)name.size, name.as.text);
}

static void assign_space(struct j_state *s, const struct j_node *target, struct j_value value)
{
    const struct j_node name = {.kind = N_NAME, .value = target->value, .line = target->line};
    const struct j_value space = j_eval(s, &name), key = target->a->value;
    if (s->failed)
        return;
    if (space.kind != J_SPACE)
        no_space(s, target->value);
    else if (key.size && *key.as.text == '_')
        j_fail(s, "a template cannot set attributes that begin with an underscore ('%.*s')", (int)key.size,
               key.as.text);
    else
        j_dict_set(s, space.as.dict, key, value);
}

static void assign_items(struct j_state *s, const struct j_node *target, struct j_value value)
{
    struct j_walk walk;
    struct j_value item;
    size_t n = 0;
    for (j_walk_init(s, &walk, value); n < target->n && j_walk_next(s, &walk, &item); n++)
        j_assign(s, target->items[n], item);
    if (!s->failed && n < target->n)
        j_fail(s, "not enough values to unpack (expected %zu, got %zu)", target->n, n);
    if (!s->failed && j_walk_next(s, &walk, &item))
        j_fail(s, "too many values to unpack (expected %zu)", target->n);
}

void j_assign(struct j_state *s, const struct j_node *target, struct j_value value)
{
    if (s->failed)
        return;
    if (target->kind == N_NAME)
        j_scope_set(s, s->scope, target->value, value);
    else if (target->kind == N_SPACE_TARGET)
        assign_space(s, target, value);
    else
        assign_items(s, target, value);
}

/* Execute with the output going into a text, in a scope of its own. */
static struct j_value capture(struct j_state *s, const struct j_node *body, struct j_scope *scope)
{
    struct tare_text text = {0}, *const out = s->out;
    struct j_scope *const around = s->scope;
    s->out = &text;
    s->scope = scope;
    j_exec(s, body);
    s->out = out;
    s->scope = around;
    return j_take(s, &text);
}

/* ---- loops ------------------------------------------------------------------------------------------------------- */

/* The items that a loop's condition lets through. */
static struct j_value filtered(struct j_state *s, const struct j_node *node, struct j_value items)
{
    struct j_scope scope = {.parent = s->scope}, *const around = s->scope;
    struct j_list *list = j_list_new(s, 4);
    struct j_walk walk;
    struct j_value item;
    s->scope = &scope;
    for (j_walk_init(s, &walk, items); j_walk_next(s, &walk, &item);) {
        j_assign(s, node->a, item);
        if (j_truth(j_eval(s, node->c)))
            j_list_add(s, list, item);
    }
    s->scope = around;
    return j_listed(J_LIST, list);
}

static bool loop_start(struct j_state *s, struct j_loop *loop, struct j_value items)
{
    if (loop->node->c)
        items = filtered(s, loop->node, items);
    else if (items.kind == J_STREAM)
        items = j_listed(J_LIST, j_collect(s, items));
    if (s->failed || !j_walk_init(s, &loop->walk, items))
        return false;
    loop->length = j_length(s, items);
    if (!j_walk_next(s, &loop->walk, &loop->after))
        loop->after = j_make(J_ABSENT);
    return !s->failed;
}

static bool loop_next(struct j_state *s, struct j_loop *loop)
{
    if (loop->after.kind == J_ABSENT || s->failed)
        return false;
    loop->before = loop->now;
    loop->now = loop->after;
    loop->index++;
    if (!j_walk_next(s, &loop->walk, &loop->after))
        loop->after = j_make(J_ABSENT);
    return !s->failed;
}

static struct j_scope *scope_new(struct j_state *s, struct j_scope *parent)
{
    struct j_scope *scope = j_alloc(s, 1, sizeof *scope);
    if (scope)
        scope->parent = parent;
    return scope;
}

static enum j_flow loop_bodies(struct j_state *s, struct j_loop *loop)
{
    struct j_scope *scope = scope_new(s, loop->scope);
    while (scope && loop_next(s, loop)) {
        if (scope->kept)
            scope = scope_new(s, loop->scope);
        if (!scope)
            break;
        scope->n = 0;
        s->scope = scope;
        j_scope_set(s, scope, j_text("loop", 4), (struct j_value){.kind = J_LOOP, .as.loop = loop});
        j_assign(s, loop->node->a, loop->now);
        if (j_exec(s, loop->node->more[0]) == J_BREAK)
            break;
    }
    return J_GO;
}

static void loop_run(struct j_state *s, const struct j_node *node, struct j_scope *scope, struct j_value items,
                     int64_t depth)
{
    struct j_scope *const around = s->scope;
    struct j_loop *loop = j_alloc(s, 1, sizeof *loop);
    if (!loop)
        return;
    *loop = (struct j_loop){.node = node, .scope = scope, .index = -1, .depth = depth};
    s->scope = scope;
    if (loop_start(s, loop, items))
        loop_bodies(s, loop);
    s->scope = scope;
    if (!s->failed && loop->index < 0 && node->n_more > 1) {
        s->scope = scope_new(s, scope);
        if (s->scope)
            j_exec(s, node->more[1]);
    }
    s->scope = around;
}

struct j_value j_loop_call(struct j_state *s, struct j_loop *loop, struct j_value items)
{
    struct tare_text text = {0}, *const out = s->out;
    if (!loop->node->flag)
        return j_fail(s, "the loop must have the 'recursive' marker to be called recursively");
    if (++s->calls > J_CALLS_MOST)
        return j_fail_limit(s, "maximum recursion depth exceeded: more than %d calls inside one another", J_CALLS_MOST);
    s->out = &text;
    loop_run(s, loop->node, loop->scope, items, loop->depth + 1);
    s->out = out;
    s->calls--;
    return j_take(s, &text);
}

static struct j_value neighbour(struct j_value item, const char *missing)
{
    if (item.kind == J_ABSENT)
        return (struct j_value){.kind = J_UNDEFINED, .owner = J_LOOP, .as.text = missing, .size = strlen(missing)};
    return item;
}

struct j_value j_loop_attribute(struct j_state *s, struct j_loop *loop, struct j_value name)
{
    const int64_t i = loop->index, n = loop->length;
    (void)s;
    if (j_is(name, "index"))
        return j_whole(i + 1);
    if (j_is(name, "index0"))
        return j_whole(i);
    if (j_is(name, "first"))
        return j_bool(i == 0);
    if (j_is(name, "last"))
        return j_bool(loop->after.kind == J_ABSENT);
    if (j_is(name, "length"))
        return j_whole(n);
    if (j_is(name, "revindex"))
        return j_whole(n - i);
    if (j_is(name, "revindex0"))
        return j_whole(n - i - 1);
    if (j_is(name, "previtem"))
        return neighbour(loop->before, "there is no previous item");
    if (j_is(name, "nextitem"))
        return neighbour(loop->after, "there is no next item");
    if (j_is(name, "depth"))
        return j_whole(loop->depth + 1);
    if (j_is(name, "depth0"))
        return j_whole(loop->depth);
    return j_make(J_ABSENT);
}

/* ---- macros ------------------------------------------------------------------------------------------------------ */

static struct j_value macro_new(struct j_state *s, const struct j_node *node, bool caller)
{
    struct j_macro *macro = j_alloc(s, 1, sizeof *macro);
    if (!macro)
        return j_make(J_UNDEFINED);
    *macro = (struct j_macro){node, s->scope, node->value, caller};
    for (struct j_scope *scope = s->scope; scope && !scope->kept; scope = scope->parent)
        scope->kept = true;
    return (struct j_value){.kind = J_MACRO, .as.macro = macro};
}

/* Named arguments: those of parameters, caller, and the rest. */
static void bind_named(struct j_state *s, const struct j_macro *macro, const struct j_args *args, bool *given)
{
    const struct j_node *node = macro->node;
    struct j_dict *rest = node->takes & TAKES_KWARGS ? j_dict_new(s, 0) : NULL;
    for (size_t i = 0; i < args->n_named && !s->failed; i++) {
        const struct j_pair *named = &args->named[i];
        size_t at = 0;
        while (at < node->n && !j_equal(s, node->items[at]->value, named->key))
            at++;
        if (at < node->n && given[at]) {
            j_fail(s, "macro '%.*s' got multiple values for argument '%.*s'", (int)macro->name.size,
                   macro->name.as.text, (int)named->key.size, named->key.as.text);
        } else if (at < node->n) {
            given[at] = true;
            j_scope_set(s, s->scope, named->key, named->value);
        } else if (node->takes & TAKES_CALLER && !macro->caller && j_is(named->key, "caller")) {
            j_scope_set(s, s->scope, named->key, named->value);
        } else if (rest) {
            j_dict_append(s, rest, named->key, named->value);
        } else {
            j_fail(s, "macro '%.*s' takes no keyword argument '%.*s'", (int)macro->name.size, macro->name.as.text,
                   (int)named->key.size, named->key.as.text);
        }
    }
    if (rest)
        j_scope_set(s, s->scope, j_word("kwargs"), j_dicted(rest));
}

static void bind_positional(struct j_state *s, const struct j_macro *macro, const struct j_args *args, bool *given)
{
    const struct j_node *node = macro->node;
    struct j_list *rest = node->takes & TAKES_VARARGS ? j_list_new(s, 0) : NULL;
    for (size_t i = 0; i < args->n && !s->failed; i++) {
        if (i < node->n) {
            given[i] = true;
            j_scope_set(s, s->scope, node->items[i]->value, args->items[i]);
        } else if (rest) {
            j_list_add(s, rest, args->items[i]);
        } else {
            j_fail(s, "macro '%.*s' takes not more than %zu argument(s)", (int)macro->name.size, macro->name.as.text,
                   node->n);
        }
    }
    if (rest)
        j_scope_set(s, s->scope, j_word("varargs"), j_listed(J_TUPLE, rest));
}

static void bind_defaults(struct j_state *s, const struct j_node *node, const bool *given)
{
    const size_t needed = node->n - node->n_more;
    for (size_t i = 0; i < node->n && !s->failed; i++) {
        const struct j_value name = node->items[i]->value;
        if (given[i])
            continue;
        j_scope_set(s, s->scope, name,
                    i >= needed ? j_eval(s, node->more[i - needed])
                                : (struct j_value){.kind = J_UNDEFINED, .owner = J_ABSENT, .as.text = name.as.text,
                                                   .size = name.size});
    }
}

struct j_value j_macro_call(struct j_state *s, const struct j_macro *macro, const struct j_args *args)
{
    struct j_scope *const around = s->scope, *scope = scope_new(s, macro->scope);
    bool *given = j_alloc(s, macro->node->n + 1, sizeof *given);
    struct j_value text = j_make(J_UNDEFINED);
    if (!scope || !given)
        return text;
    if (++s->calls > J_CALLS_MOST)
        return j_fail_limit(s, "maximum recursion depth exceeded: more than %d calls inside one another", J_CALLS_MOST);
    s->scope = scope;
    bind_positional(s, macro, args, given);
    bind_named(s, macro, args, given);
    bind_defaults(s, macro->node, given);
    s->scope = around;
    if (!s->failed)
        text = capture(s, macro->node->b, scope);
    s->calls--;
    return text;
}

struct j_value j_macro_attribute(struct j_state *s, const struct j_macro *macro, struct j_value name)
{
    if (j_is(name, "name"))
        return macro->caller ? j_make(J_NONE) : macro->name;
    if (j_is(name, "catch_kwargs"))
        return j_bool(macro->node->takes & TAKES_KWARGS);
    if (j_is(name, "catch_varargs"))
        return j_bool(macro->node->takes & TAKES_VARARGS);
    if (j_is(name, "caller"))
        return j_bool(macro->node->takes & TAKES_CALLER);
    if (!j_is(name, "arguments"))
        return j_make(J_ABSENT);
    struct j_list *list = j_list_new(s, macro->node->n);
    for (size_t i = 0; i < macro->node->n; i++)
        j_list_add(s, list, macro->node->items[i]->value);
    return j_listed(J_TUPLE, list);
}

/* The call of a call block is made with one more named argument, the block. */
static void exec_call_block(struct j_state *s, const struct j_node *node)
{
    const struct j_value caller = macro_new(s, node->b, true);
    const struct j_args none = {0};
    struct j_value text;
    if (s->failed)
        return;
    if (!node->a) {
        text = j_macro_call(s, caller.as.macro, &none);
    } else {
        const struct j_node value = {.kind = N_CONST, .line = node->line, .value = caller};
        const struct j_node keyword = {.kind = N_KEYWORD, .line = node->line, .value = j_text("caller", 6),
                                       .a = (struct j_node *)(uintptr_t)&value};
        struct j_node call = *node->a;
        call.more = j_alloc(s, call.n_more + 1, sizeof *call.more);
        if (!call.more)
            return;
        if (call.n_more)
            memcpy(call.more, node->a->more, call.n_more * sizeof *call.more);
        call.more[call.n_more++] = (struct j_node *)(uintptr_t)&keyword;
        text = j_eval(s, &call);
    }
    if (!s->failed)
        j_print(s, s->out, text);
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static enum j_flow exec_if(struct j_state *s, const struct j_node *node)
{
    for (size_t i = 0; i < node->n && !s->failed; i++)
        if (j_truth(j_eval(s, node->items[i]->a)))
            return s->failed ? J_GO : j_exec(s, node->items[i]->b);
    return node->c && !s->failed ? j_exec(s, node->c) : J_GO;
}

static enum j_flow exec_with(struct j_state *s, const struct j_node *node)
{
    struct j_scope *const around = s->scope, *scope = scope_new(s, around);
    struct j_list *values = j_list_new(s, node->n_more);
    for (size_t i = 0; i < node->n_more && !s->failed; i++)
        j_list_add(s, values, j_eval(s, node->more[i]));
    if (s->failed)
        return J_GO;
    s->scope = scope;
    for (size_t i = 0; i < node->n && !s->failed; i++)
        j_assign(s, node->items[i], values->items[i]);
    const enum j_flow flow = j_exec(s, node->b);
    s->scope = around;
    return flow;
}

static enum j_flow exec_scope(struct j_state *s, const struct j_node *node)
{
    struct j_scope *const around = s->scope, *scope = scope_new(s, around);
    if (!scope)
        return J_GO;
    s->scope = scope;
    const enum j_flow flow = j_exec(s, node->b);
    s->scope = around;
    return flow;
}

static void exec_captured(struct j_state *s, const struct j_node *node)
{
    struct j_scope *scope = scope_new(s, s->scope);
    if (!scope)
        return;
    const struct j_value text = capture(s, node->b, scope);
    const struct j_node *filters = node->kind == N_SET_BLOCK ? node->c : node->a;
    const struct j_value value = filters && !s->failed ? j_eval_filter(s, filters, text) : text;
    if (s->failed)
        return;
    if (node->kind == N_SET_BLOCK)
        j_assign(s, node->a, value);
    else
        j_print(s, s->out, value);
}

static enum j_flow exec_block(struct j_state *s, const struct j_node *node)
{
    enum j_flow flow = J_GO;
    for (size_t i = 0; i < node->n && !s->failed && flow == J_GO; i++)
        flow = j_exec(s, node->items[i]);
    return flow;
}

static void exec_simple(struct j_state *s, const struct j_node *node)
{
    struct j_value value;
    switch (node->kind) {
    case N_DATA:
        j_add_value(s, s->out, node->value);
        break;
    case N_OUTPUT:
        value = j_eval(s, node->a);
        if (!s->failed)
            j_print(s, s->out, value);
        break;
    case N_SET:
        j_assign(s, node->a, j_eval(s, node->b));
        break;
    case N_FOR:
        value = j_eval(s, node->b);
        if (!s->failed)
            loop_run(s, node, s->scope, value, 0);
        break;
    case N_MACRO:
        value = macro_new(s, node, false);
        if (!s->failed)
            j_scope_set(s, s->scope, node->value, value);
        break;
    case N_CALL_BLOCK:
        exec_call_block(s, node);
        break;
    case N_SET_BLOCK:
    case N_FILTER_BLOCK:
        exec_captured(s, node);
        break;
    default:
        j_fail(s, "'%.*s' is not possible here: a template cannot load others", (int)node->value.size,
               node->value.as.text);
    }
}

static enum j_flow exec(struct j_state *s, const struct j_node *node)
{
    switch (node->kind) {
    case N_BLOCK:
        return exec_block(s, node);
    case N_IF:
        return exec_if(s, node);
    case N_WITH:
        return exec_with(s, node);
    case N_SCOPE:
        return exec_scope(s, node);
    case N_BREAK:
        return J_BREAK;
    case N_CONTINUE:
        return J_CONTINUE;
    default:
        exec_simple(s, node);
        return J_GO;
    }
}

enum j_flow j_exec(struct j_state *s, const struct j_node *node)
{
    if (!j_spend(s, 1))
        return J_GO;
    if (++s->depth > J_DEPTH_MOST) {
        j_fail_limit(s, "the template is nested too deeply: more than %d steps inside one another", J_DEPTH_MOST);
        return J_GO;
    }
    s->line = node->line;
    const enum j_flow flow = exec(s, node);
    s->depth--;
    return flow;
}
