/* SPDX-License-Identifier: MIT
 * ledger.h - the memory that all models of the server have together: their weights, and the states of their texts. */
#ifndef TARE_SERVE_LEDGER_H
#define TARE_SERVE_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

struct serve_ledger {
    uint64_t limit;
    /* Any thread, by the functions below. */
    _Atomic uint64_t used;
};

/* Takes bytes if they are there. */
bool serve_ledger_take(struct serve_ledger *ledger, uint64_t bytes);
/* Takes them in any case: they are in use already. */
void serve_ledger_add(struct serve_ledger *ledger, uint64_t bytes);
void serve_ledger_give(struct serve_ledger *ledger, uint64_t bytes);
uint64_t serve_ledger_left(const struct serve_ledger *ledger);

#endif
