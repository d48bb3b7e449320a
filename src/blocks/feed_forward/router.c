/* SPDX-License-Identifier: MIT
 * router.c - which experts a token takes, and with what weights. Shazeer et al. 2017; groups and the correction of
 * scores: DeepSeek-V3, 2024; sparse mixer: Liu et al. 2023, at inference. */
#include "blocks/feed_forward/router.h"

#include <math.h>

#include "blocks/activation.h"

bool tare_router_fits(const struct tare_router *r)
{
    if (r->n < 1 || r->top < 1 || r->top > r->n)
        return false;
    return r->groups < 2 || (r->n % r->groups == 0 && r->top_groups > 0 && r->top_groups <= r->groups &&
                             r->top <= r->n / r->groups * r->top_groups);
}

/* Finds the indices of the `top` largest numbers, the largest first, and the first of equal ones. They are distinct
 * even when some are NaN. */
static void largest(const float *x, int64_t n, int64_t top, int32_t *chosen)
{
    int64_t have = 0;
    for (int64_t i = 0; i < n; i++) {
        if (have == top && !(x[i] > x[chosen[top - 1]]))
            continue;
        int64_t k = have < top ? have++ : top - 1;
        for (; k > 0 && x[i] > x[chosen[k - 1]]; k--)
            chosen[k] = chosen[k - 1];
        chosen[k] = (int32_t)i;
    }
}

static float greatest(const float *x, int64_t n)
{
    float most = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

/* Turns logits into scores, in place. */
static void score(const struct tare_router *r, float *x)
{
    const float most = greatest(x, r->n);
    float sum = 0;
    for (int64_t i = 0; i < r->n; i++) {
        if (r->score == TARE_SCORE_SIGMOID)
            x[i] = tare_sigmoid(x[i]);
        else if (r->score == TARE_SCORE_SQRT_SOFTPLUS)
            x[i] = sqrtf(tare_softplus(x[i]));
        else
            sum += x[i] = expf(x[i] - most);
    }
    for (int64_t i = 0; r->score == TARE_SCORE_SOFTMAX && i < r->n; i++)
        x[i] /= sum;
}

/* Sets the experts of all but the best groups to -inf, so that even a negative score in a good group beats them. */
static void mask_groups(const struct tare_router *r, float *choice, float *group)
{
    const int64_t each = r->n / r->groups;
    for (int64_t g = 0; g < r->groups; g++) {
        float best = -INFINITY, second = -INFINITY;
        for (int64_t i = g * each; i < (g + 1) * each; i++) {
            const float x = choice[i];
            second = x > best ? best : x > second ? x : second;
            best = x > best ? x : best;
        }
        group[g] = r->group_by_best || each < 2 ? best : best + second;
    }
    for (int64_t g = 0; g < r->groups; g++) {
        int64_t better = 0; /* of equal groups the first counts as better */
        for (int64_t k = 0; k < r->groups; k++)
            better += group[k] > group[g] || (k < g && group[k] == group[g]);
        for (int64_t i = g * each; better >= r->top_groups && i < (g + 1) * each; i++)
            choice[i] = -INFINITY;
    }
}

/* Weighs each chosen expert by a softmax over the experts not yet chosen whose logits are within twice the jitter. */
static void mix_sparsely(const struct tare_router *r, const float *logits, const int32_t *chosen, float *weight)
{
    for (int64_t k = 0; k < r->top; k++) {
        const float most = logits[chosen[k]];
        float sum = 0;
        for (int64_t i = 0; i < r->n; i++) {
            bool taken = false;
            for (int64_t before = 0; before < k; before++)
                taken = taken || chosen[before] == i;
            const float size = fabsf(logits[i]) > most ? fabsf(logits[i]) : most;
            if (!taken && !((most - logits[i]) / size > 2 * (float)r->jitter))
                sum += expf(logits[i] - most);
        }
        weight[k] = 1 / sum;
    }
}

void tare_router_choose(const struct tare_router *r, const float *correction, float *logits, float *choice,
                        int32_t *chosen, float *weight)
{
    for (int64_t i = 0; r->factor != 0 && i < r->n; i++)
        logits[i] *= (float)r->factor;
    const float cap = (float)r->soft_cap, scale = r->scale != 0 ? (float)r->scale : 1;
    for (int64_t i = 0; cap > 0 && i < r->n; i++)
        logits[i] = cap * tanhf(logits[i] / cap);
    if (r->score == TARE_SCORE_SPARSE_MIXER) {
        largest(logits, r->n, r->top, chosen);
        mix_sparsely(r, logits, chosen, weight);
        return;
    }
    const bool plain =
        !correction &&
        r->groups < 2; /* the order of scores is that of logits, which round less often to equal numbers */
    if (plain)
        largest(logits, r->n, r->top, chosen);
    score(r, logits);
    for (int64_t i = 0; !plain && i < r->n; i++)
        choice[i] = logits[i] + (correction ? correction[i] : 0);
    if (r->groups > 1)
        mask_groups(r, choice, choice + r->n);
    if (!plain)
        largest(choice, r->n, r->top, chosen);
    float sum = 0;
    for (int64_t k = 0; k < r->top; k++)
        sum += weight[k] = logits[chosen[k]];
    for (int64_t k = 0; k < r->top; k++)
        weight[k] *= r->normalize ? scale / (sum + (r->floor > 0 ? (float)r->floor : 1e-20f)) : scale;
}
