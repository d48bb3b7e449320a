/* SPDX-License-Identifier: MIT
 * mend_trial.c - settings of many kinds: compressed-tensors' config_groups, auto-round's, GPTQ's with `dynamic`. The
 * plan knows them all, so each value that a key could have is tried, one key at a time.
 *
 * A change with which the model loads is certain when all such changes read the tensors alike; then the first of them
 * is made. Where two of them read the tensors otherwise, none is.
 */
#include <string.h>

#include "repair/readings.h"
#include "repair/repair.h"

enum holder { TOP, GROUP, WEIGHTS };

/* A key and the values that are tried, as JSON; in the order in which alike ones are preferred. */
struct candidate {
    const char *key;
    enum holder holder;
    bool absent; /* also where the key is missing */
    const char *values[10];
};

static const struct candidate compressed[] = {
    {"quant_method", TOP, true, {"\"compressed-tensors\""}},
    {"num_bits", WEIGHTS, true, {"4", "8", "2", "3", "5", "6", "7"}},
    {"group_size", WEIGHTS, true, {"32", "64", "128", "16", "256", "512", "1024", "-1", "null"}},
    {"symmetric", WEIGHTS, true, {"true", "false"}},
    {"strategy", WEIGHTS, true, {"\"group\"", "\"channel\"", "\"tensor\"", "\"block\"", "\"tensor_group\""}},
    {"type", WEIGHTS, true, {"\"int\"", "\"float\""}},
    {"format",
     TOP,
     true,
     {"\"pack-quantized\"", "\"int-quantized\"", "\"float-quantized\"", "\"naive-quantized\"",
      "\"nvfp4-pack-quantized\"", "\"mxfp4-pack-quantized\"", "\"mxfp8-quantized\"", "\"mixed-precision\""}},
    {"format",
     GROUP,
     false,
     {"\"pack-quantized\"", "\"int-quantized\"", "\"float-quantized\"", "\"naive-quantized\"",
      "\"nvfp4-pack-quantized\"", "\"mxfp4-pack-quantized\"", "\"mxfp8-quantized\""}},
};
static const struct candidate gptq[] = {
    {"bits", TOP, true, {"4", "8", "2", "3", "5", "6", "7"}},
    {"group_size", TOP, true, {"32", "64", "128", "16", "256", "512", "1024", "-1"}},
};

struct trying {
    struct tare_repair *r;
    const json_t *settings;
    const char *path[8]; /* of a key that is tried; the first n_place are those of the settings */
    size_t n_place;
    const char *found[8];   /* the first that loads */
    json_t *value;          /* owned */
    struct tare_model *how; /* owned: how it reads the tensors */
    const char *others;     /* what loads and reads them otherwise */
    struct tare_error *err;
};

static bool reads_alike(const struct tare_model *a, const struct tare_model *b)
{
    const struct tare_report *p = tare_model_report(a), *q = tare_model_report(b);
    if (p->n_parameters != q->n_parameters)
        return false;
    for (size_t i = 0; i < p->n_parameters; i++)
        if (strcmp(p->parameters[i].name, q->parameters[i].name) != 0 ||
            strcmp(p->parameters[i].packing, q->parameters[i].packing) != 0 ||
            p->parameters[i].bits != q->parameters[i].bits ||
            p->parameters[i].group_size != q->parameters[i].group_size)
            return false;
    return true;
}

/* Keeps the first trial that loads, and compares later ones with it. */
static enum tare_code keep(struct trying *t, size_t last, const char *text, json_t *value, struct tare_model *trial)
{
    if (!t->how) {
        t->how = trial;
        t->value = json_incref(value);
        memcpy(t->found, t->path, sizeof t->found);
        return TARE_OK;
    }
    if (!reads_alike(t->how, trial)) {
        t->others = tare_arena_format(&t->r->arena, "%s%s%s %s", t->others ? t->others : "", t->others ? ", " : "",
                                      t->path[last], text);
        if (!t->others)
            tare_fail_memory(t->err);
    }
    tare_model_free(trial);
    return t->r->arena.failed ? TARE_E_MEMORY : TARE_OK;
}

static enum tare_code try_value(struct trying *t, size_t last, const json_t *there, const char *text)
{
    struct tare_model *trial = NULL;
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    if (!value)
        return tare_fail_memory(t->err);
    enum tare_code code = TARE_OK;
    if (!there || !json_equal(there, value))
        code = tare_repair_try(t->r, t->path, value, true, &trial, t->err);
    if (trial && !trial->code)
        code = keep(t, last, text, value, trial);
    else
        tare_model_free(trial);
    json_decref(value);
    return code;
}

/* Tries the values of one key, in the object to which the path leads so far. */
static enum tare_code try_key(struct trying *t, const struct candidate *c, const json_t *holder, size_t n)
{
    const json_t *there = json_object_get(holder, c->key);
    enum tare_code code = TARE_OK;
    if (!json_is_object(holder) || (!there && !c->absent))
        return TARE_OK;
    t->path[n] = c->key;
    t->path[n + 1] = NULL;
    for (size_t v = 0; !code && v < sizeof c->values / sizeof *c->values && c->values[v]; v++)
        code = try_value(t, n, there, c->values[v]);
    return code;
}

static enum tare_code try_groups(struct trying *t, const struct candidate *c)
{
    const json_t *groups = json_object_get(t->settings, "config_groups");
    const char *name;
    json_t *group;
    size_t n = t->n_place;
    enum tare_code code = TARE_OK;
    t->path[n++] = "config_groups";
    json_object_foreach((json_t *)(uintptr_t)groups, name, group)
    {
        t->path[n] = name;
        t->path[n + 1] = "weights";
        if (!code && c->holder == WEIGHTS)
            code = try_key(t, c, json_object_get(group, "weights"), n + 2);
        else if (!code)
            code = try_key(t, c, group, n + 1);
    }
    return code;
}

static enum tare_code finish(struct trying *t, bool *changed)
{
    size_t last = 0;
    if (!t->how)
        return TARE_OK;
    while (t->found[last + 1])
        last++;
    if (t->others) {
        char *text = json_dumps(t->value, JSON_ENCODE_ANY);
        tare_repair_note(t->r, "config.json",
                         "more than one change makes the settings agree with the tensors, and they do not read them "
                         "alike: %s %s, %s",
                         t->found[last], text ? text : "", t->others);
        free(text);
        return TARE_OK;
    }
    return tare_repair_set(t->r, "config.json", t->found, json_incref(t->value),
                           "of all values that it could have, this is the one with which the tensors agree", changed,
                           t->err);
}

enum tare_code tare_mend_by_trial(struct tare_repair *r, const char *const *place, const json_t *settings,
                                  bool *changed, struct tare_error *err)
{
    struct trying t = {.r = r, .settings = settings, .err = err};
    const json_t *groups = json_object_get(settings, "config_groups");
    const bool grouped = json_is_object(groups) && json_object_size(groups) <= 8;
    const struct candidate *list = grouped ? compressed : gptq;
    const size_t n = grouped ? sizeof compressed / sizeof *compressed : sizeof gptq / sizeof *gptq;
    enum tare_code code = TARE_OK;
    for (; t.n_place < 2 && place[t.n_place]; t.n_place++)
        t.path[t.n_place] = place[t.n_place];
    for (size_t k = 0; k < n && !code; k++)
        code = list[k].holder == TOP ? try_key(&t, &list[k], settings, t.n_place) : try_groups(&t, &list[k]);
    if (!code)
        code = finish(&t, changed);
    json_decref(t.value);
    tare_model_free(t.how);
    return code;
}
