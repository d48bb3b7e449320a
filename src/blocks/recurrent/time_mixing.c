/* SPDX-License-Identifier: MIT
 * time_mixing.c - RWKV-7's recurrence, token by token, heads in parallel. */
#include "blocks/recurrent/time_mixing.h"

#include <math.h>
#include <string.h>

#include "blocks/recurrent/token_shift.h"
#include "blocks/scratch.h"

#define NORM_EPS 64e-5     /* of o's norm */
#define LENGTH_LEAST 1e-7f /* of k k_k */
#define DECAY 0.606531f    /* e^(-1/2), as the authors round it */

/* The six inputs that x is mixed for, each with shares of its own. */
enum { RECEPTANCE, DECAYS, KEYS, VALUES, RATES, GATES, INPUTS };
enum { SHIFT, STATES }; /* parts of the state */

struct low_rank {
    struct tare_linear first, second;
    enum { PLAIN, TANH, SIGMOID } between;
};

struct time_mixing {
    const struct tare_parameter *mix[INPUTS];     /* (dim) */
    const struct tare_parameter *k_k, *k_a, *r_k; /* (heads, head) */
    struct tare_linear r, k, v, o;
    struct low_rank decay, value, rate, gate; /* value: not in the first layer */
    struct tare_norm norm;                    /* rows: of heads */
    int64_t dim, heads, head, rank;
    bool first;
};

struct job {
    const struct time_mixing *b;
    const struct tare_pass *pass;
    float *u;                     /* (tokens, dim), like all but low: x mixed, then -p */
    float *r, *w, *k, *v, *a, *g; /* a becomes p a, and g what goes into o_proj */
    float *o;                     /* what heads give; before, the logit of the first layer's share of v */
    float *low;                   /* (tokens, rank) */
};

static int state(const void *block, struct tare_state_part parts[TARE_STATE_PARTS])
{
    const struct time_mixing *b = block;
    parts[SHIFT] = tare_token_shift_state(b->dim);
    parts[STATES] = (struct tare_state_part){TARE_STATE_SUM, b->dim, b->head, 0};
    return 2;
}

static size_t lay_out(const struct time_mixing *b, int64_t tokens, float *memory, struct job *j)
{
    struct tare_scratch s = {memory, 0};
    j->u = tare_scratch_take(&s, tokens, b->dim);
    j->r = tare_scratch_take(&s, tokens, b->dim);
    j->w = tare_scratch_take(&s, tokens, b->dim);
    j->k = tare_scratch_take(&s, tokens, b->dim);
    j->v = tare_scratch_take(&s, tokens, b->dim);
    j->a = tare_scratch_take(&s, tokens, b->dim);
    j->g = tare_scratch_take(&s, tokens, b->dim);
    j->o = tare_scratch_take(&s, tokens, b->dim);
    j->low = tare_scratch_take(&s, tokens, b->rank);
    return s.floats;
}

static size_t scratch(const void *block, int64_t tokens)
{
    struct job counted;
    return lay_out(block, tokens, NULL, &counted);
}

struct between {
    float *x;
    const struct low_rank *low;
};

static void activate_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct between *j = user;
    const int64_t n = j->low->first.out;
    float *x = j->x + (int64_t)i * n;
    for (int64_t d = 0; d < n; d++)
        x[d] = j->low->between == TANH ? tanhf(x[d]) : tare_sigmoid(x[d]);
}

static void run_low_rank(const struct job *j, const struct low_rank *low, float *y)
{
    const int64_t rank = low->first.out;
    tare_linear_forward(j->pass, &low->first, j->u, j->b->dim, j->low, rank);
    if (low->between != PLAIN)
        tare_pool_run(j->pass->pool, (size_t)j->pass->tokens, activate_token, &(struct between){j->low, low});
    tare_linear_forward(j->pass, &low->second, j->low, rank, y, j->b->dim);
}

/* Mixes u for one of the inputs. */
static void mix(const struct job *j, int input, const float *x)
{
    const float *share = tare_loaded_vector(j->pass->loaded, j->b->mix[input]);
    tare_token_shift(j->pass, SHIFT, j->b->dim, share, x, j->u);
}

static void project(const struct job *j, const float *x)
{
    const struct time_mixing *b = j->b;
    mix(j, RECEPTANCE, x);
    tare_linear_forward(j->pass, &b->r, j->u, b->dim, j->r, b->dim);
    mix(j, DECAYS, x);
    run_low_rank(j, &b->decay, j->w);
    mix(j, KEYS, x);
    tare_linear_forward(j->pass, &b->k, j->u, b->dim, j->k, b->dim);
    mix(j, VALUES, x);
    tare_linear_forward(j->pass, &b->v, j->u, b->dim, j->v, b->dim);
    if (!b->first)
        run_low_rank(j, &b->value, j->o);
    mix(j, RATES, x);
    run_low_rank(j, &b->rate, j->a);
    mix(j, GATES, x);
    run_low_rank(j, &b->gate, j->g);
    tare_token_shift_keep(j->pass, SHIFT, b->dim, x);
}

/* Computes u = -p, a = p a, and k as it is written into the state, of one head. */
static void prepare_head(const struct job *j, int64_t at, const float *k_k, const float *k_a)
{
    const int64_t n = j->b->head;
    float *p = j->u + at, *k = j->k + at, *a = j->a + at;
    for (int64_t d = 0; d < n; d++)
        p[d] = k[d] * k_k[d];
    const float length = fmaxf(sqrtf(j->pass->kernels.squares(p, n)), LENGTH_LEAST);
    for (int64_t d = 0; d < n; d++) {
        const float rate = tare_sigmoid(a[d]);
        k[d] *= 1 + (rate - 1) * k_a[d];
        p[d] /= -length;
        a[d] = -p[d] * rate;
    }
}

static void prepare_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct time_mixing *b = j->b;
    const int64_t row = (int64_t)i * b->dim;
    const float *k_k = tare_loaded_vector(j->pass->loaded, b->k_k), *k_a = tare_loaded_vector(j->pass->loaded, b->k_a);
    float *w = j->w + row, *v = j->v + row, *first = j->pass->slice[TARE_SLICE_VALUES] + row;
    const float *share = j->o + row;
    for (int64_t d = 0; d < b->dim; d++)
        w[d] = expf(-DECAY * tare_sigmoid(w[d]));
    for (int64_t d = 0; !b->first && d < b->dim; d++)
        v[d] += tare_sigmoid(share[d]) * (first[d] - v[d]);
    if (b->first)
        memcpy(first, v, (size_t)b->dim * sizeof *v);
    for (int64_t at = 0; at < b->dim; at += b->head)
        prepare_head(j, row + at, k_k + at, k_a + at);
}

/* The recurrence of one head over the tokens of a span. */
static void scan_head(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct time_mixing *b = j->b;
    const struct tare_span *span = &j->pass->spans[(int64_t)i / b->heads];
    struct tare_state *kept = tare_pass_state(j->pass, span);
    const int64_t h = (int64_t)i % b->heads, n = b->head, at = h * n * n;
    struct tare_delta_step step = {.states = n, .channels = n};
    step.h = tare_state_to(kept, STATES, span->turn) + at;
    step.from = tare_state_from(kept, STATES, span->turn) + at;
    for (int64_t t = span->first; t < span->first + span->tokens; t++) {
        const int64_t row = t * b->dim + h * n;
        step.ask = j->u + row;
        step.decay = j->w + row;
        step.key = j->k + row;
        step.back = j->a + row;
        step.query = j->r + row;
        step.x = j->v + row;
        step.y = j->o + row;
        j->pass->kernels.delta(&step);
        step.from = step.h;
    }
}

/* g = (norm(o) + (sum r k r_k) v) g */
static void finish_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct time_mixing *b = j->b;
    const float *r_k = tare_loaded_vector(j->pass->loaded, b->r_k);
    struct tare_norm norm = b->norm;
    int64_t at = (int64_t)i * b->dim;
    for (; norm.row < b->heads; norm.row++, at += b->head, r_k += b->head) {
        float *o = j->o + at, *g = j->g + at, sum = 0;
        tare_norm_row(j->pass, &norm, o, o);
        for (int64_t d = 0; d < b->head; d++)
            sum += j->r[at + d] * j->k[at + d] * r_k[d];
        for (int64_t d = 0; d < b->head; d++)
            g[d] *= o[d] + sum * j->v[at + d];
    }
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct time_mixing *b = block;
    struct job j = {.b = b, .pass = pass};
    lay_out(b, pass->tokens, pass->scratch, &j);
    project(&j, x);
    tare_pool_run(pass->pool, (size_t)pass->tokens, prepare_token, &j);
    tare_pool_run(pass->pool, (size_t)(pass->n_spans * b->heads), scan_head, &j);
    tare_pool_run(pass->pool, (size_t)pass->tokens, finish_token, &j);
    tare_linear_forward(pass, &b->o, j.g, b->dim, y, b->dim);
}

static const struct tare_block_ops ops = {
    .name = "time_mixing", .state = state, .scratch = scratch, .forward = forward};

static struct low_rank declare_low_rank(struct time_mixing *b, struct tare_at at, const char *name, int64_t rank,
                                        bool bias)
{
    const struct tare_at lora = tare_at(at, "%s.lora", name);
    b->rank = rank > b->rank ? rank : b->rank;
    return (struct low_rank){.first = tare_linear(lora, "0", b->dim, rank, NO_BIAS),
                             .second = tare_linear(lora, "2", rank, b->dim, bias)};
}

void tare_time_mixing(struct tare_layer *layer, struct tare_at parent, const struct tare_time_mixing_desc *d)
{
    static const char *const inputs[INPUTS] = {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"};
    const struct tare_at at = tare_at(parent, "%s", d->name ? d->name : "attn");
    const int64_t heads = tare_div(at, "hidden_size", d->dim, "head_dim", d->head);
    struct time_mixing b = {.dim = d->dim, .heads = heads, .head = d->head, .first = d->first};
    for (int i = 0; i < INPUTS; i++)
        b.mix[i] = tare_plain(at, inputs[i], 3, (int64_t)1, (int64_t)1, d->dim);
    b.k_k = tare_plain(at, "k_k", 2, heads, d->head);
    b.k_a = tare_plain(at, "k_a", 2, heads, d->head);
    b.r_k = tare_plain(at, "r_k", 2, heads, d->head);
    b.norm = (struct tare_norm){.kind = TARE_NORM_LAYER,
                                .weight = tare_plain(at, "g_norm.weight", 2, heads, d->head),
                                .bias = tare_plain(at, "g_norm.bias", 2, heads, d->head),
                                .dim = d->head,
                                .eps = NORM_EPS};
    b.r = tare_linear(at, "r_proj", d->dim, d->dim, NO_BIAS);
    b.k = tare_linear(at, "k_proj", d->dim, d->dim, NO_BIAS);
    b.v = tare_linear(at, "v_proj", d->dim, d->dim, NO_BIAS);
    b.o = tare_linear(at, "o_proj", d->dim, d->dim, NO_BIAS);
    b.decay = declare_low_rank(&b, at, "w_lora", d->decay_rank, BIAS);
    b.decay.between = TANH;
    if (!d->first)
        b.value = declare_low_rank(&b, at, "v_lora", d->value_rank, BIAS);
    b.rate = declare_low_rank(&b, at, "a_lora", d->rate_rank, BIAS);
    b.gate = declare_low_rank(&b, at, "g_lora", d->gate_rank, NO_BIAS);
    b.gate.between = SIGMOID;
    if (!at.tree->error.code)
        tare_block_set(&layer->mixer, at, &ops, &b, sizeof b);
}
