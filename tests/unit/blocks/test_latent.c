/* SPDX-License-Identifier: MIT
 * test_latent.c - latent attention against heads whose keys and values are made, with and without an index; attention
 * over a compressed past; Gear's mixer; and the parts they are made of.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/small_float.h"
#include "blocks/attention/compressed_attention.h"
#include "blocks/attention/latent_attention.h"
#include "blocks/recurrent/conv_mixer.h"
#include "blocks/round_trip.h"
#include "blocks/top.h"
#include "blocks/transposed.h"
#include "mixers.h"

enum { DIM = MIXER_DIM, HEADS = 3, NOPE = 6, ROPE = 4, V = 5, RANK = 10, Q_RANK = 7, TOP = 5, INDEX = 6 };

/* Pairs (0, 1), (2, 3) turn, or with halves (0, dims / 2), ... */
static void turn(double *x, int dims, int64_t position, bool halves)
{
    for (int i = 0; i < dims / 2; i++) {
        double *a = x + (halves ? i : 2 * i), *b = a + (halves ? dims / 2 : 1);
        const double angle = (double)position * pow(10000, -2.0 * i / dims), was = *a;
        *a = was * cos(angle) - *b * sin(angle);
        *b = *b * cos(angle) + was * sin(angle);
    }
}

/* y += softmax(score) value over n rows of `width`; sink NULL: none. */
static void mix(const double *score, const double *value, int n, int width, int stride, const float *sink, double *y)
{
    double sum = sink ? exp((double)*sink) : 0;
    for (int i = 0; i < n; i++)
        sum += exp(score[i]);
    for (int d = 0; d < width; d++)
        y[d] = 0;
    for (int i = 0; i < n; i++)
        for (int d = 0; d < width; d++)
            y[d] += exp(score[i]) / sum * value[i * stride + d];
}

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Which of n are not among the best `top`: their scores become -inf. */
static void drop_worse(const double *index, double *score, int n, int top)
{
    for (int i = 0; i < n; i++) {
        int better = 0;
        for (int k = 0; k < n; k++)
            better += index[k] > index[i] || (k < i && index[k] >= index[i]); /* of equals the first */
        score[i] = better < top ? score[i] : -INFINITY;
    }
}

/* The row that the state keeps of a token: expanded keys and values of all heads, then the index's key. */
enum { HEAD = NOPE + ROPE + V, ROW = HEADS * HEAD + INDEX };

static struct tare_mla_desc latent_desc(void)
{
    return (struct tare_mla_desc){
        .name = "mixer",
        .dim = DIM,
        .heads = HEADS,
        .q_rank = Q_RANK,
        .kv_rank = RANK,
        .nope = NOPE,
        .rope = ROPE,
        .v = V,
        .bias = true,
        .eps = 1e-6,
        .rotary = {.kind = TARE_ROPE_DEFAULT, .dims = ROPE, .interleaved = true, .base = 10000, .factor = 1}};
}

/* Keys and values of each head, from embed_q and unembed_out or from kv_b_proj. */
static void expand(const struct mixer_reference *r, const double *latent, const double *key, double *row)
{
    const bool whole = mixer_has(r, "kv_b_proj.weight");
    double all[HEADS * (NOPE + V)];
    if (whole)
        mixer_multiply(r, "kv_b_proj", latent, all);
    for (int h = 0; h < HEADS; h++) {
        double *k = row + h * HEAD, *v = k + NOPE + ROPE;
        for (int d = 0; d < NOPE; d++) {
            k[d] = whole ? all[h * (NOPE + V) + d] : 0;
            for (int c = 0; c < RANK && !whole; c++)
                k[d] += (double)mixer_weight(r, "embed_q.weight")[(h * RANK + c) * NOPE + d] * latent[c];
        }
        memcpy(k + NOPE, key, ROPE * sizeof *k);
        for (int d = 0; d < V; d++) {
            v[d] = whole ? all[h * (NOPE + V) + NOPE + d] : 0;
            for (int c = 0; c < RANK && !whole; c++)
                v[d] += (double)mixer_weight(r, "unembed_out.weight")[(h * V + d) * RANK + c] * latent[c];
        }
    }
}

/* What the index thinks of each token so far; its own key joins the row. */
static void index_scores(struct mixer_reference *r, const double *x, const double *low, double *scores)
{
    double q[2 * INDEX], w[2], mean = 0, square = 0, *key = r->h + r->position * ROW + HEADS * HEAD;
    mixer_multiply(r, "indexer.wk", x, key);
    for (int d = 0; d < INDEX; d++)
        mean += key[d] / INDEX;
    for (int d = 0; d < INDEX; d++)
        square += (key[d] - mean) * (key[d] - mean) / INDEX;
    for (int d = 0; d < INDEX; d++)
        key[d] = (key[d] - mean) / sqrt(square + 1e-6) * (double)mixer_weight(r, "indexer.k_norm.weight")[d] +
                 (double)mixer_weight(r, "indexer.k_norm.bias")[d];
    turn(key, ROPE, r->position, true);
    mixer_multiply(r, "indexer.wq_b", low, q);
    mixer_multiply(r, "indexer.weights_proj", x, w);
    for (int h = 0; h < 2; h++)
        turn(q + h * INDEX, ROPE, r->position, true);
    for (int64_t i = 0; i <= r->position; i++) {
        scores[i] = 0;
        for (int h = 0; h < 2; h++)
            scores[i] += w[h] * fmax(0, dot(q + h * INDEX, r->h + i * ROW + HEADS * HEAD, INDEX));
    }
}

static void latent_token(struct mixer_reference *r, const double *x, double *y)
{
    const bool beta = mixer_has(r, "q_proj.weight"); /* the second desc below has the scales, too */
    const int n = (int)r->position + 1, gates = mixer_has(r, "g_proj.weight") ? (beta ? HEADS * V : HEADS) : 0;
    double low[DIM], q[HEADS * (NOPE + ROPE)], kv[RANK + ROPE], out[HEADS * V], gate[HEADS * V];
    double score[MIXER_TOKENS], index[MIXER_TOKENS];
    if (!beta) {
        mixer_multiply(r, "q_a_proj", x, low);
        mixer_rms(low, Q_RANK, 1e-6, mixer_weight(r, "q_a_layernorm.weight"));
    }
    mixer_multiply(r, beta ? "q_proj" : "q_b_proj", beta ? x : low, q);
    mixer_multiply(r, "kv_a_proj_with_mqa", x, kv);
    mixer_rms(kv, RANK, 1e-6, mixer_weight(r, "kv_a_layernorm.weight"));
    for (int c = 0; c < RANK && beta; c++)
        kv[c] *= 1.5;
    turn(kv + RANK, ROPE, r->position, beta);
    expand(r, kv, kv + RANK, r->h + r->position * ROW);
    if (mixer_has(r, "indexer.wk.weight"))
        index_scores(r, x, low, index);
    if (gates)
        mixer_multiply(r, "g_proj", x, gate);
    for (int h = 0; h < HEADS; h++) {
        double *head = q + h * (NOPE + ROPE);
        turn(head + NOPE, ROPE, r->position, beta);
        for (int i = 0; i < n; i++)
            score[i] = dot(head, r->h + i * ROW + h * HEAD, NOPE + ROPE) / sqrt(NOPE + ROPE) *
                       (beta ? 0.7 * (1 + 0.3 * log(1 + floor((double)r->position / 4))) : 1);
        if (mixer_has(r, "indexer.wk.weight"))
            drop_worse(index, score, n, TOP);
        mix(score, r->h + h * HEAD + NOPE + ROPE, n, V, ROW, NULL, out + h * V);
        for (int d = 0; d < V && gates; d++)
            out[h * V + d] *= mixer_sigmoid(gate[(h * V + d) * gates / (HEADS * V)]);
    }
    mixer_multiply(r, "o_proj", out, y);
}

static void declare_latent(struct tare_layer *l, struct tare_at at)
{
    const struct tare_mla_desc d = latent_desc();
    tare_mla(l, at, &d);
}

static void declare_gated(struct tare_layer *l, struct tare_at at)
{
    struct tare_mla_desc d = latent_desc();
    d.gate = "g_proj";
    d.gate_heads = true;
    tare_mla(l, at, &d);
}

/* kv_b_proj whole, halves that rotate, a gate for each number, and all the scales. */
static void declare_whole(struct tare_layer *l, struct tare_at at)
{
    struct tare_mla_desc d = latent_desc();
    d.q_rank = 0;
    d.kv_b_whole = true;
    d.rotary.interleaved = false;
    d.gate = "g_proj";
    d.query_scale = 0.7;
    d.latent_scale = 1.5;
    d.query_beta = 0.3;
    d.query_length = 4;
    tare_mla(l, at, &d);
}

static void declare_indexed(struct tare_layer *l, struct tare_at at)
{
    struct tare_mla_desc d = latent_desc();
    d.index = (struct tare_index_desc){.heads = 2, .width = INDEX, .top = TOP, .halves = true};
    tare_mla(l, at, &d);
}

enum {
    C_HEADS = 4,
    C_DIM = 10,
    RATIO = 3,
    WINDOW = 6,
    GROUPS = 2,
    O_RANK = 5,
    C_TOP = 2,
    BLOCKS = 2,
    C_ROW = 4 * C_DIM
};

static void declare_compressed(struct tare_layer *l, struct tare_at at)
{
    struct tare_compressed_desc d = {
        .dim = DIM,
        .heads = C_HEADS,
        .head_dim = C_DIM,
        .q_rank = Q_RANK,
        .rope = ROPE,
        .rotary = {.kind = TARE_ROPE_DEFAULT, .dims = ROPE, .interleaved = true, .base = 10000, .factor = 1},
        .o_groups = GROUPS,
        .o_rank = O_RANK,
        .window = WINDOW,
        .eps = 1e-6,
        .ratio = RATIO,
        .compresses = true,
        .chooses = true,
        .index_heads = 2,
        .index_dim = INDEX,
        .top = C_TOP,
        .candidates = TARE_CANDIDATES_FIND,
        .candidate_blocks = BLOCKS,
        .candidate_size = 2,
        .runs = true};
    tare_compressed(l, tare_at(at, "mixer"), &d);
}

/* What the group that ends with this token becomes, and its key: rows of r->h behind those of tokens. */
static void compress(struct mixer_reference *r, double *past, double *key)
{
    const int64_t first = r->position + 1 - RATIO;
    double latent[C_DIM];
    for (int d = 0; d < C_DIM; d++) {
        double sum = 0, all = 0;
        for (int i = 0; i < RATIO; i++) {
            const double *row = r->h + (first + i) * C_ROW, weight = exp(row[2 * C_DIM + d]);
            sum += weight;
            all += weight * row[C_DIM + d];
        }
        latent[d] = all / sum;
    }
    mixer_rms(latent, C_DIM, 1e-6, mixer_weight(r, "self_attn.compressor.kv_norm.weight"));
    memcpy(past, latent, sizeof latent);
    turn(past + C_DIM - ROPE, ROPE, first, false);
    mixer_multiply(r, "self_attn.indexer.k_proj", latent, key);
    mixer_rms(key, INDEX, 1e-6, mixer_weight(r, "self_attn.indexer.k_norm.weight"));
    turn(key + INDEX - ROPE, ROPE, first, false);
}

static void group_scores(const struct mixer_reference *r, const double *x, const double *low, const double *keys, int n,
                         double *scores)
{
    double q[2 * INDEX], w[2];
    mixer_multiply(r, "self_attn.indexer.q_b_proj", low, q);
    mixer_multiply(r, "self_attn.indexer.weights_proj", x, w);
    for (int h = 0; h < 2; h++)
        turn(q + h * INDEX + INDEX - ROPE, ROPE, r->position, false);
    for (int g = 0; g < n; g++)
        scores[g] =
            w[0] * fmax(0, dot(q, keys + g * C_DIM, INDEX)) + w[1] * fmax(0, dot(q + INDEX, keys + g * C_DIM, INDEX));
}

static void compressed_token(struct mixer_reference *r, const double *x, double *y)
{
    const int64_t t = r->position, seen = t < WINDOW ? t + 1 : WINDOW;
    const int n = (int)(t + 1) / RATIO;
    double low[DIM], q[C_HEADS * C_DIM], index[MIXER_TOKENS], score[MIXER_TOKENS], value[MIXER_TOKENS * C_DIM];
    double mixed[C_HEADS * C_DIM], out[GROUPS * O_RANK], *row = r->h + t * C_ROW;
    double *past = r->h + MIXER_TOKENS * C_ROW, *keys = past + MIXER_TOKENS * C_DIM;
    mixer_multiply(r, "self_attn.q_a_proj", x, low);
    mixer_rms(low, Q_RANK, 1e-6, mixer_weight(r, "self_attn.q_a_norm.weight"));
    mixer_multiply(r, "self_attn.q_b_proj", low, q);
    mixer_multiply(r, "self_attn.kv_proj", x, row);
    mixer_rms(row, C_DIM, 1e-6, mixer_weight(r, "self_attn.kv_norm.weight"));
    turn(row + C_DIM - ROPE, ROPE, t, false);
    mixer_multiply(r, "self_attn.compressor.kv_proj", x, row + C_DIM);
    mixer_multiply(r, "self_attn.compressor.gate_proj", x, row + 2 * C_DIM);
    if ((t + 1) % RATIO == 0)
        compress(r, past + (n - 1) * C_DIM, keys + (n - 1) * C_DIM);
    group_scores(r, x, low, keys, n, index);
    for (int64_t i = 0; i < seen; i++)
        memcpy(value + i * C_DIM, r->h + (t + 1 - seen + i) * C_ROW, C_DIM * sizeof *value);
    memcpy(value + seen * C_DIM, past, (size_t)n * C_DIM * sizeof *value);
    for (int h = 0; h < C_HEADS; h++) {
        double *head = q + h * C_DIM;
        turn(head + C_DIM - ROPE, ROPE, t, false);
        for (int64_t i = 0; i < seen + n; i++)
            score[i] = dot(head, value + i * C_DIM, C_DIM) / sqrt(C_DIM);
        drop_worse(index, score + seen, n, C_TOP);
        mix(score, value, (int)seen + n, C_DIM, C_DIM, mixer_weight(r, "self_attn.sinks") + h, mixed + h * C_DIM);
        turn(mixed + h * C_DIM + C_DIM - ROPE, ROPE, -t, false);
    }
    for (int i = 0; i < GROUPS * O_RANK; i++) {
        const int each = C_HEADS * C_DIM / GROUPS;
        out[i] = 0;
        for (int d = 0; d < each; d++)
            out[i] += (double)mixer_weight(r, "self_attn.o_a_proj.weight")[i * each + d] * mixed[i / O_RANK * each + d];
    }
    mixer_multiply(r, "self_attn.o_b_proj", out, y);
}

enum { G_HEADS = 4, G_KV = 2, G_DIM = 6 };

static void declare_gear(struct tare_layer *l, struct tare_at at)
{
    tare_conv_mixer(l, at,
                    &(struct tare_conv_mixer_desc){.name = "mixer",
                                                   .dim = DIM,
                                                   .heads = G_HEADS,
                                                   .kv_heads = G_KV,
                                                   .head_dim = G_DIM,
                                                   .width = 3,
                                                   .bias = true,
                                                   .eps = 1e-5});
}

static void norm_heads(const struct mixer_reference *r, const char *name, double *x, int heads)
{
    float weight[G_DIM];
    for (int d = 0; d < G_DIM; d++)
        weight[d] = 1 + mixer_weight(r, name)[d];
    for (int h = 0; h < heads; h++)
        mixer_rms(x + h * G_DIM, G_DIM, 1e-5, weight);
}

static void gear_token(struct mixer_reference *r, const double *x, double *y)
{
    double q[G_HEADS * G_DIM], k[G_KV * G_DIM], v[G_KV * G_DIM];
    mixer_multiply(r, "q_proj", x, q);
    mixer_multiply(r, "k_proj", x, k);
    mixer_multiply(r, "v_proj", x, v);
    norm_heads(r, "q_norm.weight", q, G_HEADS);
    norm_heads(r, "k_norm.weight", k, G_KV);
    mixer_convolve(r, 0, "key_conv", k, G_KV * G_DIM, 3);
    mixer_convolve(r, 1, "value_conv", v, G_KV * G_DIM, 3);
    for (int i = 0; i < G_HEADS * G_DIM; i++) {
        const int from = i / G_DIM / (G_HEADS / G_KV) * G_DIM + i % G_DIM;
        q[i] = mixer_sigmoid(q[i] * k[from]) * v[from];
    }
    mixer_multiply(r, "o_proj", q, y);
}

static const struct mixer mixers[] = {
    {"mla", declare_latent, latent_token},
    {"mla, gated", declare_gated, latent_token},
    {"mla, whole", declare_whole, latent_token},
    {"mla, indexed", declare_indexed, latent_token},
    {"compressed", declare_compressed, compressed_token},
    {"conv_mixer", declare_gear, gear_token},
};

/* Sizes that nothing can run are declared, and have no ops. */
static void test_cannot_run(void **unused)
{
    (void)unused;
    for (int i = 0; i < 5; i++) {
        struct sample_block b;
        struct tare_mla_desc d = latent_desc();
        const struct tare_at at = sample_block_begin(&b, 1, DIM);
        if (i == 0)
            d.rope = d.rotary.dims = 3; /* no pairs */
        if (i == 1)
            d.index = (struct tare_index_desc){.heads = 2, .width = ROPE - 1, .top = TOP}; /* nothing to rotate */
        if (i == 2)
            d.index = (struct tare_index_desc){.heads = 2, .width = INDEX, .top = INT64_MAX};
        if (i == 3)
            d.query_beta = 1; /* per 0 positions */
        if (i == 4)
            d.rotary.dims = ROPE + 2;
        tare_mla(&b.layer, at, &d);
        assert_int_equal(b.tree.error.code, TARE_OK);
        assert_null(b.layer.mixer.ops);
        sample_block_end(&b);
    }
}

static void test_top(void **unused)
{
    (void)unused;
    static const float x[] = {-1, 3, 0, -0.0f, 3, -INFINITY, 2, 3};
    static const struct {
        int64_t n, top, have;
        int32_t chosen[8];
    } cases[] = {{8, 2, 2, {1, 4}},
                 {8, 4, 4, {1, 4, 6, 7}},
                 {8, 5, 5, {1, 2, 4, 6, 7}},
                 {3, 9, 3, {0, 1, 2}},
                 {8, 1, 1, {1}},
                 {8, 0, 0, {0}},
                 {0, 4, 0, {0}},
                 {8, 7, 7, {0, 1, 2, 3, 4, 6, 7}}};
    for (size_t i = 0; i < FIXTURE_COUNT(cases); i++) {
        int32_t chosen[8] = {0};
        assert_int_equal(tare_top_largest(x, cases[i].n, cases[i].top, chosen), cases[i].have);
        assert_memory_equal(chosen, cases[i].chosen, (size_t)cases[i].have * sizeof *chosen);
    }
    const float odd[] = {NAN, 1, -NAN, 2};
    int32_t chosen[4];
    assert_int_equal(tare_top_largest(odd, 4, 2, chosen), 2); /* it ends, and they are two */
    assert_int_equal(chosen[0], 0);
    assert_int_equal(chosen[1], 3);
}

/* The nearest of all bytes' values, of two equally near ones the one with an even last bit. */
static float nearest(float x, float (*value)(uint8_t), int bytes)
{
    float best = 0;
    int which = 0;
    for (int i = 0; i < bytes; i++) {
        const float v = value((uint8_t)i), near = fabsf(v - x), best_near = fabsf(best - x);
        if (near < best_near || (!(near > best_near) && i % 2 == 0 && which % 2))
            best = v, which = i;
    }
    return best;
}

static void test_round_trip(void **unused)
{
    (void)unused;
    float x[256], back[256];
    sample_fill(x, 256, "numbers", 0, 6);
    for (int i = 0; i < 40; i++)
        x[i] = (float)i / 4; /* ties */
    x[40] = 7;               /* of a block of 16 whose scale is 1 then */
    memcpy(back, x, sizeof x);
    tare_round_e2m1(back, 256, 16, false);
    for (int i = 0; i < 256; i++) {
        float most = 0;
        for (int k = i / 16 * 16; k < i / 16 * 16 + 16; k++)
            most = fmaxf(most, fabsf(x[k]));
        const float scale = exp2f(ceilf(log2f(most / 6)));
        assert_float_equal(back[i], nearest(x[i] / scale, tare_from_e2m1, 16) * scale, 0);
    }
    memcpy(back, x, sizeof x);
    x[200] = back[200] = 448; /* so that the scale is 1 */
    tare_round_e4m3(back, 256, 256);
    for (int i = 0; i < 256; i++)
        assert_float_equal(back[i], nearest(x[i], tare_from_e4m3, 127), x[i] < 0 ? 448 : 0);
    for (int i = 0; i < 256; i++)
        if (x[i] < 0)
            assert_float_equal(back[i], -nearest(-x[i], tare_from_e4m3, 127), 0);
    memcpy(back, x, sizeof x);
    tare_round_e4m3(back, 250, 32);
    assert_memory_equal(back, x, sizeof x); /* 32 does not divide it */
}

/* 270 rows of 300 columns: more than one panel, and more than two blocks of columns. */
static void test_transposed(void **unused)
{
    (void)unused;
    enum { ROWS = 270, COLUMNS = 300, TOKENS = 3 };
    static float w[ROWS * COLUMNS], x[TOKENS * ROWS], y[TOKENS * COLUMNS];
    int32_t order[COLUMNS];
    struct sample_block b;
    sample_block_begin(&b, 2, DIM);
    sample_fill(w, ROWS * COLUMNS, "w", 0, 1);
    sample_fill(x, TOKENS * ROWS, "x", 0, 1);
    for (int i = 0; i < COLUMNS; i++)
        order[i] = (i * 7 + 3) % COLUMNS;
    struct tare_product p = {.matrix = {.storage = TARE_STORE_F32,
                                        .rows = ROWS,
                                        .in = COLUMNS,
                                        .data = (const unsigned char *)w,
                                        .stride = COLUMNS * sizeof *w},
                             .x = x,
                             .ldx = ROWS,
                             .tokens = TOKENS,
                             .y = y,
                             .ldy = COLUMNS};
    for (int ordered = 0; ordered < 2; ordered++) {
        p.matrix.order = ordered ? order : NULL;
        memset(y, 0xff, sizeof y); /* whatever was there */
        tare_transposed_each(&b.pass, &p, 1);
        for (int i = 0; i < TOKENS * COLUMNS; i++) {
            const int t = i / COLUMNS, c = i % COLUMNS;
            double want = 0;
            for (int r = 0; r < ROWS; r++)
                want += (double)w[r * COLUMNS + c] * (double)x[t * ROWS + r];
            assert_float_equal(y[t * COLUMNS + (ordered ? order[c] : c)], (float)want, 1e-4);
        }
    }
    sample_block_end(&b);
}

int main(void)
{
    const struct CMUnitTest more[] = {cmocka_unit_test(test_cannot_run), cmocka_unit_test(test_top),
                                      cmocka_unit_test(test_round_trip), cmocka_unit_test(test_transposed)};
    return mixers_main(mixers, FIXTURE_COUNT(mixers), more, FIXTURE_COUNT(more));
}
