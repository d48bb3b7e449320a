/* SPDX-License-Identifier: MIT
 * gated_conv.c - a short convolution between two gates (Liquid AI: LFM2). */
#include "blocks/recurrent/gated_conv.h"

#include "blocks/recurrent/short_conv.h"

struct gated_conv {
    struct tare_linear in, out;
    struct tare_conv conv;
    int64_t dim;
};

struct job {
    const struct gated_conv *b;
    float *rows; /* (tokens, 3, dim): B, C, x; then what the convolution gives, C, B * x */
};

static int state(const void *block, struct tare_state_part parts[TARE_STATE_PARTS])
{
    const struct gated_conv *b = block;
    parts[0] = tare_conv_state(&b->conv);
    return 1;
}

static size_t scratch(const void *block, int64_t tokens)
{
    const struct gated_conv *b = block;
    return (size_t)tokens * 3 * (size_t)b->dim;
}

static void gate_input(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t dim = j->b->dim;
    float *row = j->rows + (int64_t)i * 3 * dim;
    for (int64_t k = 0; k < dim; k++)
        row[2 * dim + k] *= row[k];
}

static void gate_output(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t dim = j->b->dim;
    float *row = j->rows + (int64_t)i * 3 * dim;
    for (int64_t k = 0; k < dim; k++)
        row[k] *= row[dim + k];
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct gated_conv *b = block;
    const int64_t wide = 3 * b->dim;
    const struct job j = {b, pass->scratch};
    const struct tare_short_conv conv = tare_conv_loaded(pass, &b->conv, false);
    tare_linear_forward(pass, &b->in, x, b->in.in, j.rows, wide);
    tare_pool_run(pass->pool, (size_t)pass->tokens, gate_input, (void *)&j);
    for (int64_t i = 0; i < pass->n_spans; i++) {
        float *rows = j.rows + pass->spans[i].first * wide;
        tare_short_conv_forward(pass, &pass->spans[i], &conv, 0, rows + 2 * b->dim, wide, rows, wide);
    }
    tare_pool_run(pass->pool, (size_t)pass->tokens, gate_output, (void *)&j);
    tare_linear_forward(pass, &b->out, j.rows, wide, y, b->out.out);
}

static const struct tare_block_ops ops = {.name = "gated_conv", .state = state, .scratch = scratch, .forward = forward};

void tare_gated_conv(struct tare_layer *layer, struct tare_at parent, const struct tare_gated_conv_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", d->name ? d->name : "conv");
    const struct gated_conv block = {
        .conv = tare_conv(at, "conv", d->dim, d->width, d->bias),
        .in = tare_linear(at, "in_proj", d->dim, tare_mul(at, 3, d->dim), d->bias),
        .out = tare_linear(at, "out_proj", d->dim, d->dim, d->bias),
        .dim = d->dim,
    };
    tare_block_set(&layer->mixer, at, &ops, &block, sizeof block);
}
