/* SPDX-License-Identifier: MIT
 * loaded.c - carries out the plan of each weight (weight_plan.h): matrices and vectors in memory. */
#include "run/weights/loaded.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "kernels/tiles.h"
#include "run/weights/levels.h"
#include "run/weights/weight_plan.h"
#include "run/weights/weight_source.h"

struct loading {
    struct tare_loaded *loaded;
    struct tare_checkpoint *checkpoint;
    struct tare_pool *pool;
    struct tare_error *err;
};

/* Allocates n * size bytes that live as long as the weights; NULL: no memory, or too many of them. */
static void *own(struct tare_loaded *loaded, int64_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow((size_t)n, size, &bytes) || bytes > SIZE_MAX / 2 ||
        !tare_grow(&loaded->owned, &loaded->owned_room, loaded->n_owned + 1, sizeof *loaded->owned))
        return NULL;
    void *block = tare_memory_block(bytes);
    if (block)
        loaded->owned[loaded->n_owned++] = block;
    return block;
}

static enum tare_code load_vector(const struct loading *l, const struct tare_parameter *p,
                                  const struct tare_weight_plan *plan)
{
    const int64_t n = tare_shape_count(plan->flat.rank, plan->flat.shape);
    float *vector = n < 0 ? NULL : own(l->loaded, n, sizeof *vector);
    l->loaded->vectors[p->index] = vector;
    return vector ? tare_source_copy(l->checkpoint, &plan->flat, plan->dtype, vector, l->err)
                  : tare_fail_memory(l->err);
}

/* The bytes of the one plain module that lies in the file as it is needed: mapped, or read whole. */
static enum tare_code mapped(const struct loading *l, const struct tare_flat *flat, const unsigned char **data)
{
    const void *part[TARE_PARTS] = {NULL};
    const struct tare_piece *p = flat->pieces;
    enum tare_code code = tare_module_data(l->checkpoint, p->module, part, l->err);
    if (!code)
        code = tare_tensor_data(l->checkpoint, p->module->part[TARE_PART_WEIGHT], &part[TARE_PART_WEIGHT], l->err);
    *data = code ? NULL
                 : (const unsigned char *)part[TARE_PART_WEIGHT] + (size_t)p->start * tare_dtype_size(p->module->dtype);
    return code;
}

static enum tare_code load_dense(const struct loading *l, const struct tare_weight_plan *plan, struct tare_matrix *m)
{
    void *data = own(l->loaded, m->rows, m->stride);
    m->data = data;
    return data ? tare_source_copy(l->checkpoint, &plan->flat, plan->dtype, data, l->err) : tare_fail_memory(l->err);
}

/* Byte i of a stored row holds two bits of column i of four rows, which lie a quarter of the matrix apart. They become
 * rows of 4-bit codes, and a code stands for code - 1. */
static enum tare_code load_ternary(const struct loading *l, const struct tare_weight_plan *plan, struct tare_matrix *m)
{
    const unsigned char *stored;
    const enum tare_code code = mapped(l, &plan->flat, &stored);
    if (code)
        return code;
    const int64_t in = m->in, rows = tare_shape_count(plan->flat.rank, plan->flat.shape) / in;
    unsigned char *data = own(l->loaded, m->rows, m->stride), *row = malloc((size_t)in);
    float *scale = own(l->loaded, m->rows, sizeof *scale), *offset = own(l->loaded, m->rows, sizeof *offset);
    const bool room = data && row && scale && offset;
    for (int64_t r = 0; room && r < m->rows; r++) {
        const unsigned char *from = stored + r % rows * in;
        for (int64_t i = 0; i < in; i++)
            row[i] = from[i] >> (2 * (r / rows)) & 3;
        tare_q4_pack(row, in, data + (size_t)r * m->stride);
        scale[r] = 1;
        offset[r] = -1;
    }
    free(row);
    m->data = data;
    m->scale = scale;
    m->offset = offset;
    return room ? TARE_OK : tare_fail_memory(l->err);
}

static enum tare_code load_rows(const struct loading *l, const struct tare_weight_plan *plan, struct tare_matrix *m)
{
    unsigned char *data = own(l->loaded, m->rows, m->stride);
    float *scale = own(l->loaded, m->rows, (size_t)m->groups * sizeof *scale);
    const bool offsets = m->storage != TARE_STORE_E4M3;
    float *offset = offsets ? own(l->loaded, m->rows, (size_t)m->groups * sizeof *offset) : NULL;
    if (!data || !scale || (offsets && !offset))
        return tare_fail_memory(l->err);
    m->data = data;
    m->scale = scale;
    m->offset = offset;
    return tare_source_repack(l->checkpoint, &plan->flat, m, data, scale, offset, l->pool, l->err);
}

/* Gives the matrix levels that last. */
static bool own_levels(const struct loading *l, struct tare_matrix *m)
{
    struct tare_levels *levels = own(l->loaded, 1, sizeof *levels);
    if (!levels)
        return false;
    tare_levels_fit(m->levels, levels);
    tare_levels_use(levels, m);
    return true;
}

static enum tare_code load_tiles(const struct loading *l, const struct tare_weight_plan *plan, struct tare_matrix *m)
{
    unsigned char *data = own(l->loaded, tare_tile_count(m), m->stride);
    int32_t *order = m->order ? own(l->loaded, m->in, sizeof *order) : NULL;
    if (!data || (m->order && !order))
        return tare_fail_memory(l->err);
    if (order)
        memcpy(order, m->order, (size_t)m->in * sizeof *order);
    if (m->rows % TARE_TILE_ROWS) /* the last tile has room for rows that the matrix has not */
        memset(data + (size_t)(m->rows / TARE_TILE_ROWS) * m->stride, 0, m->stride);
    if (m->levels && !own_levels(l, m))
        return tare_fail_memory(l->err);
    m->order = order;
    m->data = data;
    return tare_source_repack(l->checkpoint, &plan->flat, m, data, NULL, NULL, l->pool, l->err);
}

static enum tare_code load_parameter(const struct loading *l, const struct tare_parameter *p, struct tare_arena *work)
{
    struct tare_weight_plan plan;
    struct tare_matrix *m = &l->loaded->matrices[p->index];
    const enum tare_code code = tare_weight_decide(l->checkpoint, p, work, &plan, l->err);
    if (code)
        return code;
    *m = plan.matrix;
    switch (plan.form) {
    case TARE_WEIGHT_VECTOR:
        return load_vector(l, p, &plan);
    case TARE_WEIGHT_MAPPED:
        return mapped(l, &plan.flat, &m->data);
    case TARE_WEIGHT_DENSE:
        return load_dense(l, &plan, m);
    case TARE_WEIGHT_TERNARY:
        return load_ternary(l, &plan, m);
    case TARE_WEIGHT_ROWS:
        return load_rows(l, &plan, m);
    case TARE_WEIGHT_TILES:
        return load_tiles(l, &plan, m);
    }
    return TARE_OK;
}

enum tare_code tare_loaded_open(struct tare_loaded **loaded, struct tare_model *model, struct tare_pool *pool,
                                const volatile int *cancel, struct tare_error *err)
{
    struct tare_loaded *w = calloc(1, sizeof *w);
    struct tare_arena work = {0};
    *loaded = NULL;
    if (!w)
        return tare_fail_memory(err);
    w->n = model->tree.n;
    w->matrices = calloc(w->n + 1, sizeof *w->matrices);
    w->vectors = calloc(w->n + 1, sizeof *w->vectors);
    enum tare_code code = w->matrices && w->vectors ? TARE_OK : tare_fail_memory(err);
    for (size_t i = 0; !code && i < w->n; i++) {
        const struct tare_parameter *p = model->tree.parameters[i];
        if (cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED))
            code = tare_fail(err, TARE_E_CANCELLED, "", "cancelled");
        else if (tare_weight_entry(p))
            code = load_parameter(&(struct loading){w, &model->checkpoint, pool, err}, p, &work);
        tare_arena_reset(&work);
    }
    tare_arena_release(&work);
    if (code)
        tare_loaded_free(w);
    else
        *loaded = w;
    return code;
}

void tare_loaded_give_back(struct tare_model *model, const struct tare_parameter *p)
{
    const struct tare_entry *entry = tare_weight_entry(p);
    struct tare_arena work = {0};
    struct tare_flat flat = {0};
    if (entry && !tare_recipe_flatten(entry->recipe, &work, &flat, NULL))
        for (size_t i = 0; i < flat.n; i++)
            tare_tensor_give_back(&model->checkpoint, flat.pieces[i].module->part[TARE_PART_WEIGHT]);
    tare_arena_release(&work);
}

void tare_loaded_free(void *loaded)
{
    struct tare_loaded *w = loaded;
    if (!w)
        return;
    for (size_t i = 0; i < w->n_owned; i++)
        free(w->owned[i]);
    free(w->owned);
    tare_head8_free(w->head8);
    free(w->matrices);
    free(w->vectors);
    free(w);
}
