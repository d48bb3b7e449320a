/* SPDX-License-Identifier: MIT
 * compressed_attention.c - over a window and a compressed past, see compressed_attention.h. */
#include "blocks/attention/compressed_attention.h"

#include <math.h>
#include <string.h>

#include "blocks/attention/compressed_self.h"
#include "blocks/attention/running.h"
#include "blocks/round_trip.h"
#include "blocks/scratch.h"

static int state(const void *block, struct tare_state_part parts[TARE_STATE_PARTS])
{
    const struct tare_compressed_self *b = block;
    const struct tare_compressed_desc *d = &b->d;
    int n = 0;
    parts[n++] = (struct tare_state_part){TARE_STATE_ROWS, 1, d->head_dim, 1};
    if (b->past_kv.weight)
        parts[n++] = (struct tare_state_part){TARE_STATE_ROWS, 1, d->head_dim, d->ratio};
    if (tare_compressed_has_keys(b))
        parts[n++] = (struct tare_state_part){TARE_STATE_ROWS, 1, d->index_dim, d->ratio};
    if (b->past_gate.weight)
        parts[n++] = (struct tare_state_part){TARE_STATE_SUM, d->ratio, 2 * d->head_dim, 1};
    return n;
}

/* Cuts the work memory of a pass into the parts of j, or only counts its floats where memory is NULL. Products come
 * first, since they need more alignment than floats. */
static size_t lay_out(const struct tare_compressed_self *b, int64_t tokens, float *memory,
                      struct tare_compressed_job *j)
{
    const struct tare_compressed_desc *d = &b->d;
    const int64_t past = b->past_kv.weight ? tokens : 0, chooses = b->index_q.weight ? tokens : 0;
    struct tare_scratch s = {memory, 0};
    j->products = tare_scratch_take(&s, d->o_groups, (int64_t)(sizeof(struct tare_product) / sizeof(float)));
    j->low = tare_scratch_take(&s, tokens, d->q_rank);
    j->q = tare_scratch_take(&s, tokens, d->heads * d->head_dim);
    j->kv = tare_scratch_take(&s, tokens, d->head_dim);
    j->mixed = tare_scratch_take(&s, tokens, d->heads * d->head_dim);
    j->out = tare_scratch_take(&s, tokens, d->o_groups * d->o_rank);
    j->table = tare_scratch_take(&s, tokens, d->rope);
    j->back = tare_scratch_take(&s, tokens, d->rope);
    j->freq = tare_scratch_take(&s, 1, d->rope);
    j->past = tare_scratch_take(&s, past, 2 * d->head_dim);
    j->latent = tare_scratch_take(&s, past, d->head_dim);
    j->keys = tare_scratch_take(&s, past, d->index_dim);
    j->index_q = tare_scratch_take(&s, chooses, d->index_heads * d->index_dim);
    j->weights = tare_scratch_take(&s, chooses, d->index_heads);
    return s.floats;
}

static size_t scratch(const void *block, int64_t tokens)
{
    struct tare_compressed_job none;
    return lay_out(block, tokens, NULL, &none);
}

void tare_compressed_rotate(const struct tare_compressed_self *b, const float *table, float *row, int64_t width)
{
    tare_rope_rotate(&b->d.rotary, table, row + width - b->d.rope);
}

/* Norms, rotates, rounds and keeps the vector that other tokens see of a token, and rotates its queries. */
static void prepare_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct tare_compressed_job *j = user;
    const struct tare_compressed_self *b = j->b;
    const int64_t t = (int64_t)i, dim = b->d.head_dim, position = tare_pass_position(j->pass, t);
    float *kv = j->kv + t * dim, *table = j->table + t * b->d.rope, *back = j->back + t * b->d.rope;
    tare_rope_table(&b->d.rotary, j->freq, j->factor, position, table);
    for (int64_t k = 0; k < b->d.rope; k++)
        back[k] = k < b->d.rope / 2 ? table[k] : -table[k];
    tare_norm_row(j->pass, &b->kv_norm, kv, kv);
    tare_compressed_rotate(b, table, kv, dim);
    tare_round_e4m3(kv, dim, 32);
    tare_state_put(&j->pass->kernels, tare_pass_state(j->pass, tare_pass_span(j->pass, t)), TARE_PART_WINDOW, position,
                   0, kv);
    for (int64_t h = 0; h < b->d.heads; h++)
        tare_compressed_rotate(b, table, j->q + (t * b->d.heads + h) * dim, dim);
}

enum { HEADS = 4 }; /* heads of a task */

/* Attends with heads [head, head + n) to the rows of one part of the state. */
static void attend_part(const struct tare_compressed_job *j, const struct tare_seen *seen, int part,
                        const int64_t heads[2], struct tare_running *running)
{
    const struct tare_kernels *k = &j->pass->kernels;
    const int64_t dim = j->b->d.head_dim;
    const float scale = (float)(1 / sqrt((double)dim));
    float scores[TARE_RUNNING_BLOCK];
    for (int64_t at = 0; at < seen->n; at += TARE_RUNNING_BLOCK) {
        const int64_t n = seen->n - at < TARE_RUNNING_BLOCK ? seen->n - at : TARE_RUNNING_BLOCK;
        for (int64_t h = 0; h < heads[1]; h++) {
            float *y = j->mixed + (heads[0] + h) * dim;
            tare_seen_scores(k, seen, part, j->q + (heads[0] + h) * dim, at, n, scale, scores);
            tare_running_add(k, &running[h], scores, n, y, dim);
            tare_seen_mix(k, seen, part, scores, at, n, y);
        }
    }
}

static void attend_heads(void *user, size_t i, int worker)
{
    (void)worker;
    const struct tare_compressed_job *j = user;
    const struct tare_compressed_desc *d = &j->b->d;
    const int64_t tasks = (d->heads + HEADS - 1) / HEADS, t = (int64_t)i / tasks, first = (int64_t)i % tasks * HEADS;
    const int64_t heads[] = {t * d->heads + first, d->heads - first < HEADS ? d->heads - first : HEADS};
    const struct tare_span *span = tare_pass_span(j->pass, t);
    const float *sinks = tare_loaded_vector(j->pass->loaded, j->b->sinks) + first;
    const int64_t last = tare_pass_position(j->pass, t);
    struct tare_seen seen = {.state = tare_pass_state(j->pass, span)};
    struct tare_running running[HEADS];
    for (int64_t h = 0; h < heads[1]; h++)
        tare_running_begin(&running[h], &sinks[h], j->mixed + (heads[0] + h) * d->head_dim, d->head_dim);
    seen.first = last >= d->window ? last - d->window + 1 : 0;
    seen.n = last - seen.first + 1;
    attend_part(j, &seen, TARE_PART_WINDOW, heads, running);
    if (d->past_layer >= 0) {
        seen.state = span->states[2 * d->past_layer];
        seen.chosen = tare_compressed_chosen(j, t, &seen.n);
        attend_part(j, &seen, TARE_PART_PAST, heads, running);
    }
    for (int64_t h = 0; h < heads[1]; h++) {
        float *y = j->mixed + (heads[0] + h) * d->head_dim;
        tare_running_end(&running[h], y, d->head_dim);
        tare_compressed_rotate(j->b, j->back + t * d->rope, y, d->head_dim);
    }
}

/* out[g] = o_a[g] (the heads of group g) */
static void project_groups(const struct tare_compressed_job *j)
{
    const struct tare_compressed_desc *d = &j->b->d;
    const int64_t wide = d->heads * d->head_dim, each = wide / d->o_groups;
    for (int64_t g = 0; g < d->o_groups; g++)
        j->products[g] = (struct tare_product){
            .matrix = tare_matrix_part(tare_loaded_matrix(j->pass->loaded, j->b->o_a.weight), g * d->o_rank, d->o_rank),
            .x = j->mixed + g * each,
            .ldx = wide,
            .tokens = j->pass->tokens,
            .y = j->out + g * d->o_rank,
            .ldy = d->o_groups * d->o_rank};
    tare_matmul_each(&j->pass->kernels, j->pass->pool, j->products, (size_t)d->o_groups, j->pass->work);
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct tare_compressed_self *b = block;
    struct tare_compressed_job j = {.b = b, .pass = pass, .x = x};
    lay_out(b, pass->tokens, pass->scratch, &j);
    tare_linear_forward(pass, &b->q_a, x, b->q_a.in, j.low, b->q_a.out);
    tare_norm_forward(pass, &b->q_norm, b->q_a.out, j.low, j.low);
    tare_linear_forward(pass, &b->q_b, j.low, b->q_b.in, j.q, b->q_b.out);
    tare_linear_forward(pass, &b->kv, x, b->kv.in, j.kv, b->kv.out);
    j.factor = tare_rope_frequencies(&b->d.rotary, 0, j.freq);
    tare_pool_run(pass->pool, (size_t)pass->tokens, prepare_token, &j);
    if (b->past_kv.weight)
        tare_compressed_keep(&j);
    if (b->index_q.weight)
        tare_compressed_choose(&j);
    tare_pool_run(pass->pool, (size_t)(pass->tokens * ((b->d.heads + HEADS - 1) / HEADS)), attend_heads, &j);
    project_groups(&j);
    tare_linear_forward(pass, &b->o_b, j.out, b->o_b.in, y, b->o_b.out);
}

static const struct tare_block_ops ops = {.name = "compressed", .state = state, .scratch = scratch, .forward = forward};

static void declare_past(struct tare_compressed_self *b, struct tare_at at)
{
    const struct tare_compressed_desc *d = &b->d;
    const struct tare_at past = tare_at(at, "compressor"), index = tare_at(at, "indexer");
    if (d->compresses) {
        b->past_kv = tare_linear(past, "kv_proj", d->dim, d->head_dim, NO_BIAS);
        if (d->ratio > 1)
            b->past_gate = tare_linear(past, "gate_proj", d->dim, d->head_dim, NO_BIAS);
        b->past_norm = tare_rms_norm(past, "kv_norm", d->head_dim, d->eps);
    }
    if (!d->chooses)
        return;
    b->index_q = tare_linear(index, "q_b_proj", d->q_rank, tare_mul(at, d->index_heads, d->index_dim), NO_BIAS);
    b->index_weights = tare_linear(index, "weights_proj", d->dim, d->index_heads, NO_BIAS);
    if (d->compresses) {
        b->index_k = tare_linear(index, "k_proj", d->head_dim, d->index_dim, NO_BIAS);
        b->index_norm = tare_rms_norm(index, "k_norm", d->index_dim, d->eps);
    }
}

static void declare(struct tare_compressed_self *b, struct tare_at at, const struct tare_compressed_desc *d)
{
    const int64_t heads = tare_mul(at, d->heads, d->head_dim);
    *b = (struct tare_compressed_self){.d = *d};
    b->q_a = tare_linear(at, "q_a_proj", d->dim, d->q_rank, NO_BIAS);
    b->q_norm = tare_rms_norm(at, "q_a_norm", d->q_rank, d->eps);
    b->q_b = tare_linear(at, "q_b_proj", d->q_rank, heads, NO_BIAS);
    b->kv = tare_linear(at, "kv_proj", d->dim, d->head_dim, NO_BIAS);
    b->kv_norm = tare_rms_norm(at, "kv_norm", d->head_dim, d->eps);
    b->o_a = tare_experts(at, "o_a_proj", d->o_groups,
                          tare_div(at, "num_attention_heads * head_dim", heads, "o_groups", d->o_groups), d->o_rank,
                          NO_BIAS);
    b->o_b = tare_linear(at, "o_b_proj", tare_mul(at, d->o_groups, d->o_rank), d->dim, NO_BIAS);
    b->sinks = tare_plain(at, "sinks", 1, d->heads);
    declare_past(b, at);
    b->open = tare_compressed_has_keys(b) ? TARE_PART_KEYS + 1 : TARE_PART_KEYS;
}

static bool fits(int64_t n, int64_t least)
{
    return n >= least && n < INT32_MAX;
}

static bool runs(const struct tare_compressed_desc *d)
{
    const bool heads = d->heads > 0 && d->o_groups > 0 && d->heads % d->o_groups == 0 && fits(d->window, 1);
    const bool turns = d->rope >= 0 && d->rope % 2 == 0 && d->rope <= d->head_dim && d->rope <= TARE_PANEL_FLOATS;
    const bool index = !d->chooses || (d->index_dim >= d->rope && d->candidate_size > 0);
    const bool past = (!d->compresses && !d->chooses) || fits(d->ratio, 1);
    return d->runs && heads && turns && index && past && fits(d->top, 1) && fits(d->candidate_blocks, 0);
}

void tare_compressed(struct tare_layer *layer, struct tare_at parent, const struct tare_compressed_desc *d)
{
    const struct tare_at at = tare_at(parent, "self_attn");
    struct tare_compressed_self block;
    declare(&block, at, d);
    tare_block_set(&layer->mixer, at, runs(d) ? &ops : NULL, &block, sizeof block);
}
