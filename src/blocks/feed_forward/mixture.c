/* SPDX-License-Identifier: MIT
 * mixture.c - routed experts: a router chooses a few feed-forward networks for each token. Shazeer et al. 2017.
 *
 * Tokens are grouped by expert, so that each expert's weights are read once a pass. A "slot" is one token at one of its
 * experts; slots are sorted by expert, and a wave of them goes through the three projections at once.
 */
#include "blocks/feed_forward/mixture.h"

#include <math.h>
#include <string.h>

#include "blocks/pass.h"
#include "blocks/scratch.h"

struct routed {
    struct tare_router router;
    struct tare_linear gate; /* its weight is NULL where it is bare */
    const struct tare_parameter *bare, *correction;
    struct tare_linear stacked[3]; /* gate, up, down */
    struct tare_linear *each[3];   /* (n) instead, one by one; NULL: stacked */
    struct tare_linear shared[3], shared_gate, mix;
    struct tare_linear narrow, widen; /* their weights are NULL where experts work at the model's width */
    struct tare_norm narrow_norm, down_norm, each_norm; /* of the sum, of what goes in, of what each gives */
    struct tare_norm gate_norm, experts_norm;           /* of x, where the two are apart */
    const struct tare_parameter *gain;                  /* (n), of the weights; NULL: none */
    float logit_scale;
    bool ungated;
    int64_t dim, hidden, shared_hidden;
    int64_t working; /* experts: those from here on are idle */
    int64_t width;   /* of what goes into the experts and comes out */
    enum tare_activation activation;
    struct tare_limit limit, shared_limit;
    bool weigh_input;
};

enum { GATE, UP, DOWN };

struct job {
    const struct routed *b;
    const struct tare_pass *pass;
    const float *x;
    float *y;
    const float *in;               /* (tokens, width): what experts take, */
    float *sum;                    /* and what they give: x and y, or these two */
    float *narrow;                 /* (tokens, 2, width) */
    float *normed;                 /* (tokens, dim): what experts take, where that is apart */
    struct tare_product *products; /* (2 n): of a wave */
    float *logits, *choice;        /* (tokens, n), (tokens, n + groups) */
    float *weight;                 /* (tokens, top) */
    int32_t *chosen;               /* (tokens, top): experts */
    int32_t *slot;                 /* (tokens, top): where that pair went */
    int32_t *pair;                 /* (tokens * top): the pair in a slot */
    int32_t *begin;                /* (n + 1): slots of each expert */
    float *units;                  /* (wave, 2, hidden) */
    float *rows;                   /* (wave, width): what goes into the experts, then what comes out */
    float *shared, *shared_y;      /* (tokens, 2, shared hidden), (tokens, dim) */
    float *coefficient;            /* (tokens, 2): of the experts, of the shared one */
    int64_t first, last;           /* slots of the wave */
};

#define WAVE 512 /* slots, but for passes of more tokens: an expert's slots are all in one wave */

static int64_t wave_size(const struct routed *b, int64_t tokens)
{
    const int64_t all = tokens * b->router.top, most = 2 * tokens > WAVE ? 2 * tokens : WAVE;
    return all < most ? all : most;
}

/* Cut scratch into its parts, or count its floats when scratch is NULL. It is aligned for the products, which come
 * first. */
static size_t lay_out(const struct routed *b, int64_t tokens, float *scratch, struct job *j)
{
    const int64_t n = b->router.n, top = b->router.top, wave = wave_size(b, tokens);
    const int64_t groups = b->router.groups > 0 ? b->router.groups : 0;
    const int64_t floats[] = {2 * n * (int64_t)(sizeof(struct tare_product) / sizeof(float)),
                              tokens * n,
                              tokens * (n + groups),
                              tokens * top,
                              tokens * top,
                              tokens * top,
                              tokens * top,
                              n + 1,
                              wave * 2 * b->hidden,
                              wave * b->width,
                              tokens * 2 * b->shared_hidden,
                              b->shared_hidden > 0 ? tokens * b->dim : 0,
                              tokens * 2,
                              b->narrow.weight ? tokens * 2 * b->width : 0,
                              b->gate_norm.kind ? tokens * b->dim : 0};
    void *part[sizeof floats / sizeof *floats];
    const size_t total = tare_scratch_cut(scratch, floats, sizeof floats / sizeof *floats, part);
    if (j) {
        j->products = part[0];
        j->logits = part[1], j->choice = part[2], j->weight = part[3];
        j->chosen = part[4], j->slot = part[5], j->pair = part[6], j->begin = part[7];
        j->units = part[8], j->rows = part[9];
        j->shared = part[10], j->shared_y = part[11], j->coefficient = part[12];
        j->narrow = part[13], j->normed = part[14];
    }
    return total;
}

static size_t scratch(const void *block, int64_t tokens)
{
    return lay_out(block, tokens, NULL, NULL);
}

static void choose(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct tare_router *r = &j->b->router;
    const int64_t t = (int64_t)i, groups = r->groups > 0 ? r->groups : 0;
    const float *correction = j->b->correction ? tare_loaded_vector(j->pass->loaded, j->b->correction) : NULL;
    const float *gain = j->b->gain ? tare_loaded_vector(j->pass->loaded, j->b->gain) : NULL;
    float *logits = j->logits + t * r->n;
    for (int64_t e = 0; j->b->logit_scale != 1 && e < r->n; e++)
        logits[e] *= j->b->logit_scale;
    tare_router_choose(r, correction, logits, j->choice + t * (r->n + groups), j->chosen + t * r->top,
                       j->weight + t * r->top);
    for (int64_t k = t * r->top; gain && k < (t + 1) * r->top; k++)
        j->weight[k] *= gain[j->chosen[k]];
}

static void gate(const struct job *j, const float *x)
{
    const struct routed *b = j->b;
    if (b->bare) {
        const struct tare_matrix m = {.storage = TARE_STORE_F32,
                                      .rows = b->router.n,
                                      .in = b->dim,
                                      .data = (const unsigned char *)tare_loaded_vector(j->pass->loaded, b->bare),
                                      .stride = (size_t)b->dim * sizeof(float)};
        tare_matmul(&j->pass->kernels, j->pass->pool, &m, NULL, x, b->dim, j->pass->tokens, j->logits, b->router.n,
                    j->pass->work);
    } else {
        tare_linear_forward(j->pass, &b->gate, x, b->dim, j->logits, b->router.n);
    }
    tare_pool_run(j->pass->pool, (size_t)j->pass->tokens, choose, (void *)j);
}

/* Number the slots: by expert, then by token. */
static void sort(const struct job *j)
{
    const int64_t n = j->b->router.n, pairs = j->pass->tokens * j->b->router.top;
    memset(j->begin, 0, (size_t)(n + 1) * sizeof *j->begin);
    for (int64_t p = 0; p < pairs; p++)
        j->begin[j->chosen[p] + 1]++;
    for (int64_t e = 0; e < n; e++)
        j->begin[e + 1] += j->begin[e];
    for (int64_t p = 0; p < pairs; p++) { /* begin runs on to the end of each expert ... */
        j->slot[p] = j->begin[j->chosen[p]]++;
        j->pair[j->slot[p]] = (int32_t)p;
    }
    memmove(j->begin + 1, j->begin, (size_t)n * sizeof *j->begin); /* ... which is where the next one begins */
    j->begin[0] = 0;
}

static void gather(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t dim = j->b->width, pair = j->pair[j->first + (int64_t)i];
    const float *x = j->in + pair / j->b->router.top * dim;
    float *row = j->rows + (int64_t)i * dim;
    const float weight = j->b->weigh_input ? j->weight[pair] : 1;
    for (int64_t d = 0; d < dim; d++)
        row[d] = x[d] * weight;
}

static void activate(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    float *gate = j->units + (int64_t)i * 2 * j->b->hidden;
    if (j->b->ungated)
        tare_activation_forward(&j->pass->kernels, j->b->activation, gate, NULL, j->b->hidden);
    else
        tare_unit_forward(&j->pass->kernels, j->b->activation, &j->b->limit, gate, gate + j->b->hidden, j->b->hidden);
}

static void norm_each(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    float *row = j->rows + (int64_t)i * j->b->width;
    tare_norm_row(j->pass, &j->b->each_norm, row, row);
}

/* Add to each token what its experts of this wave say. */
static void scatter(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
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

/* One projection of one expert: a part of the stacked matrix. */
static struct tare_product product(const struct job *j, int which, int64_t expert, const float *x, float *y)
{
    const struct routed *b = j->b;
    const struct tare_loaded *loaded = j->pass->loaded;
    const struct tare_linear *linear = b->each[which] ? &b->each[which][expert] : &b->stacked[which];
    const int64_t part = b->each[which] ? 0 : expert, out = linear->out;
    const struct tare_matrix *all = tare_loaded_matrix(loaded, linear->weight);
    struct tare_product p = {.matrix = tare_matrix_part(all, part * out, out), .x = x, .y = y};
    if (linear->bias)
        p.bias = tare_loaded_vector(loaded, linear->bias) + part * out;
    p.tokens = j->begin[expert + 1] - j->begin[expert];
    p.ldx = which == DOWN ? 2 * b->hidden : b->width;
    p.ldy = which == DOWN ? b->width : 2 * b->hidden;
    return p;
}

/* Experts [from, to), some of them idle: their rows stay what was gathered. They have slots [first, last) together. */
static void run_wave(struct job *j, int64_t from, int64_t to)
{
    const struct tare_pass *pass = j->pass;
    const int64_t hidden = j->b->hidden, dim = j->b->width;
    j->first = j->begin[from];
    j->last = j->begin[to];
    const size_t slots = (size_t)(j->last - j->first);
    const int64_t end = j->b->working < to ? j->b->working : to; /* of those that work */
    size_t n = 0;
    tare_pool_run(pass->pool, slots, gather, j);
    for (int64_t e = from; e < end; e++) {
        const int64_t row = j->begin[e] - j->first;
        if (j->begin[e + 1] == j->begin[e])
            continue;
        float *units = j->units + row * 2 * hidden;
        if (!j->b->ungated)
            j->products[n++] = product(j, GATE, e, j->rows + row * dim, units);
        j->products[n++] = product(j, UP, e, j->rows + row * dim, units + (j->b->ungated ? 0 : hidden));
    }
    tare_matmul_each(&pass->kernels, pass->pool, j->products, n, pass->work);
    if (end > from)
        tare_pool_run(pass->pool, (size_t)(j->begin[end] - j->first), activate, j);
    n = 0;
    for (int64_t e = from; e < end; e++) {
        const int64_t row = j->begin[e] - j->first;
        if (j->begin[e + 1] > j->begin[e])
            j->products[n++] = product(j, DOWN, e, j->units + row * 2 * hidden, j->rows + row * dim);
    }
    tare_matmul_each(&pass->kernels, pass->pool, j->products, n, pass->work);
    if (j->b->each_norm.kind != TARE_NORM_NONE)
        tare_pool_run(pass->pool, slots, norm_each, j);
    tare_pool_run(pass->pool, (size_t)pass->tokens, scatter, j);
}

static void activate_shared(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t hidden = j->b->shared_hidden;
    float *gate = j->shared + (int64_t)i * 2 * hidden;
    if (j->b->ungated)
        tare_activation_forward(&j->pass->kernels, j->b->activation, gate, NULL, hidden);
    else
        tare_unit_forward(&j->pass->kernels, j->b->activation, &j->b->shared_limit, gate, gate + hidden, hidden);
}

/* y = coefficient[0] y + coefficient[1] shared */
static void add_shared(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t dim = j->b->dim;
    const float *shared = j->shared_y + (int64_t)i * dim, *c = j->coefficient + (int64_t)i * 2;
    float *y = j->y + (int64_t)i * dim, own = 1, other = 1;
    if (j->b->shared_gate.weight)
        other = tare_sigmoid(c[0]);
    if (j->b->mix.weight) {
        own = tare_sigmoid(c[0] - c[1]);
        other = tare_sigmoid(c[1] - c[0]);
    }
    for (int64_t d = 0; d < dim; d++)
        y[d] = own * y[d] + other * shared[d];
}

static void run_shared(const struct job *j)
{
    const struct routed *b = j->b;
    const struct tare_pass *pass = j->pass;
    const int64_t wide = 2 * b->shared_hidden;
    if (!b->ungated)
        tare_linear_forward(pass, &b->shared[GATE], j->x, b->dim, j->shared, wide);
    if (b->shared[UP].weight) /* else gate has both */
        tare_linear_forward(pass, &b->shared[UP], j->x, b->dim, j->shared + (b->ungated ? 0 : b->shared_hidden), wide);
    tare_pool_run(pass->pool, (size_t)pass->tokens, activate_shared, (void *)j);
    tare_linear_forward(pass, &b->shared[DOWN], j->shared, wide, j->shared_y, b->dim);
    if (b->shared_gate.weight)
        tare_linear_forward(pass, &b->shared_gate, j->x, b->dim, j->coefficient, 2);
    if (b->mix.weight)
        tare_linear_forward(pass, &b->mix, j->x, b->dim, j->coefficient, 2);
    tare_pool_run(pass->pool, (size_t)pass->tokens, add_shared, (void *)j);
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct routed *b = block;
    struct job j = {.b = b, .pass = pass, .x = x, .y = y, .in = x, .sum = y};
    lay_out(b, pass->tokens, pass->scratch, &j);
    if (b->narrow.weight) {
        j.in = j.narrow;
        j.sum = j.narrow + pass->tokens * b->width;
        tare_linear_forward(pass, &b->narrow, x, b->dim, j.narrow, b->width);
        tare_norm_forward(pass, &b->down_norm, b->width, j.narrow, j.narrow);
    }
    if (b->gate_norm.kind) {
        tare_norm_forward(pass, &b->gate_norm, b->dim, x, y); /* y is free until the experts speak */
        tare_norm_forward(pass, &b->experts_norm, b->dim, x, j.normed);
        j.in = j.normed;
    }
    gate(&j, b->gate_norm.kind ? y : x);
    sort(&j);
    const int64_t wave = wave_size(b, pass->tokens);
    for (int64_t from = 0, to; from < b->router.n; from = to) {
        for (to = from + 1; to < b->router.n && j.begin[to + 1] - j.begin[from] <= wave; to++)
            ;
        run_wave(&j, from, to);
    }
    if (b->narrow.weight) {
        tare_norm_forward(pass, &b->narrow_norm, b->width, j.sum, j.sum);
        tare_linear_forward(pass, &b->widen, j.sum, b->width, y, b->dim);
    }
    if (b->shared_hidden > 0)
        run_shared(&j);
}

static uint64_t spared(const void *block, const struct tare_loaded *loaded)
{
    const struct routed *b = block;
    uint64_t bytes = 0;
    for (int i = 0; i < 3; i++) {
        if (!b->each[i])
            bytes += tare_matrix_bytes(tare_loaded_matrix(loaded, b->stacked[i].weight));
        for (int64_t e = 0; b->each[i] && e < b->router.n; e++)
            bytes += tare_matrix_bytes(tare_loaded_matrix(loaded, b->each[i][e].weight));
    }
    return bytes / (uint64_t)b->router.n * (uint64_t)(b->router.n - b->router.top);
}

static const struct tare_block_ops ops = {.name = "routed", .scratch = scratch, .forward = forward, .spared = spared};

static const char *given(const char *name, const char *usual)
{
    return name ? name : usual;
}

static const char *part_name(const struct tare_routed_desc *d, int i)
{
    static const char *const usual[] = {"gate_proj", "up_proj", "down_proj"};
    return given(d->parts[i], usual[i]);
}

static void declare_experts(struct routed *b, struct tare_at parent, const struct tare_routed_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", given(d->experts, "switch_mlp"));
    if (d->latent.each_norm) {
        b->each_norm = tare_rms_norm(at, d->latent.each_norm, b->width, d->latent.each_eps);
        b->each_norm.kind = TARE_NORM_RMS_BEFORE;
    }
    for (int i = d->ungated ? UP : GATE; i < 3; i++) {
        const int64_t in = i < DOWN ? b->width : d->hidden, out = i < DOWN ? d->hidden : b->width;
        if (!d->one_by_one) {
            b->stacked[i] = tare_experts(at, part_name(d, i), b->working, in, out, d->bias);
            continue;
        }
        b->each[i] = tare_arena_array(at.tree->arena, (size_t)b->working, sizeof *b->each[i]);
        if (!b->each[i] && !at.tree->error.code)
            tare_fail_memory(&at.tree->error);
        for (int64_t e = 0; e < b->working && !at.tree->error.code; e++)
            b->each[i][e] = tare_linear(tare_at(at, "%lld", (long long)e), part_name(d, i), in, out, d->bias);
    }
}

static void declare_apart(struct routed *b, struct tare_at at, const struct tare_routed_desc *d)
{
    const struct tare_apart *apart = &d->apart;
    b->logit_scale = apart->logit_scale != 0 ? (float)apart->logit_scale : 1;
    if (apart->gate)
        b->gate_norm = (struct tare_norm){
            .kind = TARE_NORM_RMS, .weight = tare_plain(at, apart->gate, 1, d->dim), .dim = d->dim, .eps = apart->eps};
    if (apart->gate && apart->experts)
        b->experts_norm = tare_rms_norm(at, apart->experts, d->dim, apart->eps);
    if (apart->gain)
        b->gain = tare_plain(at, apart->gain, 1, d->router.n);
}

static void declare(struct routed *b, struct tare_at at, const struct tare_routed_desc *d)
{
    *b = (struct routed){.router = d->router,
                         .dim = d->dim,
                         .hidden = d->hidden,
                         .working = d->router.n - d->idle,
                         .width = d->latent.width > 0 ? d->latent.width : d->dim,
                         .ungated = d->ungated,
                         .shared_hidden = d->shared_hidden > 0 ? d->shared_hidden : 0,
                         .activation = d->activation,
                         .limit = d->limit,
                         .shared_limit = d->shared_limit,
                         .weigh_input = d->weigh_input};
    if (d->gate_bare)
        b->bare = tare_plain(tare_at(at, "%s", given(d->gate, "gate")), "weight", 2, d->router.n, d->dim);
    else
        b->gate = tare_linear(at, given(d->gate, "gate"), d->dim, d->router.n, d->gate_bias);
    if (d->correction && d->correction_optional)
        b->correction = tare_optional(at, d->correction, 1, d->router.n);
    else if (d->correction)
        b->correction = tare_plain(at, d->correction, 1, d->router.n);
    declare_experts(b, at, d);
    if (d->latent.width > 0) {
        b->narrow = tare_linear(at, d->latent.down, d->dim, d->latent.width, d->latent.bias);
        b->widen = tare_linear(at, d->latent.up, d->latent.width, d->dim, d->latent.bias);
        if (d->latent.norm)
            b->narrow_norm = tare_rms_norm(at, d->latent.norm, d->latent.width, d->latent.eps);
        if (d->latent.down_norm)
            b->down_norm = tare_rms_norm(at, d->latent.down_norm, d->latent.width, d->latent.eps);
    }
    declare_apart(b, at, d);
    if (d->shared_hidden < 1)
        return;
    const struct tare_at shared = tare_at(at, "%s", given(d->shared, "shared_experts"));
    const int64_t wide = d->shared_gate_up ? tare_mul(at, 2, d->shared_hidden) : d->shared_hidden;
    if (!d->ungated)
        b->shared[GATE] = tare_linear(shared, given(d->shared_gate_up, "gate_proj"), d->dim, wide, d->shared_bias);
    if (!d->shared_gate_up)
        b->shared[UP] = tare_linear(shared, "up_proj", d->dim, d->shared_hidden, d->shared_bias);
    b->shared[DOWN] = tare_linear(shared, given(d->shared_down, "down_proj"), d->shared_hidden, d->dim, d->shared_bias);
    if (d->shared_gate)
        b->shared_gate = tare_linear(at, d->shared_gate, d->dim, 1, NO_BIAS);
    if (d->mix)
        b->mix = tare_linear(at, d->mix, d->dim, 2, BIAS);
}

void tare_routed(struct tare_layer *layer, struct tare_at parent, const struct tare_routed_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", given(d->name, "mlp"));
    if ((d->router.n - d->idle < 1 || d->idle < 0 || d->hidden < 1) && !at.tree->error.code)
        tare_fail(&at.tree->error, TARE_E_CONFIG, at.path,
                  "the config gives %lld experts of width %lld; both must be at least 1",
                  (long long)(d->router.n - d->idle), (long long)d->hidden);
    if (at.tree->error.code)
        return;
    struct routed b;
    declare(&b, at, d);
    if (tare_router_fits(&d->router))
        tare_block_set(&layer->ffn, at, &ops, &b, sizeof b);
}
