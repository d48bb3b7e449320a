/* SPDX-License-Identifier: MIT
 * gptq_judge.c - what only data, regular expressions or the finished tree tell of GPTQ's modules: the order of their
 * columns, the entries of `dynamic`, biases of zeros, and a fused matrix that its producer has split.
 */
#include "plan/gptq_judge.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "names/rewrite.h"
#include "packing/fault.h"
#include "text/regex.h"
#include "tree/prove.h"

bool tare_gptq_sound(const struct tare_module *module)
{
    return tare_packing_is_gptq(module->packing) && !module->fault;
}

/* ---- dynamic, extra_config --------------------------------------------------------------------------------------- */

#define MATCHES 50000000 /* expressions times modules */

/* The rules of the config, matched against the paths of modules. */
struct matching {
    struct tare_model *model;
    /* The paths of all modules, plain ones too. */
    const char **paths;
    struct tare_map by_path;
    /* By module: the first rule that matches it; SIZE_MAX: none. */
    size_t *rule;
    /* Some rule could not be read or tried, so a module that matches none may still have one. */
    bool unread;
};

static enum tare_code name_modules(struct matching *m, struct tare_error *err)
{
    struct tare_model *model = m->model;
    m->rule = calloc(model->n_modules + 1, sizeof *m->rule);
    m->paths = calloc(model->n_modules + 1, sizeof *m->paths);
    if (!m->rule || !m->paths)
        return tare_fail_memory(err);
    for (size_t i = 0; i < model->n_modules; i++) {
        m->rule[i] = SIZE_MAX;
        m->paths[i] = tare_module_path(&model->modules[i], &model->arena);
        if (!tare_map_put(&m->by_path, m->paths[i], strlen(m->paths[i]), (uint32_t)i, NULL))
            return tare_fail_memory(err);
    }
    return TARE_OK;
}

/* Is the rule of AutoRound the path of a module? Then it is for that module alone, and counts before expressions. */
static bool is_path(const struct matching *m, const struct tare_quant_rule *rule, uint32_t *module)
{
    *module = rule->anywhere ? tare_map_get(&m->by_path, rule->pattern, strlen(rule->pattern)) : TARE_MAP_NONE;
    return *module != TARE_MAP_NONE;
}

static enum tare_code match_all(struct matching *m, size_t number, const struct tare_regex *regex,
                                struct tare_error *err)
{
    const struct tare_quant_rule *rule = &m->model->quant.gptq.rules[number];
    struct tare_matcher matcher = {0};
    enum tare_code code = TARE_OK;
    bool any = false;
    for (size_t i = 0; !code && i < m->model->n_modules; i++) {
        bool found = false;
        size_t start = 0, end = 0;
        if (m->rule[i] != SIZE_MAX || !tare_gptq_sound(&m->model->modules[i]))
            continue;
        if (!(code = tare_matcher_start(&matcher, regex, m->paths[i], strlen(m->paths[i]), err)))
            code = tare_matcher_next(&matcher, &found, &start, &end, err);
        if (!code && found && (rule->anywhere || !start)) { /* If there is a match at the start, it is found first. */
            m->rule[i] = number;
            any = true;
        }
    }
    /* AutoRound may write the names of a loaded model, whose prefix differs from that of the tensors. */
    m->unread |= !any && rule->anywhere && rule->quantized;
    tare_matcher_release(&matcher);
    return code;
}

static enum tare_code match_rule(struct matching *m, size_t number, struct tare_error *err)
{
    const struct tare_quant_rule *rule = &m->model->quant.gptq.rules[number];
    struct tare_regex *regex = NULL;
    struct tare_error why = {0};
    enum tare_code code = tare_regex_open(&regex, rule->pattern, strlen(rule->pattern), m->model->quant.place, &why);
    if (!code)
        code = match_all(m, number, regex, &why);
    tare_regex_free(regex);
    if (!code)
        return TARE_OK;
    if (code == TARE_E_MEMORY)
        return tare_fail_memory(err);
    m->unread = true;
    tare_plan_finding(m->model, TARE_NOTE, TARE_OK, "rule-not-read", m->model->quant.place,
                      "the expression \"%.64s\" is not read (%s): bits and group sizes come from the shapes alone",
                      rule->pattern, why.text);
    return TARE_OK;
}

/* A hostile config may have a million expressions, which would take hours. */
static enum tare_code too_many(struct matching *m)
{
    if (!m->unread)
        tare_plan_finding(m->model, TARE_NOTE, TARE_OK, "rule-not-read", m->model->quant.place,
                          "there are too many expressions to try all: bits and group sizes come from the shapes alone");
    m->unread = true;
    return TARE_OK;
}

static enum tare_code match_rules(struct matching *m, struct tare_error *err)
{
    const struct tare_gptq *gptq = &m->model->quant.gptq;
    enum tare_code code = TARE_OK;
    uint32_t module;
    size_t left = MATCHES / (m->model->n_modules + 1);
    for (size_t k = 0; k < gptq->n_rules; k++)
        if (is_path(m, &gptq->rules[k], &module) && m->rule[module] == SIZE_MAX)
            m->rule[module] = k;
    for (size_t k = 0; !code && k < gptq->n_rules; k++)
        if (!is_path(m, &gptq->rules[k], &module))
            code = left ? left--, match_rule(m, k, err) : too_many(m);
    return code;
}

static void agree(struct matching *m, size_t i)
{
    struct tare_model *model = m->model;
    struct tare_module *module = &model->modules[i];
    const struct tare_quant *quant = &model->quant;
    if (m->rule[i] == SIZE_MAX) {
        if (!m->unread)
            tare_gptq_agree(module, quant->bits, quant->group_size, quant->place, &model->arena);
        return;
    }
    const struct tare_quant_rule *rule = &quant->gptq.rules[m->rule[i]];
    const char *place = tare_arena_format(&model->arena, "%s, \"%.64s\",", quant->place, rule->pattern);
    if (!rule->quantized)
        tare_module_fault(module, &model->arena, TARE_E_CONFIG, module->part[TARE_PART_WEIGHT],
                          "%s says that it is not quantized, and it is packed; %s", place ? place : "", TARE_REMEDY);
    else
        tare_gptq_agree(module, rule->bits ? rule->bits : quant->bits,
                        rule->group_size ? rule->group_size : quant->group_size, place ? place : "", &model->arena);
}

static enum tare_code apply_rules(struct tare_model *model, struct tare_error *err)
{
    struct matching m = {.model = model};
    if (!model->quant.gptq.n_rules)
        return TARE_OK;
    enum tare_code code = name_modules(&m, err);
    if (!code)
        code = match_rules(&m, err);
    for (size_t i = 0; !code && i < model->n_modules; i++)
        if (tare_gptq_sound(&model->modules[i]))
            agree(&m, i);
    tare_map_release(&m.by_path);
    free(m.paths);
    free(m.rule);
    return code;
}

/* ---- the order of columns ---------------------------------------------------------------------------------------- */

/* g_idx[i] is the group of column i, and i / group_size without act-order. It counts, not desc_act: GPTQModel sorts the
 * columns back before it writes. */
static enum tare_code read_order(struct tare_model *model, struct tare_module *module, struct tare_error *err)
{
    const struct tare_tensor *order = module->part[TARE_PART_G_IDX];
    const int64_t groups = tare_module_groups(module);
    const void *data = NULL;
    if (!order)
        return TARE_OK;
    const enum tare_code code = tare_tensor_data(&model->checkpoint, order, &data, err);
    if (code)
        return code;
    module->act_order = false;
    for (int64_t i = 0; i < tare_module_columns(module) && !module->fault; i++) {
        int32_t group;
        memcpy(&group, (const unsigned char *)data + 4 * i, sizeof group);
        if (group < 0 || group >= groups)
            tare_module_fault(module, &model->arena, TARE_E_FORMAT, order,
                              "g_idx[%lld] is %ld, and there are %lld groups; fetch the checkpoint again or ask its "
                              "producer",
                              (long long)i, (long)group, (long long)groups);
        module->act_order |= group != i / module->group_size;
    }
    return TARE_OK;
}

/* Does a g_idx give the order of columns? GPTQ has one, and compressed-tensors with actorder. */
static bool has_order(const struct tare_module *module)
{
    return module->packing->reorders && !module->fault && module->part[TARE_PART_G_IDX];
}

static enum tare_code read_orders(struct tare_model *model, struct tare_error *err)
{
    const struct tare_module *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < model->n_modules; i++) {
        struct tare_module *module = &model->modules[i];
        const enum tare_code code = has_order(module) ? read_order(model, module, err) : TARE_OK;
        if (code)
            return code;
        if (!has_order(module) || !module->act_order)
            continue;
        first = first ? first : module;
        n++;
    }
    const bool said = model->quant.method != TARE_METHOD_GPTQ || model->quant.gptq.desc_act;
    if (n)
        tare_plan_finding(model, said ? TARE_NOTE : TARE_WARNING, TARE_OK, "act-order",
                          first->part[TARE_PART_G_IDX]->name,
                          "%zu module%s in act-order: g_idx, not i / group_size, tells a column's group%s", n,
                          n == 1 ? " has its columns" : "s have their columns",
                          said ? ""
                               : "; config.json does not say so (desc_act), and programs that "
                                 "go by it read other weights");
    return TARE_OK;
}

/* ---- the embedding ----------------------------------------------------------------------------------------------- */

static const char *last_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

/*
 * GPTQModel packs an embedding (tokens, features) like a linear layer with tokens as inputs, so its groups are runs of
 * tokens. Turned around, a row is a token, and every column of it has a scale of its own. Source: gptqmodel 7.7.0,
 * TorchQuantEmbeddings.
 */
static enum tare_code turn_embedding(struct tare_model *model, struct tare_error *err)
{
    const struct tare_parameter *embedding = model->tree.head.embedding;
    for (size_t i = 0; embedding && embedding->rank == 2 && i < model->n_modules; i++) {
        struct tare_module *module = &model->modules[i];
        if (!tare_gptq_sound(module) || module->shape[0] != embedding->shape[1] ||
            module->shape[1] != embedding->shape[0])
            continue;
        struct tare_module path = {.name = embedding->name};
        if (strcmp(last_of(tare_module_path(module, &model->arena)), last_of(tare_module_path(&path, &model->arena))) !=
            0)
            continue;
        int64_t *shape = tare_module_shape(module, &model->arena, 2);
        if (!shape)
            return tare_fail_memory(err);
        shape[0] = embedding->shape[0];
        shape[1] = embedding->shape[1];
        module->block[0] = module->group_size;
        module->block[1] = module->group_size = 1;
        module->by_rows = true;
        module->act_order = false; /* g_idx is about rows now, and decode reads it all the same. */
        for (size_t k = 0; k < model->weights.n; k++)
            if (model->weights.entries[k].recipe->module == module)
                model->weights.entries[k].recipe = tare_recipe_take(&model->arena, module);
    }
    return TARE_OK;
}

enum tare_code tare_gptq_judge(struct tare_model *model, struct tare_error *err)
{
    if (model->quant.method != TARE_METHOD_GPTQ)
        return model->options.no_data ? TARE_OK : read_orders(model, err);
    enum tare_code code = apply_rules(model, err);
    if (!code && !model->options.no_data)
        code = read_orders(model, err);
    if (!code)
        code = tare_gptq_zeros(model, err);
    return code ? code : turn_embedding(model, err);
}

/* ---- after rewriting --------------------------------------------------------------------------------------------- */

static bool has_parameter(const struct tare_model *model, const char *end)
{
    for (size_t i = 0; i < model->tree.n; i++)
        if (model->tree.parameters[i]->active && tare_ends_with(model->tree.parameters[i]->name, end))
            return true;
    return false;
}

/* GPTQModel writes phi3's gate_up_proj as its two halves and does not change the model type. A conversion of such a
 * file under its own names has the halves too, whatever its format is: so every checkpoint is looked at. */
static void join_gate_up(struct tare_model *model)
{
    static const char *const halves[] = {"**.gate_proj.weight", "**.up_proj.weight"};
    if (!has_parameter(model, ".gate_up_proj.weight") || has_parameter(model, ".gate_proj.weight"))
        return;
    model->weights.source = "plan/gptq_judge.c";
    tare_join(&model->weights, halves, 2, 0, "**.gate_up_proj.weight");
}

/* Is the entry the bias of a packed module, and does the model have no parameter for it? */
static bool is_odd_bias(const struct tare_model *model, const struct tare_map *packed, const struct tare_entry *e)
{
    const struct tare_parameter *p = tare_tree_find(&model->tree, e->name);
    if (e->rule || e->absorbed || (p && p->active) || e->recipe->op != TARE_OP_TAKE ||
        e->recipe->module->packing != &tare_packing_plain || !tare_ends_with(e->recipe->module->name, ".bias") ||
        !tare_dtype_is_float(e->recipe->module->dtype))
        return false;
    const char *name = e->recipe->module->name;
    return tare_map_get(packed, name, strlen(name) - strlen(".bias")) != TARE_MAP_NONE;
}

static enum tare_code set_aside(struct tare_model *model, struct tare_entry *e, struct tare_error *err)
{
    bool zero = true;
    enum tare_code code = TARE_OK;
    if (!model->options.no_data)
        code = tare_module_is_zero(&model->checkpoint, e->recipe->module, &zero, err);
    if (code)
        return code;
    if (!zero) {
        tare_plan_finding(model, TARE_ERROR, TARE_E_STRICT, "bias-not-zero", e->recipe->module->name,
                          "the architecture has no bias here, and this one is not zero: to drop it would change the "
                          "model; is it the config of this checkpoint?");
        return TARE_OK;
    }
    e->rule = "a bias of zeros, where the architecture has none: AutoGPTQ gives one to every module";
    e->redundant = true;
    e->evidence = model->options.no_data ? "not read (--no-data)" : "all its values are 0";
    return TARE_OK;
}

static enum tare_code drop_biases(struct tare_model *model, struct tare_map *packed, struct tare_error *err)
{
    size_t unread = 0;
    for (size_t i = 0; i < model->n_modules; i++) {
        const struct tare_module *module = &model->modules[i];
        if (tare_packing_is_gptq(module->packing) &&
            !tare_map_put(packed, module->name, strlen(module->name) - strlen(".weight"), (uint32_t)i, NULL))
            return tare_fail_memory(err);
    }
    for (size_t i = 0; i < model->weights.n; i++) {
        struct tare_entry *e = &model->weights.entries[i];
        if (!is_odd_bias(model, packed, e))
            continue;
        const enum tare_code code = set_aside(model, e, err);
        if (code)
            return code;
        unread += model->options.no_data;
    }
    if (unread)
        tare_plan_finding(model, TARE_NOTE, TARE_OK, "biases-not-read", model->quant.place,
                          "%zu biases that the architecture has no place for are taken for zeros: weights were not to "
                          "be read",
                          unread);
    return TARE_OK;
}

enum tare_code tare_gptq_settle(struct tare_model *model, struct tare_error *err)
{
    struct tare_map packed = {0};
    enum tare_code code = TARE_OK;
    join_gate_up(model);
    if (model->quant.method == TARE_METHOD_GPTQ)
        code = drop_biases(model, &packed, err);
    tare_map_release(&packed);
    if (!code && model->weights.error.code) {
        code = model->weights.error.code;
        if (err)
            *err = model->weights.error;
    }
    return code;
}
