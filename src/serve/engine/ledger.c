/* SPDX-License-Identifier: MIT
 * ledger.c - counts bytes that several engines and the loader of models take and give back. */
#include "serve/engine/ledger.h"

#include <stdatomic.h>

bool serve_ledger_take(struct serve_ledger *l, uint64_t bytes)
{
    uint64_t used = atomic_load(&l->used);
    do {
        if (used > l->limit || bytes > l->limit - used)
            return bytes == 0;
    } while (!atomic_compare_exchange_weak(&l->used, &used, used + bytes));
    return true;
}

void serve_ledger_add(struct serve_ledger *l, uint64_t bytes)
{
    atomic_fetch_add(&l->used, bytes);
}

void serve_ledger_give(struct serve_ledger *l, uint64_t bytes)
{
    atomic_fetch_sub(&l->used, bytes);
}

uint64_t serve_ledger_left(const struct serve_ledger *l)
{
    const uint64_t used = atomic_load(&l->used);
    return used < l->limit ? l->limit - used : 0;
}
