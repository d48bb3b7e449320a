/* SPDX-License-Identifier: MIT
 * mend_compressed.c - compressed-tensors' config_groups: one key that is wrong.
 *
 * Its settings are of many kinds, and the plan knows them all: each value that a key could have is tried. Exactly one
 * change with which the model loads is certain; of several, none is.
 */
#include <string.h>

#include "repair/readings.h"
#include "repair/repair.h"

/* The values that are tried, as JSON. */
static const struct candidate {
    const char *key;
    bool of_weights; /* of the group's "weights", else of the group itself */
    const char *values[9];
} candidates[] = {
    {"group_size", true, {"16", "32", "64", "128", "256", "512", "-1", "null"}},
    {"num_bits", true, {"2", "3", "4", "5", "6", "7", "8"}},
    {"symmetric", true, {"true", "false"}},
    {"strategy", true, {"\"group\"", "\"channel\"", "\"tensor\"", "\"block\"", "\"tensor_group\""}},
    {"type", true, {"\"int\"", "\"float\""}},
    {"format",
     false,
     {"\"pack-quantized\"", "\"int-quantized\"", "\"naive-quantized\"", "\"float-quantized\"",
      "\"nvfp4-pack-quantized\"", "\"mxfp4-pack-quantized\"", "\"mxfp8-quantized\""}},
};

struct found {
    const char *path[8];
    json_t *value; /* owned */
    size_t n;
    const char *names; /* of all that were found, in the arena */
};

static enum tare_code try_value(struct tare_repair *r, const char *const *path, const json_t *there,
                                const char *text, struct found *found, struct tare_error *err)
{
    struct tare_model *trial = NULL;
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    if (!value)
        return tare_fail_memory(err);
    enum tare_code code = there && json_equal(there, value) ? TARE_OK : tare_repair_try(r, path, value, true, &trial, err);
    if (trial && !trial->code) {
        size_t last = 0;
        while (path[last + 1])
            last++;
        found->names = found->n++ ? tare_arena_format(&r->arena, "%s; %s %s", found->names, path[last], text)
                                  : tare_arena_format(&r->arena, "%s %s", path[last], text);
        memcpy(found->path, path, (last + 2) * sizeof *path);
        json_decref(found->value);
        found->value = json_incref(value);
        code = found->names ? TARE_OK : tare_fail_memory(err);
    }
    tare_model_free(trial);
    json_decref(value);
    return code;
}

/* All candidates of one group; path has n keys of the settings so far. */
static enum tare_code try_group(struct tare_repair *r, const char *path[8], size_t n, const json_t *group,
                                struct found *found, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    for (size_t k = 0; k < sizeof candidates / sizeof *candidates && !code; k++) {
        const struct candidate *c = &candidates[k];
        const json_t *holder = c->of_weights ? json_object_get(group, "weights") : group;
        const json_t *there = json_object_get(holder, c->key);
        size_t at = n;
        if (c->of_weights)
            path[at++] = "weights";
        path[at] = c->key;
        path[at + 1] = NULL;
        for (size_t v = 0; there && !code && v < 9 && c->values[v]; v++)
            code = try_value(r, path, there, c->values[v], found, err);
    }
    return code;
}

enum tare_code tare_mend_compressed(struct tare_repair *r, const char *const *place, const json_t *object, bool *changed,
                                    struct tare_error *err)
{
    const json_t *groups = json_object_get(object, "config_groups");
    struct found found = {0};
    const char *path[8], *name;
    json_t *group;
    size_t n = 0;
    enum tare_code code = TARE_OK;
    for (; n < 2 && place[n]; n++)
        path[n] = place[n];
    path[n++] = "config_groups";
    if (!json_is_object(groups) || json_object_size(groups) > 8)
        return TARE_OK;
    json_object_foreach((json_t *)(uintptr_t)groups, name, group)
    {
        path[n] = name;
        if (!code && json_is_object(group))
            code = try_group(r, path, n + 1, group, &found, err);
    }
    if (!code && found.n > 1)
        tare_repair_note(r, "config.json", "more than one change makes the settings agree with the tensors: %s",
                         found.names);
    if (!code && found.n == 1)
        code = tare_repair_set(r, "config.json", found.path, json_incref(found.value),
                               "of all values that it could have, the tensors agree with this one only", changed, err);
    json_decref(found.value);
    return code;
}
