/* SPDX-License-Identifier: MIT
 * cache_dispatch.h - from the entries of struct tare_kernels for rows of an attention cache to a set's own loops, in
 * which the kind of the rows (32, 16, 8 or 4 bits a number) is a constant. It stands at the end of the cache file of
 * each set of vector kernels, which has defined before:
 *
 *   load_of(cache, rows, x), scores_of(cache, q, rows, scale, into), mix_of(cache, p, rows, y)
 *                                     always inlined, so that each call below becomes a loop of its own
 *   store(), scores_each(), mix_each()
 */

static void cache_load(const struct tare_rows *r, float *x)
{
    switch (r->cache) {
    case TARE_CACHE_F16:
        load_of(TARE_CACHE_F16, r, x);
        break;
    case TARE_CACHE_Q8:
        load_of(TARE_CACHE_Q8, r, x);
        break;
    case TARE_CACHE_Q4:
        load_of(TARE_CACHE_Q4, r, x);
        break;
    default:
        load_of(TARE_CACHE_F32, r, x);
    }
}

static void cache_scores(const float *q, const struct tare_rows *r, float scale, float *into)
{
    switch (r->cache) {
    case TARE_CACHE_F16:
        scores_of(TARE_CACHE_F16, q, r, scale, into);
        break;
    case TARE_CACHE_Q8:
        scores_of(TARE_CACHE_Q8, q, r, scale, into);
        break;
    case TARE_CACHE_Q4:
        scores_of(TARE_CACHE_Q4, q, r, scale, into);
        break;
    default:
        scores_of(TARE_CACHE_F32, q, r, scale, into);
    }
}

static void cache_mix(const float *p, const struct tare_rows *r, float *y)
{
    switch (r->cache) {
    case TARE_CACHE_F16:
        mix_of(TARE_CACHE_F16, p, r, y);
        break;
    case TARE_CACHE_Q8:
        mix_of(TARE_CACHE_Q8, p, r, y);
        break;
    case TARE_CACHE_Q4:
        mix_of(TARE_CACHE_Q4, p, r, y);
        break;
    default:
        mix_of(TARE_CACHE_F32, p, r, y);
    }
}

static void fill_cache(struct tare_kernels *kernels)
{
    kernels->cache_store = store;
    kernels->cache_load = cache_load;
    kernels->cache_scores = cache_scores;
    kernels->cache_mix = cache_mix;
    kernels->scores_each = scores_each;
    kernels->mix_each = mix_each;
}
