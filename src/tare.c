/* SPDX-License-Identifier: MIT
 * tare.c - the table of contents: a plan is the list of these stages, in order (plan(), below). Start reading here.
 * docs/tour.md follows one tensor.
 *
 * What becomes of a plan:
 *     plan/explain.c     told                         audit/     compared, verified
 *     save/execute.c     written into files           repair/    made again, with a patch
 *     run/weights/loaded.c       made into matrices of the kernels, once
 *     run/session/session.c      one text: ids into passes    run/session/runner.c    what passes run on: threads,
 * memory, weights blocks/decoder.c      one pass: all layers         run/session/generate.c  feed, choose, say
 */
#include <stdlib.h>
#include <string.h>

#include "models/model.h"
#include "names/group.h"
#include "plan/declare.h"
#include "plan/gptq_judge.h"
#include "plan/plan.h"
#include "tree/prove.h"

#define CONFIG_MOST ((uint64_t)64 << 20) /* bytes; the largest known config.json has 200 KB */

static enum tare_code read_json(struct tare_model *m, const char *name, json_t **json, struct tare_error *err)
{
    char *text = NULL;
    size_t size = 0;
    enum tare_code code = tare_checkpoint_read(&m->checkpoint, name, CONFIG_MOST, &text, &size, err);
    if (!code)
        code = tare_json_parse(json, name, text, size, err);
    free(text);
    return code;
}

static enum tare_code config_read(struct tare_model *m, struct tare_error *err)
{
    json_t *beside = NULL;
    enum tare_code code = read_json(m, "config.json", &m->config, err);
    if (code)
        return code;
    if (!json_is_object(m->config))
        return tare_fail(err, TARE_E_CONFIG, "config.json", "expected an object of keys and values");
    m->model_type = json_string_value(json_object_get(m->config, "model_type")); /* for the report; declare judges it */
    if (tare_checkpoint_has(&m->checkpoint, "quantize_config.json"))
        code = read_json(m, "quantize_config.json", &beside, err);
    if (!code)
        code = tare_quant_read(m->config, beside, &m->arena, &m->quant, err);
    json_decref(beside);
    return code;
}

static enum tare_code modules_group(struct tare_model *m, struct tare_error *err)
{
    const struct tare_packing *packing = NULL;
    const enum tare_code code = tare_packing_choose(&m->quant, &packing, err);
    return code ? code
                : tare_modules_group(&m->checkpoint, &m->quant, packing, &m->arena, &m->modules, &m->n_modules,
                                     &m->weights, err);
}

static enum tare_code tie_decide(struct tare_model *m, struct tare_error *err)
{
    struct tare_tie_level *levels = NULL;
    size_t n = 0;
    enum tare_code code = tare_tie_levels(m, &m->arena, &levels, &n, err);
    if (!code)
        code = tare_tie_decide(&m->tree, &m->weights, levels, n, &m->tie, err);
    if (!code)
        code = tare_heads_settle(m, m->arch->transformers_tied, err);
    if (code == TARE_E_MEMORY || code == TARE_E_IO || !code)
        return code;
    tare_plan_keep(m, err); /* it does not load, and what else there is to say is said all the same */
    *err = (struct tare_error){0};
    return TARE_OK;
}

static void remarks_keep(struct tare_model *m)
{
    for (size_t i = 0; i < m->checkpoint.n_remarks; i++) {
        const struct tare_remark *r = &m->checkpoint.remarks[i];
        tare_plan_finding(m, r->level, TARE_OK, r->code, r->where, "%s", r->text);
    }
}

static enum tare_code plan(struct tare_model *m, const char *path, struct tare_error *err)
{
    enum tare_code code;
    if ((code = tare_checkpoint_open(&m->checkpoint, path, &m->options, err)) || /* open/    files, shards, tensors */
        (code = config_read(m, err)) ||        /* config/  config.json, quantization       */
        (code = tare_model_declare(m, err)) || /* models/  model_type -> parameter tree    */
        (code = modules_group(m, err)) ||      /* names/   tensors -> modules and formats  */
        (code = tare_gptq_judge(m, err)) ||    /* plan/    what only GPTQ's data tell      */
        (code = tare_names_rewrite(m, err)) || /* names/   checkpoint names -> our names   */
        (code = tare_gptq_settle(m, err)) ||   /* plan/    GPTQ's biases and split halves  */
        (code = tie_decide(m, err)) ||         /* tree/    one head or two, and its proof  */
        (code = tare_target_choose(m, err)) || /* plan/    what each module becomes        */
        (code = tare_plan_close(m, err)) ||    /* plan/    nothing missing, nothing over   */
        (code = tare_plan_fold(m, err)))       /* plan/    act-order into its producers    */
        return code;
    return TARE_OK;
}

enum tare_code tare_plan(tare_model **model, const char *path, const struct tare_options *options,
                         struct tare_error *err)
{
    return tare_plan_edited(model, path, options, NULL, err);
}

enum tare_code tare_plan_edited(struct tare_model **model, const char *path, const struct tare_options *options,
                                const struct tare_edits *edits, struct tare_error *err)
{
    struct tare_error error = {0};
    if (!model || (options && options->size < sizeof options->size))
        return tare_fail(err, TARE_E_ARGUMENT, "",
                         "tare_plan needs a place for the model and options made by TARE_OPTIONS_INIT");
    struct tare_model *m = *model = calloc(1, sizeof *m);
    if (!m)
        return tare_fail_memory(err);
    m->references = 1;
    m->checkpoint.edits = edits;
    if (options)
        memcpy(&m->options, options, options->size < sizeof m->options ? options->size : sizeof m->options);
    if (!path && !m->options.n_files)
        tare_fail(&error, TARE_E_ARGUMENT, "", "tare_plan needs a path");
    else
        plan(m, path ? path : "memory", &error);
    tare_plan_keep(m, &error);
    remarks_keep(m);
    /* Half a plan has no account: what a stage left behind when memory ran out is not looked at. */
    if (m->code == TARE_E_MEMORY || m->arena.failed || tare_plan_report(m)) {
        tare_model_free(m);
        *model = NULL;
        return tare_fail_memory(err);
    }
    if (m->code && err)
        *err = m->error;
    return m->code;
}
