/* SPDX-License-Identifier: MIT
 * prove.c - compares an output head with the embedding by value. */
#include "tree/prove.h"

#include <math.h>
#include <stdlib.h>

/* Rows of a tile. AWQ packs along the output, and 128 of its 4-bit codes fill a cache line of 64 bytes. */
#define TILE 128
/* Half a quantization step, and a little more, since producers round scales to 16 bits after they chose the codes. */
#define HALF_STEP 0.51f

/* One side of the comparison, a tile at a time. */
struct side {
    const struct tare_module *module;
    const void *part[TARE_PARTS];
    /* The rounding error of its dtype: relative, and absolute for subnormal numbers. */
    float rounding, least;
};

struct proving {
    struct tare_checkpoint *checkpoint;
    struct side head, embedding;
    int64_t rows, columns;
    int64_t *first; /* per tile: index of the first element that differs, or -1 */
    float (*values)[2];
    enum tare_code *codes; /* per tile */
    struct tare_error *errors;
};

/* Dequantized values of a tile and, for a packed side, what its codes allow: [low, high] around each value. */
struct tile {
    float *value, *low, *high;
};

static float rounding_of(enum tare_dtype dtype)
{
    return dtype == TARE_F32 || dtype == TARE_F64 ? 0x1p-23f
           : dtype == TARE_F16                    ? 0x1p-11f
           : dtype == TARE_BF16                   ? 0x1p-8f
                                                  : 0x1p-3f;
}

static struct side side_of(const struct tare_module *module)
{
    return (struct side){module, {0}, rounding_of(module->dtype), module->dtype == TARE_F16 ? 0x1p-25f : 0};
}

/* Each value may lie within half a step. Producers clip, so code 0 also stands for everything below, and the largest
 * code for everything above. */
static void packed_ranges(const struct side *side, const struct tare_codes *c, int64_t rows, int64_t columns,
                          struct tile *t)
{
    const struct tare_module *m = side->module;
    const int64_t groups = tare_module_groups(m);
    const int most = (1 << m->bits) - 1;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < columns; i++) {
            const int64_t at = r * columns + i, group = r * groups + tare_module_group(m, side->part, i);
            const float step = fabsf(c->scale[group]) * HALF_STEP;
            /* With a scale of 0 all codes are one value, and none is at an end. */
            const int first = c->scale[group] >= 0 ? 0 : most, last = most - first;
            t->low[at] = c->code[at] == first && step != 0 ? -INFINITY : t->value[at] - step;
            t->high[at] = c->code[at] == last && step != 0 ? INFINITY : t->value[at] + step;
        }
}

/* Where codes are floats, half a step is relative to the value: e4m3 has 3 bits of mantissa, e2m1 has one. */
static void float_ranges(const struct tare_module *m, const struct tare_codes *c, int64_t rows, int64_t columns,
                         struct tile *t)
{
    const int64_t groups = columns / m->group_size;
    const bool wide = m->packing->codes == TARE_CODE_E4M3;
    const uint8_t sign = wide ? 0x80 : 8, most = wide ? 0x7e : 7;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < columns; i++) {
            const int64_t at = r * columns + i, group = r * groups + i / m->group_size;
            const float scale = fabsf(c->scale[group]), least = scale * (wide ? 0x1p-10f : 0.25f);
            const float relative = fabsf(t->value[at]) * (wide ? 0x1p-4f : 0.25f);
            const float step = 2 * HALF_STEP * (relative > least ? relative : least);
            const bool end = (c->code[at] & (sign - 1)) == most && step != 0;
            const bool negative = (c->code[at] & sign) != 0;
            t->low[at] = end && negative ? -INFINITY : t->value[at] - step;
            t->high[at] = end && !negative ? INFINITY : t->value[at] + step;
        }
}

/* Where codes stand for the numbers of a table, half a step reaches at most to the farther neighbour's middle. */
static void table_ranges(const struct tare_module *m, const struct tare_codes *c, int64_t rows, int64_t columns,
                         struct tile *t)
{
    const float *table = m->packing->numbers(m);
    const int64_t groups = columns / m->group_size;
    float gap = 0;
    for (int a = 0; a < 16; a++) {
        float next = INFINITY;
        for (int b = 0; b < 16; b++)
            if (table[b] > table[a] && table[b] - table[a] < next)
                next = table[b] - table[a];
        gap = isfinite(next) && next > gap ? next : gap;
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < columns; i++) {
            const int64_t at = r * columns + i;
            const float step = fabsf(c->scale[r * groups + i / m->group_size]) * gap * HALF_STEP;
            t->low[at] = t->value[at] - step;
            t->high[at] = t->value[at] + step;
        }
}

static enum tare_code read_side(const struct side *side, int64_t row, int64_t rows, int64_t columns, struct tile *t,
                                struct tare_arena *work, struct tare_error *err)
{
    const size_t n = (size_t)(rows * columns);
    *t = (struct tile){tare_arena_array(work, n, sizeof(float)), tare_arena_array(work, n, sizeof(float)),
                       tare_arena_array(work, n, sizeof(float))};
    if (work->failed)
        return tare_fail_memory(err);
    const enum tare_code code = tare_module_floats(side->module, side->part, row, rows, t->value, work, err);
    if (code)
        return code;
    if (!side->module->packed || side->module->packing->codes == TARE_CODE_NONE) {
        for (size_t i = 0; i < n; i++) {
            /* infinity * 0 and infinity - infinity would be NaN. */
            const float slack = isinf(t->value[i]) ? 0 : fabsf(t->value[i]) * side->rounding + side->least;
            t->low[i] = t->value[i] - slack;
            t->high[i] = t->value[i] + slack;
        }
        return TARE_OK;
    }
    const size_t groups = (size_t)(rows * tare_module_groups(side->module));
    struct tare_codes codes = {tare_arena_alloc(work, n), tare_arena_array(work, groups, sizeof(float)),
                               tare_arena_array(work, groups, sizeof(float))};
    if (work->failed)
        return tare_fail_memory(err);
    side->module->packing->decode(side->module, side->part, row, rows, &codes);
    if (side->module->packing->codes == TARE_CODE_TABLE)
        table_ranges(side->module, &codes, rows, columns, t);
    else if (side->module->packing->codes == TARE_CODE_INTEGER)
        packed_ranges(side, &codes, rows, columns, t);
    else
        float_ranges(side->module, &codes, rows, columns, t);
    return TARE_OK;
}

/* Finds the first element whose intervals do not overlap. NaN overlaps with nothing. */
static void prove_tile(void *user, size_t index, int worker)
{
    struct proving *p = user;
    struct tare_arena work = {0};
    struct tile head = {0}, embedding = {0};
    (void)worker;
    const int64_t row = (int64_t)index * TILE, rows = p->rows - row < TILE ? p->rows - row : TILE;
    p->first[index] = -1;
    struct tare_holds holds = {0};
    struct tare_error *err = &p->errors[index];
    p->codes[index] = tare_module_hold(&holds, p->checkpoint, p->head.module, row, rows, err);
    if (!p->codes[index])
        p->codes[index] = tare_module_hold(&holds, p->checkpoint, p->embedding.module, row, rows, err);
    if (!p->codes[index])
        p->codes[index] = read_side(&p->head, row, rows, p->columns, &head, &work, err);
    if (!p->codes[index])
        p->codes[index] = read_side(&p->embedding, row, rows, p->columns, &embedding, &work, err);
    for (int64_t i = 0; !p->codes[index] && i < rows * p->columns; i++)
        if (!(head.low[i] <= embedding.high[i] && embedding.low[i] <= head.high[i])) {
            p->first[index] = row * p->columns + i;
            p->values[index][0] = head.value[i];
            p->values[index][1] = embedding.value[i];
            break;
        }
    tare_holds_release(&holds);
    tare_arena_release(&work);
}

static enum tare_code judge(const struct proving *p, size_t tiles, struct tare_arena *arena, enum tare_proof *proof,
                            const char **difference, struct tare_error *err)
{
    *proof = TARE_PROOF_EQUAL;
    for (size_t k = 0; k < tiles; k++) {
        if (p->codes[k]) {
            if (err)
                *err = p->errors[k];
            return p->codes[k];
        }
        if (p->first[k] < 0)
            continue;
        *proof = TARE_PROOF_DIFFERS;
        *difference = tare_arena_format(arena, "first at row %lld, column %lld: %g in the head, %g in the embedding",
                                        (long long)(p->first[k] / p->columns), (long long)(p->first[k] % p->columns),
                                        (double)p->values[k][0], (double)p->values[k][1]);
        break;
    }
    return TARE_OK;
}

enum tare_code tare_head_prove(struct tare_checkpoint *checkpoint, const struct tare_module *head,
                               const struct tare_module *embedding, struct tare_pool *pool, struct tare_arena *arena,
                               enum tare_proof *proof, const char **difference, struct tare_error *err)
{
    *proof = TARE_PROOF_DIFFERS;
    if (head->rank != 2 || embedding->rank != 2 || head->shape[0] != embedding->shape[0] ||
        head->shape[1] != embedding->shape[1]) {
        *difference = "their shapes differ";
        return TARE_OK;
    }
    struct proving p = {.checkpoint = checkpoint,
                        .head = side_of(head),
                        .embedding = side_of(embedding),
                        .rows = head->shape[0],
                        .columns = head->shape[1]};
    /* Two plain sides: only the coarser dtype has rounded anything. */
    if (head->dtype == embedding->dtype && !head->packed && !embedding->packed)
        p.head.rounding = p.embedding.rounding = p.head.least = p.embedding.least = 0;
    enum tare_code code = tare_module_data(checkpoint, head, p.head.part, err);
    if (!code)
        code = tare_module_data(checkpoint, embedding, p.embedding.part, err);
    const size_t tiles = (size_t)((p.rows + TILE - 1) / TILE);
    if (!code && (!p.rows || !p.columns))
        *proof = TARE_PROOF_EQUAL;
    if (code || !p.rows || !p.columns)
        return code;
    p.first = calloc(tiles, sizeof *p.first);
    p.values = calloc(tiles, sizeof *p.values);
    p.codes = calloc(tiles, sizeof *p.codes);
    p.errors = calloc(tiles, sizeof *p.errors);
    if (p.first && p.values && p.codes && p.errors) {
        tare_pool_run(pool, tiles, prove_tile, &p);
        code = judge(&p, tiles, arena, proof, difference, err);
    } else {
        code = tare_fail_memory(err);
    }
    free(p.first);
    free(p.values);
    free(p.codes);
    free(p.errors);
    return code;
}

enum tare_code tare_module_is_zero(struct tare_checkpoint *checkpoint, const struct tare_module *module, bool *zero,
                                   struct tare_error *err)
{
    struct tare_arena work = {0};
    const void *part[TARE_PARTS] = {0};
    *zero = true;
    struct tare_holds holds = {0};
    enum tare_code code = tare_module_data(checkpoint, module, part, err);
    if (!code)
        code = tare_module_hold_all(&holds, checkpoint, module, err);
    const int64_t n = tare_shape_count(module->rank, module->shape);
    float *values = code ? NULL : tare_arena_array(&work, (size_t)n, sizeof *values);
    if (!code && !values)
        code = tare_fail_memory(err);
    if (!code)
        code = tare_module_floats(module, part, 0, tare_module_rows(module), values, &work, err);
    for (int64_t i = 0; !code && values && i < n && *zero; i++)
        *zero = values[i] == 0;
    tare_holds_release(&holds);
    tare_arena_release(&work);
    return code;
}
