/* SPDX-License-Identifier: MIT
 * token_shift.h - RWKV's look at the token before: y = x + mix (x of the token before - x), each element by itself.
 *
 * The last row is kept in a state part of kind SUM: planes 1, width dim; it is 0 before the first token.
 */
#ifndef TARE_BLOCKS_RECURRENT_TOKEN_SHIFT_H
#define TARE_BLOCKS_RECURRENT_TOKEN_SHIFT_H

#include "blocks/pass.h"

struct tare_state_part tare_token_shift_state(int64_t dim);
/* All tokens of the pass: x (tokens, dim), mix (dim), y (tokens, dim). part: of the running block's state. */
void tare_token_shift(const struct tare_pass *pass, int part, int64_t dim, const float *mix, const float *x, float *y);
/* Keeps the last row of each span for the next pass. Called once a pass. */
void tare_token_shift_keep(const struct tare_pass *pass, int part, int64_t dim, const float *x);

#endif
