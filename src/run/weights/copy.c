/* SPDX-License-Identifier: MIT
 * copy.c - copies boxes of modules into dense rows. A packed module that cannot stay packed, and one whose values are
 * computed, is expanded to float32 first. */
#include <stdlib.h>
#include <string.h>

#include "packing/mlx/to_mlx.h"
#include "packing/value.h"
#include "run/weights/weight_source.h"

/* The elements of one module, dense. */
struct source {
    const unsigned char *data;
    enum tare_dtype dtype;
    float *expanded; /* owned, or NULL */
};

/* Copies n elements, which lie `stride` elements apart in the source, to neighbouring ones. */
static void copy_line(const struct source *s, int64_t from, int64_t stride, int64_t n, enum tare_dtype dtype,
                      unsigned char *dst)
{
    const size_t size = tare_dtype_size(s->dtype);
    if (s->dtype == dtype && stride == 1) {
        memcpy(dst, s->data + (size_t)from * size, (size_t)n * size);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        if (s->dtype == dtype)
            memcpy(dst + (size_t)i * size, s->data + (size_t)(from + i * stride) * size, size);
        else
            tare_float_put(dst, dtype, i, tare_float_at(s->data, s->dtype, from + i * stride));
}

/* Copies a box, axis by axis. from and to are offsets in elements, of the source and of the output. */
static void copy_box(const struct source *s, const struct tare_flat *flat, const struct tare_piece *p, int axis,
                     int64_t from, int64_t to, enum tare_dtype dtype, unsigned char *dst)
{
    if (axis >= flat->rank - 1) {
        const int64_t n = flat->rank ? p->shape[axis] : 1, stride = flat->rank ? p->stride[axis] : 1;
        const int64_t at = flat->rank ? p->at[axis] : 0;
        copy_line(s, from, stride, n, dtype, dst + (size_t)(to + at) * tare_dtype_size(dtype));
        return;
    }
    int64_t inner = 1;
    for (int k = axis + 1; k < flat->rank; k++)
        inner *= flat->shape[k];
    for (int64_t i = 0; i < p->shape[axis]; i++)
        copy_box(s, flat, p, axis + 1, from + i * p->stride[axis], to + (p->at[axis] + i) * inner, dtype, dst);
}

/* Expands the whole module to float32. Computed values of a dense one are rounded as a conversion rounds them. */
static enum tare_code expand(const struct tare_piece *p, const void *const part[TARE_PARTS], struct source *s,
                             struct tare_error *err)
{
    const struct tare_module *module = p->module;
    const int64_t rows = tare_module_rows(module), columns = tare_module_columns(module);
    const bool rounds = p->value && module->packing == &tare_packing_plain && p->dtype != TARE_F32;
    struct tare_arena work = {0}, lasting = {0};
    const float *norms = NULL;
    s->expanded = malloc((size_t)rows * (size_t)columns * sizeof *s->expanded);
    enum tare_code code =
        s->expanded ? tare_value_norms(p->value, module, part, &lasting, &norms, err) : tare_fail_memory(err);
    for (int64_t row = 0, n; !code && row < rows; row += n) {
        n = rows - row < 64 ? rows - row : 64;
        float *x = s->expanded + row * columns;
        code = tare_module_floats(module, part, row, n, x, &work, err);
        if (!code)
            tare_value_apply(p->value, norms, row, n, columns, x);
        for (int64_t k = 0; !code && rounds && k < n * columns; k++)
            x[k] = tare_float_round(p->dtype, x[k]);
        tare_arena_reset(&work);
    }
    tare_arena_release(&work);
    tare_arena_release(&lasting);
    s->data = (const unsigned char *)s->expanded;
    s->dtype = TARE_F32;
    return code;
}

enum tare_code tare_source_copy(struct tare_checkpoint *checkpoint, const struct tare_flat *flat, enum tare_dtype dtype,
                                void *dst, struct tare_error *err)
{
    for (size_t i = 0; i < flat->n; i++) {
        const struct tare_piece *p = &flat->pieces[i];
        const void *part[TARE_PARTS] = {NULL};
        struct source s = {.dtype = p->module->dtype};
        struct tare_holds holds = {0};
        enum tare_code code = tare_module_data(checkpoint, p->module, part, err);
        if (!code)
            code = tare_module_hold_all(&holds, checkpoint, p->module, err);
        if (!code && (p->value || p->module->packing != &tare_packing_plain))
            code = expand(p, part, &s, err);
        else
            s.data = part[TARE_PART_WEIGHT];
        if (!code)
            copy_box(&s, flat, p, 0, p->start, 0, dtype, dst);
        free(s.expanded);
        tare_holds_release(&holds);
        if (code)
            return code;
    }
    return TARE_OK;
}
