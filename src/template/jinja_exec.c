/* SPDX-License-Identifier: MIT
 * jinja_exec.c - executes statements: output, scopes, loops, macros. */
#include <string.h>

#include "template/jinja.h"

static void no_space(struct tare_jinja_state *s, struct tare_jinja_value name)
{
    tare_jinja_fail(s, "cannot assign an attribute of '%.*s': it is no namespace", (int)name.size, name.as.text);
}

/* Executes {% set ns.key = value %}, which only a namespace allows. */
static void assign_space(struct tare_jinja_state *s, const struct tare_jinja_node *target,
                         struct tare_jinja_value value)
{
    const struct tare_jinja_node name = {.kind = N_NAME, .value = target->value, .line = target->line};
    const struct tare_jinja_value space = tare_jinja_eval(s, &name), key = target->a->value;
    if (s->failed)
        return;
    if (space.kind != TARE_JINJA_SPACE)
        no_space(s, target->value);
    else if (key.size && *key.as.text == '_')
        tare_jinja_fail(s, "a template cannot set attributes that begin with an underscore ('%.*s')", (int)key.size,
                        key.as.text);
    else
        tare_jinja_dict_set(s, space.as.dict, key, value);
}

static void assign(struct tare_jinja_state *s, const struct tare_jinja_node *target, struct tare_jinja_value value);

/* Unpacks a value into several targets; their number must be equal. */
static void assign_items(struct tare_jinja_state *s, const struct tare_jinja_node *target,
                         struct tare_jinja_value value)
{
    struct tare_jinja_walk walk;
    struct tare_jinja_value item;
    size_t n = 0;
    for (tare_jinja_walk_init(s, &walk, value); n < target->n && tare_jinja_walk_next(s, &walk, &item); n++)
        assign(s, target->items[n], item);
    if (!s->failed && n < target->n)
        tare_jinja_fail(s, "not enough values to unpack (expected %zu, got %zu)", target->n, n);
    if (!s->failed && tare_jinja_walk_next(s, &walk, &item))
        tare_jinja_fail(s, "too many values to unpack (expected %zu)", target->n);
}

static void assign(struct tare_jinja_state *s, const struct tare_jinja_node *target, struct tare_jinja_value value)
{
    if (s->failed)
        return;
    if (target->kind == N_NAME)
        tare_jinja_scope_set(s, s->scope, target->value, value);
    else if (target->kind == N_SPACE_TARGET)
        assign_space(s, target, value);
    else
        assign_items(s, target, value);
}

/* Executes a body in a scope of its own and returns its output as a text. */
static struct tare_jinja_value capture(struct tare_jinja_state *s, const struct tare_jinja_node *body,
                                       struct tare_jinja_scope *scope)
{
    struct tare_text text = {0}, *const out = s->out;
    struct tare_jinja_scope *const around = s->scope;
    s->out = &text;
    s->scope = scope;
    tare_jinja_exec(s, body);
    s->out = out;
    s->scope = around;
    return tare_jinja_take(s, &text);
}

/* ---- loops ------------------------------------------------------------------------------------------------------- */

/* Returns the items for which a loop's condition ("for x in y if z") is true. The loop's length counts only these. */
static struct tare_jinja_value filtered(struct tare_jinja_state *s, const struct tare_jinja_node *node,
                                        struct tare_jinja_value items)
{
    struct tare_jinja_scope scope = {.parent = s->scope}, *const around = s->scope;
    struct tare_jinja_list *list = tare_jinja_list_new(s, 4);
    struct tare_jinja_walk walk;
    struct tare_jinja_value item;
    s->scope = &scope;
    for (tare_jinja_walk_init(s, &walk, items); tare_jinja_walk_next(s, &walk, &item);) {
        assign(s, node->a, item);
        if (tare_jinja_truth(tare_jinja_eval(s, node->c)))
            tare_jinja_list_add(s, list, item);
    }
    s->scope = around;
    return tare_jinja_listed(TARE_JINJA_LIST, list);
}

/* Prepares a loop. It always holds the next item, `after`, so that loop.last and loop.nextitem can be told. */
static bool loop_start(struct tare_jinja_state *s, struct tare_jinja_loop *loop, struct tare_jinja_value items)
{
    if (loop->node->c)
        items = filtered(s, loop->node, items);
    else if (items.kind == TARE_JINJA_STREAM)
        items = tare_jinja_listed(TARE_JINJA_LIST, tare_jinja_collect(s, items));
    if (s->failed || !tare_jinja_walk_init(s, &loop->walk, items))
        return false;
    loop->length = tare_jinja_length(s, items);
    if (!tare_jinja_walk_next(s, &loop->walk, &loop->after))
        loop->after = tare_jinja_make(TARE_JINJA_ABSENT);
    return !s->failed;
}

static bool loop_next(struct tare_jinja_state *s, struct tare_jinja_loop *loop)
{
    if (loop->after.kind == TARE_JINJA_ABSENT || s->failed)
        return false;
    loop->before = loop->now;
    loop->now = loop->after;
    loop->index++;
    if (!tare_jinja_walk_next(s, &loop->walk, &loop->after))
        loop->after = tare_jinja_make(TARE_JINJA_ABSENT);
    return !s->failed;
}

static struct tare_jinja_scope *scope_new(struct tare_jinja_state *s, struct tare_jinja_scope *parent)
{
    struct tare_jinja_scope *scope = tare_jinja_alloc(s, 1, sizeof *scope);
    if (scope)
        scope->parent = parent;
    return scope;
}

/* Executes the body once for each item. The scope is used again, unless a macro that was made in it still refers to
 * it. */
static enum tare_jinja_flow loop_bodies(struct tare_jinja_state *s, struct tare_jinja_loop *loop)
{
    struct tare_jinja_scope *scope = scope_new(s, loop->scope);
    while (scope && loop_next(s, loop)) {
        if (scope->kept)
            scope = scope_new(s, loop->scope);
        if (!scope)
            break;
        scope->n = 0;
        s->scope = scope;
        tare_jinja_scope_set(s, scope, tare_jinja_text("loop", 4),
                             (struct tare_jinja_value){.kind = TARE_JINJA_LOOP, .as.loop = loop});
        assign(s, loop->node->a, loop->now);
        if (tare_jinja_exec(s, loop->node->more[0]) == TARE_JINJA_BREAK)
            break;
    }
    return TARE_JINJA_GO;
}

/* Runs a whole loop; without a single item, its else part. */
static void loop_run(struct tare_jinja_state *s, const struct tare_jinja_node *node, struct tare_jinja_scope *scope,
                     struct tare_jinja_value items, int64_t depth)
{
    struct tare_jinja_scope *const around = s->scope;
    struct tare_jinja_loop *loop = tare_jinja_alloc(s, 1, sizeof *loop);
    if (!loop)
        return;
    *loop = (struct tare_jinja_loop){.node = node, .scope = scope, .index = -1, .depth = depth};
    s->scope = scope;
    if (loop_start(s, loop, items))
        loop_bodies(s, loop);
    s->scope = scope;
    if (!s->failed && loop->index < 0 && node->n_more > 1) {
        s->scope = scope_new(s, scope);
        if (s->scope)
            tare_jinja_exec(s, node->more[1]);
    }
    s->scope = around;
}

/* loop(items) in a recursive loop: runs the same loop over other items, one level deeper, and returns its output. */
struct tare_jinja_value tare_jinja_loop_call(struct tare_jinja_state *s, struct tare_jinja_loop *loop,
                                             struct tare_jinja_value items)
{
    struct tare_text text = {0}, *const out = s->out;
    if (!loop->node->flag)
        return tare_jinja_fail(s, "the loop must have the 'recursive' marker to be called recursively");
    if (++s->calls > TARE_JINJA_CALLS_MOST)
        return tare_jinja_fail_limit(s, "maximum recursion depth exceeded: more than %d calls inside one another",
                                     TARE_JINJA_CALLS_MOST);
    s->out = &text;
    loop_run(s, loop->node, loop->scope, items, loop->depth + 1);
    s->out = out;
    s->calls--;
    return tare_jinja_take(s, &text);
}

static struct tare_jinja_value neighbour(struct tare_jinja_value item, const char *missing)
{
    if (item.kind == TARE_JINJA_ABSENT)
        return (struct tare_jinja_value){
            .kind = TARE_JINJA_UNDEFINED, .owner = TARE_JINJA_LOOP, .as.text = missing, .size = strlen(missing)};
    return item;
}

struct tare_jinja_value tare_jinja_loop_attribute(struct tare_jinja_state *s, struct tare_jinja_loop *loop,
                                                  struct tare_jinja_value name)
{
    const int64_t i = loop->index, n = loop->length;
    (void)s;
    if (tare_jinja_is(name, "index"))
        return tare_jinja_whole(i + 1);
    if (tare_jinja_is(name, "index0"))
        return tare_jinja_whole(i);
    if (tare_jinja_is(name, "first"))
        return tare_jinja_bool(i == 0);
    if (tare_jinja_is(name, "last"))
        return tare_jinja_bool(loop->after.kind == TARE_JINJA_ABSENT);
    if (tare_jinja_is(name, "length"))
        return tare_jinja_whole(n);
    if (tare_jinja_is(name, "revindex"))
        return tare_jinja_whole(n - i);
    if (tare_jinja_is(name, "revindex0"))
        return tare_jinja_whole(n - i - 1);
    if (tare_jinja_is(name, "previtem"))
        return neighbour(loop->before, "there is no previous item");
    if (tare_jinja_is(name, "nextitem"))
        return neighbour(loop->after, "there is no next item");
    if (tare_jinja_is(name, "depth"))
        return tare_jinja_whole(loop->depth + 1);
    if (tare_jinja_is(name, "depth0"))
        return tare_jinja_whole(loop->depth);
    return tare_jinja_make(TARE_JINJA_ABSENT);
}

/* ---- macros ------------------------------------------------------------------------------------------------------ */

/* Makes a macro, which keeps all scopes around it, so that they are not used again. */
static struct tare_jinja_value macro_new(struct tare_jinja_state *s, const struct tare_jinja_node *node, bool caller)
{
    struct tare_jinja_macro *macro = tare_jinja_alloc(s, 1, sizeof *macro);
    if (!macro)
        return tare_jinja_make(TARE_JINJA_UNDEFINED);
    *macro = (struct tare_jinja_macro){node, s->scope, node->value, caller};
    for (struct tare_jinja_scope *scope = s->scope; scope && !scope->kept; scope = scope->parent)
        scope->kept = true;
    return (struct tare_jinja_value){.kind = TARE_JINJA_MACRO, .as.macro = macro};
}

/* Binds the named arguments of a macro call: parameters, `caller`, and all others into `kwargs` if the macro
 * uses it. */
static void bind_named(struct tare_jinja_state *s, const struct tare_jinja_macro *macro,
                       const struct tare_jinja_args *args, bool *given)
{
    const struct tare_jinja_node *node = macro->node;
    struct tare_jinja_dict *rest = node->takes & TAKES_KWARGS ? tare_jinja_dict_new(s, 0) : NULL;
    for (size_t i = 0; i < args->n_named && !s->failed; i++) {
        const struct tare_jinja_pair *named = &args->named[i];
        size_t at = 0;
        while (at < node->n && !tare_jinja_equal(s, node->items[at]->value, named->key))
            at++;
        if (at < node->n && given[at]) {
            tare_jinja_fail(s, "macro '%.*s' got multiple values for argument '%.*s'", (int)macro->name.size,
                            macro->name.as.text, (int)named->key.size, named->key.as.text);
        } else if (at < node->n) {
            given[at] = true;
            tare_jinja_scope_set(s, s->scope, named->key, named->value);
        } else if (node->takes & TAKES_CALLER && !macro->caller && tare_jinja_is(named->key, "caller")) {
            tare_jinja_scope_set(s, s->scope, named->key, named->value);
        } else if (rest) {
            tare_jinja_dict_append(s, rest, named->key, named->value);
        } else {
            tare_jinja_fail(s, "macro '%.*s' takes no keyword argument '%.*s'", (int)macro->name.size,
                            macro->name.as.text, (int)named->key.size, named->key.as.text);
        }
    }
    if (rest)
        tare_jinja_scope_set(s, s->scope, tare_jinja_word("kwargs"), tare_jinja_dicted(rest));
}

/* Binds the positional arguments: parameters first, the rest into `varargs` if the macro uses it. */
static void bind_positional(struct tare_jinja_state *s, const struct tare_jinja_macro *macro,
                            const struct tare_jinja_args *args, bool *given)
{
    const struct tare_jinja_node *node = macro->node;
    struct tare_jinja_list *rest = node->takes & TAKES_VARARGS ? tare_jinja_list_new(s, 0) : NULL;
    for (size_t i = 0; i < args->n && !s->failed; i++) {
        if (i < node->n) {
            given[i] = true;
            tare_jinja_scope_set(s, s->scope, node->items[i]->value, args->items[i]);
        } else if (rest) {
            tare_jinja_list_add(s, rest, args->items[i]);
        } else {
            tare_jinja_fail(s, "macro '%.*s' takes not more than %zu argument(s)", (int)macro->name.size,
                            macro->name.as.text, node->n);
        }
    }
    if (rest)
        tare_jinja_scope_set(s, s->scope, tare_jinja_word("varargs"), tare_jinja_listed(TARE_JINJA_TUPLE, rest));
}

/* Parameters that were not given get their defaults, which are computed at the call and may use earlier parameters.
 * The n_more defaults belong to the last parameters. */
static void bind_defaults(struct tare_jinja_state *s, const struct tare_jinja_node *node, const bool *given)
{
    const size_t needed = node->n - node->n_more;
    for (size_t i = 0; i < node->n && !s->failed; i++) {
        const struct tare_jinja_value name = node->items[i]->value;
        if (given[i])
            continue;
        tare_jinja_scope_set(s, s->scope, name,
                             i >= needed ? tare_jinja_eval(s, node->more[i - needed])
                                         : (struct tare_jinja_value){.kind = TARE_JINJA_UNDEFINED,
                                                                     .owner = TARE_JINJA_ABSENT,
                                                                     .as.text = name.as.text,
                                                                     .size = name.size});
    }
}

struct tare_jinja_value tare_jinja_macro_call(struct tare_jinja_state *s, const struct tare_jinja_macro *macro,
                                              const struct tare_jinja_args *args)
{
    struct tare_jinja_scope *const around = s->scope, *scope = scope_new(s, macro->scope);
    bool *given = tare_jinja_alloc(s, macro->node->n + 1, sizeof *given);
    struct tare_jinja_value text = tare_jinja_make(TARE_JINJA_UNDEFINED);
    if (!scope || !given)
        return text;
    if (++s->calls > TARE_JINJA_CALLS_MOST)
        return tare_jinja_fail_limit(s, "maximum recursion depth exceeded: more than %d calls inside one another",
                                     TARE_JINJA_CALLS_MOST);
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

struct tare_jinja_value tare_jinja_macro_attribute(struct tare_jinja_state *s, const struct tare_jinja_macro *macro,
                                                   struct tare_jinja_value name)
{
    if (tare_jinja_is(name, "name"))
        return macro->caller ? tare_jinja_make(TARE_JINJA_NONE) : macro->name;
    if (tare_jinja_is(name, "catch_kwargs"))
        return tare_jinja_bool(macro->node->takes & TAKES_KWARGS);
    if (tare_jinja_is(name, "catch_varargs"))
        return tare_jinja_bool(macro->node->takes & TAKES_VARARGS);
    if (tare_jinja_is(name, "caller"))
        return tare_jinja_bool(macro->node->takes & TAKES_CALLER);
    if (!tare_jinja_is(name, "arguments"))
        return tare_jinja_make(TARE_JINJA_ABSENT);
    struct tare_jinja_list *list = tare_jinja_list_new(s, macro->node->n);
    for (size_t i = 0; i < macro->node->n; i++)
        tare_jinja_list_add(s, list, macro->node->items[i]->value);
    return tare_jinja_listed(TARE_JINJA_TUPLE, list);
}

/* Executes {% call %}: makes the call with one more named argument, `caller`, a macro of the block's body. */
static void exec_call_block(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    const struct tare_jinja_value caller = macro_new(s, node->b, true);
    const struct tare_jinja_args none = {0};
    struct tare_jinja_value text;
    if (s->failed)
        return;
    if (!node->a) {
        text = tare_jinja_macro_call(s, caller.as.macro, &none);
    } else {
        const struct tare_jinja_node value = {.kind = N_CONST, .line = node->line, .value = caller};
        const struct tare_jinja_node keyword = {.kind = N_KEYWORD,
                                                .line = node->line,
                                                .value = tare_jinja_text("caller", 6),
                                                .a = (struct tare_jinja_node *)(uintptr_t)&value};
        struct tare_jinja_node call = *node->a;
        call.more = tare_jinja_alloc(s, call.n_more + 1, sizeof *call.more);
        if (!call.more)
            return;
        if (call.n_more)
            memcpy(call.more, node->a->more, call.n_more * sizeof *call.more);
        call.more[call.n_more++] = (struct tare_jinja_node *)(uintptr_t)&keyword;
        text = tare_jinja_eval(s, &call);
    }
    if (!s->failed)
        tare_jinja_print(s, s->out, text);
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static enum tare_jinja_flow exec_if(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    for (size_t i = 0; i < node->n && !s->failed; i++)
        if (tare_jinja_truth(tare_jinja_eval(s, node->items[i]->a)))
            return s->failed ? TARE_JINJA_GO : tare_jinja_exec(s, node->items[i]->b);
    return node->c && !s->failed ? tare_jinja_exec(s, node->c) : TARE_JINJA_GO;
}

/* All values are computed before the first target is assigned, in the scope outside. */
static enum tare_jinja_flow exec_with(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    struct tare_jinja_scope *const around = s->scope, *scope = scope_new(s, around);
    struct tare_jinja_list *values = tare_jinja_list_new(s, node->n_more);
    for (size_t i = 0; i < node->n_more && !s->failed; i++)
        tare_jinja_list_add(s, values, tare_jinja_eval(s, node->more[i]));
    if (s->failed)
        return TARE_JINJA_GO;
    s->scope = scope;
    for (size_t i = 0; i < node->n && !s->failed; i++)
        assign(s, node->items[i], values->items[i]);
    const enum tare_jinja_flow flow = tare_jinja_exec(s, node->b);
    s->scope = around;
    return flow;
}

static enum tare_jinja_flow exec_scope(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    struct tare_jinja_scope *const around = s->scope, *scope = scope_new(s, around);
    if (!scope)
        return TARE_JINJA_GO;
    s->scope = scope;
    const enum tare_jinja_flow flow = tare_jinja_exec(s, node->b);
    s->scope = around;
    return flow;
}

/* Executes {% set x %}..{% endset %} or {% filter f %}..{% endfilter %}: the output of the body goes through the
 * filters. */
static void exec_captured(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    struct tare_jinja_scope *scope = scope_new(s, s->scope);
    if (!scope)
        return;
    const struct tare_jinja_value text = capture(s, node->b, scope);
    const struct tare_jinja_node *filters = node->kind == N_SET_BLOCK ? node->c : node->a;
    const struct tare_jinja_value value = filters && !s->failed ? tare_jinja_eval_filter(s, filters, text) : text;
    if (s->failed)
        return;
    if (node->kind == N_SET_BLOCK)
        assign(s, node->a, value);
    else
        tare_jinja_print(s, s->out, value);
}

static enum tare_jinja_flow exec_block(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    enum tare_jinja_flow flow = TARE_JINJA_GO;
    for (size_t i = 0; i < node->n && !s->failed && flow == TARE_JINJA_GO; i++)
        flow = tare_jinja_exec(s, node->items[i]);
    return flow;
}

static void exec_simple(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    struct tare_jinja_value value;
    switch (node->kind) {
    case N_DATA:
        tare_jinja_add_value(s, s->out, node->value);
        break;
    case N_OUTPUT:
        value = tare_jinja_eval(s, node->a);
        if (!s->failed)
            tare_jinja_print(s, s->out, value);
        break;
    case N_SET:
        assign(s, node->a, tare_jinja_eval(s, node->b));
        break;
    case N_FOR:
        value = tare_jinja_eval(s, node->b);
        if (!s->failed)
            loop_run(s, node, s->scope, value, 0);
        break;
    case N_MACRO:
        value = macro_new(s, node, false);
        if (!s->failed)
            tare_jinja_scope_set(s, s->scope, node->value, value);
        break;
    case N_CALL_BLOCK:
        exec_call_block(s, node);
        break;
    case N_SET_BLOCK:
    case N_FILTER_BLOCK:
        exec_captured(s, node);
        break;
    default:
        tare_jinja_fail(s, "'%.*s' is not possible here: a template cannot load others", (int)node->value.size,
                        node->value.as.text);
    }
}

static enum tare_jinja_flow exec(struct tare_jinja_state *s, const struct tare_jinja_node *node)
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
        return TARE_JINJA_BREAK;
    case N_CONTINUE:
        return TARE_JINJA_CONTINUE;
    default:
        exec_simple(s, node);
        return TARE_JINJA_GO;
    }
}

enum tare_jinja_flow tare_jinja_exec(struct tare_jinja_state *s, const struct tare_jinja_node *node)
{
    if (!tare_jinja_spend(s, 1))
        return TARE_JINJA_GO;
    if (++s->depth > TARE_JINJA_DEPTH_MOST) {
        tare_jinja_fail_limit(s, "the template is nested too deeply: more than %d steps inside one another",
                              TARE_JINJA_DEPTH_MOST);
        return TARE_JINJA_GO;
    }
    s->line = node->line;
    const enum tare_jinja_flow flow = exec(s, node);
    s->depth--;
    return flow;
}
