/* SPDX-License-Identifier: MIT
 * shortcut.h - a second feed-forward block whose result is added a layer later (LongCat-Flash's shortcut-connected
 * mixture of experts, Meituan 2025). */
#ifndef TARE_BLOCKS_FEED_FORWARD_SHORTCUT_H
#define TARE_BLOCKS_FEED_FORWARD_SHORTCUT_H

#include "blocks/decoder.h"

/* Lets `beside` see what from->ffn sees, and adds its output to x at the end of `to`, a later layer. Neither of the two
 * has a state. It waits in TARE_SLICE_LATER, which the caller declares dim wide, so that one shortcut ends before the
 * next one begins. Where one of the two does not run, from->ffn does not either. */
void tare_shortcut(struct tare_layer *from, struct tare_block beside, struct tare_layer *to, struct tare_arena *arena);

#endif
