/* SPDX-License-Identifier: MIT
 * weight_plan.c - decides what a parameter becomes in memory. Packed weights stay packed where the kernels know their
 * codes and groups; tiles are the form that runs fast, and rows are for what tiles cannot hold. */
#include "run/weights/weight_plan.h"

#include <math.h>

#include "kernels/tiles.h"
#include "packing/to_tiles.h"
#include "run/weights/levels.h"

/* n * size bytes; UINT64_MAX when that is more than can be counted. */
static uint64_t bytes_of(int64_t n, uint64_t size)
{
    uint64_t bytes;
    return n < 0 || __builtin_mul_overflow((uint64_t)n, size, &bytes) ? UINT64_MAX : bytes;
}

static uint64_t add_bytes(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* ---- dense ------------------------------------------------------------------------------------------------------- */

static bool runnable(enum tare_dtype dtype)
{
    return dtype == TARE_F32 || dtype == TARE_F16 || dtype == TARE_BF16;
}

/* What the elements of a piece are kept in. The expanded values of some packings are exact in bfloat16: a product of
 * e4m3's 4 bits and a power of two is (but below 2^-133), and so is one of e2m1's 2 bits and e4m3's 4. A further scale
 * or a function of the values needs float32. */
static enum tare_dtype dense_dtype(const struct tare_piece *p)
{
    const struct tare_module *m = p->module;
    if (m->packing == &tare_packing_plain)
        return m->dtype;
    return m->packing->exact && !m->part[TARE_PART_GLOBAL] && !p->value ? m->packing->exact : TARE_F32;
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

/* Do the elements lie in the file in the order in which they are needed? */
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

static enum tare_code decide_dense(const char *name, struct tare_weight_plan *plan, struct tare_error *err)
{
    struct tare_matrix *m = &plan->matrix;
    const enum tare_code code = common_dtype(&plan->flat, name, &plan->dtype, err);
    plan->form = in_place(&plan->flat) ? TARE_WEIGHT_MAPPED : TARE_WEIGHT_DENSE;
    m->storage = plan->dtype == TARE_F32 ? TARE_STORE_F32 : plan->dtype == TARE_F16 ? TARE_STORE_F16 : TARE_STORE_BF16;
    m->stride = code ? 0 : (size_t)m->in * tare_dtype_size(plan->dtype);
    plan->bytes = bytes_of(m->rows, m->stride);
    return code;
}

/* Codes of two bits, four rows to a byte, become rows of Q4 with one scale and one offset each. */
static enum tare_code decide_ternary(const struct tare_parameter *p, struct tare_weight_plan *plan,
                                     struct tare_error *err)
{
    struct tare_matrix *m = &plan->matrix;
    if (!in_place(&plan->flat) || plan->flat.pieces->module->dtype != TARE_U8 || m->rows < 1)
        return tare_fail(err, TARE_E_UNKNOWN, p->name, "ternary codes are run from bytes as they lie in the file only");
    *m = (struct tare_matrix){.storage = TARE_STORE_Q4,
                              .rows = p->ternary,
                              .in = m->in,
                              .stride = tare_q4_stride(m->in),
                              .group = m->in,
                              .groups = 1};
    plan->form = TARE_WEIGHT_TERNARY;
    plan->bytes = bytes_of(m->rows, m->stride + 2 * sizeof(float));
    return TARE_OK;
}

/* ---- packed ------------------------------------------------------------------------------------------------------ */

/* The columns that share a scale in all pieces: the largest group that divides the groups of each. */
static int64_t common_group(const struct tare_flat *flat, int64_t in)
{
    int64_t group = 0;
    for (size_t i = 0; i < flat->n; i++) {
        const int64_t size = flat->pieces[i].module->group_size;
        group = tare_common_divisor(group, size > 0 ? size : in);
    }
    return group;
}

/* Can rows with groups of `group` columns be tiled? Rows of experts, or of other parts, must not share a tile with
 * those of another. */
static bool can_tile(const struct tare_matrix *m, int64_t group, const struct tare_parameter *p)
{
    return group > 0 && group % TARE_ACTIVATION_BLOCK == 0 && m->in % group == 0 && p->part % TARE_TILE_ROWS == 0 &&
           (p->rank < 3 || p->shape[p->rank - 2] % TARE_TILE_ROWS == 0);
}

/* The dtype in which a module's scales lie in the file. Blocks of GGUF's larger kinds have several groups and store
 * factors, whose products are the scales: none. */
static enum tare_dtype stored_scales(const struct tare_module *module)
{
    const enum tare_dtype blocks = module->packing->blocks;
    if (module->packing->floats) /* neutral numbers are made of the stored ones */
        return TARE_DTYPE_COUNT;
    return blocks && module->group_size < tare_dtype_block(blocks).columns ? TARE_DTYPE_COUNT : module->dtype;
}

/* The factoring of all pieces, whose groups must be those of the matrix; NULL: they have not the same. */
static const struct tare_factoring *common_factoring(const struct tare_flat *flat, const struct tare_matrix *m)
{
    const struct tare_factoring *factoring = flat->pieces->module->packing->factoring;
    const bool biases = flat->pieces->module->packing->biases;
    for (size_t i = 0; factoring && i < flat->n; i++) {
        const struct tare_module *module = flat->pieces[i].module;
        if (module->packing->factoring != factoring || module->packing->biases != biases ||
            module->group_size != m->group || (factoring->columns && m->in % factoring->columns))
            factoring = NULL;
    }
    return m->order ? NULL : factoring;
}

static void choose_factors(const struct tare_factoring *factoring, const struct tare_flat *flat, struct tare_matrix *m)
{
    m->factors = factoring->factors;
    m->super = factoring->columns ? factoring->columns : m->in;
    m->zeros = !flat->pieces->module->packing->biases;
    m->scales = factoring->scales == TARE_F16    ? TARE_SCALES_F16
                : factoring->scales == TARE_BF16 ? TARE_SCALES_BF16
                                                 : TARE_SCALES_F32;
}

/* How scales and offsets of tiles are stored: as they are in the checkpoint, where all pieces agree, else in float32. A
 * zero point of up to 8 bits is exact in 16 bits too; a bias made of one is not. */
static void choose_scales(const struct tare_flat *flat, struct tare_matrix *m)
{
    const struct tare_factoring *factoring = common_factoring(flat, m);
    const enum tare_dtype dtype = stored_scales(flat->pieces->module);
    const bool biases = flat->pieces->module->packing->biases;
    bool same = true;
    if (factoring) {
        choose_factors(factoring, flat, m);
        return;
    }
    m->zeros = !biases;
    if (m->levels) /* scales are any floats: they must not be rounded */
        return;
    for (size_t i = 1; i < flat->n; i++) {
        const struct tare_module *module = flat->pieces[i].module;
        m->zeros = m->zeros && !module->packing->biases;
        same = same && stored_scales(module) == dtype && module->packing->biases == biases;
    }
    m->scales = same && dtype == TARE_F16    ? TARE_SCALES_F16
                : same && dtype == TARE_BF16 ? TARE_SCALES_BF16
                                             : TARE_SCALES_F32;
}

/* The smallest kind of tiles that has codes of that many bits. */
static enum tare_storage storage_of(int bits)
{
    static const enum tare_storage storages[] = {
        [0] = TARE_STORE_T2, [1] = TARE_STORE_T2, [2] = TARE_STORE_T2, [3] = TARE_STORE_T3,
        [4] = TARE_STORE_T4, [5] = TARE_STORE_T5, [6] = TARE_STORE_T6};
    return bits <= 6 ? storages[bits] : TARE_STORE_T8;
}

static void decide_packed(const struct tare_parameter *p, struct tare_weight_plan *plan)
{
    struct tare_matrix *m = &plan->matrix;
    int bits = 0;
    for (size_t i = 0; i < plan->flat.n; i++)
        if (plan->flat.pieces[i].module->bits > bits)
            bits = plan->flat.pieces[i].module->bits;
    m->group = common_group(&plan->flat, m->in);
    m->groups = m->in / m->group;
    if (can_tile(m, m->group, p)) {
        plan->form = TARE_WEIGHT_TILES;
        m->storage = m->table ? TARE_STORE_T4 : storage_of(bits);
        choose_scales(&plan->flat, m);
        m->stride = tare_tile_stride(m);
        plan->bytes =
            add_bytes(bytes_of(tare_tile_count(m), m->stride), m->order ? bytes_of(m->in, sizeof *m->order) : 0);
        return;
    }
    plan->form = TARE_WEIGHT_ROWS;
    m->storage = bits <= 4 ? TARE_STORE_Q4 : TARE_STORE_Q8;
    m->stride = bits <= 4 ? tare_q4_stride(m->in) : tare_q8_stride(m->in);
    plan->bytes = bytes_of(m->rows, m->stride + (size_t)m->groups * (sizeof *m->scale + sizeof *m->offset));
}

/* Are all pieces e4m3, whose values are a scale times a code, in groups that the kernels take? */
static bool is_e4m3(const struct tare_recipe *recipe, const struct tare_flat *flat, int64_t in)
{
    const int64_t group = common_group(flat, in);
    bool all = recipe->packed && flat->n && (group % TARE_ACTIVATION_BLOCK == 0 || group == in);
    for (size_t i = 0; all && i < flat->n; i++) {
        const struct tare_module *m = flat->pieces[i].module;
        all = m->packing->codes == TARE_CODE_E4M3 && !m->packing->floats && tare_module_even(m);
    }
    return all;
}

/* One byte a column, by rows: float32 activations cost no more than reading them, and nothing is rounded. */
static void decide_e4m3(struct tare_weight_plan *plan)
{
    struct tare_matrix *m = &plan->matrix;
    m->group = common_group(&plan->flat, m->in);
    m->groups = m->in / m->group;
    plan->form = TARE_WEIGHT_ROWS;
    m->storage = TARE_STORE_E4M3;
    m->stride = tare_q8_stride(m->in);
    plan->bytes = bytes_of(m->rows, m->stride + (size_t)m->groups * sizeof *m->scale);
}

/* ---- which of them ----------------------------------------------------------------------------------------------- */

/* The kernels of packed matrices know integer codes and groups that are runs of columns. */
static bool stays_packed(const struct tare_recipe *recipe, const struct tare_flat *flat)
{
    bool packed = recipe->packed && flat->n;
    for (size_t i = 0; packed && i < flat->n; i++) {
        const struct tare_module *m = flat->pieces[i].module;
        packed = m->packing->codes == TARE_CODE_INTEGER && tare_module_even(m) && m->group_size > 1;
    }
    return packed;
}

/* The table by which the codes of all pieces, which are floats, become whole numbers, or that has all codes of all
 * pieces, which are integers; NULL: there is none. */
static const struct tare_code_table *common_table(const struct tare_recipe *recipe, const struct tare_flat *flat)
{
    const struct tare_code_table *table = recipe->packed && flat->n ? flat->pieces->module->packing->table : NULL;
    for (size_t i = 0; table && i < flat->n; i++) {
        const struct tare_module *m = flat->pieces[i].module;
        if (m->packing->table != table || !tare_module_even(m))
            table = NULL;
    }
    return table;
}

static bool are_finite(const float *x, int n)
{
    bool all = true;
    for (int k = 0; k < n; k++)
        all = all && isfinite(x[k]);
    return all;
}

/* The 16 numbers that the codes of all pieces stand for; NULL: they have none, not the same, or some that are no
 * numbers. */
static const float *common_levels(const struct tare_recipe *recipe, const struct tare_flat *flat)
{
    const float *levels = NULL;
    for (size_t i = 0; i < flat->n; i++) {
        const struct tare_module *m = flat->pieces[i].module;
        const bool known = recipe->packed && m->packing->codes == TARE_CODE_TABLE && tare_module_even(m);
        const float *own = known ? m->packing->numbers(m) : NULL;
        if (!own || !are_finite(own, 16) || (levels && memcmp(own, levels, 16 * sizeof *levels)))
            return NULL;
        levels = own;
    }
    return levels;
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

/* Lists the columns of a module in act-order by group, and within a group from first to last: order[i] is the column
 * that comes to place i. False: some group has not its group_size columns. filled: zeros, one a group. */
static bool sort_columns(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t *filled,
                         int32_t *order)
{
    const int64_t size = module->group_size, groups = tare_module_groups(module), in = tare_module_columns(module);
    for (int64_t i = 0; i < in; i++) {
        const int64_t g = tare_module_group(module, part, i);
        if (g < 0 || g >= groups || filled[g] >= size)
            return false;
        order[g * size + filled[g]++] = (int32_t)i;
    }
    return true;
}

/* Act-order: the columns can be sorted, and x taken in that order, where every group has its group_size columns. Sets
 * the matrix's order, or leaves it NULL. */
static enum tare_code decide_order(struct tare_checkpoint *checkpoint, struct tare_arena *work,
                                   struct tare_weight_plan *plan, struct tare_error *err)
{
    const struct tare_module *module = plan->flat.pieces->module;
    const void *part[TARE_PARTS] = {NULL};
    const enum tare_code code =
        tare_tensor_data(checkpoint, module->part[TARE_PART_G_IDX], &part[TARE_PART_G_IDX], err);
    if (code)
        return code;
    int64_t *filled = tare_arena_array(work, (size_t)tare_module_groups(module), sizeof *filled);
    int32_t *order = tare_arena_array(work, (size_t)plan->matrix.in, sizeof *order);
    if (!filled || !order)
        return tare_fail_memory(err);
    plan->matrix.order = sort_columns(module, part, filled, order) ? order : NULL;
    return TARE_OK;
}

enum tare_code tare_weight_decide(struct tare_checkpoint *checkpoint, const struct tare_parameter *p,
                                  struct tare_arena *work, struct tare_weight_plan *plan, struct tare_error *err)
{
    const struct tare_recipe *recipe = tare_weight_entry(p)->recipe;
    struct tare_flat *flat = &plan->flat;
    struct tare_matrix *m = &plan->matrix;
    *plan = (struct tare_weight_plan){.form = TARE_WEIGHT_VECTOR};
    enum tare_code code = tare_recipe_flatten(recipe, work, flat, err);
    if (code)
        return code;
    if (p->kind == TARE_KIND_PLAIN) {
        plan->dtype = TARE_F32;
        plan->bytes = bytes_of(tare_shape_count(flat->rank, flat->shape), sizeof(float));
        enum tare_dtype stored;
        return common_dtype(flat, p->name, &stored, err);
    }
    m->in = flat->shape[flat->rank - 1];
    m->rows = m->in > 0 ? tare_shape_count(flat->rank, flat->shape) / m->in : 0;
    if (p->ternary > 0)
        return decide_ternary(p, plan, err);
    if (is_e4m3(recipe, flat, m->in)) {
        decide_e4m3(plan);
        return TARE_OK;
    }
    bool packed = stays_packed(recipe, flat);
    const struct tare_code_table *table = common_table(recipe, flat);
    const float *levels;
    if (table && can_tile(m, common_group(flat, m->in), p)) {
        m->table = table->value;
        for (int k = 0; k < 16; k++)
            m->wide = m->wide || table->value[k] >= 32;
        packed = true;
    } else if ((levels = common_levels(recipe, flat)) && can_tile(m, common_group(flat, m->in), p)) {
        struct tare_levels *own = tare_arena_array(work, 1, sizeof *own);
        if (!own)
            return tare_fail_memory(err);
        tare_levels_fit(levels, own);
        tare_levels_use(own, m);
        packed = true;
    } else if (!packed && is_disordered(recipe, flat) && can_tile(m, flat->pieces->module->group_size, p)) {
        if ((code = decide_order(checkpoint, work, plan, err)))
            return code;
        packed = m->order != NULL;
    }
    if (!packed)
        return decide_dense(p->name, plan, err);
    decide_packed(p, plan);
    return TARE_OK;
}
