/* SPDX-License-Identifier: MIT
 * lightning.c - linear attention with a constant decay a head, token by token, heads in parallel. */
#include "blocks/recurrent/lightning.h"

#include <math.h>
#include <string.h>

#include "blocks/pass.h"
#include "blocks/scratch.h"

#define TILE 32 /* channels of a task */

struct lightning {
    struct tare_linear qkv, gate, out;
    struct tare_norm q_norm, k_norm, norm; /* norm: of a group */
    int64_t heads, head, width, groups;
    double strength;
    struct tare_rope rope;
};

struct job {
    const struct lightning *b;
    const struct tare_pass *pass;
    float *qkv;    /* (tokens, 3, heads, head); v becomes o */
    float *gate;   /* (tokens, heads, head) */
    float *freq;   /* (spans, rope.dims) */
    float *factor; /* (spans) */
    float *table;  /* (tokens, rope.dims) */
};

static int state(const void *block, struct tare_state_part parts[TARE_STATE_PARTS])
{
    const struct lightning *b = block;
    parts[0] = (struct tare_state_part){TARE_STATE_SUM, b->width, b->head, 0};
    return 1;
}

static size_t lay_out(const struct lightning *b, int64_t tokens, float *memory, struct job *j)
{
    struct tare_scratch s = {memory, 0};
    j->qkv = tare_scratch_take(&s, tokens, 3 * b->width);
    j->gate = tare_scratch_take(&s, tokens, b->width);
    j->freq = tare_scratch_take(&s, tokens, b->rope.dims);
    j->table = tare_scratch_take(&s, tokens, b->rope.dims);
    j->factor = tare_scratch_take(&s, tokens, 1);
    return s.floats;
}

static size_t scratch(const void *block, int64_t tokens)
{
    struct job counted;
    return lay_out(block, tokens, NULL, &counted);
}

/* Norms and rotates the queries and keys of a token. */
static void prepare_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct lightning *b = j->b;
    const int64_t t = (int64_t)i, dims = b->rope.dims;
    const int32_t span = j->pass->span_of[t];
    const float scale = 1 / sqrtf((float)b->head);
    float *row = j->qkv + t * 3 * b->width, *table = j->table + t * dims;
    tare_rope_table(&b->rope, j->freq + span * dims, j->factor[span], tare_pass_position(j->pass, t), table);
    for (int64_t h = 0; h < 2 * b->heads; h++) {
        float *head = row + h * b->head;
        tare_norm_row(j->pass, h < b->heads ? &b->q_norm : &b->k_norm, head, head);
        tare_rope_rotate(&b->rope, table, head);
    }
    for (int64_t d = 0; d < b->width; d++)
        row[d] *= scale;
}

static int64_t tiles_of(const struct lightning *b)
{
    return (b->head + TILE - 1) / TILE;
}

static double slope(int64_t h, int64_t heads)
{
    int64_t power = 1;
    while (2 * power <= heads)
        power *= 2;
    return h < power ? exp2(-8.0 * (double)(h + 1) / (double)power)
                     : exp2(-4.0 * (double)(2 * (h - power) + 1) / (double)power);
}

/* One task runs some channels of one head over the tokens of a span, so that their state, (head, channels), stays in
 * the L1 cache. */
static void scan_tile(void *user, size_t i, int worker)
{
    const struct job *j = user;
    const struct lightning *b = j->b;
    const int64_t tiles = tiles_of(b), head = (int64_t)i / tiles, h = head % b->heads, at = (int64_t)i % tiles * TILE;
    const struct tare_span *span = &j->pass->spans[head / b->heads];
    struct tare_state *kept = tare_pass_state(j->pass, span);
    const int64_t n = b->head, channel = h * n + at, channels = n - at < TILE ? n - at : TILE;
    const float alike = (float)exp(-b->strength * slope(h, b->heads));
    float *const y = j->pass->work[worker], *const decay = y + TILE;
    struct tare_scan step = {.ldh = channels, .decay = decay, .states = n, .channels = channels, .y = y};
    step.h = tare_state_to(kept, 0, span->turn) + channel * n;
    memcpy(step.h, tare_state_from(kept, 0, span->turn) + channel * n, (size_t)(n * channels) * sizeof *step.h);
    for (int64_t d = 0; d < channels; d++)
        decay[d] = alike;
    for (int64_t t = span->first; t < span->first + span->tokens; t++) {
        float *q = j->qkv + t * 3 * b->width + h * n, *v = q + 2 * b->width + at;
        step.c = q;
        step.b = q + b->width;
        step.x = v;
        j->pass->kernels.scan(&step);
        memcpy(v, y, (size_t)channels * sizeof *y);
    }
}

/* gate = norm(o) sigmoid(gate) */
static void gate_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct lightning *b = j->b;
    float *o = j->qkv + ((int64_t)i * 3 + 2) * b->width, *gate = j->gate + (int64_t)i * b->width;
    struct tare_norm norm = b->norm;
    for (; norm.row < b->groups; norm.row++)
        tare_norm_row(j->pass, &norm, o + norm.row * norm.dim, o + norm.row * norm.dim);
    for (int64_t d = 0; d < b->width; d++)
        gate[d] = o[d] / (1 + expf(-gate[d]));
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct lightning *b = block;
    const int64_t tokens = pass->tokens, dims = b->rope.dims;
    struct job j = {.b = b, .pass = pass};
    lay_out(b, pass->tokens, pass->scratch, &j);
    tare_linear_forward(pass, &b->qkv, x, b->qkv.in, j.qkv, 3 * b->width);
    tare_linear_forward(pass, &b->gate, x, b->gate.in, j.gate, b->width);
    for (int64_t i = 0; i < pass->n_spans; i++)
        j.factor[i] = tare_rope_frequencies(&b->rope, pass->spans[i].total, j.freq + i * dims);
    tare_pool_run(pass->pool, (size_t)tokens, prepare_token, &j);
    tare_pool_run(pass->pool, (size_t)(pass->n_spans * b->heads * tiles_of(b)), scan_tile, &j);
    tare_pool_run(pass->pool, (size_t)tokens, gate_token, &j);
    tare_linear_forward(pass, &b->out, j.gate, b->width, y, b->out.out);
}

static const struct tare_block_ops ops = {.name = "lightning", .state = state, .scratch = scratch, .forward = forward};

void tare_lightning(struct tare_layer *layer, struct tare_at parent, const struct tare_lightning_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", d->name ? d->name : "attention");
    const int64_t width = tare_width(at, d->heads, d->head);
    struct lightning b = {
        .qkv = tare_linear(at, "query_key_value", d->dim, 3 * width, d->qkv_bias),
        .out = tare_linear(at, "dense", width, d->dim, d->bias),
        .gate = tare_linear(at, "g_proj", d->dim, width, NO_BIAS),
        .norm = tare_rms_norm(at, "g_norm", width, d->eps),
        .k_norm = {.dim = d->head},
        .q_norm = {.dim = d->head},
        .heads = d->heads,
        .head = d->head,
        .width = width,
        .groups = d->groups,
        .strength = d->strength,
        .rope = d->rope,
    };
    if (d->qk_norm) {
        b.k_norm = tare_rms_norm(at, "key_layernorm", d->head, d->eps);
        b.q_norm = tare_rms_norm(at, "query_layernorm", d->head, d->eps);
    }
    if (at.tree->error.code || d->groups < 1 || width % d->groups || d->rope.dims < 0 || d->rope.dims > d->head)
        return;
    b.norm.dim = width / d->groups;
    tare_block_set(&layer->mixer, at, &ops, &b, sizeof b);
}
