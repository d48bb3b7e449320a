/* SPDX-License-Identifier: MIT
 * budget.c - adds up what the plan of each weight takes, and compares it with the memory that there is. */
#include "run/weights/budget.h"

#include "base/memory.h"
#include "run/weights/weight_plan.h"

#define GIB (1024.0 * 1024 * 1024)

enum tare_code tare_budget_weights(struct tare_model *model, uint64_t *bytes, struct tare_error *err)
{
    struct tare_arena work = {0};
    enum tare_code code = TARE_OK;
    *bytes = 0;
    for (size_t i = 0; !code && i < model->tree.n; i++) {
        const struct tare_parameter *p = model->tree.parameters[i];
        struct tare_weight_plan plan = {0};
        if (tare_weight_entry(p))
            code = tare_weight_decide(&model->checkpoint, p, &work, &plan, err);
        if (__builtin_add_overflow(*bytes, plan.bytes, bytes))
            *bytes = UINT64_MAX;
        tare_arena_reset(&work);
    }
    tare_arena_release(&work);
    return code;
}

enum tare_code tare_budget_check(struct tare_model *model, uint64_t states, int64_t context, uint64_t most,
                                 struct tare_error *err)
{
    const uint64_t left = most ? most : tare_memory_available();
    uint64_t weights, need;
    const enum tare_code code = tare_budget_weights(model, &weights, err);
    if (code)
        return code;
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
