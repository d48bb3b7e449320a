/* SPDX-License-Identifier: MIT
 * latent_attention.c - multi-head latent attention over latents, see latent_attention.h. DeepSeek-V2, DeepSeek-AI 2024,
 * section 2.1.
 *
 * All heads read the same latents, so a task is a few heads of one token: keys come in blocks that stay in the cache
 * while these heads look at them.
 */
#include "blocks/attention/latent_attention.h"

#include <math.h>
#include <string.h>

#include "base/number.h"
#include "blocks/attention/gate.h"
#include "blocks/attention/running.h"
#include "blocks/scratch.h"
#include "blocks/transposed.h"

struct mla {
    struct tare_linear q_a, q_b;                /* q_a.weight NULL: q_b is q_proj */
    struct tare_linear kv_a, embed, unembed, o; /* embed.weight NULL: unembed is kv_b_proj */
    struct tare_linear gate;                    /* weight NULL: none */
    struct tare_norm q_norm, kv_norm;
    int64_t heads, rank, nope, rope, v;
    double query_beta, query_length;
    float scale, latent_scale; /* scale: that of queries too */
    struct tare_rope rotary;
    struct tare_index index;
    int64_t top; /* of the index; 0: none */
};

/* One pass of one block. */
struct job {
    const struct mla *b;
    const struct tare_pass *pass;
    struct tare_product *products; /* (heads) */
    float *low;                    /* (tokens, q_rank) */
    float *q;                      /* (tokens, heads, nope + rope) */
    float *kv;                     /* (tokens, rank + rope) */
    float *latent;                 /* (tokens, heads, rank): queries */
    float *mixed;                  /* (tokens, heads, rank): latents */
    float *out, *gate;             /* (tokens, heads, v) */
    float *freq, *factor, *table;  /* (spans, rope), (spans), (tokens, rope) */
    float *index;                  /* the index's scratch */
};

enum { LATENTS, KEYS, INDEX }; /* parts of the state; without rope KEYS is none */

static int parts_before_index(const struct mla *b)
{
    return b->rope > 0 ? INDEX : KEYS;
}

static int state(const void *block, struct tare_state_part parts[TARE_STATE_PARTS])
{
    const struct mla *b = block;
    int n = 0;
    parts[n++] = (struct tare_state_part){TARE_STATE_ROWS, 1, b->rank, 1};
    if (b->rope > 0)
        parts[n++] = (struct tare_state_part){TARE_STATE_ROWS, 1, b->rope, 1};
    if (b->index.heads > 0)
        parts[n++] = (struct tare_state_part){TARE_STATE_ROWS, 1, b->index.width, 1};
    return n;
}

/* Cuts the work memory of a pass into the parts of j, or only counts its floats where memory is NULL. Products come
 * first, since they need more alignment than floats. */
static size_t lay_out(const struct mla *b, int64_t tokens, float *memory, struct job *j)
{
    struct tare_scratch s = {memory, 0};
    const int64_t heads = b->heads;
    j->products = tare_scratch_take(&s, heads, (int64_t)(sizeof(struct tare_product) / sizeof(float)));
    j->low = tare_scratch_take(&s, tokens, b->q_a.weight ? b->q_a.out : 0);
    j->q = tare_scratch_take(&s, tokens, heads * (b->nope + b->rope));
    j->kv = tare_scratch_take(&s, tokens, b->rank + b->rope);
    j->latent = tare_scratch_take(&s, tokens, heads * b->rank);
    j->mixed = tare_scratch_take(&s, tokens, heads * b->rank);
    j->out = tare_scratch_take(&s, tokens, heads * b->v);
    j->gate = tare_scratch_take(&s, tokens, b->gate.weight ? b->gate.out : 0);
    j->freq = tare_scratch_take(&s, tokens, b->rope);
    j->factor = tare_scratch_take(&s, tokens, 1);
    j->table = tare_scratch_take(&s, tokens, b->rope);
    j->index = tare_scratch_take(&s, 1, (int64_t)tare_index_scratch(&b->index, tokens));
    return s.floats;
}

static size_t scratch(const void *block, int64_t tokens)
{
    struct job none;
    return lay_out(block, tokens, NULL, &none);
}

static void project(const struct job *j, const float *x)
{
    const struct mla *b = j->b;
    const struct tare_pass *pass = j->pass;
    if (b->q_a.weight) {
        tare_linear_forward(pass, &b->q_a, x, b->q_a.in, j->low, b->q_a.out);
        tare_norm_forward(pass, &b->q_norm, b->q_a.out, j->low, j->low);
    }
    tare_linear_forward(pass, &b->q_b, b->q_a.weight ? j->low : x, b->q_b.in, j->q, b->q_b.out);
    tare_linear_forward(pass, &b->kv_a, x, b->kv_a.in, j->kv, b->kv_a.out);
}

/* Norms a token's latent and keeps it, and rotates its key and its queries. */
static void prepare_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct mla *b = j->b;
    const int64_t t = (int64_t)i, position = tare_pass_position(j->pass, t);
    const int32_t span = j->pass->span_of[t];
    const bool turns = b->rotary.kind != TARE_ROPE_NONE && b->rope > 0;
    struct tare_state *s = tare_pass_state(j->pass, &j->pass->spans[span]);
    float *table = j->table + t * b->rope, *latent = j->kv + t * (b->rank + b->rope), *key = latent + b->rank;
    if (turns)
        tare_rope_table(&b->rotary, j->freq + span * b->rope, j->factor[span], position, table);
    tare_norm_row(j->pass, &b->kv_norm, latent, latent);
    for (int64_t d = 0; b->latent_scale != 1 && d < b->rank; d++)
        latent[d] *= b->latent_scale;
    tare_state_put(&j->pass->kernels, s, LATENTS, position, 0, latent);
    if (turns)
        tare_rope_rotate(&b->rotary, table, key);
    if (b->rope > 0)
        tare_state_put(&j->pass->kernels, s, KEYS, position, 0, key);
    for (int64_t h = 0; turns && h < b->heads; h++)
        tare_rope_rotate(&b->rotary, table, j->q + (t * b->heads + h) * (b->nope + b->rope) + b->nope);
}

/* Rows of a head of embed_q, of unembed_out, or of kv_b_proj. */
static struct tare_product head_product(const struct job *j, const struct tare_linear *linear, int64_t row,
                                        int64_t rows)
{
    return (struct tare_product){.matrix =
                                     tare_matrix_part(tare_loaded_matrix(j->pass->loaded, linear->weight), row, rows),
                                 .tokens = j->pass->tokens};
}

/* latent[h] = K[h]^T q[h] */
static void embed(const struct job *j)
{
    const struct mla *b = j->b;
    for (int64_t h = 0; h < b->heads; h++) {
        struct tare_product *p = &j->products[h];
        *p = b->embed.weight ? head_product(j, &b->embed, h * b->rank, b->rank)
                             : head_product(j, &b->unembed, h * (b->nope + b->v), b->nope);
        p->ldx = b->heads * (b->nope + b->rope);
        p->x = j->q + h * (b->nope + b->rope);
        p->ldy = b->heads * b->rank;
        p->y = j->latent + h * b->rank;
    }
    if (b->embed.weight)
        tare_matmul_each(&j->pass->kernels, j->pass->pool, j->products, (size_t)b->heads, j->pass->work);
    else
        tare_transposed_each(j->pass, j->products, (size_t)b->heads);
}

/* out[h] = V[h] mixed[h] */
static void unembed(const struct job *j)
{
    const struct mla *b = j->b;
    const int64_t before = b->embed.weight ? 0 : b->nope; /* rows of kv_b_proj's head that are keys */
    for (int64_t h = 0; h < b->heads; h++) {
        struct tare_product *p = &j->products[h];
        *p = head_product(j, &b->unembed, h * (before + b->v) + before, b->v);
        p->ldx = b->heads * b->rank;
        p->x = j->mixed + h * b->rank;
        p->ldy = b->heads * b->v;
        p->y = j->out + h * b->v;
    }
    tare_matmul_each(&j->pass->kernels, j->pass->pool, j->products, (size_t)b->heads, j->pass->work);
}

enum { HEADS_MOST = 16 };

static int64_t heads_a_task(const struct mla *b)
{
    const int64_t few = b->heads / 8;
    return few < 1 ? 1 : few < HEADS_MOST ? few : HEADS_MOST;
}

/* Attends with one head to keys[1] of the seen keys, from number keys[0] on. */
static void attend(const struct job *j, const struct tare_seen *seen, int64_t head, const int64_t keys[2],
                   struct tare_running *running, float scale)
{
    const struct mla *b = j->b;
    const struct tare_kernels *k = &j->pass->kernels;
    const float *latent = j->latent + head * b->rank, *turned = j->q + head * (b->nope + b->rope) + b->nope;
    float scores[TARE_RUNNING_BLOCK], more[TARE_RUNNING_BLOCK], *y = j->mixed + head * b->rank;
    tare_seen_scores(k, seen, LATENTS, latent, keys[0], keys[1], scale, scores);
    if (b->rope > 0)
        tare_seen_scores(k, seen, KEYS, turned, keys[0], keys[1], scale, more);
    for (int64_t i = 0; b->rope > 0 && i < keys[1]; i++)
        scores[i] += more[i];
    tare_running_add(k, running, scores, keys[1], y, b->rank);
    tare_seen_mix(k, seen, LATENTS, scores, keys[0], keys[1], y);
}

/* What scores are multiplied by, at a position. */
static float scale_at(const struct mla *b, int64_t position)
{
    if (b->query_beta == 0)
        return b->scale;
    return b->scale * (float)(1 + b->query_beta * log(1 + floor((double)position / b->query_length)));
}

struct heads {
    int64_t first, n;
};

/* Some heads of one token. */
static void attend_token(const struct job *j, int64_t t, struct heads heads)
{
    const struct mla *b = j->b;
    const int64_t position = tare_pass_position(j->pass, t), head = t * b->heads + heads.first;
    struct tare_seen seen = {.state = tare_pass_state(j->pass, tare_pass_span(j->pass, t))};
    struct tare_running running[HEADS_MOST];
    if (b->top > 0)
        seen.chosen = tare_index_chosen(j->pass, b->top, t, &seen.n);
    if (!seen.chosen)
        seen.n = position + 1;
    for (int64_t h = 0; h < heads.n; h++)
        tare_running_begin(&running[h], NULL, j->mixed + (head + h) * b->rank, b->rank);
    for (int64_t at = 0; at < seen.n; at += TARE_RUNNING_BLOCK) {
        const int64_t keys[] = {at, seen.n - at < TARE_RUNNING_BLOCK ? seen.n - at : TARE_RUNNING_BLOCK};
        for (int64_t h = 0; h < heads.n; h++)
            attend(j, &seen, head + h, keys, &running[h], scale_at(b, position));
    }
    for (int64_t h = 0; h < heads.n; h++)
        tare_running_end(&running[h], j->mixed + (head + h) * b->rank, b->rank);
}

enum { TOKENS_MOST = 8, KEYS_MOST = 32 }; /* tokens of a task; keys that they meet at once */

/* Tokens [first, first + n) of one span that see all before them: their queries meet the same keys, and so are
 * multiplied with them together. */
struct run {
    int64_t first, n;
    struct heads heads;
    float *latents, *keys; /* (KEYS_MOST, rank), (KEYS_MOST, rope) */
};

/* Attends with one head of all tokens of a run to keys[1] keys from position keys[0] on, which lie unpacked in
 * run->latents and run->keys. */
static void attend_keys(const struct job *j, const struct run *run, int64_t head, const int64_t keys[2],
                        struct tare_running *running)
{
    const struct mla *b = j->b;
    const struct tare_kernels *k = &j->pass->kernels;
    float scores[TOKENS_MOST * KEYS_MOST];
    k->panel(run->latents, b->rank, keys[1], j->latent + head * b->rank, b->heads * b->rank, run->n, b->rank, scores,
             KEYS_MOST, false);
    if (b->rope > 0)
        k->panel(run->keys, b->rope, keys[1], j->q + head * (b->nope + b->rope) + b->nope,
                 b->heads * (b->nope + b->rope), run->n, b->rope, scores, KEYS_MOST, true);
    for (int64_t t = 0; t < run->n; t++) {
        const int64_t position = tare_pass_position(j->pass, run->first + t), left = position + 1 - keys[0];
        const int64_t n = left < keys[1] ? left : keys[1];
        const float scale = scale_at(b, position);
        float *y = j->mixed + (head + t * b->heads) * b->rank, *score = scores + t * KEYS_MOST;
        if (n < 1)
            continue;
        for (int64_t i = 0; i < n; i++)
            score[i] *= scale;
        tare_running_add(k, &running[t], score, n, y, b->rank);
        k->mix(score, run->latents, n, b->rank, y);
    }
}

static void attend_run(const struct job *j, const struct run *run)
{
    const struct mla *b = j->b;
    const struct tare_kernels *k = &j->pass->kernels;
    const struct tare_state *state = tare_pass_state(j->pass, tare_pass_span(j->pass, run->first));
    const int64_t head = run->first * b->heads + run->heads.first;
    const int64_t all = tare_pass_position(j->pass, run->first + run->n - 1) + 1;
    struct tare_running running[HEADS_MOST][TOKENS_MOST];
    for (int64_t i = 0; i < run->heads.n * run->n; i++)
        tare_running_begin(&running[i / run->n][i % run->n], NULL,
                           j->mixed + (head + i / run->n + i % run->n * b->heads) * b->rank, b->rank);
    for (int64_t at = 0; at < all; at += KEYS_MOST) {
        const int64_t keys[] = {at, all - at < KEYS_MOST ? all - at : KEYS_MOST};
        for (int64_t i = 0; i < keys[1]; i++) {
            tare_state_get(k, state, LATENTS, at + i, 0, run->latents + i * b->rank);
            if (b->rope > 0)
                tare_state_get(k, state, KEYS, at + i, 0, run->keys + i * b->rope);
        }
        for (int64_t h = 0; h < run->heads.n; h++)
            attend_keys(j, run, head + h, keys, running[h]);
    }
    for (int64_t i = 0; i < run->heads.n * run->n; i++)
        tare_running_end(&running[i / run->n][i % run->n],
                         j->mixed + (head + i / run->n + i % run->n * b->heads) * b->rank, b->rank);
}

/* Returns how many tokens from t on, before `end`, form one run. 0: the token goes by itself, as that of a span of one
 * token always does. */
static int64_t run_length(const struct job *j, int64_t t, int64_t end)
{
    const struct mla *b = j->b;
    const struct tare_span *span = tare_pass_span(j->pass, t);
    int64_t n = 0, chosen;
    if (span->tokens < 2 || KEYS_MOST * (b->rank + b->rope) > TARE_PANEL_FLOATS)
        return 0;
    while (t + n < end && tare_pass_span(j->pass, t + n) == span &&
           (b->top < 1 || !tare_index_chosen(j->pass, b->top, t + n, &chosen)))
        n++;
    return n;
}

static int64_t tokens_a_task(const struct tare_pass *pass)
{
    return pass->tokens > 2 * TOKENS_MOST ? TOKENS_MOST : 1;
}

/* A task: some heads of some tokens. */
static void attend_heads(void *user, size_t i, int worker)
{
    const struct job *j = user;
    const struct mla *b = j->b;
    const int64_t each = heads_a_task(b), tasks = (b->heads + each - 1) / each, tokens = tokens_a_task(j->pass);
    const int64_t head = (int64_t)i % tasks * each, t = (int64_t)i / tasks * tokens;
    const int64_t end = t + tokens < j->pass->tokens ? t + tokens : j->pass->tokens;
    struct run run = {.heads = {head, b->heads - head < each ? b->heads - head : each},
                      .latents = j->pass->work[worker],
                      .keys = j->pass->work[worker] + KEYS_MOST * b->rank};
    for (run.first = t; run.first<end; run.first += run.n> 0 ? run.n : 1) {
        run.n = run_length(j, run.first, end);
        if (run.n > 0)
            attend_run(j, &run);
        else
            attend_token(j, run.first, run.heads);
    }
}

static void choose(const struct job *j, struct tare_pass *pass, const float *x)
{
    const struct mla *b = j->b;
    tare_index_forward(&b->index, pass,
                       &(struct tare_index_pass){
                           .x = x, .r = j->low, .table = j->table, .scratch = j->index, .part = parts_before_index(b)});
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct mla *b = block;
    struct job j = {.b = b, .pass = pass};
    const int64_t each = heads_a_task(b), tasks = (b->heads + each - 1) / each, tokens = tokens_a_task(pass);
    lay_out(b, pass->tokens, pass->scratch, &j);
    project(&j, x);
    for (int64_t i = 0; b->rotary.kind != TARE_ROPE_NONE && i < pass->n_spans; i++)
        j.factor[i] = tare_rope_frequencies(&b->rotary, pass->spans[i].total, j.freq + i * b->rope);
    tare_pool_run(pass->pool, (size_t)pass->tokens, prepare_token, &j);
    if (b->index.heads > 0)
        choose(&j, pass, x);
    embed(&j);
    tare_pool_run(pass->pool, (size_t)((pass->tokens + tokens - 1) / tokens * tasks), attend_heads, &j);
    unembed(&j);
    if (b->gate.weight) {
        tare_linear_forward(pass, &b->gate, x, b->gate.in, j.gate, b->gate.out);
        tare_gate_forward(pass, &(struct tare_gate){.gate = j.gate,
                                                    .ld = b->gate.out,
                                                    .n = b->gate.out / b->heads,
                                                    .y = j.out,
                                                    .heads = b->heads,
                                                    .width = b->v});
    }
    tare_linear_forward(pass, &b->o, j.out, b->o.in, y, b->o.out);
}

static const struct tare_block_ops ops = {.name = "mla", .state = state, .scratch = scratch, .forward = forward};

static void declare_projections(struct mla *b, struct tare_at at, const struct tare_mla_desc *d)
{
    const int64_t q = tare_mul(at, d->heads, d->nope + d->rope);
    if (d->q_rank > 0) {
        b->q_a = tare_linear(at, "q_a_proj", d->dim, d->q_rank, d->bias);
        b->q_norm = tare_rms_norm(at, "q_a_layernorm", d->q_rank, d->eps);
        b->q_b = tare_linear(at, "q_b_proj", d->q_rank, q, NO_BIAS);
    } else {
        b->q_b = tare_linear(at, "q_proj", d->dim, q, NO_BIAS);
    }
    b->kv_a = tare_linear(at, "kv_a_proj_with_mqa", d->dim, d->kv_rank + d->rope, d->bias);
    b->kv_norm = tare_rms_norm(at, "kv_a_layernorm", d->kv_rank, d->eps);
    if (d->kv_b_whole) {
        b->unembed = tare_linear(at, "kv_b_proj", d->kv_rank, tare_mul(at, d->heads, d->nope + d->v), NO_BIAS);
        if (!at.tree->error.code)
            b->unembed.weight->part =
                tare_common_divisor(d->nope, d->v); /* rows of a head: its keys', then its values' */
    } else {
        b->embed = tare_experts(at, "embed_q", d->heads, d->nope, d->kv_rank, NO_BIAS);
        b->unembed = tare_experts(at, "unembed_out", d->heads, d->kv_rank, d->v, NO_BIAS);
    }
    b->o = tare_linear(at, d->o_name ? d->o_name : "o_proj", tare_mul(at, d->heads, d->v), d->dim, d->bias);
    if (d->gate)
        b->gate = tare_linear(at, d->gate, d->dim, tare_mul(at, d->heads, d->gate_heads ? 1 : d->v), NO_BIAS);
}

static double or_one(double x)
{
    return x != 0 ? x : 1;
}

static void declare(struct mla *b, struct tare_at at, const struct tare_mla_desc *d)
{
    const double scale = d->scale != 0 ? d->scale : 1 / sqrt((double)(d->nope + d->rope));
    *b = (struct mla){.heads = d->heads,
                      .rank = d->kv_rank,
                      .nope = d->nope,
                      .rope = d->rope,
                      .v = d->v,
                      .query_beta = d->query_beta,
                      .query_length = d->query_length,
                      .scale = (float)(scale * or_one(d->query_scale)),
                      .latent_scale = (float)or_one(d->latent_scale),
                      .rotary = d->rotary,
                      .top = d->index.heads > 0 || d->index.shared ? d->index.top : 0};
    declare_projections(b, at, d);
    const struct tare_index_sizes sizes = {d->dim, d->q_rank, d->rotary};
    if (d->index.heads > 0 && !d->index.shared)
        b->index = tare_index_declare(tare_at(at, "indexer"), &d->index, &sizes);
}

/* Real configs pass; a hostile or mistaken one is planned and not run. */
static bool runs(const struct tare_mla_desc *d)
{
    const bool sizes = d->heads > 0 && d->kv_rank > 0 && d->nope > 0 && d->rope >= 0 && d->v > 0;
    const bool turns = d->rotary.kind == TARE_ROPE_NONE || (d->rotary.dims == d->rope && d->rope % 2 == 0);
    const bool chooses = d->index.heads < 1 || d->index.shared || (d->q_rank > 0 && d->index.width >= d->rope);
    const bool tops = (d->index.heads < 1 && !d->index.shared) || (d->index.top > 0 && d->index.top < INT32_MAX);
    return sizes && turns && chooses && tops && (d->query_beta == 0 || d->query_length > 0);
}

void tare_mla(struct tare_layer *layer, struct tare_at parent, const struct tare_mla_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", d->name ? d->name : "self_attn");
    struct mla block;
    declare(&block, at, d);
    tare_block_set(&layer->mixer, at, runs(d) ? &ops : NULL, &block, sizeof block);
}
