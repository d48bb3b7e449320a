/* SPDX-License-Identifier: MIT
 * penalty.c - changes logits before an id is chosen: adds biases, and lowers those of ids that occurred lately. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define WINDOW 64 /* llama.cpp's --repeat-last-n */

static int by_id(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static float penalized(float logit, const struct tare_sampling *s, size_t count)
{
    if (s->repetition_penalty > 0)
        logit = logit > 0 ? logit / s->repetition_penalty : logit * s->repetition_penalty;
    return logit - s->presence_penalty - s->frequency_penalty * (float)count;
}

static enum tare_code penalize(float *logits, int64_t vocabulary, const struct tare_sampling *s, const int32_t *recent,
                               size_t n, struct tare_error *err)
{
    int32_t *ids = malloc(n * sizeof *ids);
    if (!ids)
        return tare_fail_memory(err);
    memcpy(ids, recent, n * sizeof *ids);
    qsort(ids, n, sizeof *ids, by_id);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && ids[end] == ids[i]; end++)
            ;
        if (ids[i] >= 0 && ids[i] < vocabulary)
            logits[ids[i]] = penalized(logits[ids[i]], s, end - i);
    }
    free(ids);
    return TARE_OK;
}

enum tare_code tare_sample_adjust(float *logits, int64_t vocabulary, const struct tare_sampling *sampling,
                                  const int32_t *recent, size_t n, struct tare_error *err)
{
    struct tare_sampling s = TARE_SAMPLING_INIT;
    if (sampling)
        memcpy(&s, sampling, sampling->size < sizeof s ? sampling->size : sizeof s);
    for (size_t i = 0; i < s.n_bias; i++) {
        if (s.bias[i].id < 0 || s.bias[i].id >= vocabulary)
            return tare_fail(err, TARE_E_ARGUMENT, "bias", "id %ld is not in the vocabulary: 0 to %lld",
                             (long)s.bias[i].id, (long long)vocabulary - 1);
        logits[s.bias[i].id] += s.bias[i].value;
    }
    const bool repetition = s.repetition_penalty > 0 && (s.repetition_penalty < 1 || s.repetition_penalty > 1);
    const bool others =
        s.presence_penalty < 0 || s.presence_penalty > 0 || s.frequency_penalty < 0 || s.frequency_penalty > 0;
    const size_t window = s.penalty_window > 0 ? (size_t)s.penalty_window : s.penalty_window < 0 ? n : WINDOW;
    if (n == 0 || !(repetition || others))
        return TARE_OK;
    return window < n ? penalize(logits, vocabulary, &s, recent + (n - window), window, err)
                      : penalize(logits, vocabulary, &s, recent, n, err);
}
