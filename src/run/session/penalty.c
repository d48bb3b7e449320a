/* SPDX-License-Identifier: MIT
 * penalty.c - changes logits before an id is chosen: adds biases, and lowers those of ids that occurred lately. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sized.h"

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
    struct tare_sampling s;
    if (!logits || vocabulary < 1 || (n && !recent))
        return tare_fail(err, TARE_E_ARGUMENT, "", "adjusting needs logits, and ids where n is not 0");
    enum tare_code code;
    if ((code = tare_sized_read(&s, sizeof s, sampling, "sampling", err)) ||
        (code = tare_sized_list_check(s.bias, s.n_bias, s.bias_stride, sizeof *s.bias, "bias", err)))
        return code;
    for (size_t i = 0; i < s.n_bias; i++) {
        const struct tare_bias *bias = tare_sized_at(s.bias, i, s.bias_stride, sizeof *bias);
        if (bias->id < 0 || bias->id >= vocabulary)
            return tare_fail(err, TARE_E_ARGUMENT, "bias", "id %ld is not in the vocabulary: 0 to %lld", (long)bias->id,
                             (long long)vocabulary - 1);
        logits[bias->id] += bias->value;
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
