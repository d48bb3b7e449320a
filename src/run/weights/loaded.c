/* SPDX-License-Identifier: MIT
 * loaded.c - a plan's parameters -> matrices and vectors. */
#include "run/weights/loaded.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "kernels/tiles.h"
#include "run/weights/weight_source.h"

struct loading {
    struct tare_loaded *loaded;
    struct tare_checkpoint *checkpoint;
    struct tare_pool *pool;
    struct tare_error *err;
};

/* n * size bytes that live as long as the weights; NULL: no memory, or too many. */
static void *own(struct tare_loaded *loaded, int64_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow((size_t)n, size, &bytes) || bytes > SIZE_MAX / 2 ||
        !tare_grow(&loaded->owned, &loaded->owned_room, loaded->n_owned + 1, sizeof *loaded->owned))
        return NULL;
    void *block = tare_memory_block(bytes);
    if (block) {
        loaded->owned[loaded->n_owned++] = block;
        loaded->bytes += bytes;
    }
    return block;
}

static bool runnable(enum tare_dtype dtype)
{
    return dtype == TARE_F32 || dtype == TARE_F16 || dtype == TARE_BF16;
}

/* What the elements of a piece are kept in. A product of e4m3's 4 bits and a power of two is exact in bfloat16 (but
 * below 2^-133), and so is one of e2m1's 2 bits and e4m3's 4; scales that are any floats need float32. */
static enum tare_dtype dense_dtype(const struct tare_piece *p)
{
    const struct tare_module *m = p->module;
    if (m->packing == &tare_packing_plain)
        return m->dtype;
    const bool short_scales =
        m->packing->mode == TARE_MLX_MXFP8 || (m->packing->mode == TARE_MLX_NVFP4 && !m->part[TARE_PART_GLOBAL]);
    return short_scales && !p->value ? TARE_BF16 : TARE_F32;
}

/* The dtype a dense matrix is kept in: that of its pieces, float32 where they differ. */
static enum tare_code common_dtype(const struct tare_flat *flat, const char *name, enum tare_dtype *dtype,
                                   struct tare_error *err)
{
    *dtype = TARE_DTYPE_COUNT;
    for (size_t i = 0; i < flat->n; i++) {
        const enum tare_dtype own_dtype = dense_dtype(&flat->pieces[i]);
        if (!runnable(own_dtype))
            return tare_fail(err, TARE_E_UNKNOWN, name,
                             "stored as %s, which can be checked and converted, but not run yet",
                             tare_dtype_name(own_dtype));
        *dtype = *dtype == TARE_DTYPE_COUNT || *dtype == own_dtype ? own_dtype : TARE_F32;
    }
    return TARE_OK;
}

/* Do the elements lie in the file as they are needed? */
static bool in_place(const struct tare_flat *flat)
{
    const struct tare_piece *p = flat->pieces;
    if (flat->n != 1 || p->module->packing != &tare_packing_plain || p->value)
        return false;
    int64_t inner = 1;
    for (int k = flat->rank - 1; k >= 0; k--) {
        if (p->stride[k] != inner && p->shape[k] > 1)
            return false;
        inner *= p->shape[k];
    }
    return true;
}

static enum tare_code load_dense(const struct loading *l, const char *name, const struct tare_flat *flat,
                                 struct tare_matrix *m)
{
    enum tare_dtype dtype;
    enum tare_code code = common_dtype(flat, name, &dtype, l->err);
    if (code)
        return code;
    m->storage = dtype == TARE_F32 ? TARE_STORE_F32 : dtype == TARE_F16 ? TARE_STORE_F16 : TARE_STORE_BF16;
    m->stride = (size_t)m->in * tare_dtype_size(dtype);
    if (in_place(flat)) {
        const void *part[TARE_PARTS] = {NULL};
        code = tare_module_data(l->checkpoint, flat->pieces->module, part, l->err);
        if (!code)
            m->data =
                (const unsigned char *)part[TARE_PART_WEIGHT] + (size_t)flat->pieces->start * tare_dtype_size(dtype);
        return code;
    }
    void *data = own(l->loaded, m->rows, m->stride);
    m->data = data;
    return data ? tare_source_copy(l->checkpoint, flat, dtype, data, l->err) : tare_fail_memory(l->err);
}

/* Four rows of two bits a byte become rows of the kernels' 4-bit codes: code - 1. */
static enum tare_code load_ternary(const struct loading *l, const struct tare_parameter *p,
                                   const struct tare_flat *flat, struct tare_matrix *m)
{
    const void *part[TARE_PARTS] = {NULL};
    if (!in_place(flat) || flat->pieces->module->dtype != TARE_U8 || m->rows < 1)
        return tare_fail(l->err, TARE_E_UNKNOWN, p->name,
                         "ternary codes are run from bytes as they lie in the file only");
    const enum tare_code code = tare_module_data(l->checkpoint, flat->pieces->module, part, l->err);
    if (code)
        return code;
    const int64_t bytes = m->rows, in = m->in;
    *m = (struct tare_matrix){
        .storage = TARE_STORE_Q4, .rows = p->ternary, .in = in, .stride = tare_q4_stride(in), .group = in, .groups = 1};
    unsigned char *data = own(l->loaded, m->rows, m->stride), *row = own(l->loaded, in, 1);
    float *scale = own(l->loaded, m->rows, sizeof *scale), *offset = own(l->loaded, m->rows, sizeof *offset);
    if (!data || !row || !scale || !offset)
        return tare_fail_memory(l->err);
    for (int64_t r = 0; r < m->rows; r++) {
        const unsigned char *from =
            (const unsigned char *)part[TARE_PART_WEIGHT] + flat->pieces->start + r % bytes * in;
        for (int64_t i = 0; i < in; i++)
            row[i] = from[i] >> (2 * (r / bytes)) & 3;
        tare_q4_pack(row, in, data + (size_t)r * m->stride);
        scale[r] = 1;
        offset[r] = -1;
    }
    m->data = data;
    m->scale = scale;
    m->offset = offset;
    return TARE_OK;
}

/* Can the rows be tiled? Rows of experts, or of other parts, must not share a tile with another's. */
static bool tiles(const struct tare_matrix *m, const struct tare_parameter *p)
{
    return m->group % TARE_ACTIVATION_BLOCK == 0 && m->in % m->group == 0 && p->part % TARE_TILE_ROWS == 0 &&
           (p->rank < 3 || p->shape[p->rank - 2] % TARE_TILE_ROWS == 0);
}

/* The dtype of a module's scales as they lie in the file; blocks of GGUF's larger kinds hold factors of them: none. */
static enum tare_dtype scales_of(const struct tare_module *module)
{
    const struct tare_packing *packing = module->packing;
    if (packing == &tare_packing_gguf_q4_0 || packing == &tare_packing_gguf_q4_1 ||
        packing == &tare_packing_gguf_q5_0 || packing == &tare_packing_gguf_q5_1 || packing == &tare_packing_gguf_q8_0)
        return TARE_F16;
    return tare_dtype_size(module->part[TARE_PART_WEIGHT]->dtype) > 0 ? module->dtype : TARE_DTYPE_COUNT;
}

/* How scales and offsets are stored: as they are in the checkpoint, where all pieces agree, else in float32. A zero
 * point of up to 8 bits is exact in 16 bits, too; a bias made of one is not. */
static void choose_scales(const struct tare_flat *flat, struct tare_matrix *m)
{
    const enum tare_dtype dtype = scales_of(flat->pieces->module);
    const bool biases = flat->pieces->module->packing->biases;
    bool same = true;
    m->zeros = !biases;
    for (size_t i = 1; i < flat->n; i++) {
        const struct tare_module *module = flat->pieces[i].module;
        m->zeros = m->zeros && !module->packing->biases;
        same = same && scales_of(module) == dtype && module->packing->biases == biases;
    }
    m->scales = same && dtype == TARE_F16    ? TARE_SCALES_F16
                : same && dtype == TARE_BF16 ? TARE_SCALES_BF16
                                             : TARE_SCALES_F32;
    if (m->table) {
        m->scales = TARE_SCALES_BF16;
        m->zeros = true;
    }
}

static enum tare_code load_tiles(const struct loading *l, const struct tare_flat *flat, struct tare_matrix *m)
{
    m->storage = m->storage == TARE_STORE_Q4 ? TARE_STORE_T4 : TARE_STORE_T8;
    choose_scales(flat, m);
    m->stride = tare_tile_stride(m);
    unsigned char *data = own(l->loaded, tare_tile_count(m), m->stride);
    if (!data)
        return tare_fail_memory(l->err);
    if (m->rows % TARE_TILE_ROWS) /* rows that the last tile only has room for */
        memset(data + (size_t)(m->rows / TARE_TILE_ROWS) * m->stride, 0, m->stride);
    m->data = data;
    return tare_source_repack(l->checkpoint, flat, m, data, NULL, NULL, l->pool, l->err);
}

/* Codes of mxfp4, e2m1 floats, are halves: twice each is a whole number, to which 12 is added so that none is negative.
 * So w = scale / 2 * (table[code] - 12), where scale is a power of two, and its half exact in bfloat16. */
static const uint8_t twice[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

static bool is_mxfp4(const struct tare_recipe *recipe, const struct tare_flat *flat)
{
    bool all = recipe->packed && flat->n;
    for (size_t i = 0; all && i < flat->n; i++) {
        const struct tare_module *m = flat->pieces[i].module;
        all = m->packing->codes == TARE_CODE_E2M1 && m->packing->mode == TARE_MLX_MXFP4 && m->group_size == 32 &&
              tare_module_even(m);
    }
    return all;
}

/* Can a matrix whose columns are in groups of `group` be tiled? */
static bool can_tile(const struct tare_matrix *m, int64_t group, const struct tare_parameter *p)
{
    const struct tare_matrix grouped = {.in = m->in, .group = group};
    return tiles(&grouped, p);
}

/* Act-order: columns sorted by group, first to last of each; x is taken in that order. Only where every group has its
 * group_size columns, and all rows the same order: *fits says so. */
static enum tare_code sort_columns(const struct loading *l, const struct tare_flat *flat, struct tare_matrix *m,
                                   bool *fits)
{
    const struct tare_module *module = flat->pieces->module;
    const int64_t size = module->group_size, groups = tare_module_groups(module);
    const void *part[TARE_PARTS] = {NULL};
    const enum tare_code code = tare_module_data(l->checkpoint, module, part, l->err);
    *fits = false;
    if (code)
        return code;
    int64_t *filled = calloc((size_t)groups, sizeof *filled);
    int32_t *order = own(l->loaded, m->in, sizeof *order);
    *fits = filled && order;
    for (int64_t i = 0; *fits && i < m->in; i++) {
        const int64_t g = tare_module_group(module, part, i);
        if (!(*fits = g >= 0 && g < groups && filled[g] < size))
            break;
        order[g * size + filled[g]++] = (int32_t)i;
    }
    m->order = *fits ? order : NULL;
    const bool room = filled && order;
    free(filled);
    return room ? TARE_OK : tare_fail_memory(l->err);
}

/* Is it all of one module whose columns are in act-order, of whole groups? */
static bool is_disordered(const struct tare_recipe *recipe, const struct tare_flat *flat)
{
    const struct tare_module *first = flat->n ? flat->pieces->module : NULL;
    bool all = recipe->packed && first && first->act_order && !first->by_rows && first->group_size > 1 &&
               first->packing->codes == TARE_CODE_INTEGER && tare_module_columns(first) % first->group_size == 0 &&
               tare_module_columns(first) <= INT32_MAX;
    for (size_t i = 1; all && i < flat->n; i++)
        all = flat->pieces[i].module == first;
    return all;
}

static enum tare_code load_packed(const struct loading *l, const struct tare_parameter *p, const struct tare_flat *flat,
                                  struct tare_matrix *m)
{
    int bits = 0;
    for (size_t i = 0; i < flat->n; i++) {
        const struct tare_module *module = flat->pieces[i].module;
        bits = module->bits > bits ? module->bits : bits;
        m->group = tare_common_divisor(m->group, module->group_size > 0 ? module->group_size : m->in);
    }
    m->storage = bits <= 4 ? TARE_STORE_Q4 : TARE_STORE_Q8;
    m->groups = m->in / m->group;
    if (tiles(m, p))
        return load_tiles(l, flat, m);
    m->stride = bits <= 4 ? tare_q4_stride(m->in) : tare_q8_stride(m->in);
    unsigned char *data = own(l->loaded, m->rows, m->stride);
    float *scale = own(l->loaded, m->rows, (size_t)m->groups * sizeof *scale);
    float *offset = own(l->loaded, m->rows, (size_t)m->groups * sizeof *offset);
    if (!data || !scale || !offset)
        return tare_fail_memory(l->err);
    m->data = data;
    m->scale = scale;
    m->offset = offset;
    return tare_source_repack(l->checkpoint, flat, m, data, scale, offset, l->pool, l->err);
}

static enum tare_code load_vector(const struct loading *l, const struct tare_parameter *p, const struct tare_flat *flat)
{
    enum tare_dtype dtype;
    const enum tare_code code = common_dtype(flat, p->name, &dtype, l->err);
    if (code)
        return code;
    const int64_t n = tare_shape_count(flat->rank, flat->shape);
    float *vector = n < 0 ? NULL : own(l->loaded, n, sizeof *vector);
    l->loaded->vectors[p->index] = vector;
    return vector ? tare_source_copy(l->checkpoint, flat, TARE_F32, vector, l->err) : tare_fail_memory(l->err);
}

/* The kernels of packed matrices know integer codes and groups that are runs of columns; of all else there are ways for
 * mxfp4 and for act-order, the rest is expanded. */
static bool stays_packed(const struct tare_recipe *recipe, const struct tare_flat *flat)
{
    bool packed = recipe->packed && flat->n;
    for (size_t i = 0; packed && i < flat->n; i++) {
        const struct tare_module *m = flat->pieces[i].module;
        packed = m->packing->codes == TARE_CODE_INTEGER && tare_module_even(m) && m->group_size > 1;
    }
    return packed;
}

static enum tare_code load_parameter(const struct loading *l, const struct tare_parameter *p, struct tare_arena *work)
{
    struct tare_flat flat = {0};
    const struct tare_recipe *recipe = (p->active ? p->entry : p->aside)->recipe;
    enum tare_code code = tare_recipe_flatten(recipe, work, &flat, l->err);
    if (code)
        return code;
    if (p->kind == TARE_KIND_PLAIN)
        return load_vector(l, p, &flat);
    struct tare_matrix *m = &l->loaded->matrices[p->index];
    m->in = flat.shape[flat.rank - 1];
    m->rows = m->in > 0 ? tare_shape_count(flat.rank, flat.shape) / m->in : 0;
    if (p->ternary > 0)
        return load_ternary(l, p, &flat, m);
    bool packed = stays_packed(recipe, &flat);
    if (!packed && is_mxfp4(recipe, &flat) && can_tile(m, 32, p)) {
        m->table = twice;
        packed = true;
    }
    if (!packed && is_disordered(recipe, &flat) && can_tile(m, flat.pieces->module->group_size, p) &&
        (code = sort_columns(l, &flat, m, &packed)))
        return code;
    return packed ? load_packed(l, p, &flat, m) : load_dense(l, p->name, &flat, m);
}

enum tare_code tare_loaded_open(struct tare_loaded **loaded, struct tare_model *model, struct tare_pool *pool,
                                struct tare_error *err)
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
        if (p->active ? p->entry : p->aside)
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
    const struct tare_entry *entry = p->active ? p->entry : p->aside;
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
