/* SPDX-License-Identifier: MIT
 * prompt_cache.h - keeps a session in a file: its ids, and what its blocks remember of them.
 *
 *     "TARE TXT"  version u32  kv bits u32  model u64  length i64  states i64  turn i64      48 bytes, little endian
 *     ids         length * i32
 *     states      one after another: see tare_state_bytes()
 *     hash        u64: XXH3 of all before
 *
 * `model` is a hash of the parameters' names and shapes and of 64 bytes out of each tensor, so that a file is not taken
 * for that of another model of the same architecture.
 */
#ifndef TARE_RUN_SESSION_PROMPT_CACHE_H
#define TARE_RUN_SESSION_PROMPT_CACHE_H

#include "blocks/state.h"
#include "plan/plan.h"

struct tare_saved_session {
    int64_t length, n_states;
    int32_t *ids;
    struct tare_state **states; /* NULL for a block without a state */
    int turn, kv_bits;
};

enum tare_code tare_prompt_cache_write(const char *path, struct tare_model *model,
                                       const struct tare_saved_session *saved, struct tare_error *err);
/* Reads into saved->states, which are open and have the parts of this model, and into saved->ids, which has room for
 * `context` ids; writes length and turn. After a failure ids and states are undefined, and the text must begin anew. */
enum tare_code tare_prompt_cache_read(const char *path, struct tare_model *model, struct tare_saved_session *saved,
                                      int64_t context, struct tare_error *err);

#endif
