/* SPDX-License-Identifier: MIT
 * compressor.c - tokens by groups into one vector each, and the keys by which an index finds them. The tokens of a
 * group that is still open are kept as they are projected. */
#include <math.h>
#include <string.h>

#include "blocks/attention/compressed_self.h"
#include "blocks/round_trip.h"

struct span_job {
    const struct tare_compressed_job *j;
    const struct tare_span *span;
    struct tare_state *state;
    int64_t first;  /* the first group that ends in this span */
    int64_t groups; /* how many end in it */
};

/* Kv and gate of a token of the span. Tokens below 0 came with earlier passes and are read from the state. */
static const float *row_of(const struct span_job *s, int64_t i)
{
    const struct tare_compressed_self *b = s->j->b;
    if (i >= 0)
        return s->j->past + (s->span->first + i) * 2 * b->d.head_dim;
    const int64_t kept = s->span->start % b->d.ratio;
    return tare_state_from(s->state, b->open, s->span->turn) + (kept + i) * 2 * b->d.head_dim;
}

/* Writes the latent of a group, before its norm. `from` is its first token, counted in the span. */
static void pool(const struct span_job *s, int64_t from, float *latent)
{
    const int64_t dim = s->j->b->d.head_dim, ratio = s->j->b->d.ratio;
    if (ratio == 1) {
        memcpy(latent, row_of(s, from), (size_t)dim * sizeof *latent);
        return;
    }
    for (int64_t d = 0; d < dim; d++) {
        float most = -INFINITY, sum = 0, all = 0;
        for (int64_t i = 0; i < ratio; i++) {
            const float gate = row_of(s, from + i)[dim + d];
            most = gate > most ? gate : most;
        }
        for (int64_t i = 0; i < ratio; i++) {
            const float *row = row_of(s, from + i), weight = expf(row[dim + d] - most);
            all += weight * row[d];
            sum += weight;
        }
        latent[d] = all / sum;
    }
}

static void pool_group(void *user, size_t i, int worker)
{
    (void)worker;
    const struct span_job *s = user;
    const struct tare_compressed_self *b = s->j->b;
    float *latent = s->j->latent + (s->span->first + (int64_t)i) * b->d.head_dim;
    pool(s, (s->first + (int64_t)i) * b->d.ratio - s->span->start, latent);
    tare_norm_row(s->j->pass, &b->past_norm, latent, latent);
}

/* Rotates and rounds a group's vector and its key, and keeps them. A group has the position of its first token. */
static void keep_group(void *user, size_t i, int worker)
{
    const struct span_job *s = user;
    const struct tare_compressed_self *b = s->j->b;
    const struct tare_kernels *kernels = &s->j->pass->kernels;
    const int64_t group = s->first + (int64_t)i, at = s->span->first + (int64_t)i;
    float *table = s->j->pass->work[worker], *latent = s->j->latent + at * b->d.head_dim;
    tare_rope_table(&b->d.rotary, s->j->freq, s->j->factor, group * b->d.ratio, table);
    tare_compressed_rotate(b, table, latent, b->d.head_dim);
    tare_round_e2m1(latent, b->d.head_dim, 16, true);
    tare_state_put(kernels, s->state, TARE_PART_PAST, group, 0, latent);
    if (!tare_compressed_has_keys(b))
        return;
    float *key = s->j->keys + at * b->d.index_dim;
    tare_norm_row(s->j->pass, &b->index_norm, key, key);
    tare_compressed_rotate(b, table, key, b->d.index_dim);
    tare_round_e2m1(key, b->d.index_dim, 32, false);
    tare_state_put(kernels, s->state, TARE_PART_KEYS, group, 0, key);
}

/* Keeps the last tokens, whose group is still open. */
static void keep_open(const struct span_job *s)
{
    const struct tare_compressed_self *b = s->j->b;
    const int64_t end = s->span->start + s->span->tokens, wide = 2 * b->d.head_dim, open = end % b->d.ratio;
    float *to = tare_state_to(s->state, b->open, s->span->turn);
    memset(to, 0, (size_t)(b->d.ratio * wide) * sizeof *to);
    for (int64_t i = 0; i < open; i++)
        memcpy(to + i * wide, row_of(s, s->span->tokens - open + i), (size_t)wide * sizeof *to);
}

static void keep_span(const struct tare_compressed_job *j, const struct tare_span *span)
{
    const struct tare_compressed_self *b = j->b;
    const struct tare_pass *pass = j->pass;
    struct span_job s = {j, span, tare_pass_state(pass, span), span->start / b->d.ratio, 0};
    s.groups = (span->start + span->tokens) / b->d.ratio - s.first;
    tare_pool_run(pass->pool, (size_t)s.groups, pool_group, &s);
    if (tare_compressed_has_keys(b) && s.groups > 0)
        tare_matmul(&pass->kernels, pass->pool, tare_loaded_matrix(pass->loaded, b->index_k.weight), NULL,
                    j->latent + span->first * b->d.head_dim, b->d.head_dim, s.groups,
                    j->keys + span->first * b->d.index_dim, b->d.index_dim, pass->work);
    tare_pool_run(pass->pool, (size_t)s.groups, keep_group, &s);
    if (b->past_gate.weight)
        keep_open(&s);
}

void tare_compressed_keep(const struct tare_compressed_job *j)
{
    const struct tare_compressed_self *b = j->b;
    tare_linear_forward(j->pass, &b->past_kv, j->x, b->past_kv.in, j->past, 2 * b->d.head_dim);
    if (b->past_gate.weight)
        tare_linear_forward(j->pass, &b->past_gate, j->x, b->past_gate.in, j->past + b->d.head_dim, 2 * b->d.head_dim);
    for (int64_t i = 0; i < j->pass->n_spans; i++)
        keep_span(j, &j->pass->spans[i]);
}
