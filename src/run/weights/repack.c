/* SPDX-License-Identifier: MIT
 * repack.c - turns packed modules into the kernels' layout, a few rows at a time and on all threads: by the packing's
 * own way into tiles where it has one (packing/to_tiles.h), else through the neutral form. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "packing/to_tiles.h"
#include "run/weights/levels.h"
#include "run/weights/weight_source.h"

#define RUN_ROWS 128 /* a cache line of awq, 16 words, holds that many outputs */

/* Neighbouring rows of a module, [from, from + rows), that become neighbouring rows of the matrix, from `to` on. */
struct run {
    const struct tare_module *module;
    const void *part[TARE_PARTS];
    int64_t from;
    int64_t to;
    int64_t rows;
};

/* What a thread decodes rows into. */
struct work {
    struct tare_codes codes;
    uint8_t *factor, *least;
};

struct job {
    struct run *runs;
    size_t n, room;
    const struct tare_matrix *m;
    unsigned char *data;
    float *scale, *offset;
    struct work *work; /* one a thread */
    struct tare_checkpoint *checkpoint;
    pthread_mutex_t lock; /* of what follows */
    struct tare_error error;
};

static bool add_run(struct job *j, const struct tare_module *module, const void *const part[TARE_PARTS], int64_t from,
                    int64_t to, int64_t rows)
{
    for (int64_t done = 0; done < rows; done += RUN_ROWS) {
        if (!tare_grow(&j->runs, &j->room, j->n + 1, sizeof *j->runs))
            return false;
        struct run *r = &j->runs[j->n++];
        *r = (struct run){.module = module, .from = from + done, .to = to + done};
        memcpy(r->part, part, sizeof r->part);
        r->rows = rows - done < RUN_ROWS ? rows - done : RUN_ROWS;
    }
    return true;
}

/* Walks the leading axes of a box. Its last axis but one is one run of rows where neighbours on it are neighbouring
 * rows of the module; else each index is a run of its own. */
static bool add_box(struct job *j, const struct tare_flat *flat, const struct tare_piece *p,
                    const void *const part[TARE_PARTS], int axis, int64_t from, int64_t to)
{
    const int last = flat->rank - 2;
    const int64_t columns = flat->shape[flat->rank - 1];
    if (axis > last)
        return add_run(j, p->module, part, from / columns, to, 1);
    if (axis == last && p->stride[axis] == columns)
        return add_run(j, p->module, part, from / columns, to + p->at[axis], p->shape[axis]);
    int64_t inner = 1;
    for (int k = axis + 1; k <= last; k++)
        inner *= flat->shape[k];
    for (int64_t i = 0; i < p->shape[axis]; i++)
        if (!add_box(j, flat, p, part, axis + 1, from + i * p->stride[axis], to + (p->at[axis] + i) * inner))
            return false;
    return true;
}

/* Does one of n codes stand for NaN? */
static bool has_nan(const uint8_t *code, int64_t n)
{
    unsigned any = 0;
    for (int64_t i = 0; i < n; i++)
        any |= (code[i] & 0x7f) == 0x7f;
    return any;
}

/* The kernels know no NaN among the codes, so it is that of its group's scale. */
static void put_e4m3_scales(const struct tare_matrix *m, const uint8_t *code, const float *scale, float *to)
{
    for (int64_t g = 0; g < m->groups; g++)
        to[g] = has_nan(code + g * m->group, m->group) ? NAN : scale[g];
}

/* Stores row k of what was decoded in Q4, Q8 or E4M3. A zero becomes the offset -zero * scale. */
static void put_row(const struct job *j, const struct tare_codes *c, const struct run *r, int64_t k)
{
    const struct tare_matrix *m = j->m;
    unsigned char *row = j->data + (size_t)(r->to + k) * m->stride;
    if (m->storage == TARE_STORE_Q4)
        tare_q4_pack(c->code + k * m->in, m->in, row);
    else
        memcpy(row, c->code + k * m->in, (size_t)m->in);
    if (m->storage == TARE_STORE_E4M3) {
        put_e4m3_scales(m, c->code + k * m->in, c->scale + k * m->groups, j->scale + (r->to + k) * m->groups);
        return;
    }
    for (int64_t g = 0; g < m->groups; g++) {
        const float scale = c->scale[k * m->groups + g], offset = c->offset[k * m->groups + g];
        j->scale[(r->to + k) * m->groups + g] = scale;
        j->offset[(r->to + k) * m->groups + g] = r->module->packing->biases ? offset : -offset * scale;
    }
}

/* Repeats each group's numbers, as the matrix's groups are smaller by that factor. Works in place from the last group.
 */
static void spread_groups(struct tare_codes *c, int64_t rows, int64_t groups, int64_t repeat)
{
    for (int64_t i = rows * groups - 1; repeat > 1 && i >= 0; i--)
        for (int64_t k = repeat - 1; k >= 0; k--) {
            c->scale[i * repeat + k] = c->scale[i];
            c->offset[i * repeat + k] = c->offset[i];
        }
}

/* Puts the codes of row k into the matrix's order of columns. */
static void sort_row(struct tare_codes *c, int64_t k, const struct tare_matrix *m)
{
    uint8_t *row = c->code + k * m->in, *sorted = c->code + RUN_ROWS * m->in; /* spare room past the rows */
    for (int64_t i = 0; i < m->in; i++)
        sorted[i] = row[m->order[i]];
    memcpy(row, sorted, (size_t)m->in);
}

/* Replaces codes by their places in a table that has all of them. */
static void find_codes(uint8_t *code, int64_t n, const uint8_t table[16])
{
    uint8_t place[256] = {0};
    for (int k = 0; k < 16; k++)
        place[table[k]] = (uint8_t)k;
    for (int64_t i = 0; i < n; i++)
        code[i] = place[code[i]];
}

/* Codes that are floats, or all 16 that there are, as places in the table of the matrix. */
static void use_table(const struct tare_matrix *m, const struct run *r, struct work *c, int64_t headers)
{
    const struct tare_code_table *table = r->module->packing->table;
    for (int64_t k = 0; k < r->rows * headers; k++) {
        c->codes.scale[k] *= m->levels ? 1 : table->factor;
        c->codes.offset[k] = m->levels ? TARE_LEVELS_ZERO : table->zero;
    }
    if (r->module->packing->codes == TARE_CODE_INTEGER)
        find_codes(c->codes.code, r->rows * m->in, m->table);
}

static void repack_factored(const struct job *j, const struct run *r, struct work *c)
{
    const struct tare_matrix *m = j->m;
    const int64_t supers = m->in / m->super;
    struct tare_factored rows = {c->codes.code, c->codes.scale, c->codes.offset, c->factor, c->least};
    r->module->packing->factoring->rows(r->module, r->part, r->from, r->rows, &rows);
    if (m->table)
        use_table(m, r, c, supers);
    for (int64_t k = 0; k < r->rows; k++) {
        tare_tile_put(m, j->data, r->to + k, rows.code + k * m->in, rows.scale + k * supers, rows.offset + k * supers);
        tare_tile_put_factors(m, j->data, r->to + k, rows.factor + k * m->groups, rows.least + k * m->groups);
    }
}

static void repack_neutral(const struct job *j, const struct run *r, struct work *work)
{
    const struct tare_matrix *m = j->m;
    struct tare_codes *c = &work->codes;
    const int64_t groups = tare_module_groups(r->module);
    r->module->packing->decode(r->module, r->part, r->from, r->rows, c);
    spread_groups(c, r->rows, groups, m->groups / groups);
    const bool tiled = m->storage >= TARE_STORE_T4, biases = r->module->packing->biases;
    if (m->table)
        use_table(m, r, work, m->groups);
    for (int64_t k = 0; m->order && k < r->rows; k++)
        sort_row(c, k, m);
    for (int64_t k = 0; k < r->rows; k++) {
        float *scale = c->scale + k * m->groups, *offset = c->offset + k * m->groups;
        for (int64_t g = 0; tiled && !m->zeros && !biases && g < m->groups; g++)
            offset[g] *= -scale[g];
        if (tiled)
            tare_tile_put(m, j->data, r->to + k, c->code + k * m->in, scale, offset);
        else
            put_row(j, c, r, k);
    }
}

/* False: the rows cannot be read, now or by a run before. */
static bool hold_run(struct job *j, const struct run *r, struct tare_holds *holds)
{
    struct tare_error error = {0};
    if (!j->checkpoint->windowed)
        return true;
    pthread_mutex_lock(&j->lock);
    const bool failed = j->error.code != TARE_OK;
    pthread_mutex_unlock(&j->lock);
    if (!failed && !tare_module_hold(holds, j->checkpoint, r->module, r->from, r->rows, &error))
        return true;
    tare_holds_release(holds);
    pthread_mutex_lock(&j->lock);
    if (!j->error.code)
        j->error = error;
    pthread_mutex_unlock(&j->lock);
    return false;
}

/* Makes whole tiles by the packing's own way where there is one, and all other rows through the neutral form. */
static void repack_run(void *user, size_t i, int worker)
{
    struct job *j = user;
    struct run r = j->runs[i];
    struct tare_holds holds = {0};
    if (!hold_run(j, &r, &holds))
        return;
    const int64_t tiles = r.rows / TARE_TILE_ROWS;
    const bool tiled = j->m->storage >= TARE_STORE_T4 && !j->m->table && !j->m->order && !j->m->factors;
    if (tiled && tiles && r.to % TARE_TILE_ROWS == 0) {
        unsigned char *to = j->data + (size_t)(r.to / TARE_TILE_ROWS) * j->m->stride;
        const struct tare_stretch stretch = {r.module, r.part, r.from, j->m, to, tiles};
        if (tare_to_tiles(&stretch)) {
            r.from += tiles * TARE_TILE_ROWS;
            r.to += tiles * TARE_TILE_ROWS;
            r.rows -= tiles * TARE_TILE_ROWS;
        }
    }
    if (r.rows > 0)
        (j->m->factors ? repack_factored : repack_neutral)(j, &r, &j->work[worker]);
    tare_holds_release(&holds);
}

static bool room_for_work(struct job *j, int threads)
{
    const size_t in = (size_t)j->m->in, groups = (size_t)j->m->groups;
    j->work = calloc((size_t)threads, sizeof *j->work);
    for (int i = 0; j->work && i < threads; i++) {
        struct work *w = &j->work[i];
        w->codes.code = malloc((RUN_ROWS + 1) * in);
        w->codes.scale = malloc(RUN_ROWS * groups * sizeof(float));
        w->codes.offset = malloc(RUN_ROWS * groups * sizeof(float));
        w->factor = malloc(RUN_ROWS * groups);
        w->least = malloc(RUN_ROWS * groups);
        if (!w->codes.code || !w->codes.scale || !w->codes.offset || !w->factor || !w->least)
            return false;
    }
    return j->work != NULL;
}

static void release(struct job *j, int threads)
{
    for (int i = 0; j->work && i < threads; i++) {
        free(j->work[i].codes.code);
        free(j->work[i].codes.scale);
        free(j->work[i].codes.offset);
        free(j->work[i].factor);
        free(j->work[i].least);
    }
    free(j->work);
    free(j->runs);
}

enum tare_code tare_source_repack(struct tare_checkpoint *checkpoint, const struct tare_flat *flat,
                                  const struct tare_matrix *m, unsigned char *data, float *scale, float *offset,
                                  struct tare_pool *pool, struct tare_error *err)
{
    struct job j = {.m = m, .data = data, .scale = scale, .offset = offset, .checkpoint = checkpoint};
    if (pthread_mutex_init(&j.lock, NULL))
        return tare_fail_memory(err);
    const int threads = tare_pool_threads(pool);
    enum tare_code code = room_for_work(&j, threads) ? TARE_OK : tare_fail_memory(err);
    for (size_t i = 0; !code && i < flat->n; i++) {
        const struct tare_piece *p = &flat->pieces[i];
        const void *part[TARE_PARTS] = {NULL};
        code = tare_module_data(checkpoint, p->module, part, err);
        if (!code && !add_box(&j, flat, p, part, 0, p->start, 0))
            code = tare_fail_memory(err);
    }
    if (!code)
        tare_pool_run(pool, j.n, repack_run, &j);
    if (!code && (code = j.error.code) && err)
        *err = j.error;
    for (size_t i = 0; !code && i < flat->n; i++)
        for (int k = 0; k < TARE_PARTS; k++)
            if (flat->pieces[i].module->part[k])
                tare_tensor_give_back(checkpoint, flat->pieces[i].module->part[k]);
    release(&j, threads);
    pthread_mutex_destroy(&j.lock);
    return code;
}
