/* SPDX-License-Identifier: MIT
 * altup.c - alternating updates of several residual streams. */
#include "blocks/stream/altup.h"

#include <math.h>
#include <string.h>

#include "blocks/after.h"
#include "blocks/pass.h"
#include "blocks/scratch.h"

enum { LAYERS_MOST = 100000 }; /* a decoder refuses more */

struct layer {
    struct tare_linear router, prediction, correction;
    struct tare_norm router_norm;
    const struct tare_parameter *scale; /* (dim) */
    struct tare_after per_layer;        /* its block and post */
};

struct tare_altup {
    struct tare_altup_desc d;
    struct layer *layers;
    struct tare_linear *project, *unembed; /* (streams - 1) */
};

/* A pass, and what lies in its TARE_SLICE_STREAM. */
struct job {
    const struct tare_altup *b;
    struct tare_pass *pass;
    const struct layer *layer;
    float *stream, *guess; /* (streams, tokens, dim) each */
    float *active;         /* (tokens, dim): of the layer, between its blocks */
    float *temporary;      /* (tokens, dim) */
    float *modes;          /* (tokens, streams) */
    float *coefficients;   /* (tokens, streams * streams) */
    float *scratch;        /* (tokens, per_layer.width) */
};

/* Cuts the slice into its parts, or counts their floats without memory. */
static size_t cut(const struct tare_altup *b, int64_t tokens, float *memory, struct job *j)
{
    const int64_t n = b->d.streams, dim = b->d.dim;
    struct tare_scratch s = {memory, 0};
    j->stream = tare_scratch_take(&s, tokens, n * dim);
    j->guess = tare_scratch_take(&s, tokens, n * dim);
    j->active = tare_scratch_take(&s, tokens, dim);
    j->temporary = tare_scratch_take(&s, tokens, dim);
    j->modes = tare_scratch_take(&s, tokens, n);
    j->coefficients = tare_scratch_take(&s, tokens, n * n);
    j->scratch = tare_scratch_take(&s, tokens, b->d.per_layer.width);
    return s.floats;
}

static struct job lay_out(const struct tare_altup *b, struct tare_pass *pass)
{
    struct job j = {.b = b, .pass = pass, .layer = &b->layers[pass->slot / 2]};
    cut(b, pass->tokens, pass->slice[TARE_SLICE_STREAM], &j);
    return j;
}

/* Row of token t in stream k of (streams, tokens, dim). */
static float *row(const struct job *j, float *streams, int64_t k, int64_t t)
{
    return streams + (k * j->pass->tokens + t) * j->b->d.dim;
}

static void each(const struct job *j, void (*token)(void *, size_t, int))
{
    tare_pool_run(j->pass->pool, (size_t)j->pass->tokens, token, (void *)j);
}

/* Scales all streams of a token but the first to the mean square of the first. */
static void match_size(const struct job *j, float *streams, int64_t t)
{
    const int64_t dim = j->b->d.dim;
    const struct tare_kernels *k = &j->pass->kernels;
    const float wanted = sqrtf(k->squares(row(j, streams, 0, t), dim) / (float)dim);
    for (int64_t s = 1; s < j->b->d.streams; s++) {
        float *x = row(j, streams, s, t);
        const float factor = wanted / sqrtf(fmaxf(k->squares(x, dim) / (float)dim, 1e-5f));
        for (int64_t d = 0; d < dim; d++)
            x[d] *= factor;
    }
}

static void begin_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    match_size(j, j->stream, (int64_t)i);
}

static void begin(const void *self, struct tare_pass *pass)
{
    const struct tare_altup *b = self;
    const int64_t dim = b->d.dim, plane = pass->tokens * dim;
    pass->slot = 0;
    const struct job j = lay_out(b, pass);
    memcpy(j.stream, pass->x, (size_t)plane * sizeof(float));
    for (int64_t k = 1; k < b->d.streams; k++)
        tare_linear_forward(pass, &b->project[k - 1], pass->x, dim, j.stream + k * plane, dim);
    each(&j, begin_token);
}

static void end_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t dim = j->b->d.dim, n = j->b->d.streams, t = (int64_t)i;
    float *x = j->pass->x + t * dim;
    match_size(j, j->guess, t);
    memcpy(x, row(j, j->guess, 0, t), (size_t)dim * sizeof *x);
    for (int64_t k = 1; k < n; k++)
        for (int64_t d = 0; d < dim; d++)
            x[d] += row(j, j->guess, k, t)[d];
    for (int64_t d = 0; d < dim; d++)
        x[d] /= (float)n;
}

static void end(const void *self, struct tare_pass *pass)
{
    const struct tare_altup *b = self;
    const struct job j = lay_out(b, pass);
    const int64_t dim = b->d.dim, plane = pass->tokens * dim;
    memcpy(j.guess, j.stream, (size_t)plane * sizeof(float));
    for (int64_t k = 1; k < b->d.streams; k++)
        tare_linear_forward(pass, &b->unembed[k - 1], j.stream + k * plane, dim, j.guess + k * plane, dim);
    each(&j, end_token);
}

static void squash_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    float *mode = j->modes + (int64_t)i * j->b->d.streams;
    for (int64_t k = 0; k < j->b->d.streams; k++)
        mode[k] = tanhf(mode[k] / (float)j->b->d.dim);
}

/* coefficients (tokens, linear->out) = linear(m(x)) */
static void weigh(const struct job *j, const struct tare_linear *linear, const float *x)
{
    const int64_t n = j->b->d.streams, dim = j->b->d.dim;
    tare_norm_forward(j->pass, &j->layer->router_norm, dim, x, j->temporary);
    tare_linear_forward(j->pass, &j->layer->router, j->temporary, dim, j->modes, n);
    each(j, squash_token);
    tare_linear_forward(j->pass, linear, j->modes, n, j->coefficients, linear->out);
}

static void guess_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t n = j->b->d.streams, dim = j->b->d.dim, t = (int64_t)i;
    const float *c = j->coefficients + t * n * n;
    for (int64_t k = 0; k < n; k++) {
        float *to = row(j, j->guess, k, t);
        memcpy(to, row(j, j->stream, k, t), (size_t)dim * sizeof *to);
        for (int64_t from = 0; from < n; from++)
            for (int64_t d = 0; d < dim; d++)
                to[d] += c[k * n + from] * row(j, j->stream, from, t)[d];
    }
}

static void read(const void *self, struct tare_pass *pass)
{
    const struct tare_altup *b = self;
    const struct job j = lay_out(b, pass);
    const int64_t plane = pass->tokens * b->d.dim;
    if (pass->slot % 2 == 0) {
        weigh(&j, &j.layer->prediction, j.stream + b->d.active * plane);
        each(&j, guess_token);
        memcpy(j.active, j.guess + b->d.active * plane, (size_t)plane * sizeof(float));
    }
    memcpy(pass->normed[0], j.active, (size_t)plane * sizeof(float));
}

/* active += y, and once more after the mixer: the mean of two, kept as large as one. */
static void add_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t dim = j->b->d.dim, t = (int64_t)i;
    const float factor = j->pass->slot % 2 ? 1 : sqrtf(0.5f);
    for (int64_t d = t * dim; d < (t + 1) * dim; d++)
        j->active[d] = (j->active[d] + j->pass->y[d]) * factor;
}

static void correct_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t n = j->b->d.streams, dim = j->b->d.dim, t = (int64_t)i;
    const float *c = j->coefficients + t * n, *v = j->active + t * dim, *guess = row(j, j->guess, j->b->d.active, t);
    for (int64_t k = 0; k < n; k++)
        for (int64_t d = 0; d < dim; d++)
            row(j, j->stream, k, t)[d] = row(j, j->guess, k, t)[d] + (1 + c[k]) * (v[d] - guess[d]);
    const float *scale = j->b->d.scaled ? tare_loaded_vector(j->pass->loaded, j->layer->scale) : NULL;
    const float *first = row(j, j->stream, j->b->d.active, t);
    for (int64_t d = 0; d < dim; d++)
        j->temporary[t * dim + d] = first[d] * (scale ? scale[d] : 1);
}

static void add_per_layer(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t dim = j->b->d.dim, t = (int64_t)i;
    for (int64_t k = 1; k < j->b->d.streams; k++)
        for (int64_t d = 0; d < dim; d++)
            row(j, j->stream, k, t)[d] += j->pass->y[t * dim + d];
}

static void write(const void *self, struct tare_pass *pass)
{
    const struct tare_altup *b = self;
    const struct job j = lay_out(b, pass);
    each(&j, add_token);
    if (pass->slot % 2 == 0)
        return;
    weigh(&j, &j.layer->correction, j.active);
    each(&j, correct_token);
    float *const scratch = pass->scratch;
    pass->scratch = j.scratch;
    j.layer->per_layer.block.ops->forward(j.layer->per_layer.block.self, pass, j.temporary, pass->y);
    pass->scratch = scratch;
    tare_norm_forward(pass, &j.layer->per_layer.post, b->d.dim, pass->y, pass->y);
    each(&j, add_per_layer);
}

static void *array(struct tare_at at, int64_t n, size_t size)
{
    void *items = tare_arena_array(at.tree->arena, (size_t)n, size);
    if (!items && !at.tree->error.code)
        tare_fail_memory(&at.tree->error);
    return items;
}

struct tare_altup *tare_altup_open(struct tare_at at, const struct tare_altup_desc *d)
{
    struct tare_altup *b = array(at, 1, sizeof *b);
    if (!b)
        return NULL;
    *b = (struct tare_altup){.d = *d};
    b->layers = array(at, d->layers > 0 && d->layers <= LAYERS_MOST ? d->layers : 1, sizeof *b->layers);
    b->project = array(at, d->streams, sizeof *b->project);
    b->unembed = array(at, d->streams, sizeof *b->unembed);
    return b->layers && b->project && b->unembed ? b : NULL;
}

void tare_altup_layer(struct tare_altup *b, struct tare_at parent, int64_t i)
{
    const struct tare_at at = tare_at(parent, "altup");
    const int64_t dim = b->d.dim, n = b->d.streams;
    struct tare_layer holder = {.after = &b->layers[i].per_layer};
    tare_per_layer(&holder, parent, i, &b->d.per_layer);
    const struct tare_after per_layer = b->layers[i].per_layer;
    b->layers[i] = (struct layer){
        .router = tare_linear(at, "modality_router", dim, n, NO_BIAS),
        .prediction = tare_linear(at, "prediction_coefs", n, n * n, NO_BIAS),
        .correction = tare_linear(at, "correction_coefs", n, n, NO_BIAS),
        .router_norm = tare_rms_norm(at, "router_norm", dim, b->d.eps),
        .scale = tare_plain(at, "correct_output_scale", 1, dim),
        .per_layer = per_layer,
    };
}

void tare_altup_close(struct tare_altup *b, struct tare_at at, struct tare_decoder *decoder)
{
    for (int64_t i = 0; i + 1 < b->d.streams && !at.tree->error.code; i++) {
        const char *number = tare_arena_format(at.tree->arena, "%lld", (long long)i);
        b->project[i] =
            tare_linear(tare_at(at, "altup_projections"), number ? number : "", b->d.dim, b->d.dim, NO_BIAS);
        b->unembed[i] =
            tare_linear(tare_at(at, "altup_unembed_projections"), number ? number : "", b->d.dim, b->d.dim, NO_BIAS);
    }
    struct job counted;
    tare_slice_declare(decoder, TARE_SLICE_STREAM, (int64_t)cut(b, 1, NULL, &counted));
    decoder->stream = (struct tare_layer_stream){.begin = begin, .read = read, .write = write, .end = end, .self = b};
}
