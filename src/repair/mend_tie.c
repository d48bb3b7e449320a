/* SPDX-License-Identifier: MIT
 * mend_tie.c - tie_word_embeddings, from content: is the output head the embedding? */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "repair/repair.h"
#include "tree/prove.h"

#define FIELD "tie_word_embeddings"
/*
 * |head - embedding| / |embedding| above which no quantization explains the difference. Codes of 2 bits leave about
 * 0.35; two unrelated matrices of equal norm are at sqrt(2) = 1.4.
 */
#define APART 0.7
#define ROWS 128

/* The module of the live entry of this name, if the entry was only renamed; else NULL. */
static const struct tare_module *module_of(const struct tare_model *m, const char *name)
{
    for (size_t i = 0; i < m->weights.n; i++) {
        const struct tare_entry *e = &m->weights.entries[i];
        if (!e->rule && !e->absorbed && !strcmp(e->name, name) && e->recipe->op == TARE_OP_TAKE &&
            !e->recipe->module->fault)
            return e->recipe->module;
    }
    return NULL;
}

static const struct tare_module *head_of(const struct tare_model *m, const struct tare_head_decision *head)
{
    for (size_t i = 0; i < m->weights.n; i++) {
        const struct tare_entry *e = &m->weights.entries[i];
        const char *dot = strrchr(e->name, '.');
        if (tare_head_has(head, e) && dot && !strcmp(dot, ".weight") && e->recipe->op == TARE_OP_TAKE &&
            !e->recipe->module->fault)
            return e->recipe->module;
    }
    return NULL;
}

/* Sums of the squares of head - embedding and of the embedding, over some rows. */
static enum tare_code add_rows(const struct tare_module *module[2], const void *const part[2][TARE_PARTS], int64_t row,
                               int64_t rows, double sum[2], struct tare_arena *work, struct tare_error *err)
{
    const size_t n = (size_t)(rows * tare_module_columns(module[0]));
    float *value[2] = {tare_arena_array(work, n, sizeof(float)), tare_arena_array(work, n, sizeof(float))};
    enum tare_code code = work->failed ? tare_fail_memory(err) : TARE_OK;
    for (int k = 0; k < 2 && !code; k++)
        code = tare_module_floats(module[k], part[k], row, rows, value[k], work, err);
    for (size_t i = 0; i < n && !code; i++) {
        const double d = (double)value[0][i] - (double)value[1][i];
        sum[0] += d * d;
        sum[1] += (double)value[1][i] * (double)value[1][i];
    }
    return code;
}

static enum tare_code distance(struct tare_model *m, const struct tare_module *head,
                               const struct tare_module *embedding, double *relative, struct tare_error *err)
{
    const struct tare_module *module[2] = {head, embedding};
    const void *part[2][TARE_PARTS];
    struct tare_arena work = {0};
    struct tare_holds holds = {0};
    double sum[2] = {0, 0};
    enum tare_code code = tare_module_data(&m->checkpoint, head, part[0], err);
    if (!code)
        code = tare_module_data(&m->checkpoint, embedding, part[1], err);
    for (int64_t row = 0; row < head->shape[0] && !code; row += ROWS) {
        const int64_t rows = head->shape[0] - row < ROWS ? head->shape[0] - row : ROWS;
        for (int k = 0; k < 2 && !code; k++)
            code = tare_module_hold(&holds, &m->checkpoint, module[k], row, rows, err);
        if (!code)
            code = add_rows(module, (const void *const(*)[TARE_PARTS])part, row, rows, sum, &work, err);
        tare_holds_let_go(&holds);
        tare_arena_reset(&work);
    }
    tare_holds_release(&holds);
    tare_arena_release(&work);
    *relative = sqrt(sum[0] / sum[1]); /* NaN or infinity where the embedding is zero */
    return code;
}

/* How the flag is spelled for this head: that of the text model's fragment, or at the top. */
static void path_of(const struct tare_model *m, const struct tare_head_decision *head, const char *path[3])
{
    const bool inner = m->inner && m->inner_path && json_object_get(m->config, m->inner_path) && head &&
                       strcmp(head->prefix, "lm_head") != 0;
    path[0] = inner ? m->inner_path : FIELD;
    path[1] = inner ? FIELD : NULL;
    path[2] = NULL;
}

static enum tare_code set(struct tare_repair *r, const struct tare_head_decision *head, bool tied, const char *because,
                          bool *changed, struct tare_error *err)
{
    const char *path[3];
    struct tare_model *trial = NULL;
    json_t *value = json_boolean(tied);
    path_of(r->model, head, path);
    const enum tare_code code = tare_repair_try(r, path, value, false, &trial, err);
    const bool better = tare_repair_better(r, trial);
    tare_model_free(trial);
    if (!code && !better && head)
        tare_repair_note(r, head->prefix, "%s; but with %s%s%s %s the model does not load any better", because, path[0],
                         path[1] ? "." : "", path[1] ? path[1] : "", tied ? "true" : "false");
    return code || !better ? code : tare_repair_set(r, "config.json", path, value, because, changed, err);
}

/* The head differs from the embedding: which value must the flag have? */
static enum tare_code mend_own(struct tare_repair *r, const struct tare_head_decision *head,
                               const struct tare_module *weight, const struct tare_module *embedding, bool *changed,
                               struct tare_error *err)
{
    struct tare_model *m = r->model;
    const bool same = weight->rank == 2 && embedding->rank == 2 && weight->shape[0] == embedding->shape[0] &&
                      weight->shape[1] == embedding->shape[1];
    double apart = 0;
    if (!m->tree.head.weight || m->tree.head.kind == TARE_HEAD_NONE) {
        tare_repair_note(r, head->prefix, "the head differs from the embedding, and a %s has no place for one",
                         m->model_type);
        return TARE_OK;
    }
    if (m->tree.head.kind == TARE_HEAD_CONTENT && !head->dense) {
        tare_repair_note(r, head->prefix,
                         "the head differs from the embedding; a %s has a head of its own where lm_head.weight is "
                         "there, and this one is packed",
                         m->model_type);
        return TARE_OK;
    }
    const enum tare_code code = same ? distance(m, weight, embedding, &apart, err) : TARE_OK;
    if (code)
        return code;
    if (same && !(apart >= APART)) {
        tare_repair_note(r, head->prefix,
                         "the head differs from the embedding by more than its own steps (%.2f of its norm), and by "
                         "less than two matrices that have nothing to do with one another: two readings fit, and "
                         "tie_word_embeddings is left as it is",
                         apart);
        return TARE_OK;
    }
    const char *because = same ? tare_arena_format(&r->arena,
                                                   "the head is not the embedding: it lies %.2f of the "
                                                   "embedding's norm from it",
                                                   apart)
                               : "the head is not the embedding: it has another shape";
    return because ? set(r, head, false, because, changed, err) : tare_fail_memory(err);
}

/* A packed head that the model has no place for, or is said to be the embedding and is not. */
static enum tare_code mend_head(struct tare_repair *r, struct tare_head_decision *head, bool *changed,
                                struct tare_error *err)
{
    struct tare_model *m = r->model;
    const struct tare_parameter *parameter = m->tree.head.embedding;
    const struct tare_module *embedding = parameter ? module_of(m, parameter->name) : NULL;
    const struct tare_module *weight = head_of(m, head);
    enum tare_proof proof = head->proof;
    const char *difference = head->difference;
    struct tare_pool *pool = NULL;
    if (!embedding || !weight)
        return TARE_OK; /* Strict loading reports what is missing. */
    if (r->options.no_data) {
        tare_repair_note(r, head->prefix, "whether it is the embedding was not to be read");
        return TARE_OK;
    }
    enum tare_code code = TARE_OK;
    if (proof == TARE_PROOF_NONE && !(code = tare_plan_pool(&pool, m, NULL, 0, err)))
        code = tare_head_prove(&m->checkpoint, weight, embedding, pool, &r->arena, &proof, &difference, err);
    tare_pool_free(pool);
    if (code)
        return code;
    if (proof == TARE_PROOF_DIFFERS)
        return mend_own(r, head, weight, embedding, changed, err);
    return set(r, head, true, "the head was compared with the embedding: it is the same matrix", changed, err);
}

/* Is the head one that nobody has a place for? Then strict loading lists it as unexpected. */
static bool is_unexpected(const struct tare_model *m, const struct tare_head_decision *head)
{
    for (size_t i = 0; i < m->n_unexpected; i++)
        if (tare_head_has(head, m->unexpected[i]))
            return true;
    return false;
}

/* "true" and "false" as strings, 1 and 0: the boolean that is meant, where the rest does not speak against it. */
static enum tare_code mend_type(struct tare_repair *r, bool *changed, struct tare_error *err)
{
    static const char *const tops[] = {NULL, "text_config"};
    for (size_t k = 0; k < 2; k++) {
        const json_t *fragment = tops[k] ? json_object_get(r->model->config, tops[k]) : r->model->config;
        const json_t *value = json_object_get(fragment, FIELD);
        const char *path[3] = {tops[k] ? tops[k] : FIELD, tops[k] ? FIELD : NULL, NULL};
        const char *text = json_string_value(value);
        int meant = -1;
        if (!value || json_is_boolean(value) || json_is_null(value))
            continue;
        if (text)
            meant = !strcasecmp(text, "true") ? 1 : !strcasecmp(text, "false") ? 0 : -1;
        else if (json_is_integer(value))
            meant = json_integer_value(value) == 1 ? 1 : json_integer_value(value) == 0 ? 0 : -1;
        if (meant < 0) {
            tare_repair_note(r, "config.json", "%s is neither true nor false, nor a word for one of them", FIELD);
            continue;
        }
        const enum tare_code code =
            tare_repair_set(r, "config.json", path, json_boolean(meant),
                            "a boolean is expected, and this is a spelling of one", changed, err);
        if (code)
            return code;
    }
    return TARE_OK;
}

enum tare_code tare_mend_tie(struct tare_repair *r, bool *changed, struct tare_error *err)
{
    struct tare_model *m = r->model;
    enum tare_code code = m->config ? mend_type(r, changed, err) : TARE_OK;
    if (code || *changed)
        return code;
    const bool differs = tare_repair_finding(m, "head-differs") || tare_repair_finding(m, "head");
    for (size_t k = 0; k < m->tie.n && !code && !*changed; k++) {
        struct tare_head_decision *head = &m->tie.heads[k];
        if ((differs && head->proof == TARE_PROOF_DIFFERS) || is_unexpected(m, head))
            code = mend_head(r, head, changed, err);
    }
    if (!code && !*changed && tare_repair_finding(m, "no-head") && !m->code && !tare_repair_finding(m, "shards-absent"))
        code = set(r, NULL, true,
                   "there is no output head, and a model of this type is tied unless its config says otherwise",
                   changed, err);
    if (!code && !*changed && m->tie.contradiction && m->inner_path) {
        const char *const path[] = {m->inner_path, FIELD, NULL};
        code = tare_repair_set(r, "config.json", path, json_true(),
                               "there is no output head, and the top of config.json says tied", changed, err);
    }
    return code;
}
