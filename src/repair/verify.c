/* SPDX-License-Identifier: MIT
 * verify.c - is what was written what was planned? The same parameters, each of the same tensors with the same bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "repair/repair.h"

static enum tare_code differs(const char *name, const char *what, struct tare_error *err)
{
    return tare_fail(err, TARE_E_INTERNAL, name, "%s is another than was planned; nothing is changed", what);
}

static enum tare_code same_parameters(const struct tare_report *a, const struct tare_report *b, struct tare_error *err)
{
    if (a->n_parameters != b->n_parameters || a->n_set_aside != b->n_set_aside)
        return differs(a->model, "the number of parameters", err);
    for (size_t i = 0; i < a->n_parameters; i++) {
        const struct tare_report_tensor *p = &a->parameters[i], *q = &b->parameters[i];
        if (strcmp(p->name, q->name) != 0 || strcmp(p->packing, q->packing) != 0 || p->bits != q->bits ||
            p->group_size != q->group_size || strcmp(p->rule, q->rule) != 0 || p->n_sources != q->n_sources)
            return differs(p->name, "the parameter", err);
        for (size_t k = 0; k < p->n_sources; k++)
            if (strcmp(p->sources[k], q->sources[k]) != 0)
                return differs(p->name, "what the parameter is made of", err);
    }
    return TARE_OK;
}

static enum tare_code same_tensor(struct tare_model *a, const struct tare_tensor *t, struct tare_model *b,
                                  const struct tare_tensor *u, struct tare_error *err)
{
    const void *data[2] = {NULL, NULL};
    if (t->dtype != u->dtype || t->rank != u->rank || t->size != u->size ||
        (t->rank && memcmp(t->shape, u->shape, (size_t)t->rank * sizeof *t->shape) != 0))
        return differs(t->name, "the tensor", err);
    struct tare_holds holds = {0};
    enum tare_code code = tare_tensor_address(&a->checkpoint, t, &data[0], err);
    if (!code)
        code = tare_tensor_address(&b->checkpoint, u, &data[1], err);
    if (!code)
        code = tare_holds_add(&holds, &a->checkpoint, t, 0, t->size, err);
    if (!code)
        code = tare_holds_add(&holds, &b->checkpoint, u, 0, u->size, err);
    if (!code && t->size && memcmp(data[0], data[1], (size_t)t->size) != 0)
        return differs(t->name, "the data of the tensor", err);
    tare_holds_release(&holds);
    return code;
}

enum tare_code tare_repair_verify(const struct tare_repair *r, const char *path, struct tare_error *err)
{
    struct tare_model *a = r->model, *b = NULL;
    bool *written = calloc(a->checkpoint.n_files + 1, sizeof *written); /* by file: its header was written anew */
    if (!written)
        return tare_fail_memory(err);
    for (size_t k = 0; k < a->checkpoint.n_files; k++)
        written[k] = tare_header_changes(r, k);
    struct tare_options options = r->options; /* what was written lies on the disk */
    options.files = NULL;
    options.n_files = 0;
    options.host = NULL;
    enum tare_code code = tare_plan_make(&b, path, &options, NULL, r->stages, err);
    if (!code)
        code = same_parameters(tare_model_report(a), tare_model_report(b), err);
    if (!code && a->checkpoint.n_tensors != b->checkpoint.n_tensors)
        code = differs(path, "the number of tensors", err);
    for (size_t i = 0; !code && i < a->checkpoint.n_tensors; i++) {
        const struct tare_tensor *t = &a->checkpoint.tensors[i], *u = tare_checkpoint_find(&b->checkpoint, t->name);
        if (!u)
            code = differs(t->name, "the tensor", err);
        else if (written[t->file])
            code = same_tensor(a, t, b, u, err);
    }
    tare_model_free(b);
    free(written);
    return code;
}
