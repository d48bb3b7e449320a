/* SPDX-License-Identifier: MIT
 * glu.c - the gated feed-forward block: down(act(gate x) * up x). Dauphin et al. 2017; SwiGLU: Shazeer 2020. */
#include "blocks/feed_forward/glu.h"

#include "blocks/pass.h"
#include "blocks/scratch.h"

struct glu {
    struct tare_linear gate, up, down;
    struct tare_linear gate_up; /* in place of gate and up; its weight is NULL where the two are apart */
    int64_t hidden;
    enum tare_activation activation;
    struct tare_limit limit;
    struct tare_glu_unit unit;
};

struct job {
    const struct glu *block;
    const struct tare_pass *pass;
    float *halves; /* (tokens, 2, hidden): what gate and up give */
};

static size_t lay_out(const struct glu *b, int64_t tokens, float *memory, struct job *j)
{
    struct tare_scratch s = {memory, 0};
    j->halves = tare_scratch_take(&s, tokens, 2 * b->hidden);
    return s.floats;
}

static size_t scratch(const void *block, int64_t tokens)
{
    struct job counted;
    return lay_out(block, tokens, NULL, &counted);
}

static void activate(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct glu *b = j->block;
    float *gate = j->halves + (int64_t)i * 2 * b->hidden;
    if (b->unit.apply)
        b->unit.apply(&b->unit, j->pass, gate, b->hidden);
    else
        tare_unit_forward(&j->pass->kernels, b->activation, &b->limit, gate, gate + b->hidden, b->hidden);
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct glu *b = block;
    const int64_t wide = 2 * b->hidden;
    struct job j = {.block = b, .pass = pass};
    lay_out(b, pass->tokens, pass->scratch, &j);
    if (b->gate_up.weight) {
        tare_linear_forward(pass, &b->gate_up, x, b->gate_up.in, j.halves, wide);
    } else {
        const struct tare_linear_to to[TARE_LINEARS] = {{&b->gate, j.halves}, {&b->up, j.halves + b->hidden}};
        tare_linears_forward(pass, to, x, b->gate.in, wide);
    }
    tare_pool_run(pass->pool, (size_t)pass->tokens, activate, &j);
    tare_linear_forward(pass, &b->down, j.halves, wide, y, b->down.out);
}

/* What comes out is a multiple of up where no limit and no unit of a model's own is between them. */
static int folds(const void *block, struct tare_fold folds[TARE_FOLDS])
{
    const struct glu *b = block;
    folds[0] = (struct tare_fold){.reader = {&b->gate, &b->up, &b->gate_up}};
    folds[1] = (struct tare_fold){.before = b->gate_up.weight ? &b->gate_up : &b->up,
                                  .first = b->gate_up.weight ? b->hidden : 0,
                                  .width = 1,
                                  .repeat = 1,
                                  .reader = {&b->down}};
    return b->unit.apply || b->limit.kind != TARE_LIMIT_NONE ? 1 : 2;
}

static const struct tare_block_ops ops = {.name = "glu", .scratch = scratch, .forward = forward, .folds = folds};

void tare_glu(struct tare_layer *layer, struct tare_at parent, const struct tare_glu_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", d->name ? d->name : "mlp");
    struct tare_linear (*const linear)(struct tare_at, const char *, int64_t, int64_t, bool) =
        d->linear ? d->linear : tare_linear;
    struct glu b = {.hidden = d->hidden, .activation = d->activation, .limit = d->limit, .unit = d->unit};
    if (d->gate_up_name) {
        b.gate_up = linear(at, d->gate_up_name, d->dim, tare_mul(at, 2, d->hidden), d->bias);
    } else {
        b.gate = linear(at, d->gate_name ? d->gate_name : "gate_proj", d->dim, d->hidden, d->bias);
        b.up = linear(at, d->up_name ? d->up_name : "up_proj", d->dim, d->hidden, d->bias);
    }
    b.down = linear(at, d->down_name ? d->down_name : "down_proj", d->hidden, d->dim, d->bias);
    tare_block_set(&layer->ffn, at, &ops, &b, sizeof b);
}
