/* SPDX-License-Identifier: MIT
 * plamo_mixer.c - PLaMo 2's mixer.
 *
 *     z, x = in x, of each head;  x = silu(conv(x));  b, c, dt = norms of split(bcdt x);  dt = dt_proj dt
 *     y = out(scan(x, b, c, dt) silu(z))          without limits of dt, as the authors; mlx-lm has 0.001 and 100
 */
#include "blocks/recurrent/plamo_mixer.h"

#include <math.h>
#include <string.h>

#include "blocks/recurrent/head_scan.h"
#include "blocks/recurrent/short_conv.h"
#include "blocks/scratch.h"

struct plamo_mixer {
    struct tare_linear in, parts, step, out;
    struct tare_conv conv;
    const struct tare_parameter *bias, *a_log, *skip; /* (heads) each */
    struct tare_norm norm[3];                         /* of b, of c, of the time steps */
    int64_t inner;
    struct tare_head_scan scan; /* sizes only */
};

enum { CONVOLVED, SCANNED }; /* parts of the state */

struct job {
    const struct plamo_mixer *b;
    const struct tare_pass *pass;
    float *zx;   /* (tokens, 2, inner): the gate, which becomes what goes out, and x, which becomes y */
    float *u;    /* (tokens, inner): what is convolved */
    float *part; /* (tokens, 2 state + rank) */
    float *dt;   /* (tokens, heads) */
};

static int state(const void *block, struct tare_state_part parts[TARE_STATE_PARTS])
{
    const struct plamo_mixer *b = block;
    parts[CONVOLVED] = tare_conv_state(&b->conv);
    parts[SCANNED] = tare_head_scan_state(&b->scan);
    return 2;
}

static size_t lay_out(const struct plamo_mixer *b, int64_t tokens, float *memory, struct job *j)
{
    struct tare_scratch s = {memory, 0};
    j->zx = tare_scratch_take(&s, tokens, 2 * b->inner);
    j->u = tare_scratch_take(&s, tokens, b->inner);
    j->part = tare_scratch_take(&s, tokens, b->parts.out);
    j->dt = tare_scratch_take(&s, tokens, b->scan.heads);
    return s.floats;
}

static size_t scratch(const void *block, int64_t tokens)
{
    struct job counted;
    return lay_out(block, tokens, NULL, &counted);
}

/* The projection gives each head its gate, then its x. This puts all gates first, then all of x. */
static void split_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t head = j->b->scan.head, heads = j->b->scan.heads;
    const size_t bytes = (size_t)head * sizeof(float);
    float *zx = j->zx + (int64_t)i * 2 * j->b->inner, *u = j->u + (int64_t)i * j->b->inner;
    for (int64_t h = 0; h < heads; h++) {
        memcpy(u + h * head, zx + (2 * h + 1) * head, bytes);
        memmove(zx + h * head, zx + 2 * h * head, bytes);
    }
}

static void norm_parts(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    float *part = j->part + (int64_t)i * j->b->parts.out;
    for (int k = 0; k < 3; k++, part += j->b->scan.state)
        tare_norm_row(j->pass, &j->b->norm[k], part, part);
}

static void gate_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    float *z = j->zx + (int64_t)i * 2 * j->b->inner;
    j->pass->kernels.silu(z, z + j->b->inner, j->b->inner);
}

static void convolve_span(const struct job *j, const struct tare_span *span)
{
    const struct plamo_mixer *b = j->b;
    const struct tare_short_conv conv = tare_conv_loaded(j->pass, &b->conv, true);
    tare_short_conv_forward(j->pass, span, &conv, CONVOLVED, j->u + span->first * b->inner, b->inner,
                            j->zx + (2 * span->first + 1) * b->inner, 2 * b->inner);
}

static void scan_span(const struct job *j, const struct tare_span *span)
{
    const struct plamo_mixer *b = j->b;
    const struct tare_loaded *loaded = j->pass->loaded;
    struct tare_head_scan scan = b->scan;
    scan.a_log = tare_loaded_vector(loaded, b->a_log);
    scan.skip = tare_loaded_vector(loaded, b->skip);
    scan.bias = tare_loaded_vector(loaded, b->bias);
    scan.y = j->zx + (2 * span->first + 1) * b->inner;
    scan.x = scan.y;
    scan.ldx = scan.ldy = 2 * b->inner;
    scan.b = j->part + span->first * b->parts.out;
    scan.c = scan.b + scan.state;
    scan.ldb = b->parts.out;
    scan.dt = j->dt + span->first * scan.heads;
    scan.lddt = scan.heads;
    tare_head_scan(j->pass, span, &scan, SCANNED);
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct plamo_mixer *b = block;
    const int64_t tokens = pass->tokens, wide = 2 * b->inner;
    struct job j = {.b = b, .pass = pass};
    lay_out(b, pass->tokens, pass->scratch, &j);
    tare_linear_forward(pass, &b->in, x, b->in.in, j.zx, wide);
    tare_pool_run(pass->pool, (size_t)tokens, split_token, &j);
    for (int64_t i = 0; i < pass->n_spans; i++)
        convolve_span(&j, &pass->spans[i]);
    tare_linear_forward(pass, &b->parts, j.zx + b->inner, wide, j.part, b->parts.out);
    tare_pool_run(pass->pool, (size_t)tokens, norm_parts, &j);
    tare_linear_forward(pass, &b->step, j.part + 2 * b->scan.state, b->parts.out, j.dt, b->scan.heads);
    for (int64_t i = 0; i < pass->n_spans; i++)
        scan_span(&j, &pass->spans[i]);
    tare_pool_run(pass->pool, (size_t)tokens, gate_token, &j);
    tare_linear_forward(pass, &b->out, j.zx, wide, y, b->out.out);
}

static const struct tare_block_ops ops = {
    .name = "plamo_mixer", .state = state, .scratch = scratch, .forward = forward};

static struct tare_norm bare_norm(struct tare_at at, const char *name, int64_t dim, double eps)
{
    return (struct tare_norm){.kind = TARE_NORM_RMS, .weight = tare_plain(at, name, 1, dim), .dim = dim, .eps = eps};
}

void tare_plamo_mixer(struct tare_layer *layer, struct tare_at parent, const struct tare_plamo_mixer_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", d->name ? d->name : "mixer");
    const int64_t inner = tare_width(at, d->heads, d->head_dim);
    const struct plamo_mixer b = {
        .in = tare_linear(at, "in_proj", d->dim, 2 * inner, NO_BIAS),
        .conv = tare_conv(at, "conv1d", inner, d->width, NO_BIAS),
        .parts = tare_linear(at, "bcdt_proj", inner, d->rank + 2 * d->state, NO_BIAS),
        .step = tare_linear(at, "dt_proj", d->rank, d->heads, NO_BIAS),
        .bias = tare_plain(at, "dt_bias", 1, d->heads),
        .a_log = tare_plain(at, "A_log", 1, d->heads),
        .skip = tare_plain(at, "D", 1, d->heads),
        .norm = {bare_norm(at, "B_norm_weight", d->state, d->eps), bare_norm(at, "C_norm_weight", d->state, d->eps),
                 bare_norm(at, "dt_norm_weight", d->rank, d->eps)},
        .out = tare_linear(at, "out_proj", inner, d->dim, NO_BIAS),
        .inner = inner,
        .scan = {.heads = d->heads, .head = d->head_dim, .groups = 1, .state = d->state, .most = INFINITY},
    };
    if (tare_head_scan_fits(&b.scan))
        tare_block_set(&layer->mixer, at, &ops, &b, sizeof b);
}
