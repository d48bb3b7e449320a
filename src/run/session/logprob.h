/* SPDX-License-Identifier: MIT
 * logprob.h - log-probabilities of ids: the log-softmax of a row of logits as the model gives them. */
#ifndef TARE_RUN_SESSION_LOGPROB_H
#define TARE_RUN_SESSION_LOGPROB_H

#include "base/error.h"

#define TARE_LOGPROBS_MOST 64

/* Returns ln(sum_i exp(logits[i])). -INFINITY contributes nothing; there is no NaN and no +INFINITY. */
double tare_log_sum(const float *logits, int64_t n);

/* Returns the log-probability of an id, where sum is tare_log_sum() of its row. */
static inline float tare_logprob_of(const float *logits, int32_t id, double sum)
{
    return (float)((double)logits[id] - sum);
}

/* Stores the `most` ids with the largest logits, of equal ones the smaller id first. Returns their number. */
size_t tare_logprobs_top(const float *logits, int64_t n, double sum, size_t most, struct tare_logprob *top);

#endif
