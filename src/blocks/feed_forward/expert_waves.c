/* SPDX-License-Identifier: MIT
 * expert_waves.c - the chosen experts of a pass, a wave of them at a time. */
#include <string.h>

#include "blocks/feed_forward/mixture_self.h"

/* Slots of a wave. A pass of more than half as many tokens takes waves of twice its tokens, since one expert may be
 * chosen by all of them. */
#define WAVE 512

int64_t tare_experts_wave(const struct tare_mixture *b, int64_t tokens)
{
    const int64_t all = tokens * b->router.top, most = 2 * tokens > WAVE ? 2 * tokens : WAVE;
    return all < most ? all : most;
}

/* Numbers the slots by expert, and those of an expert by token. */
static void sort(const struct tare_mixture_job *j)
{
    const int64_t n = j->b->router.n, pairs = j->pass->tokens * j->b->router.top;
    memset(j->begin, 0, (size_t)(n + 1) * sizeof *j->begin);
    for (int64_t p = 0; p < pairs; p++)
        j->begin[j->chosen[p] + 1]++;
    for (int64_t e = 0; e < n; e++)
        j->begin[e + 1] += j->begin[e];
    for (int64_t p = 0; p < pairs; p++) { /* begin[e] moves to the end of expert e ... */
        j->slot[p] = j->begin[j->chosen[p]]++;
        j->pair[j->slot[p]] = (int32_t)p;
    }
    memmove(j->begin + 1, j->begin, (size_t)n * sizeof *j->begin); /* ... which is where expert e + 1 begins */
    j->begin[0] = 0;
}

static void gather(void *user, size_t i, int worker)
{
    (void)worker;
    const struct tare_mixture_job *j = user;
    const int64_t dim = j->b->width, pair = j->pair[j->first + (int64_t)i];
    const float *x = j->in + pair / j->b->router.top * dim;
    float *row = j->rows + (int64_t)i * dim;
    const float weight = j->b->weigh_input ? j->weight[pair] : 1;
    for (int64_t d = 0; d < dim; d++)
        row[d] = x[d] * weight;
}

void tare_experts_activate(const struct tare_mixture_job *j, const struct tare_limit *limit, float *row, int64_t hidden)
{
    if (j->b->ungated)
        tare_activation_forward(&j->pass->kernels, j->b->activation, row, NULL, hidden);
    else
        tare_unit_forward(&j->pass->kernels, j->b->activation, limit, row, row + hidden, hidden);
}

static void activate(void *user, size_t i, int worker)
{
    (void)worker;
    const struct tare_mixture_job *j = user;
    tare_experts_activate(j, &j->b->limit, j->units + (int64_t)i * 2 * j->b->hidden, j->b->hidden);
}

static void norm_each(void *user, size_t i, int worker)
{
    (void)worker;
    const struct tare_mixture_job *j = user;
    float *row = j->rows + (int64_t)i * j->b->width;
    tare_norm_row(j->pass, &j->b->each_norm, row, row);
}

/* Adds to each token what its experts of this wave give. */
static void scatter(void *user, size_t i, int worker)
{
    (void)worker;
    const struct tare_mixture_job *j = user;
    const int64_t dim = j->b->width, top = j->b->router.top;
    float *y = j->sum + (int64_t)i * dim;
    if (j->first == 0)
        memset(y, 0, (size_t)dim * sizeof *y);
    for (int64_t k = 0; k < top; k++) {
        const int64_t pair = (int64_t)i * top + k, slot = j->slot[pair];
        const float weight = j->b->weigh_input ? 1 : j->weight[pair];
        const float *row = j->rows + (slot - j->first) * dim;
        for (int64_t d = 0; slot >= j->first && slot < j->last && d < dim; d++)
            y[d] += weight * row[d];
    }
}

/* One projection of one expert, whose matrix is a part of the stacked one. */
static struct tare_product product(const struct tare_mixture_job *j, int which, int64_t expert, const float *x,
                                   float *y)
{
    const struct tare_mixture *b = j->b;
    const struct tare_loaded *loaded = j->pass->loaded;
    const struct tare_linear *linear = b->each[which] ? &b->each[which][expert] : &b->stacked[which];
    const int64_t part = b->each[which] ? 0 : expert, out = linear->out;
    const struct tare_matrix *all = tare_loaded_matrix(loaded, linear->weight);
    struct tare_product p = {.matrix = tare_matrix_part(all, part * out, out), .x = x, .y = y};
    if (linear->bias)
        p.bias = tare_loaded_vector(loaded, linear->bias) + part * out;
    p.tokens = j->begin[expert + 1] - j->begin[expert];
    p.ldx = which == TARE_EXPERT_DOWN ? 2 * b->hidden : b->width;
    p.ldy = which == TARE_EXPERT_DOWN ? b->width : 2 * b->hidden;
    return p;
}

/* Runs experts [from, to), which have slots [first, last) together. Idle experts among them leave their rows as they
 * were gathered, so that they give back what they got. */
static void run_wave(struct tare_mixture_job *j, int64_t from, int64_t to)
{
    const struct tare_pass *pass = j->pass;
    const int64_t hidden = j->b->hidden, dim = j->b->width;
    j->first = j->begin[from];
    j->last = j->begin[to];
    const size_t slots = (size_t)(j->last - j->first);
    const int64_t end = j->b->working < to ? j->b->working : to; /* of the experts with weights */
    size_t n = 0;
    tare_pool_run(pass->pool, slots, gather, j);
    for (int64_t e = from; e < end; e++) {
        const int64_t row = j->begin[e] - j->first;
        if (j->begin[e + 1] == j->begin[e])
            continue;
        float *units = j->units + row * 2 * hidden;
        if (!j->b->ungated)
            j->products[n++] = product(j, TARE_EXPERT_GATE, e, j->rows + row * dim, units);
        j->products[n++] = product(j, TARE_EXPERT_UP, e, j->rows + row * dim, units + (j->b->ungated ? 0 : hidden));
    }
    tare_matmul_each(&pass->kernels, pass->pool, j->products, n, pass->work);
    if (end > from)
        tare_pool_run(pass->pool, (size_t)(j->begin[end] - j->first), activate, j);
    n = 0;
    for (int64_t e = from; e < end; e++) {
        const int64_t row = j->begin[e] - j->first;
        if (j->begin[e + 1] > j->begin[e])
            j->products[n++] = product(j, TARE_EXPERT_DOWN, e, j->units + row * 2 * hidden, j->rows + row * dim);
    }
    tare_matmul_each(&pass->kernels, pass->pool, j->products, n, pass->work);
    if (j->b->each_norm.kind != TARE_NORM_NONE)
        tare_pool_run(pass->pool, slots, norm_each, j);
    tare_pool_run(pass->pool, (size_t)pass->tokens, scatter, j);
}

void tare_experts_run(struct tare_mixture_job *j)
{
    const int64_t n = j->b->router.n, wave = tare_experts_wave(j->b, j->pass->tokens);
    sort(j);
    for (int64_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && j->begin[to + 1] - j->begin[from] <= wave; to++)
            ;
        run_wave(j, from, to);
    }
}
