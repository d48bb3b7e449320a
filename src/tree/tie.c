/* SPDX-License-Identifier: MIT
 * tie.c - is the output head the embedding? The rule is docs/head.md; its points are numbered here as there. */
#include "tree/tie.h"

#include <string.h>

#define FIELD "tie_word_embeddings"
#define HEAD "lm_head"

struct answer {
    bool given, tied, by_flag, filled;
    const char *owner, *evidence, *where;
};

/* Point 2: the value of the flag in one fragment: 1 true, 0 false, -1 silent (absent, or null). */
static int flag_of(const json_t *fragment)
{
    const json_t *value = json_object_get(fragment, FIELD);
    return json_is_boolean(value) ? json_is_true(value) : -1;
}

/* as_written: by what the config says, not by what a wrapper wrote over it. */
static bool ask(const struct tare_tie_level *level, bool as_written, struct tare_arena *arena, struct answer *answer)
{
    const char *path = level->fragment_path, *dot = *path ? "." : "";
    const json_t *fragment = as_written && level->written ? level->written : level->fragment;
    const int flag = fragment ? flag_of(fragment) : -1;
    if (flag >= 0) {
        *answer = (struct answer){true,
                                  flag == 1,
                                  true,
                                  level->filled,
                                  level->owner,
                                  tare_arena_format(arena, "config:%s%s%s", path, dot, FIELD),
                                  tare_arena_format(arena, "config.json: %s%s%s", path, dot, FIELD)};
        return true;
    }
    /* Point 3: the args' value, never the field's mere existence; an explicit null is no answer. */
    const struct tare_arg *field = tare_args_find(level->args_info, FIELD);
    if (!field || !level->args || json_object_get(level->fragment, FIELD))
        return false;
    *answer = (struct answer){true,
                              *(const bool *)((const char *)level->args + field->offset),
                              false,
                              false,
                              level->owner,
                              tare_arena_format(arena, "args:%s.%s", *level->owner ? level->owner : "<root>", FIELD),
                              tare_arena_format(arena, "the default of %s, as config.json does not say", FIELD)};
    return true;
}

static const struct tare_tie_level *level_of(const struct tare_tie_level *levels, size_t n, const char *owner,
                                             size_t size)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(levels[i].owner) == size && !memcmp(levels[i].owner, owner, size))
            return &levels[i];
    return NULL;
}

/* Does a prefix lie below the text model of a wrapper ("language_model.")? */
static bool is_below(const struct tare_tie_level *levels, size_t n, const char *prefix)
{
    const size_t size = n > 2 ? strlen(levels[2].owner) : 0;
    return size && !strncmp(prefix, levels[2].owner, size) && prefix[size] == '.' && strchr(prefix + size + 1, '.');
}

/* Points 1 to 3: the owner itself, then one alias: "language_model.model" -> "language_model", "model" -> the top. */
static struct answer walk(const struct tare_tie_level *levels, size_t n, const char *prefix, bool as_written,
                          struct tare_arena *arena)
{
    struct answer answer = {.evidence = "none"};
    const char *dot = strrchr(prefix, '.'); /* not every head is named lm_head (gpt_neox: embed_out) */
    const size_t size = dot ? (size_t)(dot - prefix) : 0;
    const struct tare_tie_level *own = level_of(levels, n, prefix, size);
    if (own && ask(own, as_written, arena, &answer))
        return answer;
    if (!own &&
        is_below(levels, n, prefix)) { /* further down in the text model: its fragment, but no args of its own */
        struct tare_tie_level below = levels[2];
        below.args_info = NULL;
        if (ask(&below, as_written, arena, &answer))
            return answer;
    }
    if (size >= 5 && !memcmp(prefix + size - 5, "model", 5) && (size == 5 || prefix[size - 6] == '.')) {
        const struct tare_tie_level *alias = level_of(levels, n, prefix, size > 5 ? size - 6 : 0);
        if (alias)
            ask(alias, as_written, arena, &answer);
    }
    return answer;
}

/* The prefix of a head's tensor, or 0: "a.lm_head.qweight" has "a.lm_head". */
static size_t prefix_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    const size_t size = dot ? (size_t)(dot - name) : 0, head = strlen(HEAD);
    if (size < head || memcmp(dot - head, HEAD, head) != 0 || (size > head && dot[-(long)head - 1] != '.'))
        return 0;
    static const char *const parts[] = {"weight", "qweight", "qzeros", "scales", "g_idx"};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        if (!strcmp(dot + 1, parts[k]))
            return size;
    return 0;
}

/* The module an entry is made of, or the first of them. */
static const struct tare_module *module_of(const struct tare_entry *entry)
{
    const struct tare_recipe *r = entry->recipe;
    while (r->op != TARE_OP_TAKE)
        r = r->inputs[0];
    return r->module;
}

static bool is_weight(const struct tare_entry *entry)
{
    const char *dot = strrchr(entry->name, '.');
    return dot && !strcmp(dot, ".weight");
}

static bool is_dense(const struct tare_entry *entry)
{
    return is_weight(entry) && !module_of(entry)->packed;
}

bool tare_head_has(const struct tare_head_decision *head, const struct tare_entry *entry)
{
    const size_t size = prefix_of(entry->name);
    return !entry->absorbed && size && strlen(head->prefix) == size && !memcmp(entry->name, head->prefix, size) &&
           is_dense(entry) == head->dense;
}

/* Each head once, packed and dense forms apart. */
static enum tare_code collect(const struct tare_weights *w, struct tare_tie_result *result, struct tare_error *err)
{
    struct tare_map known[2] = {{0}, {0}}; /* prefixes of packed and of dense ones: a checkpoint may name 100,000 */
    size_t most = 0;
    bool room = true;
    for (size_t i = 0; i < w->n; i++)
        most += !w->entries[i].rule && !w->entries[i].absorbed && prefix_of(w->entries[i].name) > 0;
    result->heads = tare_arena_array(w->arena, most, sizeof *result->heads);
    for (size_t i = 0; most && result->heads && room && i < w->n; i++) {
        const struct tare_entry *entry = &w->entries[i];
        const size_t size = prefix_of(entry->name);
        uint32_t before = TARE_MAP_NONE;
        if (!size || entry->rule || entry->absorbed)
            continue;
        const bool dense = is_dense(entry);
        room = tare_map_put(&known[dense], entry->name, size, (uint32_t)result->n, &before);
        const char *prefix = room && before == TARE_MAP_NONE ? tare_arena_copy(w->arena, entry->name, size) : NULL;
        if (prefix)
            result->heads[result->n++] =
                (struct tare_head_decision){.prefix = prefix, .dense = dense, .evidence = "none"};
    }
    tare_map_release(&known[0]);
    tare_map_release(&known[1]);
    return !room || w->arena->failed ? tare_fail_memory(err) : TARE_OK;
}

/* Any type but boolean and null is refused, wherever the flag stands. */
static enum tare_code check_types(const struct tare_tie_level *levels, size_t n, struct tare_arena *arena,
                                  struct tare_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_object_get(levels[i].fragment, FIELD);
        const char *path = levels[i].fragment_path;
        if (value && !json_is_boolean(value) && !json_is_null(value))
            return tare_fail(err, TARE_E_CONFIG, tare_arena_format(arena, "config.json%s%s", *path ? ": " : "", path),
                             "%s is %s; expected true or false", FIELD,
                             json_is_string(value) ? "a string" : "neither a boolean nor null");
    }
    return TARE_OK;
}

/* Where the rule looks for the text model's head: below "language_model" in a wrapper, whatever its prefix is. */
static const char *text_head(const struct tare_tree *tree, const struct tare_tie_level *levels, size_t n)
{
    if (n < 3 || !levels[2].fragment)
        return tree->head.prefix ? tree->head.prefix : HEAD;
    const char *name = tare_arena_format(tree->arena, "%s.%s", levels[2].owner, HEAD);
    return name ? name : HEAD;
}

static bool is_target(const struct tare_tree *tree, const struct tare_head_decision *head, struct tare_arena *arena)
{
    const char *name = tare_arena_format(arena, "%s.weight", head->prefix);
    const struct tare_parameter *p = name ? tare_tree_find(tree, name) : NULL;
    return p && p->active;
}

static void set_active(struct tare_head *head, bool active)
{
    if (head->weight)
        head->weight->active = active;
    if (head->bias)
        head->bias->active = active;
}

/* What the list has under the name of the tree's head. */
struct present {
    bool any;              /* also what is left of a packed one */
    bool dense;            /* <head>.weight, plain; heads of another name than lm_head too (gpt_neox: embed_out) */
    bool packed_elsewhere; /* a packed head under another prefix: whose it is is in doubt */
};

static struct present present(const struct tare_head *head, const struct tare_weights *w,
                              const struct tare_tie_result *result)
{
    struct present p = {false, false, false};
    for (size_t k = 0; k < result->n; k++) {
        const bool own = !strcmp(result->heads[k].prefix, head->prefix);
        p.any |= own;
        p.packed_elsewhere |= !own && !result->heads[k].dense;
    }
    for (size_t i = 0; i < w->n; i++) {
        const struct tare_entry *entry = &w->entries[i];
        if (entry->rule || entry->absorbed || strcmp(entry->name, head->weight->name) != 0)
            continue;
        p.any = true;
        p.dense |= is_dense(entry);
    }
    return p;
}

/*
 * What the model has before any candidate is looked at. Point 4: content decides where the architecture says so, unless
 * an explicit flag says tied. Where a head is declared but none is there, an explicit `true` of the outermost config
 * counts too: wrappers' authors put the flag at the top. An architecture that always has a head gets the embedding for
 * one (tare_tie_bind), so that its own loader finds it. Neither where a packed head lies elsewhere: that one may be it.
 */
static void settle_tree(struct tare_tree *tree, const struct tare_weights *w, const struct tare_tie_level *levels,
                        size_t n, struct tare_tie_result *result)
{
    struct tare_head *head = &tree->head;
    if (!head->prefix || !head->weight->active || head->kind == TARE_HEAD_NONE)
        return;
    const struct present there = present(head, w, result);
    const struct answer own = walk(levels, n, head->prefix, false, tree->arena);
    const bool says_tied = own.given && own.by_flag && own.tied;
    const bool inner = own.given && *own.owner && strcmp(own.owner, "model") != 0; /* of a wrapper's text model */
    const bool absent = !there.any && !there.packed_elsewhere;
    const int outermost = flag_of(levels[0].fragment);
    /* A wrapper's authors build the head by the flag at the top, and a checkpoint without any head agrees with it. */
    const bool overruled = inner && absent && (outermost == 1 || (outermost < 0 && levels[0].tied_usual));
    const bool says_untied = own.given && own.by_flag && !own.tied && !own.filled && !overruled;
    result->contradiction = overruled && own.by_flag && !own.tied && !own.filled;
    /* Nobody says anything, and there is no head: the authors' default counts, or the model could not run at all. */
    result->tied_by_default = absent && !says_tied && !says_untied && outermost < 0 && levels[0].tied_usual &&
                              !json_object_get(levels[0].fragment, FIELD);
    const bool tied = says_tied || (absent && !says_untied && outermost == 1) || result->tied_by_default;
    if (head->kind == TARE_HEAD_CONTENT)
        set_active(head, there.dense && !says_tied);
    else if (head->kind == TARE_HEAD_OWN && tied)
        result->bind = !there.packed_elsewhere;
    else if (absent && tied) {
        set_active(head, false);
        result->say_tied = !says_tied;
    }
}

/* Point 5. The bias of a dropped head stays until prove has found it zero. */
static void set_aside(struct tare_weights *w, const struct tare_head_decision *head)
{
    for (size_t i = 0; i < w->n; i++) {
        struct tare_entry *entry = &w->entries[i];
        if (entry->rule || !tare_head_has(head, entry))
            continue;
        entry->rule = head->dense ? "redundant output head: the model is tied to its embedding"
                                  : "redundant quantized output head: the model is tied to its embedding";
        entry->evidence = head->evidence;
        entry->redundant = true;
    }
}

/*
 * Point 6: a dense head at the top of a wrapper, whose text model has a head and lacks it, is that head; also where
 * only a default says that the text model is tied, and the top says that it is not.
 */
static bool lies_outside(const struct tare_tree *tree, const struct tare_weights *w,
                         const struct tare_tie_result *result, const struct tare_head_decision *head,
                         const struct answer *own)
{
    const struct tare_head *wanted = &tree->head;
    return head->dense && head->decision == TARE_DECISION_PRESERVE && wanted->prefix && !strcmp(head->prefix, HEAD) &&
           strcmp(wanted->prefix, HEAD) != 0 && (wanted->weight->active || (head->by_flag && !own->by_flag)) &&
           !present(wanted, w, result).any;
}

/* Point 6: a dense head under an explicit false, in an architecture that has none in mlx-lm but in its authors' code.
 */
static bool authors_have(const struct tare_tree *tree, const struct tare_head_decision *head)
{
    return tree->head.kind == TARE_HEAD_NONE && tree->head.weight && head->dense && head->by_flag &&
           head->decision == TARE_DECISION_PRESERVE &&
           (!strcmp(head->prefix, HEAD) || !strcmp(head->prefix, "model." HEAD) ||
            !strcmp(head->prefix, tree->head.prefix));
}

/* The entries of a head become those of the tree's head. */
static void take(struct tare_tree *tree, struct tare_weights *w, struct tare_head_decision *head)
{
    for (size_t i = 0; i < w->n; i++) {
        struct tare_entry *entry = &w->entries[i];
        if (!tare_head_has(head, entry) || !is_weight(entry))
            continue;
        entry->rule = entry->evidence = NULL;
        entry->redundant = false;
        entry->name = tree->head.weight->name;
    }
    set_active(&tree->head, true);
    head->decision = TARE_DECISION_LOAD;
}

bool tare_head_restore(struct tare_tree *tree, struct tare_weights *w, struct tare_head_decision *head)
{
    if (!tree->head.weight || tree->head.kind == TARE_HEAD_NONE)
        return false;
    take(tree, w, head);
    return true;
}

/* A tied checkpoint whose only copy lies under the head's name (AutoAWQ 0.2.7): it is the embedding. */
static void bind_only_copy(struct tare_tree *tree, struct tare_weights *w, struct tare_tie_result *result)
{
    const struct tare_parameter *embedding = tree->head.embedding;
    bool known = false, others = false; /* where names were not understood, the embedding may lie under another one */
    if (!embedding || !embedding->name[0])
        return;
    for (size_t i = 0; i < w->n; i++) {
        const struct tare_entry *entry = &w->entries[i];
        if (!entry->rule && !entry->absorbed && !strcmp(entry->name, embedding->name))
            return;
        if (entry->rule || entry->absorbed || prefix_of(entry->name))
            continue;
        others = true;
        known = known || tare_tree_find(tree, entry->name);
    }
    if (others && !known)
        return;
    for (size_t k = 0; k < result->n && !result->bound; k++) {
        struct tare_head_decision *head = &result->heads[k];
        for (size_t i = 0; head->decision == TARE_DECISION_DROP && i < w->n; i++) {
            struct tare_entry *entry = &w->entries[i];
            if (!tare_head_has(head, entry) || module_of(entry)->fault || !is_weight(entry))
                continue;
            entry->rule = entry->evidence = NULL;
            entry->redundant = false;
            entry->name = embedding->name;
            head->decision = TARE_DECISION_LOAD;
            result->bound = entry;
            break;
        }
    }
}

enum tare_code tare_tie_bind(struct tare_tree *tree, struct tare_weights *w, struct tare_tie_result *result,
                             struct tare_error *err)
{
    const char *name = tree->head.weight ? tree->head.weight->name : "";
    const struct tare_entry *embedding = NULL;
    for (size_t i = 0; result->bind && i < w->n; i++) {
        const struct tare_entry *entry = &w->entries[i];
        if (entry->rule || entry->absorbed)
            continue;
        if (!strcmp(entry->name, name))
            return TARE_OK;
        if (!strcmp(entry->name, tree->head.embedding->name))
            embedding = entry;
    }
    if (!embedding)
        return TARE_OK;
    const struct tare_entry copy = *embedding;
    struct tare_step *step = tare_arena_alloc(w->arena, sizeof *step);
    if (!step || !tare_grow(&w->entries, &w->room, w->n + 1, sizeof *w->entries))
        return tare_fail_memory(err);
    *step = (struct tare_step){copy.steps, "the embedding again, as the head is tied to it (tree/tie.c)"};
    w->entries[w->n++] = (struct tare_entry){.name = name, .recipe = copy.recipe, .steps = step};
    result->bound = NULL; /* the list may have moved */
    return TARE_OK;
}

/* Points 1 to 6 for one head that is no parameter of the model as it stands. */
static void decide(struct tare_tree *tree, struct tare_weights *w, const struct tare_tie_level *levels, size_t n,
                   struct tare_head_decision *head, struct tare_tie_result *result)
{
    struct answer answer = walk(levels, n, head->prefix, head->dense, tree->arena);
    /* Point 6: a dense head at the top of a wrapper is that of its text model. */
    if (!answer.given && head->dense && !strcmp(head->prefix, HEAD))
        answer = walk(levels, n, text_head(tree, levels, n), true, tree->arena);
    if (tree->head.kind == TARE_HEAD_CONTENT && !answer.by_flag) /* point 4: a default does not count */
        answer = (struct answer){.evidence = "none"};
    head->owner = answer.owner;
    head->evidence = answer.evidence;
    head->where = answer.where;
    head->by_flag = answer.by_flag;
    head->decision = answer.given && answer.tied ? TARE_DECISION_DROP : TARE_DECISION_PRESERVE;
    if (head->decision == TARE_DECISION_DROP)
        set_aside(w, head);
    if (head->decision == TARE_DECISION_DROP || !head->dense)
        return;
    const struct answer own = walk(levels, n, text_head(tree, levels, n), true, tree->arena);
    if (lies_outside(tree, w, result, head, &own) || authors_have(tree, head)) {
        result->untied |= !tree->head.weight->active;
        take(tree, w, head);
    }
}

enum tare_code tare_tie_decide(struct tare_tree *tree, struct tare_weights *weights,
                               const struct tare_tie_level *levels, size_t n_levels, struct tare_tie_result *result,
                               struct tare_error *err)
{
    *result = (struct tare_tie_result){0};
    enum tare_code code = check_types(levels, n_levels, tree->arena, err);
    if (!code)
        code = collect(weights, result, err);
    if (code)
        return code;
    settle_tree(tree, weights, levels, n_levels, result);
    for (size_t k = 0; k < result->n; k++) {
        struct tare_head_decision *head = &result->heads[k];
        if (is_target(tree, head, tree->arena) && !(head->dense && result->bind)) {
            head->decision = TARE_DECISION_LOAD;
            head->evidence = "target";
        } else {
            decide(tree, weights, levels, n_levels, head, result);
        }
    }
    bind_only_copy(tree, weights, result);
    for (size_t k = 0; tree->head.kind == TARE_HEAD_COPIED && k < result->n; k++)
        if (!result->heads[k].dense && result->heads[k].decision == TARE_DECISION_DROP)
            set_active(&tree->head, true);
    return tree->arena->failed ? tare_fail_memory(err) : TARE_OK;
}
