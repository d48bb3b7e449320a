/* SPDX-License-Identifier: MIT
 * compressed_index.c - which groups of a compressed past a token attends to. In TARE_SLICE_CHOSEN, of
 * each token: how many are chosen and those, then how many blocks are candidates and those; layers without an index
 * read what the last one with an index wrote. */
#include <math.h>
#include <string.h>

#include "blocks/attention/compressed_self.h"
#include "blocks/round_trip.h"
#include "blocks/top.h"

int64_t tare_compressed_side(int64_t top, int64_t candidate_blocks)
{
    const bool fit = top >= 0 && top < INT32_MAX && candidate_blocks >= 0 && candidate_blocks < INT32_MAX;
    return fit ? top + candidate_blocks + 2 : 0; /* with such sizes no layer can run */
}

static int32_t *list_of(const struct tare_compressed_job *j, int64_t token)
{
    const struct tare_compressed_desc *d = &j->b->d;
    void *side = j->pass->slice[TARE_SLICE_CHOSEN]; /* floats that hold integers: both are 4 bytes */
    return (int32_t *)side + token * tare_compressed_side(d->top, d->candidate_blocks);
}

const int32_t *tare_compressed_chosen(const struct tare_compressed_job *j, int64_t token, int64_t *n)
{
    const int32_t *list = list_of(j, token);
    *n = *list;
    return list + 1;
}

/* Writes the scores of n groups into sum; score is work memory of n floats. */
static void score_groups(const struct tare_compressed_job *j, int64_t token, int64_t n, float *sum, float *score)
{
    const struct tare_compressed_desc *d = &j->b->d;
    const struct tare_span *span = tare_pass_span(j->pass, token);
    const struct tare_state *state = span->states[2 * d->keys_layer];
    memset(sum, 0, (size_t)n * sizeof *sum);
    for (int64_t h = 0; h < d->index_heads; h++) {
        const float weight = j->weights[token * d->index_heads + h];
        tare_state_scores(&j->pass->kernels, state, TARE_PART_KEYS, 0,
                          j->index_q + (token * d->index_heads + h) * d->index_dim, 0, n, 1, score);
        for (int64_t g = 0; g < n; g++)
            sum[g] += weight * (score[g] > 0 ? score[g] : 0);
    }
}

/* Chooses the best blocks of groups, and always the newest, which is not complete yet. best: work, a float a block. */
static void find_candidates(const struct tare_compressed_desc *d, const float *sum, int64_t n, float *best,
                            int32_t *list)
{
    const int64_t size = d->candidate_size, blocks = (n + size - 1) / size;
    for (int64_t k = 0; k < blocks; k++) {
        best[k] = k + 1 == blocks ? INFINITY : -INFINITY;
        for (int64_t g = k * size; g < (k + 1) * size && g < n; g++)
            best[k] = sum[g] > best[k] ? sum[g] : best[k];
    }
    *list = (int32_t)tare_top_largest(best, blocks, d->candidate_blocks, list + 1);
}

/* Scores of groups outside of the candidates become -inf; *n receives how many groups are left. */
static void keep_candidates(const struct tare_compressed_desc *d, const int32_t *list, float *sum, int64_t *n)
{
    const int64_t all = *n;
    *n = 0;
    for (int64_t g = 0, k = 0; g < all; g++) {
        while (k < *list && list[1 + k] < g / d->candidate_size)
            k++;
        const bool in = k < *list && list[1 + k] == g / d->candidate_size;
        sum[g] = in ? sum[g] : -INFINITY;
        *n += in;
    }
}

static void choose_token(void *user, size_t i, int worker)
{
    const struct tare_compressed_job *j = user;
    const struct tare_compressed_desc *d = &j->b->d;
    const int64_t t = (int64_t)i, n = (tare_pass_position(j->pass, t) + 1) / d->ratio;
    int32_t *list = list_of(j, t), *candidates = list + 1 + d->top;
    float *sum = j->pass->work[worker], *score = sum + n;
    int64_t left = n;
    *list = 0;
    if (d->keys_layer < 0 || n < 1)
        return;
    score_groups(j, t, n, sum, score);
    if (d->candidates == TARE_CANDIDATES_FIND)
        find_candidates(d, sum, n, score, candidates);
    if (d->candidates == TARE_CANDIDATES_KEEP)
        keep_candidates(d, candidates, sum, &left);
    *list = (int32_t)tare_top_largest(sum, n, left < d->top ? left : d->top, list + 1);
}

static void prepare_query(void *user, size_t i, int worker)
{
    (void)worker;
    const struct tare_compressed_job *j = user;
    const struct tare_compressed_desc *d = &j->b->d;
    const int64_t t = (int64_t)i;
    for (int64_t h = 0; h < d->index_heads; h++) {
        float *q = j->index_q + (t * d->index_heads + h) * d->index_dim;
        tare_compressed_rotate(j->b, j->table + t * d->rope, q, d->index_dim);
        tare_round_e2m1(q, d->index_dim, 32, false);
    }
}

void tare_compressed_choose(const struct tare_compressed_job *j)
{
    const struct tare_compressed_self *b = j->b;
    const struct tare_pass *pass = j->pass;
    tare_linear_forward(pass, &b->index_q, j->low, b->index_q.in, j->index_q, b->index_q.out);
    tare_linear_forward(pass, &b->index_weights, j->x, b->index_weights.in, j->weights, b->index_weights.out);
    tare_pool_run(pass->pool, (size_t)pass->tokens, prepare_query, (void *)j);
    tare_pool_run(pass->pool, (size_t)pass->tokens, choose_token, (void *)j);
}
