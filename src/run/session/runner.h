/* SPDX-License-Identifier: MIT
 * runner.h - what passes through a model need besides the sequences: threads, work memory, the loaded weights. */
#ifndef TARE_RUN_SESSION_RUNNER_H
#define TARE_RUN_SESSION_RUNNER_H

#include "blocks/pass.h"

/* The most tokens of one pass. Scratch stays small, and weights are unpacked once for that many tokens. */
enum { TARE_PASS_TOKENS = 256 };

struct tare_common;

struct tare_runner {
    int holders;       /* the sessions that use it; changed atomically */
    tare_model *model; /* the runner holds a reference to it */
    const struct tare_decoder *decoder;
    struct tare_pass pass;
    struct tare_matrix head;    /* of decoder->head */
    float *memory;              /* x, y, normed and scratch of a pass, one after another */
    int64_t room;               /* tokens of a pass for which memory has room */
    float **work;               /* a buffer for each thread */
    size_t work_room;           /* floats of each buffer */
    struct tare_common *common; /* the threads it works with; NULL: they are those of a caller or of the plan */
    struct tare_loaded *alone;  /* weights that it does not share; NULL: it has the model's */
};

/* The fields of struct tare_session_options that a runner needs. */
struct tare_runner_options {
    struct tare_threads *pool;
    int threads;
    bool exact;
    const volatile int *cancel;
    /* Whether the weights fit is found out before they are loaded: the bytes of the session's states, for a context of
     * so many tokens, and how much weights and states may take. */
    uint64_t states, memory;
    int64_t context;
};

/* Opens a runner, and loads the model's weights unless they are. The runner holds a reference to the model; at first
 * the caller is its only holder. */
enum tare_code tare_runner_open(struct tare_runner **runner, tare_model *model,
                                const struct tare_runner_options *options, struct tare_error *err);
void tare_runner_hold(struct tare_runner *runner);
void tare_runner_free(struct tare_runner *runner); /* takes one holder away, and frees it after the last; may be NULL */

/* Makes room in work memory for passes of `tokens` tokens over texts of at most `length` positions. After a failure the
 * memory is as before. */
enum tare_code tare_runner_reserve(struct tare_runner *runner, int64_t tokens, int64_t length, struct tare_error *err);
/* Runs one pass over spans, whose tokens stand one after another in ids; see tare_decoder_forward(). */
enum tare_code tare_runner_pass(struct tare_runner *runner, const struct tare_span *spans, int64_t n_spans,
                                const int32_t *ids, const struct tare_wanted *wanted, struct tare_error *err);

#endif
