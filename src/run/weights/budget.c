/* SPDX-License-Identifier: MIT
 * budget.c - the sizes of what stands in a plan. */
#include "run/weights/budget.h"

#include "base/memory.h"
#include "packing/packing.h"

#define GIB (1024.0 * 1024 * 1024)

/* The module that gives a recipe its form. */
static const struct tare_module *first_module(const struct tare_recipe *r)
{
    while (r->op != TARE_OP_TAKE && r->n_inputs > 0)
        r = r->inputs[0];
    return r->op == TARE_OP_TAKE ? r->module : NULL;
}

/* Bytes of a group's scale and offset: 16 bits each as most checkpoints have them; blocks of GGUF's larger kinds hold
 * factors of scales, whose products take 32 (loaded.c, choose_scales). */
static double numbers_of(const struct tare_module *m)
{
    const bool factors = m->packing->blocks && m->group_size < tare_dtype_block(m->packing->blocks).columns;
    return m->dtype == TARE_F32 || factors ? 8 : 4;
}

/* Packed: codes of 4 or 8 bits, and for each group two numbers; see kernels/tiles.h. Codes that are floats are
 * expanded, but for mxfp4. A dense head may be kept in 8 bits, too (head8.h): pages of it are then given back, which
 * are more. */
static double bytes_of(const struct tare_recipe *r)
{
    const int64_t n = tare_shape_count(r->rank, r->shape);
    const struct tare_module *m = first_module(r);
    if (n < 0 || !m)
        return 0;
    const bool codes = m->packing->codes == TARE_CODE_INTEGER || m->packing->mode == TARE_MLX_MXFP4;
    const bool short_scales = m->packing->mode == TARE_MLX_MXFP8 || m->packing->mode == TARE_MLX_NVFP4;
    if (r->packed && !codes && m->bits)
        return (double)n * (short_scales && !m->part[TARE_PART_GLOBAL] ? 2 : 4); /* loaded.c, dense_dtype */
    if (!r->packed || m->bits == 0)
        return (double)n * (double)tare_dtype_size(r->packed ? TARE_F32 : r->dtype);
    const double group = m->group_size > 0 ? (double)m->group_size : 128;
    return (double)n * ((m->bits <= 4 ? 0.5 : 1) + numbers_of(m) / group);
}

uint64_t tare_budget_weights(const struct tare_model *model)
{
    double sum = 0;
    for (size_t i = 0; i < model->tree.n; i++) {
        const struct tare_parameter *p = model->tree.parameters[i];
        if (p->active && p->entry && p->entry->recipe)
            sum += bytes_of(p->entry->recipe);
    }
    return sum < 0x1p63 ? (uint64_t)sum : UINT64_MAX / 2;
}

enum tare_code tare_budget_check(const struct tare_model *model, uint64_t states, int64_t context, uint64_t most,
                                 struct tare_error *err)
{
    const uint64_t left = most ? most : tare_memory_available(), weights = tare_budget_weights(model);
    uint64_t need;
    if (__builtin_add_overflow(weights, states, &need))
        need = UINT64_MAX;
    if (need <= left)
        return TARE_OK;
    return tare_fail(
        err, TARE_E_MEMORY, "",
        "this takes %.2f GiB for the weights and %.2f GiB for a context of %lld tokens; %.2f GiB of memory "
        "are free. A shorter context or fewer bits a weight take less",
        (double)weights / GIB, (double)states / GIB, (long long)context, (double)left / GIB);
}
