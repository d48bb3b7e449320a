/* SPDX-License-Identifier: MIT
 * sampler.c - one id from a row of logits.
 *
 * The order is llama.cpp's: top-k, top-p, min-p, each on probabilities at temperature 1, then the temperature and the
 * draw. The random number is a hash of (seed, draw), so a draw does not depend on what was drawn before it, nor on
 * threads.
 */
#include <math.h>
#include <stdlib.h>

#include "tare.h"

/* The finaliser of SplitMix64: Steele, Lea, Flood 2014, constants of Stafford's variant 13. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* In [0, 1), 53 bits. */
static double uniform(uint64_t seed, uint64_t draw)
{
    const uint64_t golden = 0x9e3779b97f4a7c15u; /* 2^64 / phi: neighbouring seeds and draws end far apart */
    return (double)(mix(mix(seed + golden) + (draw + 1) * golden) >> 11) * 0x1p-53;
}

static int32_t greedy(const float *logits, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (logits[i] > logits[best] || isnan(logits[best]))
            best = i;
    return (int32_t)best;
}

/* Does id a come before id b? Larger logits first, then smaller ids: the order is total, so ties cannot depend on the
 * heap. */
static bool before(const float *logits, int32_t a, int32_t b)
{
    return logits[a] > logits[b] || (!(logits[a] < logits[b]) && a < b);
}

static void sift(const float *logits, int32_t *heap, int64_t n, int64_t at)
{
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(logits, heap[child + 1], heap[child]))
            child++;
        if (before(logits, heap[at], heap[child]))
            return;
        const int32_t moved = heap[at];
        heap[at] = heap[child];
        heap[child] = moved;
    }
}

/* Ids in [0, n) whose turn comes first are moved to the end of the heap, one a call: ids[n - 1] is then the next. */
static void pop(const float *logits, int32_t *heap, int64_t n)
{
    const int32_t first = heap[0];
    heap[0] = heap[n - 1];
    heap[n - 1] = first;
    sift(logits, heap, n - 1, 0);
}

static double mass(const float *logits, const int32_t *ids, int64_t n, float most, double temperature)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double e = exp(((double)logits[ids ? ids[i] : i] - most) / temperature);
        sum += e > 0 ? e : 0; /* a NaN counts as impossible */
    }
    return sum;
}

/* The id at which the running mass of `ids` (NULL: all, in order) passes share * total; those below least are left out.
 */
static int32_t take(const float *logits, const int32_t *ids, int64_t n, float most, float least, double temperature,
                    double share)
{
    double total = 0, sum = 0;
    int32_t last = -1;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < n; i++) {
            const int32_t id = ids ? ids[i] : (int32_t)i;
            if (!(logits[id] >= least))
                continue;
            const double e = exp(((double)logits[id] - most) / temperature);
            if (pass == 0) {
                total += e;
                continue;
            }
            sum += e;
            last = id;
            if (sum > share * total)
                return id;
        }
    return last;
}

/* Cut the vocabulary down to the first ids by top-k and top-p; they are left in order at the end of heap. Returns how
 * many. */
static int64_t filter(const float *logits, int64_t n, const struct tare_sampling *s, float most, int32_t *heap)
{
    const int64_t k = s->top_k > 0 && s->top_k < n ? s->top_k : n;
    const bool nucleus = s->top_p > 0 && s->top_p < 1;
    for (int64_t i = 0; i < n; i++)
        heap[i] = (int32_t)i;
    for (int64_t i = n / 2 - 1; i >= 0; i--)
        sift(logits, heap, n, i);
    int64_t kept = 0;
    if (k < n)
        for (; kept < k; kept++)
            pop(logits, heap, n - kept);
    if (!nucleus)
        return kept;
    double left = s->top_p * mass(logits, k < n ? heap + n - k : NULL, k, most, 1);
    int64_t within = 0;
    do {
        if (k == n)
            pop(logits, heap, n - within);
        left -= exp((double)logits[heap[n - 1 - within]] - most);
        within++;
    } while (within < k && left > 0);
    return within;
}

int32_t tare_sample(const float *logits, int64_t n, const struct tare_sampling *sampling, uint64_t draw)
{
    const struct tare_sampling off = TARE_SAMPLING_INIT, *s = sampling ? sampling : &off;
    const int32_t best = greedy(logits, n);
    if (!(s->temperature > 0) || n < 2 || !isfinite(logits[best]))
        return best;
    const float most = logits[best];
    const float least = s->min_p > 0 ? most + logf(s->min_p < 1 ? s->min_p : 1) : -INFINITY;
    const double share = uniform(s->seed, draw);
    const bool filtered = (s->top_k > 0 && s->top_k < n) || (s->top_p > 0 && s->top_p < 1);
    int32_t *heap = filtered ? malloc((size_t)n * sizeof *heap) : NULL;
    if (filtered && !heap)
        return best; /* this function has no way to fail; the likeliest id passes every filter */
    const int64_t kept = filtered ? filter(logits, n, s, most, heap) : n;
    const int32_t id =
        take(logits, filtered ? heap + n - kept : NULL, kept, most, least, (double)s->temperature, share);
    free(heap);
    return id < 0 ? best : id;
}
