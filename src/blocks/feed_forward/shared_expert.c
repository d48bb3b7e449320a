/* SPDX-License-Identifier: MIT
 * shared_expert.c - the expert that all tokens share, beside the routed ones. */
#include "blocks/feed_forward/mixture_self.h"

static void activate(void *user, size_t i, int worker)
{
    (void)worker;
    const struct tare_mixture_job *j = user;
    const struct tare_shared *s = &j->b->shared;
    tare_experts_activate(j, &s->limit, j->shared + (int64_t)i * 2 * s->hidden, s->hidden);
}

/* y = own * y + other * shared. The two weights are 1 and 1; or 1 and a sigmoid; or a softmax over two logits, which is
 * a sigmoid of their difference. */
static void add(void *user, size_t i, int worker)
{
    (void)worker;
    const struct tare_mixture_job *j = user;
    const int64_t dim = j->b->dim;
    const float *shared = j->shared_y + (int64_t)i * dim, *c = j->coefficient + (int64_t)i * 2;
    float *y = j->y + (int64_t)i * dim, own = 1, other = 1;
    if (j->b->shared.gate.weight)
        other = tare_sigmoid(c[0]);
    if (j->b->shared.mix.weight) {
        own = tare_sigmoid(c[0] - c[1]);
        other = tare_sigmoid(c[1] - c[0]);
    }
    for (int64_t d = 0; d < dim; d++)
        y[d] = own * y[d] + other * shared[d];
}

void tare_shared_run(const struct tare_mixture_job *j)
{
    const struct tare_mixture *b = j->b;
    const struct tare_shared *s = &b->shared;
    const struct tare_pass *pass = j->pass;
    const int64_t wide = 2 * s->hidden;
    if (!b->ungated)
        tare_linear_forward(pass, &s->part[TARE_EXPERT_GATE], j->x, b->dim, j->shared, wide);
    if (s->part[TARE_EXPERT_UP].weight) /* otherwise the rows of `gate` include those of `up` */
        tare_linear_forward(pass, &s->part[TARE_EXPERT_UP], j->x, b->dim, j->shared + (b->ungated ? 0 : s->hidden),
                            wide);
    tare_pool_run(pass->pool, (size_t)pass->tokens, activate, (void *)j);
    tare_linear_forward(pass, &s->part[TARE_EXPERT_DOWN], j->shared, wide, j->shared_y, b->dim);
    if (s->gate.weight)
        tare_linear_forward(pass, &s->gate, j->x, b->dim, j->coefficient, 2);
    if (s->mix.weight)
        tare_linear_forward(pass, &s->mix, j->x, b->dim, j->coefficient, 2);
    tare_pool_run(pass->pool, (size_t)pass->tokens, add, (void *)j);
}

static const char *given(const char *name, const char *usual)
{
    return name ? name : usual;
}

void tare_shared_declare(struct tare_mixture *b, struct tare_at at, const struct tare_routed_desc *d)
{
    const struct tare_shared_desc *shared = &d->shared;
    const struct tare_mixture_variant *v = d->variant;
    const struct tare_at below = tare_at(at, "%s", given(shared->name, "shared_experts"));
    const char *both = v ? v->shared_gate_up : NULL;
    const int64_t dim = d->dim, hidden = shared->hidden;
    if (!b->ungated)
        b->shared.part[TARE_EXPERT_GATE] =
            tare_linear(below, given(both, "gate_proj"), dim, both ? tare_mul(at, 2, hidden) : hidden, shared->bias);
    if (!both)
        b->shared.part[TARE_EXPERT_UP] = tare_linear(below, "up_proj", dim, hidden, shared->bias);
    b->shared.part[TARE_EXPERT_DOWN] =
        tare_linear(below, given(v ? v->shared_down : NULL, "down_proj"), hidden, dim, shared->bias);
    if (shared->gate)
        b->shared.gate = tare_linear(at, shared->gate, dim, 1, NO_BIAS);
    if (v && v->mix)
        b->shared.mix = tare_linear(at, v->mix, dim, 2, BIAS);
    b->shared.hidden = hidden;
    b->shared.limit = shared->limit;
}
