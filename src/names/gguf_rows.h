/* SPDX-License-Identifier: MIT
 * gguf_rows.h - what GGUF stores otherwise than the checkpoint it was made of, undone by verbs. */
#ifndef TARE_NAMES_GGUF_ROWS_H
#define TARE_NAMES_GGUF_ROWS_H

#include "module/module.h"

/* Before the model's sanitize: entry k is still modules[k], whose `restored` is filled in. Rows of packed modules are
 * restored by their decode() (packing/gguf/gguf_block.c). */
void tare_gguf_restore(struct tare_weights *w, const struct tare_gguf_facts *facts, struct tare_module *modules,
                       size_t n);

#endif
