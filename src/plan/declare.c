/* SPDX-License-Identifier: MIT
 * declare.c - stages 3, declare, and 5, rewrite: what the record of an architecture does in a plan. Wrappers, which
 * have a text model inside, are known here only. */
#include "plan/stages.h"

#include <string.h>

#include "models/model.h"
#include "names/gguf_rows.h"
#include "plan/gptq_judge.h"

/* Lets the config say what derive() read in the tensors, in the model's own config and so in that of a conversion. */
static enum tare_code correct(struct tare_model *model, const struct tare_derive *d, struct tare_error *err)
{
    const struct tare_derived *found = d->derived;
    if (!found->corrected)
        return TARE_OK;
    tare_plan_finding(model, TARE_WARNING, TARE_OK, "config-amended", d->place, "%s: %s", found->corrected, found->why);
    json_t *config = (json_t *)(uintptr_t)d->config; /* is const for derive() only */
    return json_object_set_new(config, found->corrected, found->correction) ? tare_fail_memory(err) : TARE_OK;
}

static enum tare_code read_args(const struct tare_arch *arch, const json_t *config, const char *place,
                                struct tare_model *model, void **args, struct tare_error *err)
{
    if (!arch->args)
        return TARE_OK;
    *args = tare_arena_alloc(&model->arena, arch->args->size);
    if (!*args)
        return tare_fail_memory(err);
    struct tare_derived found = {0};
    const struct tare_derive derive = {&model->arena, config, place, err, &model->checkpoint, &found};
    enum tare_code code = tare_args_read(arch->args, config, place, *args, err);
    if (!code && arch->derive)
        code = arch->derive(*args, &derive);
    if (found.inner)
        model->inner = found.inner;
    const enum tare_code corrected = correct(model, &derive, err);
    return code ? code : corrected;
}

/* The fragment of config.json that drives the inner model, as the wrapper completes it. */
static enum tare_code inner_fragment(struct tare_model *model, struct tare_error *err)
{
    const struct tare_arch *arch = model->arch;
    const json_t *fragment = json_object_get(model->config, arch->inner_config);
    const char *place = tare_arena_format(&model->arena, "config.json: %s", arch->inner_config);
    if (fragment && !json_is_null(fragment)) {
        model->inner_path = arch->inner_config;
        if (!json_is_object(fragment))
            return tare_fail(err, TARE_E_CONFIG, place, "expected an object");
    } else if (arch->inner_flat) {
        fragment = model->config;
    } else if (arch->fill && !fragment) {
        model->inner_path = arch->inner_config; /* An empty fragment is filled with the wrapper's own defaults. */
    } else {
        return tare_fail(err, TARE_E_CONFIG, "config.json", "%s is missing; a model of this type needs it",
                         arch->inner_config);
    }
    model->inner_config = fragment;
    if (!arch->fill)
        return TARE_OK;
    model->inner_copy = fragment ? json_copy((json_t *)(uintptr_t)fragment) : json_object();
    if (!model->inner_copy)
        return tare_fail_memory(err);
    model->inner_config = model->inner_copy;
    const struct tare_derive derive = {.arena = &model->arena, .config = fragment, .place = place, .err = err};
    return arch->fill(model->inner_copy, model->args, &derive);
}

/* Reads the args of a wrapper's text model, model->inner, from its fragment. */
static enum tare_code inner_model(struct tare_model *model, struct tare_error *err)
{
    enum tare_code code = inner_fragment(model, err);
    if (code)
        return code;
    const char *place =
        model->inner_path ? tare_arena_format(&model->arena, "config.json: %s", model->inner_path) : "config.json";
    return read_args(model->inner, model->inner_config, place, model, &model->inner_args, err);
}

enum tare_code tare_plan_declare(struct tare_model *model, struct tare_error *err)
{
    const json_t *type = json_object_get(model->config, "model_type");
    if (!json_is_string(type))
        return tare_fail(err, TARE_E_CONFIG, "config.json", "model_type is %s; tare needs it to know the architecture",
                         type ? "no string" : "missing");
    model->model_type = json_string_value(type);
    enum tare_code code =
        tare_arch_find(model->model_type, json_object_get(model->config, "architectures"), &model->arch, err);
    if (!code) {
        model->inner = model->arch->inner; /* unless derive() names another */
        code = read_args(model->arch, model->config, "config.json", model, &model->args, err);
    }
    if (!code && model->inner)
        code = inner_model(model, err);
    if (code)
        return code;
    model->decoder = tare_arena_alloc(&model->arena, sizeof *model->decoder);
    if (!model->decoder)
        return tare_fail_memory(err);
    model->tree.arena = model->decoder->arena = &model->arena;
    model->runs = model->arch->runs || (model->inner && model->inner->runs);
    const struct tare_at root = {&model->tree, model->inner ? model->arch->inner_prefix : ""};
    if (model->inner)
        model->inner->declare(root, model->inner_args, model->decoder);
    else
        model->arch->declare(root, model->args, model->decoder);
    if (model->decoder->too_deep)
        return tare_fail(err, TARE_E_CONFIG, "config.json",
                         "the number of layers is beyond that of any model; look at it");
    if (model->tree.error.code)
        *err = model->tree.error;
    else if (model->arena.failed)
        return tare_fail_memory(err);
    return model->tree.error.code;
}

static void sanitize(struct tare_model *model, const struct tare_arch *arch, const void *args)
{
    if (!arch || !arch->sanitize)
        return;
    model->weights.source = tare_arena_format(&model->arena, "models/%s.c", arch->name);
    arch->sanitize(&model->weights, args);
}

enum tare_code tare_plan_rewrite(struct tare_model *model, struct tare_error *err)
{
    if (model->checkpoint.gguf)
        tare_gguf_restore(&model->weights, &model->checkpoint.facts, model->modules, model->n_modules);
    sanitize(model, model->arch, model->args);
    if (model->inner) {
        tare_scope_enter(&model->weights, model->arch->inner_prefix);
        sanitize(model, model->inner, model->inner_args);
        tare_scope_leave(&model->weights);
    }
    if (model->weights.error.code)
        *err = model->weights.error;
    else if (model->arena.failed)
        return tare_fail_memory(err);
    return model->weights.error.code ? model->weights.error.code : tare_gptq_settle(model, err);
}
