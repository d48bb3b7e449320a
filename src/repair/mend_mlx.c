/* SPDX-License-Identifier: MIT
 * mend_mlx.c - MLX's `quantization`: bits, group size and mode of each module, from the shapes and what the model
 * declares. The shapes alone give bits * group_size only.
 */
#include <string.h>

#include "repair/readings.h"
#include "repair/repair.h"

#define MANY 64 /* modules with settings of their own that are changed one by one */

static const char because_shapes[] = "weight and scales, over the input columns that the model declares";

/* What one module is by its tensors, or by the config. */
struct recipe {
    int64_t bits, group_size;
    const char *mode;
};

/* Where scales are single bytes, the bits and the group size tell the mode. */
static bool recipe_of(const struct tare_stem *s, struct recipe *recipe)
{
    const struct tare_reading r = tare_stem_read(s, TARE_LAYOUT_MLX);
    *recipe = (struct recipe){r.bits, r.group_size, "affine"};
    if (!r.bits || !r.group_size)
        return false;
    if (s->zeros)
        return true;
    recipe->mode = r.bits == 4 && r.group_size == 32   ? "mxfp4"
                   : r.bits == 8 && r.group_size == 32 ? "mxfp8"
                   : r.bits == 4 && r.group_size == 16 ? "nvfp4"
                                                       : NULL;
    return recipe->mode != NULL;
}

static bool same(const struct recipe *a, const struct recipe *b)
{
    return a->bits == b->bits && a->group_size == b->group_size && !strcmp(a->mode, b->mode);
}

static struct recipe said(const json_t *object, const struct recipe *general)
{
    const json_t *bits = json_object_get(object, "bits"), *size = json_object_get(object, "group_size");
    const char *mode = json_string_value(json_object_get(object, "mode"));
    struct recipe r = {json_integer_value(bits), json_integer_value(size), mode ? mode : "affine"};
    if (general && !strcmp(r.mode, general->mode)) {
        r.bits = bits ? r.bits : general->bits;
        r.group_size = size ? r.group_size : general->group_size;
    }
    return r;
}

static bool has_own(const json_t *object, const struct tare_stem *s)
{
    const json_t *own = json_object_get(object, s->path);
    return json_is_object(own) || json_is_false(own);
}

/* The recipe of most modules that have no settings of their own. */
static struct recipe most(const struct tare_stems *s, const json_t *object)
{
    struct recipe best = {0, 0, "affine"}, one, other;
    size_t most_often = 0;
    for (size_t i = 0; i < s->n && most_often * 2 < s->n; i++) {
        size_t n = 0;
        if (has_own(object, &s->list[i]))
            continue;
        recipe_of(&s->list[i], &one);
        for (size_t k = i; k < s->n; k++)
            n += !has_own(object, &s->list[k]) && recipe_of(&s->list[k], &other) && same(&one, &other);
        if (n > most_often) {
            most_often = n;
            best = one;
        }
    }
    return best;
}

static enum tare_code set(struct tare_repair *r, const char *top, const char *key, json_t *value, const char *because,
                          bool *changed, struct tare_error *err)
{
    const char *const path[] = {top, key, NULL};
    return value ? tare_repair_set(r, "config.json", path, value, because, changed, err) : tare_fail_memory(err);
}

/* The general settings, in the object of that name. */
static enum tare_code set_general(struct tare_repair *r, const char *top, const struct recipe *now,
                                  const struct recipe *right, bool *changed, struct tare_error *err)
{
    static const char because[] = "weight and scales of most modules, over the input columns that the model declares";
    enum tare_code code = TARE_OK;
    if (now->group_size != right->group_size)
        code = set(r, top, "group_size", json_integer(right->group_size), because, changed, err);
    if (!code && now->bits != right->bits)
        code = set(r, top, "bits", json_integer(right->bits), because, changed, err);
    if (!code && strcmp(now->mode, right->mode) != 0)
        code = set(r, top, "mode", json_string(right->mode), because, changed, err);
    return code;
}

static json_t *recipe_json(const struct recipe *r)
{
    json_t *object = json_pack("{s:I, s:I}", "group_size", (json_int_t)r->group_size, "bits", (json_int_t)r->bits);
    if (object && strcmp(r->mode, "affine") != 0 && json_object_set_new(object, "mode", json_string(r->mode))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* What the entry of a module has to be; *value NULL: it needs none. False: it is right already, or cannot be told. */
static bool own_entry(const struct tare_stem *stem, const json_t *object, const struct recipe *general, json_t **value,
                      bool *room)
{
    struct recipe right;
    const json_t *own = json_object_get(object, stem->path);
    const struct recipe now = json_is_object(own) ? said(own, general) : *general;
    *value = NULL;
    if (!recipe_of(stem, &right) || (same(&now, &right) && !json_is_false(own)))
        return false;
    if (!same(general, &right))
        *room = *room && (*value = recipe_json(&right)) != NULL;
    return true;
}

/* Replaces all entries by one change: hundreds of single changes would be no easier to read. */
static enum tare_code set_whole(struct tare_repair *r, const struct tare_stems *s, const char *top,
                                const struct recipe *general, bool *changed, struct tare_error *err)
{
    const char *const path[] = {top, NULL};
    const json_t *object = json_object_get(r->model->config, top);
    json_t *whole = json_deep_copy(object), *value;
    bool room = whole != NULL;
    if (room && !*changed) /* Otherwise the general settings are mended first, and these in the next round. */
        for (size_t i = 0; room && i < s->n; i++) {
            if (!own_entry(&s->list[i], object, general, &value, &room))
                continue;
            if (value)
                room = room && !json_object_set_new(whole, s->list[i].path, value);
            else
                json_object_del(whole, s->list[i].path);
        }
    if (room)
        return tare_repair_set(r, "config.json", path, whole, because_shapes, changed, err);
    json_decref(whole);
    return tare_fail_memory(err);
}

/* Modules that are not what the general settings, or their own, say. */
static enum tare_code set_own(struct tare_repair *r, const struct tare_stems *s, const char *top, const json_t *object,
                              const struct recipe *general, bool *changed, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    size_t wrong = 0;
    bool room = true;
    json_t *value;
    for (size_t i = 0; i < s->n; i++) {
        wrong += own_entry(&s->list[i], object, general, &value, &room);
        json_decref(value);
    }
    if (wrong > MANY)
        return *changed ? TARE_OK : set_whole(r, s, top, general, changed, err);
    for (size_t i = 0; i < s->n && !code; i++) {
        const char *const key[] = {top, s->list[i].path, NULL};
        if (own_entry(&s->list[i], object, general, &value, &room))
            code = room ? tare_repair_set(r, "config.json", key, value, because_shapes, changed, err)
                        : tare_fail_memory(err);
    }
    return code;
}

static enum tare_code make(struct tare_repair *r, const struct recipe *right, bool *changed, struct tare_error *err)
{
    const char *const path[] = {"quantization", NULL};
    json_t *object = recipe_json(right);
    return object ? tare_repair_set(r, "config.json", path, object, "names, dtypes and shapes of the packed tensors",
                                    changed, err)
                  : tare_fail_memory(err);
}

enum tare_code tare_mend_mlx(struct tare_repair *r, struct tare_stems *s, bool *changed, struct tare_error *err)
{
    static const char *const tops[] = {"quantization", "quantization_config"};
    const json_t *config = r->model->config;
    struct recipe one, right;
    enum tare_code code = TARE_OK;
    for (size_t i = 0; i < s->n; i++)
        if (!recipe_of(&s->list[i], &one)) {
            if (r->model->code)
                tare_repair_note(r, s->list[i].path,
                                 s->list[i].in
                                     ? "its shapes are those of no MLX mode over %lld input columns"
                                     : "its shapes give bits times group_size only: more than one reading fits",
                                 (long long)s->list[i].in);
            return TARE_OK;
        }
    right = most(s, json_object_get(config, tops[0]));
    if (!json_is_object(json_object_get(config, tops[0])))
        return json_object_get(config, tops[0]) ? TARE_OK : make(r, &right, changed, err);
    for (size_t k = 0; k < 2 && !code; k++) { /* mlx-lm writes the same object twice */
        const json_t *object = json_object_get(config, tops[k]);
        if (!json_is_object(object) || (k && json_object_get(object, "quant_method")))
            continue;
        const struct recipe now = said(object, NULL);
        size_t asked = 0, agree = 0;
        for (size_t i = 0; i < s->n; i++) {
            recipe_of(&s->list[i], &one);
            asked += !has_own(object, &s->list[i]);
            agree += !has_own(object, &s->list[i]) && same(&one, &now);
        }
        const struct recipe general = agree || !asked ? now : right;
        if (!agree && asked)
            code = set_general(r, tops[k], &now, &right, changed, err);
        if (!code)
            code = set_own(r, s, tops[k], object, &general, changed, err);
    }
    return code;
}
