/* SPDX-License-Identifier: MIT
 * residual_attention.c - attention over the sums of blocks of layers. pass->x is the running sum, pass->side has the
 * others, (blocks, tokens, dim). */
#include "run/residual_attention.h"

#include <math.h>
#include <string.h>

#include "run/pass.h"

struct score {
    struct tare_linear proj; /* (1, dim) */
    struct tare_norm norm;
};
struct residuals {
    struct score *scores; /* (2 n_layers + 1): by slot, then that of the end */
    int64_t n_layers, dim, size;
};

struct job {
    const struct residuals *b;
    const struct tare_pass *pass;
    const struct score *score;
    int64_t n; /* sums beside the running one */
    float *into;
};

static const float *sum_of(const struct job *j, int64_t k, int64_t token)
{
    const float *from = k < j->n ? j->pass->side + k * j->pass->tokens * j->b->dim : j->pass->x;
    return from + token * j->b->dim;
}

/* proj . norm(x); work: dim floats */
static float logit(const struct job *j, const float *x, float *work)
{
    const struct tare_matrix *m = tare_loaded_matrix(j->pass->loaded, j->score->proj.weight);
    float y;
    tare_norm_row(j->pass, &j->score->norm, x, work);
    (tare_matrix_even(m) ? &j->pass->kernels : &tare_kernels_scalar)->dot[m->storage](m, 0, 1, work, &y);
    return y;
}

/* The softmax is kept running from sum to sum. */
static void mix_token(void *user, size_t i, int worker)
{
    const struct job *j = user;
    const int64_t dim = j->b->dim;
    float *y = j->into + (int64_t)i * dim, most = -INFINITY, sum = 0;
    float *work = j->pass->work[worker]; /* at least dim long, see tare_decoder_work() */
    for (int64_t k = 0; k <= j->n; k++) {
        const float *x = sum_of(j, k, (int64_t)i), l = logit(j, x, work), peak = l > most ? l : most;
        const float fade = k > 0 ? expf(most - peak) : 0, weight = expf(l - peak);
        for (int64_t d = 0; d < dim; d++)
            y[d] = (k > 0 ? y[d] * fade : 0) + weight * x[d];
        sum = sum * fade + weight;
        most = peak;
    }
    for (int64_t d = 0; d < dim; d++)
        y[d] /= sum;
}

static void mix(const struct residuals *b, struct tare_pass *pass, int64_t slot, float *into)
{
    const int64_t n = (slot / 2 + (slot % 2 ? b->size : b->size - 1)) / b->size;
    tare_pool_run(pass->pool, (size_t)pass->tokens, mix_token,
                  &(struct job){.b = b, .pass = pass, .score = &b->scores[slot], .n = n, .into = into});
}

/* Does the layer's mixer begin a block? */
static bool begins(const struct residuals *b, int64_t slot)
{
    return slot % 2 == 0 && slot / 2 % b->size == 0;
}

static void read_slot(const void *self, struct tare_pass *pass)
{
    const struct residuals *b = self;
    const int64_t plane = pass->tokens * b->dim;
    mix(b, pass, pass->slot, pass->normed[0]);
    if (begins(b, pass->slot))
        memcpy(pass->side + pass->slot / 2 / b->size * plane, pass->x, (size_t)plane * sizeof(float));
}

static void add_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t at = (int64_t)i * j->b->dim;
    for (int64_t d = 0; d < j->b->dim; d++)
        j->pass->x[at + d] += j->pass->y[at + d];
}

static void write_slot(const void *self, struct tare_pass *pass)
{
    const struct residuals *b = self;
    if (begins(b, pass->slot))
        memcpy(pass->x, pass->y, (size_t)(pass->tokens * b->dim) * sizeof(float));
    else
        tare_pool_run(pass->pool, (size_t)pass->tokens, add_token, &(struct job){.b = b, .pass = pass});
}

static void end(const void *self, struct tare_pass *pass)
{
    const struct residuals *b = self;
    mix(b, pass, 2 * b->n_layers, pass->normed[0]);
    memcpy(pass->x, pass->normed[0], (size_t)(pass->tokens * b->dim) * sizeof(float));
}

static struct score declare(struct tare_at at, const char *name, const struct tare_residual_attention_desc *d)
{
    const char *proj = tare_arena_format(at.tree->arena, "%s_res_proj", name);
    const char *norm = tare_arena_format(at.tree->arena, "%s_res_norm", name);
    if (!proj || !norm)
        return (struct score){0}; /* the arena is marked */
    return (struct score){tare_linear(at, proj, d->dim, 1, NO_BIAS), tare_rms_norm(at, norm, d->dim, d->eps)};
}

void tare_residual_attention(struct tare_decoder *decoder, struct tare_at model,
                             const struct tare_residual_attention_desc *d)
{
    const int64_t n = decoder->n_layers;
    struct residuals *b = tare_arena_alloc(model.tree->arena, sizeof *b);
    struct score *scores = tare_arena_array(model.tree->arena, (size_t)(2 * n + 1), sizeof *scores);
    if ((!b || !scores) && !model.tree->error.code)
        tare_fail_memory(&model.tree->error);
    for (int64_t i = 0; i < n && !model.tree->error.code; i++) {
        const struct tare_at at = tare_at(model, "layers.%lld", (long long)i);
        scores[2 * i] = declare(at, "self_attention", d);
        scores[2 * i + 1] = declare(at, "mlp", d);
    }
    if (model.tree->error.code)
        return;
    scores[2 * n] = declare(model, "output_attn", d);
    *b = (struct residuals){scores, n, d->dim, d->size};
    for (int64_t i = 0; d->size < 1 && i < n; i++)
        decoder->layers[i].mixer.ops = NULL;
    if (d->size < 1)
        return;
    decoder->side = (struct tare_side){.width = tare_mul(model, (n > 0 ? n - 1 : 0) / d->size + 1, d->dim)};
    decoder->stream = (struct tare_stream){.read = read_slot, .write = write_slot, .end = end, .self = b};
}
