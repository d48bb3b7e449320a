/* SPDX-License-Identifier: MIT
 * mamba2_mixer.c - Mamba-2's mixer. Dao & Gu 2024.
 *
 *     z, u, dt = in x;  x, b, c = silu(conv(u));  y = out(norm(scan(x, b, c, dt) silu(z)))
 */
#include "blocks/recurrent/mamba2_mixer.h"

#include <math.h>

#include "blocks/recurrent/head_scan.h"
#include "blocks/recurrent/short_conv.h"
#include "blocks/scratch.h"

struct mamba2 {
    struct tare_linear in, out;
    struct tare_conv conv;
    const struct tare_parameter *bias, *a_log, *skip; /* (heads) each */
    struct tare_norm norm;                            /* of a group */
    bool norm_first;
    int64_t inner, convolved;
    struct tare_head_scan scan; /* sizes only */
};

enum { CONVOLVED, SCANNED }; /* parts of the state */

struct job {
    const struct mamba2 *b;
    const struct tare_pass *pass;
    float *in;   /* (tokens, inner + convolved + heads): the gate, which becomes what goes out, u, time steps */
    float *conv; /* (tokens, convolved): x, which becomes y, then b and c */
};

static int state(const void *block, struct tare_state_part parts[TARE_STATE_PARTS])
{
    const struct mamba2 *b = block;
    parts[CONVOLVED] = tare_conv_state(&b->conv);
    parts[SCANNED] = tare_head_scan_state(&b->scan);
    return 2;
}

static size_t lay_out(const struct mamba2 *b, int64_t tokens, float *memory, struct job *j)
{
    struct tare_scratch s = {memory, 0};
    j->in = tare_scratch_take(&s, tokens, b->in.out);
    j->conv = tare_scratch_take(&s, tokens, b->convolved);
    return s.floats;
}

static size_t scratch(const void *block, int64_t tokens)
{
    struct job counted;
    return lay_out(block, tokens, NULL, &counted);
}

static void norm_groups(const struct job *j, float *y)
{
    struct tare_norm norm = j->b->norm;
    for (; norm.row < j->b->scan.groups; norm.row++, y += norm.dim)
        tare_norm_row(j->pass, &norm, y, y);
}

static void gate_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct mamba2 *b = j->b;
    float *gate = j->in + (int64_t)i * b->in.out, *y = j->conv + (int64_t)i * b->convolved;
    const bool normed = b->norm.kind != TARE_NORM_NONE;
    if (normed && b->norm_first)
        norm_groups(j, y);
    j->pass->kernels.silu(gate, y, b->inner);
    if (normed && !b->norm_first)
        norm_groups(j, gate);
}

static void run_span(const struct job *j, const struct tare_span *span)
{
    const struct mamba2 *b = j->b;
    const struct tare_loaded *loaded = j->pass->loaded;
    const int64_t wide = b->in.out;
    const struct tare_short_conv conv = tare_conv_loaded(j->pass, &b->conv, true);
    float *in = j->in + span->first * wide, *x = j->conv + span->first * b->convolved;
    tare_short_conv_forward(j->pass, span, &conv, CONVOLVED, in + b->inner, wide, x, b->convolved);
    struct tare_head_scan scan = b->scan;
    scan.a_log = tare_loaded_vector(loaded, b->a_log);
    scan.skip = tare_loaded_vector(loaded, b->skip);
    scan.bias = tare_loaded_vector(loaded, b->bias);
    scan.x = scan.y = x;
    scan.b = x + b->inner;
    scan.c = scan.b + scan.groups * scan.state;
    scan.ldx = scan.ldb = scan.ldy = b->convolved;
    scan.dt = in + b->inner + b->convolved;
    scan.lddt = wide;
    tare_head_scan(j->pass, span, &scan, SCANNED);
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct mamba2 *b = block;
    struct job j = {.b = b, .pass = pass};
    lay_out(b, pass->tokens, pass->scratch, &j);
    tare_linear_forward(pass, &b->in, x, b->in.in, j.in, b->in.out);
    for (int64_t i = 0; i < pass->n_spans; i++)
        run_span(&j, &pass->spans[i]);
    tare_pool_run(pass->pool, (size_t)pass->tokens, gate_token, &j);
    tare_linear_forward(pass, &b->out, j.in, b->in.out, y, b->out.out);
}

static const struct tare_block_ops ops = {.name = "mamba2", .state = state, .scratch = scratch, .forward = forward};

void tare_mamba2(struct tare_layer *layer, struct tare_at parent, const struct tare_mamba2_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", d->name ? d->name : "mixer");
    const int64_t inner = d->inner > 0 ? tare_width(at, d->inner, 1) : tare_width(at, d->heads, d->head_dim);
    const int64_t convolved = inner + 2 * tare_width(at, d->groups, d->state);
    tare_div(at, "the number of Mamba heads,", d->heads, "the number of groups,", d->groups);
    struct mamba2 b = {
        .in = tare_linear(at, "in_proj", d->dim, inner + convolved + d->heads, d->bias),
        .conv = tare_conv(at, "conv1d", convolved, d->width, d->conv_bias),
        .bias = tare_plain(at, "dt_bias", 1, d->heads),
        .a_log = tare_plain(at, "A_log", 1, d->heads),
        .skip = tare_plain(at, "D", 1, d->heads),
        .out = tare_linear(at, "out_proj", inner, d->dim, d->out_bias),
        .norm_first = d->norm_first,
        .inner = inner,
        .convolved = convolved,
        .scan = {.heads = d->heads,
                 .groups = d->groups,
                 .state = d->state,
                 .least = (float)d->least,
                 .most = d->most > 0 ? (float)d->most : INFINITY},
    };
    if (!d->no_norm)
        b.norm = tare_rms_norm(at, "norm", inner, d->eps);
    if (at.tree->error.code || inner % d->heads != 0 || inner % d->groups != 0)
        return; /* the latter two can be declared, and not run */
    b.scan.head = inner / d->heads;
    b.norm.dim = inner / d->groups;
    if (tare_head_scan_fits(&b.scan))
        tare_block_set(&layer->mixer, at, &ops, &b, sizeof b);
}
