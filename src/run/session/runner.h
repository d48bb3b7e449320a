/* SPDX-License-Identifier: MIT
 * runner.h - what passes through a model need besides the sequences: threads, work memory, the loaded weights. */
#ifndef TARE_RUN_SESSION_RUNNER_H
#define TARE_RUN_SESSION_RUNNER_H

#include "blocks/pass.h"

enum { TARE_PASS_TOKENS = 256 }; /* most of one pass: scratch stays small, and weights are unpacked once a pass */

struct tare_runner {
    int holders;       /* sessions; atomic */
    tare_model *model; /* a reference of its own */
    const struct tare_decoder *decoder;
    struct tare_pass pass;
    struct tare_matrix head; /* of decoder->head */
    float *memory;           /* x, y, normed, scratch of a pass */
    int64_t room;            /* tokens that memory has room for */
    float **work;            /* one a thread */
    size_t work_room;
};

/* Threads and weights of a model; exact: see struct tare_session_options. The runner holds a reference to the model;
 * its one holder is the caller. */
enum tare_code tare_runner_open(struct tare_runner **runner, tare_model *model, int threads, bool exact,
                                struct tare_error *err);
void tare_runner_hold(struct tare_runner *runner);
void tare_runner_free(struct tare_runner *runner); /* one holder less; NULL is fine */

/* Work memory for passes of `tokens` tokens over sequences of at most `length` positions. What is there stays as it is
 * after a failure. */
enum tare_code tare_runner_reserve(struct tare_runner *runner, int64_t tokens, int64_t length, struct tare_error *err);
/* One pass over spans, whose tokens follow one another in ids; see tare_decoder_forward(). */
enum tare_code tare_runner_pass(struct tare_runner *runner, const struct tare_span *spans, int64_t n_spans,
                                const int32_t *ids, const struct tare_wanted *wanted, struct tare_error *err);

#endif
