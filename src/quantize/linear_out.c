/* SPDX-License-Identifier: MIT
 * linear_out.c - linear layers of a checkpoint, by its own names: which ones are rounded, and their rows.
 */
#include "quantize/linear_out.h"

#include <string.h>

#include "base/text.h"
#include "models/model.h"

/* The parameter that a module is, as it is stored; NULL: a part of one, or turned, as Conv1D is. */
static const struct tare_parameter *whole_parameter(const struct tare_model *model, const struct tare_module *module)
{
    for (size_t k = 0; k < model->tree.n; k++) {
        const struct tare_parameter *p = model->tree.parameters[k];
        if (p->active && p->entry && p->entry->recipe->op == TARE_OP_TAKE && p->entry->recipe->module == module)
            return p;
    }
    return NULL;
}

bool tare_linear_chooses(const struct tare_model *model, const struct tare_parameter *parameter)
{
    for (int64_t i = 0; parameter && model->decoder && i < model->decoder->n_layers; i++) {
        const struct tare_block *const blocks[] = {&model->decoder->layers[i].mixer, &model->decoder->layers[i].ffn};
        for (int k = 0; k < 2; k++)
            if (blocks[k]->ops && blocks[k]->ops->router &&
                blocks[k]->ops->router(blocks[k]->self)->weight == parameter)
                return true;
    }
    return false;
}

bool tare_linear_rounds(struct tare_quantizing *q, const struct tare_model *model, const struct tare_job *job,
                        enum tare_code *code, struct tare_error *err)
{
    const struct tare_head *head = &model->tree.head;
    const struct tare_module *module = job->module;
    if ((*code = tare_quantizing_floats(job, err)))
        return false;
    if (module->rank != 2 || !tare_dtype_is_float(module->dtype) || !tare_ends_with(job->name, ".weight") ||
        (job->kind != TARE_KIND_LINEAR && job->kind != TARE_KIND_EXPERTS))
        return false;
    const struct tare_parameter *p = whole_parameter(model, module);
    const struct tare_quantize_rule *rule = tare_quantizing_rule(q, job, NULL);
    if (tare_quantizing_stays(q, model, job, rule) || (job->kind == TARE_KIND_LINEAR && !p))
        return false;
    return rule || !p || (p != head->weight && p != head->embedding && !tare_linear_chooses(model, p));
}

enum tare_code tare_linear_rows(const struct tare_job *job, const struct tare_box *box, const void *made, int64_t first,
                                int64_t n, float *values, struct tare_error *err)
{
    const int64_t columns = job->shape[job->rank - 1];
    for (int64_t r = 0; r < n; r++) {
        float *row = values + r * columns;
        for (int64_t i = 0; i < columns; i++)
            row[i] = tare_float_at(made, job->flat.dtype, (first + r) * columns + i);
        const enum tare_code code = tare_quantizing_finite(job, row, columns, box->low[job->axis] + first + r, err);
        if (code)
            return code;
    }
    return TARE_OK;
}

json_t *tare_linear_kept(const struct tare_layout *layout)
{
    struct tare_arena work = {0};
    json_t *paths = json_array();
    bool good = paths != NULL, head = false;
    for (size_t k = 0; k < layout->n_jobs && good; k++) {
        const struct tare_job *job = &layout->jobs[k];
        const char *path = tare_job_path(job, &work);
        if (job->target.packed || job->module->rank != 2 || path == job->name ||
            (job->kind != TARE_KIND_LINEAR && job->kind != TARE_KIND_EXPERTS))
            continue;
        head |= !strcmp(path, "lm_head");
        good = !json_array_append_new(paths, json_string(path));
    }
    if (good && !head) /* a tied head has no tensor, but readers have the layer */
        good = !json_array_append_new(paths, json_string("lm_head"));
    good = good && !work.failed;
    tare_arena_release(&work);
    if (!good)
        json_decref(paths);
    return good ? paths : NULL;
}
