/* SPDX-License-Identifier: MIT
 * glu.c - the gated feed-forward block: down(act(gate x) * up x). Dauphin et al. 2017; SwiGLU: Shazeer 2020. */
#include "blocks/feed_forward/glu.h"

#include <math.h>

#include "blocks/pass.h"

struct glu {
    struct tare_linear gate, up, down,
        gate_up; /* gate and up, or gate_up: its weight is NULL where the two are apart */
    int64_t hidden;
    bool up_first;
    enum tare_activation activation;
    struct tare_limit limit;
    float gegelu_limit;
    bool sparse;
    float deviations;      /* sparse: a gate counts from so many standard deviations above the mean on */
    struct tare_norm norm; /* of hidden */
};

/* gate and up side by side: (tokens, 2, hidden) */
static size_t scratch(const void *block, int64_t tokens)
{
    const struct glu *b = block;
    return (size_t)tokens * 2 * (size_t)b->hidden;
}

struct job {
    const struct glu *block;
    const struct tare_pass *pass;
};

/* x (hidden, 2): a gate, what it gates, and so on; the first half of x becomes what comes out. Phi-3's authors, 2024.
 */
static void gegelu(float *x, int64_t hidden, float limit)
{
    for (int64_t i = 0; i < hidden; i++) {
        const float gate = fminf(x[2 * i], limit), up = fmaxf(fminf(x[2 * i + 1], limit), -limit);
        x[i] = gate / (1 + expf(-1.702f * gate)) * (up + 1);
    }
}

/* A gate becomes max(0, gate - cut): about a share of them stays that a normal distribution has above the cut. */
static void cut(float *gate, int64_t n, float deviations)
{
    double sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++)
        sum += gate[i];
    const double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        square += (gate[i] - mean) * (gate[i] - mean);
    const float from = (float)(mean + sqrt(square / (double)n) * (double)deviations);
    for (int64_t i = 0; i < n; i++)
        gate[i] = fmaxf(0, gate[i] - from);
}

/* The number below which a share of a standard normal distribution lies, 0 < share < 1: by halving. */
static double normal_quantile(double share)
{
    double low = -40, high = 40;
    for (int i = 0; i < 100; i++) {
        const double middle = (low + high) / 2;
        if (erfc(-middle / sqrt(2)) / 2 < share)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

static void activate(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t hidden = j->block->hidden;
    float *first = j->pass->scratch + (int64_t)i * 2 * hidden, *second = first + hidden;
    const bool up_first = j->block->up_first;
    if (j->block->gegelu_limit > 0) {
        gegelu(first, hidden, j->block->gegelu_limit);
        return;
    }
    float *gate = up_first ? second : first;
    if (j->block->sparse)
        cut(gate, hidden, j->block->deviations);
    tare_unit_forward(&j->pass->kernels, j->block->activation, &j->block->limit, gate, up_first ? first : second,
                      hidden);
    if (j->block->norm.weight)
        tare_norm_row(j->pass, &j->block->norm, gate, gate);
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct glu *b = block;
    const int64_t wide = 2 * b->hidden;
    if (b->gate_up.weight) {
        tare_linear_forward(pass, &b->gate_up, x, b->gate_up.in, pass->scratch, wide);
    } else {
        tare_linear_forward(pass, &b->gate, x, b->gate.in, pass->scratch, wide);
        tare_linear_forward(pass, &b->up, x, b->up.in, pass->scratch + b->hidden, wide);
    }
    tare_pool_run(pass->pool, (size_t)pass->tokens, activate, &(struct job){b, pass});
    tare_linear_forward(pass, &b->down, pass->scratch + (b->up_first ? b->hidden : 0), wide, y, b->down.out);
}

static const struct tare_block_ops ops = {.name = "glu", .scratch = scratch, .forward = forward};

void tare_glu(struct tare_layer *layer, struct tare_at parent, const struct tare_glu_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", d->name ? d->name : "mlp");
    struct glu b = {.hidden = d->hidden,
                    .up_first = d->up_first,
                    .activation = d->activation,
                    .limit = d->limit,
                    .gegelu_limit = (float)d->gegelu_limit,
                    .sparse = d->sparsity > 0};
    if (b.sparse)
        b.deviations = (float)normal_quantile(d->sparsity);
    struct tare_linear (*const linear)(struct tare_at, const char *, int64_t, int64_t, bool) =
        d->ternary ? tare_ternary : tare_linear;
    if (d->hidden_norm)
        b.norm = tare_rms_norm(at, d->hidden_norm, d->hidden, d->eps);
    if (d->gate_up_name) {
        b.gate_up = linear(at, d->gate_up_name, d->dim, tare_mul(at, 2, d->hidden), d->bias);
    } else {
        b.gate = linear(at, d->gate_name ? d->gate_name : "gate_proj", d->dim, d->hidden, d->bias);
        b.up = linear(at, d->up_name ? d->up_name : "up_proj", d->dim, d->hidden, d->bias);
    }
    b.down = linear(at, d->down_name ? d->down_name : "down_proj", d->hidden, d->dim, d->bias);
    if (d->sparsity < 1)
        tare_block_set(&layer->ffn, at, &ops, &b, sizeof b);
}
