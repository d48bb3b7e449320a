/* SPDX-License-Identifier: MIT
 * tie_levels.c - who may answer whether the head is the embedding, and what they answer: points 1 to 3 of the rule.
 */
#include "tree/tie_levels.h"

#include <string.h>

enum tare_code tare_tie_levels(const struct tare_tie_config *c, struct tare_arena *arena,
                               struct tare_tie_level levels[TARE_TIE_LEVELS], struct tare_error *err)
{
    const json_t *written = c->inner_path ? json_object_get(c->config, c->inner_path) : c->config;
    const struct tare_tie_level top = {"", c->config, NULL, "", c->args_info, c->args, false, c->tied_usual};
    struct tare_tie_level inner = {.owner = "language_model"}; /* whatever the prefix is: gemma3n has another one */
    if (c->wrapper) {
        inner.fragment = c->inner;
        inner.written = c->copied ? written : NULL;
        inner.fragment_path = c->inner_path ? c->inner_path : "";
        inner.args_info = c->inner_args_info;
        inner.args = c->inner_args;
        inner.filled = c->copied && !json_object_get(written, TARE_TIE_FIELD);
    } else {
        inner.fragment = json_object_get(c->config, "text_config");
        inner.fragment_path = "text_config";
    }
    levels[0] = levels[1] = top;
    levels[2] = levels[3] = inner;
    levels[1].owner = "model";
    levels[3].owner = tare_arena_format(arena, "%s.model", inner.owner);
    return levels[3].owner ? TARE_OK : tare_fail_memory(err);
}

enum tare_code tare_tie_check(const struct tare_tie_level *levels, size_t n, struct tare_arena *arena,
                              struct tare_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_object_get(levels[i].fragment, TARE_TIE_FIELD);
        const char *path = levels[i].fragment_path;
        if (value && !json_is_boolean(value) && !json_is_null(value))
            return tare_fail(err, TARE_E_CONFIG, tare_arena_format(arena, "config.json%s%s", *path ? ": " : "", path),
                             "%s is %s; expected true or false", TARE_TIE_FIELD,
                             json_is_string(value) ? "a string" : "neither a boolean nor null");
    }
    return TARE_OK;
}

/* Point 2: the value of the flag in one fragment: 1 true, 0 false, -1 silent (absent, or null). */
int tare_tie_flag(const json_t *fragment)
{
    const json_t *value = json_object_get(fragment, TARE_TIE_FIELD);
    return json_is_boolean(value) ? json_is_true(value) : -1;
}

/*
 * Points 2 and 3 at one level. as_written: the flag is read as config.json has it, not as a wrapper filled it in.
 * False: the level gives no answer.
 */
static bool ask(const struct tare_tie_level *level, bool as_written, struct tare_arena *arena,
                struct tare_tie_answer *answer)
{
    const char *path = level->fragment_path, *dot = *path ? "." : "";
    const json_t *fragment = as_written && level->written ? level->written : level->fragment;
    const int flag = fragment ? tare_tie_flag(fragment) : -1;
    if (flag >= 0) {
        *answer = (struct tare_tie_answer){true,
                                           flag == 1,
                                           true,
                                           level->filled,
                                           level->owner,
                                           tare_arena_format(arena, "config:%s%s%s", path, dot, TARE_TIE_FIELD),
                                           tare_arena_format(arena, "config.json: %s%s%s", path, dot, TARE_TIE_FIELD)};
        return true;
    }
    /* Point 3: the value of the args decides, never the existence of the field; an explicit null is no answer. */
    const struct tare_arg *field = tare_args_find(level->args_info, TARE_TIE_FIELD);
    if (!field || !level->args || json_object_get(level->fragment, TARE_TIE_FIELD))
        return false;
    *answer = (struct tare_tie_answer){
        true,
        *(const bool *)((const char *)level->args + field->offset),
        false,
        false,
        level->owner,
        tare_arena_format(arena, "args:%s.%s", *level->owner ? level->owner : "<root>", TARE_TIE_FIELD),
        tare_arena_format(arena, "the default of %s, as config.json does not say", TARE_TIE_FIELD)};
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

/* Does the owner of a prefix lie below a wrapper's text model ("language_model.x.lm_head")? */
static bool is_below(const struct tare_tie_level *levels, size_t n, const char *prefix)
{
    const size_t size = n > 2 ? strlen(levels[2].owner) : 0;
    return size && !strncmp(prefix, levels[2].owner, size) && prefix[size] == '.' && strchr(prefix + size + 1, '.');
}

struct tare_tie_answer tare_tie_ask(const struct tare_tie_level *levels, size_t n, const char *prefix, bool as_written,
                                    struct tare_arena *arena)
{
    struct tare_tie_answer answer = {.evidence = "none"};
    const char *dot = strrchr(prefix, '.'); /* Not every head is named lm_head: gpt_neox has embed_out. */
    const size_t size = dot ? (size_t)(dot - prefix) : 0;
    const struct tare_tie_level *own = level_of(levels, n, prefix, size);
    if (own && ask(own, as_written, arena, &answer))
        return answer;
    if (!own && is_below(levels, n, prefix)) {
        /* A part of the text model is driven by the same fragment, but has no args of its own. */
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
