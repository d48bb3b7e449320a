/* SPDX-License-Identifier: MIT
 * logprob.c - log-probabilities of ids, as ln softmax(logits)[id] = logits[id] - ln(sum_i exp(logits[i])). */
#include "run/session/logprob.h"

#include <math.h>

#include "run/session/power.h"

double tare_log_sum(const float *logits, int64_t n)
{
    float most = -INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        most = logits[i] > most ? logits[i] : most;
    if (!(most > -INFINITY))
        return most;
    for (int64_t i = 0; i < n; i += TARE_POWER_RUN) {
        float e[TARE_POWER_RUN] = {0}, lane[TARE_POWER_LANES] = {0};
        const int64_t here = n - i < TARE_POWER_RUN ? n - i : TARE_POWER_RUN;
        tare_powers(logits + i, here, (struct tare_power_scale){most, -INFINITY, 1}, e);
        for (int k = 0; k < TARE_POWER_RUN; k++)
            lane[k % TARE_POWER_LANES] += e[k];
        for (int k = 0; k < TARE_POWER_LANES; k++)
            sum += (double)lane[k];
    }
    return log(sum) + (double)most;
}

size_t tare_logprobs_top(const float *logits, int64_t n, double sum, size_t most, struct tare_logprob *top)
{
    size_t found = 0;
    float least = -INFINITY; /* of those found; once all places are taken, only larger logits matter */
    for (int64_t i = 0; most && i < n; i++) {
        if (found == most && !(logits[i] > least))
            continue;
        size_t at = found < most ? found++ : most - 1;
        for (; at > 0 && logits[top[at - 1].id] < logits[i]; at--)
            top[at] = top[at - 1];
        top[at].id = (int32_t)i;
        least = logits[top[found - 1].id];
    }
    for (size_t k = 0; k < found; k++)
        top[k].logprob = tare_logprob_of(logits, top[k].id, sum);
    return found;
}
