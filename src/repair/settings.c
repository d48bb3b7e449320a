/* SPDX-License-Identifier: MIT
 * settings.c - keys of quantization_config, and the group size, which most of its kinds have. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "repair/settings.h"

static enum tare_code set_at(struct tare_settings *m, const char *const *more, json_t *value, const char *because)
{
    const char *path[6];
    size_t n = 0;
    if (m->fresh) {
        json_t *object = m->fresh;
        for (; more[1]; more++)
            object = json_object_get(object, more[0]);
        return json_object_set_new(object, more[0], value) ? tare_fail_memory(m->err) : TARE_OK;
    }
    for (size_t k = 0; k < 2 && m->place.path[k]; k++)
        path[n++] = m->place.path[k];
    for (; *more; more++)
        path[n++] = *more;
    path[n] = NULL;
    return tare_repair_set(m->r, m->place.file, path, value, because, m->changed, m->err);
}

enum tare_code tare_settings_set(struct tare_settings *m, const char *key, json_t *value, const char *because)
{
    const char *const path[] = {key, NULL};
    return value ? set_at(m, path, value, because) : tare_fail_memory(m->err);
}

const json_t *tare_settings_get(const struct tare_settings *m, const char *key)
{
    const json_t *value = json_object_get(m->place.object, key);
    return json_is_null(value) ? NULL : value;
}

const char *tare_settings_text(const struct tare_settings *m, const char *key)
{
    return json_string_value(tare_settings_get(m, key));
}

/* Sets the key unless it has the value already. Of the two names that a key may have, the present one is kept. */
enum tare_code tare_settings_want_integer(struct tare_settings *m, const char *key, const char *other, int64_t value,
                                          const char *because)
{
    const char *name = !tare_settings_get(m, key) && other && tare_settings_get(m, other) ? other : key;
    const json_t *there = tare_settings_get(m, name);
    return json_is_integer(there) && json_integer_value(there) == value
               ? TARE_OK
               : tare_settings_set(m, name, json_integer(value), because);
}

enum tare_code tare_settings_want_text(struct tare_settings *m, const char *key, const char *value, const char *because)
{
    const char *there = tare_settings_text(m, key);
    return there && !strcasecmp(there, value) ? TARE_OK : tare_settings_set(m, key, json_string(value), because);
}

const char *tare_settings_because(struct tare_settings *m, const char *text, const char *where, long long a,
                                  long long b)
{
    const char *made = tare_arena_format(&m->r->arena, text, where, a, b);
    return made ? made : "the shapes of the tensors";
}

int64_t tare_common_group(const struct tare_stems *s, enum tare_layout_bit layout)
{
    int64_t size = 0;
    bool whole = true, same = true;
    for (size_t i = 0; i < s->n; i++) {
        const struct tare_reading r = tare_stem_read(&s->list[i], layout);
        whole = whole && r.groups == 1;
        same = same && r.group_size && (!size || size == r.group_size);
        size = r.group_size;
    }
    return same ? size : whole ? -1 : 0;
}

/* Does this group size fit every stem? */
static bool group_fits(const struct tare_stems *s, enum tare_layout_bit layout, int64_t size)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct tare_reading r = tare_stem_read(&s->list[i], layout);
        if (!tare_reading_fits(&r, size))
            return false;
        if (layout != TARE_LAYOUT_GPTQ && !r.padded && size > 0 && r.group_size != size)
            return false; /* only GPTQ has short groups, and sizes beyond the row */
    }
    return true;
}

/* For padded groups: the only size that fits all stems; 0: several fit, and `several` lists them. */
static int64_t padded_group(struct tare_settings *m, enum tare_layout_bit layout, const char **several)
{
    static const int64_t sizes[] = {32, 64, 128, 256, 512, 1024, -1};
    int64_t found = 0;
    *several = NULL;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        if (!group_fits(m->stems, layout, sizes[k]) || (sizes[k] == -1 && found))
            continue;
        if (found)
            *several = *several ? tare_arena_format(&m->r->arena, "%s, %lld", *several, (long long)sizes[k])
                                : tare_arena_format(&m->r->arena, "%lld, %lld", (long long)found, (long long)sizes[k]);
        found = sizes[k];
    }
    return *several ? 0 : found;
}

enum tare_code tare_mend_group(struct tare_settings *m, enum tare_layout_bit layout)
{
    const struct tare_stem *first = &m->stems->list[0];
    const struct tare_reading r = tare_stem_read(first, layout);
    const char *name =
        tare_settings_get(m, "group_size") || !tare_settings_get(m, "q_group_size") ? "group_size" : "q_group_size";
    const char *several = NULL;
    const json_t *there = tare_settings_get(m, name);
    if (json_is_integer(there) && group_fits(m->stems, layout, json_integer_value(there)))
        return TARE_OK;
    const int64_t size = r.padded ? padded_group(m, layout, &several) : tare_common_group(m->stems, layout);
    if (!size) {
        tare_repair_note(m->r, m->place.file,
                         several ? "group_size is %s, and more than one size fits the shapes: %s"
                                 : "group_size is %s, and no one size fits all packed tensors",
                         there ? "wrong" : "missing", several);
        return TARE_OK;
    }
    return tare_settings_set(
        m, name, json_integer(size),
        tare_settings_because(m, "scales of %s have %lld groups over %lld input columns, and the others agree",
                              first->path, (long long)(r.padded ? r.padded : r.groups), (long long)r.in));
}
