/* SPDX-License-Identifier: MIT
 * source_info.c - every tensor of the checkpoint's files, and what became of it: the report's rows, seen from the
 * files. */
#include <stdlib.h>
#include <string.h>

#include "base/sized.h"
#include "plan/plan.h"

/* What the report says of one place in the files. */
struct place {
    const char *file;
    uint64_t offset;
    const char *fate, *rule;
};

static int by_place(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    const int order = strcmp(x->file, y->file);
    return order ? order : x->offset < y->offset ? -1 : x->offset > y->offset;
}

static size_t add_places(struct place *places, size_t n, const struct tare_report_tensor *rows, size_t n_rows,
                         const char *fate)
{
    for (size_t k = 0; k < n_rows; k++)
        if (rows[k].file)
            places[n++] = (struct place){rows[k].file, rows[k].offset, fate, rows[k].rule};
    return n;
}

/* All places that are not used, sorted. NULL: no memory. */
static struct place *list_places(const struct tare_report *r, size_t *n)
{
    struct place *places = calloc(r->n_set_aside + r->n_unexpected + r->n_misshapen + 1, sizeof *places);
    if (!places)
        return NULL;
    *n = add_places(places, 0, r->set_aside, r->n_set_aside, "set aside");
    *n = add_places(places, *n, r->unexpected, r->n_unexpected, "unexpected");
    *n = add_places(places, *n, r->misshapen, r->n_misshapen, "misshapen");
    if (*n)
        qsort(places, *n, sizeof *places, by_place);
    return places;
}

static struct tare_source_info describe(const struct tare_model *model, const struct tare_tensor *tensor,
                                        const struct place *places, size_t n)
{
    const struct place key = {.file = model->checkpoint.files[tensor->file].name, .offset = tensor->offset};
    const struct place *place = n && tensor->size ? bsearch(&key, places, n, sizeof *places, by_place) : NULL;
    return (struct tare_source_info){.size = sizeof(struct tare_source_info),
                                     .name = tare_tensor_own_name(tensor),
                                     .dtype = tare_dtype_name(tensor->dtype),
                                     .rank = tensor->rank,
                                     .shape = tensor->shape,
                                     .file = key.file,
                                     .offset = tensor->offset,
                                     .bytes = tensor->size,
                                     .fate = place ? place->fate : "used",
                                     .rule = place ? place->rule : NULL};
}

size_t tare_model_sources(const struct tare_model *model, struct tare_source_info *out, size_t room)
{
    if (!model)
        return 0;
    const size_t n = model->checkpoint.n_tensors;
    if (!out || !room)
        return n;
    size_t n_places = 0;
    struct place *places = list_places(&model->report, &n_places);
    if (!places)
        return 0;
    const size_t stride = out->size ? out->size : sizeof *out;
    unsigned char *to = (unsigned char *)out;
    for (size_t k = 0; k < n && k < room; k++, to += stride) {
        struct tare_source_info info = describe(model, &model->checkpoint.tensors[k], places, n_places);
        info.size = stride;
        memcpy(to, &info, stride < sizeof info ? stride : sizeof info);
    }
    free(places);
    return n;
}

void tare_source_info_init(struct tare_source_info *info, size_t size)
{
    tare_sized_init(info, size);
}
