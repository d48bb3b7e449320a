/* SPDX-License-Identifier: MIT
 * sampler.c - chooses one id from a row of logits. tare.h tells the order of the filters.
 *
 * The random number is a hash of (seed, draw), so a draw depends neither on what was drawn before it nor on threads.
 * Powers are computed here, without fused operations and without a library whose last bit differs between machines.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sized.h"
#include "run/session/power.h"

/* The finaliser of SplitMix64: Steele, Lea, Flood 2014, constants of Stafford's variant 13. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Returns a random number in [0, 1), of 53 bits. */
static double uniform(uint64_t seed, uint64_t draw)
{
    const uint64_t golden = 0x9e3779b97f4a7c15u; /* 2^64 / phi: neighbouring seeds and draws end far apart */
    return (double)(mix(mix(seed + golden) + (draw + 1) * golden) >> 11) * 0x1p-53;
}

/* Returns the first id with the largest logit. It finds the largest of each lane first, by one vector instruction for
 * each row of lanes, and then the place. */
static int64_t greedy(const float *logits, int64_t n)
{
    float most[TARE_POWER_LANES], top = -INFINITY;
    int64_t i = 0;
    for (int k = 0; k < TARE_POWER_LANES; k++)
        most[k] = -INFINITY;
    for (; i + TARE_POWER_LANES <= n; i += TARE_POWER_LANES)
        for (int k = 0; k < TARE_POWER_LANES; k++)
            most[k] = logits[i + k] > most[k] ? logits[i + k] : most[k];
    for (; i < n; i++)
        top = logits[i] > top ? logits[i] : top;
    for (int k = 0; k < TARE_POWER_LANES; k++)
        top = most[k] > top ? most[k] : top;
    for (i = 0; i < n; i++)
        if (logits[i] == top)
            return i;
    return 0; /* all logits are NaN */
}

/* An id that the filters look at. */
struct candidate {
    float turn; /* candidates with less come first, and of equal ones the smaller id */
    float logit, weight;
    int32_t id;
};

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->turn < b->turn || (!(a->turn > b->turn) && a->id < b->id);
}

static void sift(struct candidate *heap, int64_t n, int64_t at)
{
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(&heap[child + 1], &heap[child]))
            child++;
        if (before(&heap[at], &heap[child]))
            return;
        const struct candidate moved = heap[at];
        heap[at] = heap[child];
        heap[child] = moved;
    }
}

/*
 * Moves the first candidates by turn, in order, to the start of c: at most `most` of them, and no more than are needed
 * for their weights to reach `share` of the weight of all. Returns their number.
 */
static int64_t first_of(struct candidate *c, int64_t n, int64_t most, double share)
{
    double total = 0, sum = 0;
    int64_t taken = 0;
    for (int64_t i = 0; i < n; i++)
        total += (double)c[i].weight;
    for (int64_t i = n / 2 - 1; i >= 0; i--)
        sift(c, n, i);
    do { /* the heap shrinks from its end, where the first ones gather backwards */
        const struct candidate first = c[0];
        c[0] = c[n - 1 - taken];
        c[n - 1 - taken] = first;
        taken++;
        sift(c, n - taken, 0);
        sum += (double)first.weight;
    } while (taken < n && taken < most && sum < share * total);
    for (int64_t i = 0; i < taken && i < n - 1 - i; i++) { /* reversing the whole brings them to the front, in order */
        const struct candidate swap = c[i];
        c[i] = c[n - 1 - i];
        c[n - 1 - i] = swap;
    }
    return taken;
}

enum { BINS = 1024 };
#define BIN_WIDTH (1.0f / 16) /* of distances from the largest logit; the last bin has all from 64 on */

static int bin_of(float distance)
{
    return distance < BINS * BIN_WIDTH ? (int)(distance / BIN_WIDTH) : BINS - 1;
}

/* How far the likeliest ids reach: those that top-k or top-p keep are among the logits up to `bin`, so that only few
 * have to be sorted. */
struct cut {
    int bin;
    double total; /* mass of all ids; only for top-p */
};

/* Finds the bin up to which there are k logits, or the share of the mass. It takes one bin more, to guard against the
 * rounding of sums. */
static struct cut cut(const float *logits, int64_t n, float most, int64_t k, double share)
{
    double mass[BINS] = {0}, sum = 0;
    int64_t count[BINS] = {0}, so_far = 0;
    struct cut cut = {0, 0};
    float e[TARE_POWER_RUN] = {0};
    for (int64_t i = 0; i < n; i++) {
        if (share < 1 && i % TARE_POWER_RUN == 0)
            tare_powers(logits + i, n - i < TARE_POWER_RUN ? n - i : TARE_POWER_RUN,
                        (struct tare_power_scale){most, -INFINITY, 1}, e);
        if (!(logits[i] > -INFINITY))
            continue;
        const int bin = bin_of(most - logits[i]);
        count[bin]++;
        mass[bin] += (double)e[i % TARE_POWER_RUN];
        cut.total += (double)e[i % TARE_POWER_RUN];
    }
    for (; cut.bin < BINS - 1; cut.bin++) {
        so_far += count[cut.bin];
        sum += mass[cut.bin];
        if (so_far >= k || (share < 1 && sum >= share * cut.total))
            break;
    }
    cut.bin += cut.bin < BINS - 1;
    return cut;
}

static int64_t collect(const float *logits, int64_t n, float most, int bin, struct candidate *c)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++) {
        const float distance = most - logits[i];
        if (logits[i] > -INFINITY && (bin == BINS - 1 || bin_of(distance) <= bin))
            c[kept++] = (struct candidate){-logits[i], logits[i], tare_power(-distance), (int32_t)i};
    }
    return kept;
}

/* Keeps the typical candidates: sorts by | -log p - H |, where H is the entropy (Meister et al. 2022, "Locally Typical
 * Sampling"). */
static int64_t typical(struct candidate *c, int64_t n, float most, double share)
{
    double total = 0, entropy = 0;
    for (int64_t i = 0; i < n; i++)
        total += (double)c[i].weight;
    for (int64_t i = 0; i < n; i++) /* -log p = log(total) - (logit - most) */
        entropy += (double)c[i].weight / total * (log(total) - (double)(c[i].logit - most));
    for (int64_t i = 0; i < n; i++)
        c[i].turn = (float)fabs(log(total) - (double)(c[i].logit - most) - entropy);
    n = first_of(c, n, n, share);
    for (int64_t i = 0; i < n; i++)
        c[i].turn = -c[i].logit;
    return n;
}

static bool is_share(float p)
{
    return p > 0 && p < 1;
}

/* Collects what the filters leave, likeliest first. The caller owns *c, which is NULL when memory ran out. */
static int64_t filter(const float *logits, int64_t n, const struct tare_sampling *s, float most, struct candidate **c)
{
    const int64_t k = s->top_k > 0 && s->top_k < n ? s->top_k : n;
    const double nucleus = is_share(s->top_p) ? (double)s->top_p : 1;
    const bool by_type = is_share(s->typical_p);
    /* Room for all ids is requested, but the system only provides the pages that are written to. */
    if (!(*c = malloc((size_t)n * sizeof **c)))
        return 0;
    struct cut edge = {BINS - 1, 0};
    if (k < n)
        edge = cut(logits, n, most, k, 1);
    else if (!by_type)
        edge = cut(logits, n, most, n, nucleus);
    int64_t kept = collect(logits, n, most, edge.bin, *c);
    double whole = 1, among = 0; /* whole: the share of the mass that the collected have */
    if (k < n) {
        kept = first_of(*c, kept, k, 2);
    } else if (!by_type) {
        for (int64_t i = 0; i < kept; i++)
            among += (double)(*c)[i].weight;
        whole = among / edge.total;
    }
    if (by_type)
        kept = typical(*c, kept, most, (double)s->typical_p);
    return first_of(*c, kept, kept, nucleus < 1 ? nucleus / whole : 2);
}

/* Returns the least logit that min-p keeps, which is a share of the likeliest id's probability. */
static float floor_of(const struct tare_sampling *s, float most)
{
    return s->min_p > 0 ? most + logf(s->min_p < 1 ? s->min_p : 1) : -INFINITY;
}

/* Returns the candidate at which the running mass passes share * total; those below the floor of min-p are left out. */
static int32_t take(struct candidate *c, int64_t n, const struct tare_sampling *s, double share)
{
    const float most = c[0].logit, least = floor_of(s, most);
    double total = 0, sum = 0;
    int64_t i = 0;
    while (n > 1 && !(c[n - 1].logit >= least))
        n--;
    for (i = 0; i < n; i++)
        total += (double)(c[i].weight = tare_power((c[i].logit - most) / s->temperature));
    for (i = 0; i < n - 1; i++)
        if ((sum += (double)c[i].weight) > share * total)
            break;
    return c[i].id;
}

enum { BLOCKS = 1024 };

/* The same over the whole row, in the order of ids. One pass keeps the sums of blocks, and then only the block that
 * contains the id is read again. Returns -1 when no id has any mass. */
static int32_t take_of_all(const float *logits, int64_t n, const struct tare_sampling *s, float most, double share)
{
    const struct tare_power_scale scale = {most, floor_of(s, most), s->temperature};
    const int64_t size = ((n + BLOCKS - 1) / BLOCKS + TARE_POWER_LANES - 1) / TARE_POWER_LANES * TARE_POWER_LANES;
    double sums[BLOCKS], total = 0, sum = 0;
    int64_t block = 0, at;
    for (at = 0; at < n; at += size, block++) {
        const int64_t end = at + size < n ? at + size : n;
        sums[block] = 0;
        for (int64_t i = at; i < end; i += TARE_POWER_RUN) {
            float e[TARE_POWER_RUN], lane[TARE_POWER_LANES] = {0};
            const int64_t here = end - i < TARE_POWER_RUN ? end - i : TARE_POWER_RUN;
            memset(e, 0, sizeof e);
            tare_powers(logits + i, here, scale, e);
            for (int k = 0; k < TARE_POWER_RUN; k++)
                lane[k % TARE_POWER_LANES] += e[k];
            for (int k = 0; k < TARE_POWER_LANES; k++)
                sums[block] += (double)lane[k];
        }
        total += sums[block];
    }
    const int64_t blocks = block;
    for (block = 0; block < blocks - 1 && sum + sums[block] <= share * total; block++)
        sum += sums[block];
    /* The last id with any mass. Sums of lanes round differently, so the block may end before the share is reached. */
    int32_t last = -1;
    for (at = block * size; at < n && at < (block + 1) * size; at++) {
        const float e = logits[at] >= scale.least ? tare_power((logits[at] - most) / s->temperature) : 0;
        sum += (double)e;
        last = e > 0 ? (int32_t)at : last;
        if (e > 0 && sum > share * total)
            break;
    }
    return last;
}

static int32_t sample(const float *logits, int64_t n, const struct tare_sampling s, uint64_t draw)
{
    const int32_t best = (int32_t)greedy(logits, n);
    if (!(s.temperature > 0) || n < 2 || !isfinite(logits[best]))
        return best;
    const double share = uniform(s.seed, draw);
    int32_t id = best;
    if (!(s.top_k > 0 && s.top_k < n) && !is_share(s.top_p) && !is_share(s.typical_p)) {
        id = take_of_all(logits, n, &s, logits[best], share);
        return id < 0 ? best : id;
    }
    struct candidate *c = NULL;
    const int64_t kept = filter(logits, n, &s, logits[best], &c);
    if (c) /* without memory the likeliest id is returned, which passes every filter except typical */
        id = take(c, kept, &s, share);
    free(c);
    return id;
}

enum tare_code tare_sample(int32_t *id, const float *logits, int64_t vocabulary, const struct tare_sampling *sampling,
                           uint64_t draw, struct tare_error *err)
{
    struct tare_sampling own;
    if (id)
        *id = -1;
    if (!id || !logits || vocabulary < 1)
        return tare_fail(err, TARE_E_ARGUMENT, "", "sampling needs a place for the id, and logits");
    const enum tare_code code = tare_sized_read(&own, sizeof own, sampling, "sampling", err);
    if (!code)
        *id = sample(logits, vocabulary, own, draw);
    return code;
}

void tare_sampling_init(struct tare_sampling *sampling, size_t size)
{
    tare_sized_init(sampling, size);
}
