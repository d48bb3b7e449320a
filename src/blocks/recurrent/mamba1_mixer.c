/* SPDX-License-Identifier: MIT
 * mamba1_mixer.c - Mamba's mixer. Gu & Dao 2023.
 *
 *     x, z = in x;  x = silu(conv(x));  dt, b, c = split(x_proj x);  dt = softplus(dt_proj dt)
 *     h[n] = exp(-exp(a_log[n]) dt) h[n] + b[n] dt x          of each channel
 *     y = out((sum_n c[n] h[n] + D x) silu(z))
 */
#include "blocks/recurrent/mamba1_mixer.h"

#include <string.h>

#include "blocks/recurrent/short_conv.h"
#include "blocks/scratch.h"

struct mamba1 {
    struct tare_linear in, parts, step, out;
    struct tare_conv conv;
    const struct tare_parameter *a_log, *skip; /* (inner, state), (inner) */
    struct tare_norm norm[3];                  /* of the time step, b and c */
    int64_t inner, state, rank;
    int64_t channels; /* of a task */
};

enum { CONVOLVED, SCANNED }; /* parts of the state */

struct job {
    const struct mamba1 *b;
    const struct tare_pass *pass;
    const struct tare_span *span;
    float *xz;   /* (tokens, 2, inner): what is convolved, the gate, which becomes what goes out */
    float *x;    /* (tokens, inner) */
    float *part; /* (tokens, rank + 2 state) */
    float *dt;   /* (tokens, inner) */
    const float *from;
    float *to; /* (state, inner) */
};

static int state(const void *block, struct tare_state_part parts[TARE_STATE_PARTS])
{
    const struct mamba1 *b = block;
    parts[CONVOLVED] = tare_conv_state(&b->conv);
    parts[SCANNED] = (struct tare_state_part){TARE_STATE_SUM, b->state, b->inner, 0};
    return 2;
}

static size_t lay_out(const struct mamba1 *b, int64_t tokens, float *memory, struct job *j)
{
    struct tare_scratch s = {memory, 0};
    j->xz = tare_scratch_take(&s, tokens, 2 * b->inner);
    j->x = tare_scratch_take(&s, tokens, b->inner);
    j->dt = tare_scratch_take(&s, tokens, b->inner);
    j->part = tare_scratch_take(&s, tokens, b->parts.out);
    return s.floats;
}

static size_t scratch(const void *block, int64_t tokens)
{
    struct job counted;
    return lay_out(block, tokens, NULL, &counted);
}

static void norm_parts(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    float *part = j->part + (int64_t)i * j->b->parts.out;
    for (int k = 0; k < 3; k++, part += k == 1 ? j->b->rank : j->b->state)
        tare_norm_row(j->pass, &j->b->norm[k], part, part);
}

/* What one task computes: channels [first, first + n). The work memory of its thread holds a and decay, (state, n)
 * each, then x and y, (n) each. */
struct lanes {
    int64_t first, n;
    float *a, *decay, *x, *y;
};

/* a = -exp(a_log), transposed from (inner, state) to (state, n). */
static void take_decay(const struct job *j, const struct lanes *l)
{
    const int64_t states = j->b->state;
    const float *log = tare_loaded_vector(j->pass->loaded, j->b->a_log) + l->first * states;
    for (int64_t k = 0; k < states; k++)
        for (int64_t i = 0; i < l->n; i++)
            l->a[k * l->n + i] = log[i * states + k];
    j->pass->kernels.exponents(l->a, states * l->n, 0);
    for (int64_t i = 0; i < states * l->n; i++)
        l->a[i] = -l->a[i];
}

/* One token: l->y = sum_n c[n] h[n] */
static void step(const struct job *j, const struct lanes *l, int64_t t)
{
    const struct mamba1 *b = j->b;
    const float *x = j->x + t * b->inner + l->first, *part = j->part + t * b->parts.out + b->rank;
    float *dt = j->dt + t * b->inner + l->first;
    for (int64_t i = 0; i < l->n; i++) {
        dt[i] = tare_softplus(dt[i]);
        l->x[i] = dt[i] * x[i];
    }
    for (int64_t k = 0; k < b->state; k++)
        for (int64_t i = 0; i < l->n; i++)
            l->decay[k * l->n + i] = dt[i] * l->a[k * l->n + i];
    j->pass->kernels.exponents(l->decay, b->state * l->n, 0);
    j->pass->kernels.scan(&(struct tare_scan){.h = j->to + l->first,
                                              .ldh = b->inner,
                                              .decay = l->decay,
                                              .ldd = l->n,
                                              .x = l->x,
                                              .b = part,
                                              .c = part + b->state,
                                              .states = b->state,
                                              .channels = l->n,
                                              .y = l->y});
}

static void scan_channels(void *user, size_t task, int worker)
{
    const struct job *j = user;
    const struct mamba1 *b = j->b;
    struct lanes l = {.first = (int64_t)task * b->channels, .a = j->pass->work[worker]};
    l.n = b->inner - l.first < b->channels ? b->inner - l.first : b->channels;
    l.decay = l.a + b->state * l.n;
    l.x = l.decay + b->state * l.n;
    l.y = l.x + l.n;
    const float *skip = tare_loaded_vector(j->pass->loaded, b->skip) + l.first;
    take_decay(j, &l);
    for (int64_t k = 0; k < b->state; k++)
        memcpy(j->to + k * b->inner + l.first, j->from + k * b->inner + l.first, (size_t)l.n * sizeof *j->to);
    for (int64_t t = 0; t < j->span->tokens; t++) {
        const float *x = j->x + t * b->inner + l.first;
        step(j, &l, t);
        for (int64_t i = 0; i < l.n; i++)
            l.y[i] += skip[i] * x[i];
        j->pass->kernels.silu(j->xz + (2 * t + 1) * b->inner + l.first, l.y, l.n);
    }
}

static void run_span(struct job j, const struct tare_span *span)
{
    const struct mamba1 *b = j.b;
    struct tare_state *s = tare_pass_state(j.pass, span);
    j.span = span;
    j.xz += span->first * 2 * b->inner;
    j.x += span->first * b->inner;
    j.part += span->first * b->parts.out;
    j.dt += span->first * b->inner;
    j.from = tare_state_from(s, SCANNED, span->turn);
    j.to = tare_state_to(s, SCANNED, span->turn);
    tare_pool_run(j.pass->pool, (size_t)((b->inner + b->channels - 1) / b->channels), scan_channels, &j);
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct mamba1 *b = block;
    const struct tare_short_conv conv = tare_conv_loaded(pass, &b->conv, true);
    struct job j = {.b = b, .pass = pass};
    lay_out(b, pass->tokens, pass->scratch, &j);
    tare_linear_forward(pass, &b->in, x, b->in.in, j.xz, 2 * b->inner);
    for (int64_t i = 0; i < pass->n_spans; i++) {
        const int64_t first = pass->spans[i].first;
        tare_short_conv_forward(pass, &pass->spans[i], &conv, CONVOLVED, j.xz + first * 2 * b->inner, 2 * b->inner,
                                j.x + first * b->inner, b->inner);
    }
    tare_linear_forward(pass, &b->parts, j.x, b->inner, j.part, b->parts.out);
    if (b->norm[0].kind != TARE_NORM_NONE)
        tare_pool_run(pass->pool, (size_t)pass->tokens, norm_parts, &j);
    tare_linear_forward(pass, &b->step, j.part, b->parts.out, j.dt, b->inner);
    for (int64_t i = 0; i < pass->n_spans; i++)
        run_span(j, &pass->spans[i]);
    tare_linear_forward(pass, &b->out, j.xz + b->inner, 2 * b->inner, y, b->out.out);
}

static const struct tare_block_ops ops = {.name = "mamba1", .state = state, .scratch = scratch, .forward = forward};

static void declare_norms(struct mamba1 *b, struct tare_at at, const struct tare_mamba1_desc *d)
{
    static const char *const names[] = {"dt_layernorm", "b_layernorm", "c_layernorm"};
    for (int i = 0; i < 3; i++) {
        const int64_t dim = i ? d->state : d->rank;
        b->norm[i] = d->norm == TARE_MAMBA_NORM
                         ? tare_rms_norm(at, names[i], dim, d->eps)
                         : (struct tare_norm){.kind = d->norm == TARE_MAMBA_NORM_BARE ? TARE_NORM_RMS : TARE_NORM_NONE,
                                              .dim = dim,
                                              .eps = d->eps};
    }
}

#define TASK_CHANNELS 64

/* The most channels whose lanes fit into a thread's work memory; 0: the state is too large even for one. */
static int64_t task_channels(int64_t states)
{
    const int64_t fit = states > TARE_PANEL_FLOATS ? 0 : TARE_PANEL_FLOATS / (2 * states + 2);
    return fit < TASK_CHANNELS ? fit : TASK_CHANNELS;
}

void tare_mamba1(struct tare_layer *layer, struct tare_at parent, const struct tare_mamba1_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", d->name ? d->name : "mixer");
    const int64_t inner = tare_width(at, d->inner, 1);
    struct mamba1 b = {
        .in = tare_linear(at, "in_proj", d->dim, 2 * inner, d->bias),
        .conv = tare_conv(at, "conv1d", inner, d->width, d->conv_bias),
        .parts = tare_linear(at, "x_proj", inner, d->rank + 2 * d->state, NO_BIAS),
        .step = tare_linear(at, "dt_proj", d->rank, inner, BIAS),
        .a_log = tare_plain(at, "A_log", 2, inner, d->state),
        .skip = tare_plain(at, "D", 1, inner),
        .out = tare_linear(at, "out_proj", inner, d->dim, d->bias),
        .inner = inner,
        .state = d->state,
        .rank = d->rank,
        .channels = task_channels(d->state),
    };
    declare_norms(&b, at, d);
    if (b.channels > 0)
        tare_block_set(&layer->mixer, at, &ops, &b, sizeof b);
}
