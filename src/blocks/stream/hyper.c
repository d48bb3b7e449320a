/* SPDX-License-Identifier: MIT
 * hyper.c - hyper-connections. TARE_SLICE_STREAM holds the streams, then of each token the mixes in turn. */
#include "blocks/stream/hyper.h"

#include <math.h>
#include <string.h>

#include "blocks/pass.h"
#include "blocks/scratch.h"

enum { STREAMS_MOST = 16, ITERATIONS_MOST = 10000, DIM_MOST = 1 << 30 };

struct connection {
    const struct tare_parameter *fn, *base, *scale; /* (n (n + 2), n dim), (n (n + 2)), (3) */
};
struct hyper {
    struct connection *connections; /* by slot */
    int64_t n, dim, iterations;
    float eps, norm_eps;
};

/* A token's numbers for mixing the streams. */
struct mixes {
    float *before;          /* (n): for the next block */
    float *after, *between; /* (n), (n, n) */
};

struct job {
    const struct hyper *b;
    const struct tare_pass *pass;
    float *streams; /* (tokens, n, dim) */
    float *mixes;   /* (tokens, mixes_wide) */
    const float *base, *scale;
    float *into;
};

static int64_t mixes_wide(int64_t n)
{
    return n + n * (n + 2); /* before; then what fn gives: before of the next, after, between */
}

static size_t lay_out(const struct hyper *b, int64_t tokens, float *memory, struct job *j)
{
    struct tare_scratch s = {memory, 0};
    j->streams = tare_scratch_take(&s, tokens, b->n * b->dim);
    j->mixes = tare_scratch_take(&s, tokens, mixes_wide(b->n));
    return s.floats;
}

static struct job job_of(const struct hyper *b, const struct tare_pass *pass)
{
    struct job j = {.b = b, .pass = pass};
    lay_out(b, pass->tokens, pass->slice[TARE_SLICE_STREAM], &j);
    return j;
}

static float *streams_of(const struct job *j, int64_t token)
{
    return j->streams + token * j->b->n * j->b->dim;
}

static struct mixes mixes_of(const struct job *j, int64_t token)
{
    const struct hyper *b = j->b;
    float *at = j->mixes + token * mixes_wide(b->n);
    return (struct mixes){at, at + 2 * b->n, at + 3 * b->n};
}

static void begin_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct hyper *b = j->b;
    const struct mixes m = mixes_of(j, (int64_t)i);
    for (int64_t a = 0; a < b->n; a++) {
        memcpy(streams_of(j, (int64_t)i) + a * b->dim, j->pass->x + (int64_t)i * b->dim,
               (size_t)b->dim * sizeof(float));
        m.before[a] = a == 0;
    }
}

static void begin(const void *self, struct tare_pass *pass)
{
    struct job j = job_of(self, pass);
    tare_pool_run(pass->pool, (size_t)pass->tokens, begin_token, &j);
}

static void collapse(const struct job *j, int64_t token, float *x)
{
    const struct hyper *b = j->b;
    const float *streams = streams_of(j, token), *before = mixes_of(j, token).before;
    memset(x, 0, (size_t)b->dim * sizeof *x);
    for (int64_t a = 0; a < b->n; a++)
        for (int64_t d = 0; d < b->dim; d++)
            x[d] += before[a] * streams[a * b->dim + d];
}

static void divide(float *x, int64_t n, int64_t step, float eps)
{
    float sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += x[k * step];
    for (int64_t k = 0; k < n; k++)
        x[k * step] /= sum + eps;
}

/* Rows become a softmax, then rows and columns are made to add up to 1: Sinkhorn and Knopp, 1967. */
static void balance(const struct hyper *b, float *between)
{
    const int64_t n = b->n;
    for (int64_t a = 0; a < n; a++) {
        float *row = between + a * n, most = row[0];
        for (int64_t k = 1; k < n; k++)
            most = row[k] > most ? row[k] : most;
        for (int64_t k = 0; k < n; k++)
            row[k] = expf(row[k] - most);
        divide(row, n, 1, 0);
        for (int64_t k = 0; k < n; k++)
            row[k] += b->eps;
    }
    for (int64_t t = 0; t == 0 || t < b->iterations; t++) {
        for (int64_t a = 0; t > 0 && a < n; a++)
            divide(between + a * n, n, 1, b->eps);
        for (int64_t a = 0; a < n; a++)
            divide(between + a, n, n, b->eps);
    }
}

/* What the block of this slot sees, and then the mixes that fn's products give. */
static void read_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct hyper *b = j->b;
    const int64_t t = (int64_t)i, n = b->n, wide = n * b->dim;
    const struct mixes m = mixes_of(j, t);
    float *raw = m.before + n; /* (n (n + 2)) */
    const float norm = 1 / sqrtf(j->pass->kernels.squares(streams_of(j, t), wide) / (float)wide + b->norm_eps);
    collapse(j, t, j->into + t * b->dim);
    for (int64_t k = 0; k < n * (n + 2); k++)
        raw[k] = raw[k] * norm * j->scale[k < n ? 0 : k < 2 * n ? 1 : 2] + j->base[k];
    for (int64_t a = 0; a < n; a++) {
        m.before[a] = tare_sigmoid(raw[a]) + b->eps;
        m.after[a] = 2 * tare_sigmoid(m.after[a]);
    }
    balance(b, m.between);
}

static void read_slot(const void *self, struct tare_pass *pass)
{
    const struct hyper *b = self;
    const struct connection *c = &b->connections[pass->slot];
    const int64_t rows = b->n * (b->n + 2), wide = b->n * b->dim;
    const struct tare_matrix fn = {.storage = TARE_STORE_F32,
                                   .rows = rows,
                                   .in = wide,
                                   .data = (const unsigned char *)tare_loaded_vector(pass->loaded, c->fn),
                                   .stride = (size_t)wide * sizeof(float)};
    struct job j = job_of(b, pass);
    j.base = tare_loaded_vector(pass->loaded, c->base);
    j.scale = tare_loaded_vector(pass->loaded, c->scale);
    j.into = pass->normed[0];
    tare_matmul(&pass->kernels, pass->pool, &fn, NULL, j.streams, wide, pass->tokens, j.mixes + b->n, mixes_wide(b->n),
                pass->work);
    tare_pool_run(pass->pool, (size_t)pass->tokens, read_token, &j);
}

static void write_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t n = j->b->n, dim = j->b->dim, t = (int64_t)i;
    const struct mixes m = mixes_of(j, t);
    float *streams = streams_of(j, t), old[STREAMS_MOST];
    const float *y = j->pass->y + t * dim;
    for (int64_t d = 0; d < dim; d++) {
        for (int64_t a = 0; a < n; a++)
            old[a] = streams[a * dim + d];
        for (int64_t k = 0; k < n; k++) {
            float sum = m.after[k] * y[d];
            for (int64_t a = 0; a < n; a++)
                sum += m.between[a * n + k] * old[a];
            streams[k * dim + d] = sum;
        }
    }
}

static void write_slot(const void *self, struct tare_pass *pass)
{
    struct job j = job_of(self, pass);
    tare_pool_run(pass->pool, (size_t)pass->tokens, write_token, &j);
}

static void end_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    collapse(j, (int64_t)i, j->pass->x + (int64_t)i * j->b->dim);
}

static void end(const void *self, struct tare_pass *pass)
{
    struct job j = job_of(self, pass);
    tare_pool_run(pass->pool, (size_t)pass->tokens, end_token, &j);
}

static struct connection declare(struct tare_at at, const struct tare_hyper_desc *d)
{
    const int64_t mix = tare_mul(at, d->n, d->n + 2);
    struct connection c;
    c.fn = tare_plain(at, "fn", 2, mix, tare_mul(at, d->n, d->dim));
    c.base = tare_plain(at, "base", 1, mix);
    c.scale = tare_plain(at, "scale", 1, (int64_t)3);
    return c;
}

void tare_hyper(struct tare_decoder *decoder, struct tare_at model, const struct tare_hyper_desc *d)
{
    const int64_t layers = decoder->n_layers;
    struct hyper *b = tare_arena_alloc(model.tree->arena, sizeof *b);
    struct connection *c = tare_arena_array(model.tree->arena, (size_t)(2 * layers + 1), sizeof *c);
    if ((!b || !c) && !model.tree->error.code)
        tare_fail_memory(&model.tree->error);
    for (int64_t i = 0; i < layers && !model.tree->error.code; i++) {
        const struct tare_at at = tare_at(model, "layers.%lld", (long long)i);
        c[2 * i] = declare(tare_at(at, "attn_hc"), d);
        c[2 * i + 1] = declare(tare_at(at, "ffn_hc"), d);
    }
    if (model.tree->error.code)
        return;
    *b = (struct hyper){c, d->n, d->dim, d->iterations, (float)d->eps, (float)d->norm_eps};
    const bool runs = d->n > 0 && d->n <= STREAMS_MOST && d->iterations <= ITERATIONS_MOST && d->dim <= DIM_MOST;
    for (int64_t i = 0; !runs && i < layers; i++)
        decoder->layers[i].mixer.ops = NULL;
    if (!runs)
        return;
    struct job counted;
    tare_slice_declare(decoder, TARE_SLICE_STREAM, (int64_t)lay_out(b, 1, NULL, &counted));
    decoder->stream = (struct tare_layer_stream){begin, read_slot, write_slot, end, b};
}
