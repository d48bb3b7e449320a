/* SPDX-License-Identifier: MIT
 * test_gqa.c - grouped-query attention with what models add to it, against plain loops in double; then the same text by
 * pieces, beside another one, and with other numbers of threads.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blocks/attention/gqa_clipped.h"
#include "blocks/attention/gqa_index.h"
#include "blocks/attention/gqa_keys.h"
#include "blocks/attention/gqa_mixed_norm.h"
#include "blocks/attention/gqa_tempered.h"
#include "blocks/attention/gqa_values.h"
#include "models/blocks.h"
#include "sample.h"

enum { DIM = 24, TOKENS = 23, HEADS = 4, KV = 2, HEAD = 8, MOST = 2 * HEADS * HEAD + 2 * KV * HEAD + HEADS * HEAD };

#define COMMON .dim = DIM, .heads = HEADS, .kv_heads = KV, .head_dim = HEAD, .qk_norm.eps = 1e-5
#define ROPE .rope = {.kind = TARE_ROPE_DEFAULT, .dims = 4, .base = 100}

/* A description, and at most one extension of the block that it makes. */
struct variant {
    struct tare_gqa_desc d;
    struct tare_gqa_tempered tempered;
    struct tare_gqa_index_desc index;
    int64_t chunk;
    double factor, most; /* of values; of what is projected */
    bool value_norm, cycled, mixed_head_norm;
};

static const struct variant variants[] = {
    {.d = {COMMON, ROPE, .qk_norm.kind = TARE_QK_NORM_RMS, .bias = BIAS, .o_bias = BIAS}},
    {.d = {COMMON, ROPE, .window = 5, .sink_name = "sinks", .soft_cap = 3}},
    {.d = {COMMON, ROPE, .qk_norm.kind = TARE_QK_NORM_RMS_BARE, .qk_norm.last = true}, .chunk = 6},
    {.d = {COMMON}, .tempered = {.beta = 0.7, .length = 4, .from = 1}},
    {.d = {COMMON, .v_head_dim = 6, .sink_name = "sinks", .scale = 2}, .factor = 0.3},
    {.d = {COMMON, .qk_norm.kind = TARE_QK_NORM_RMS_WIDE, .qkv_name = "Wqkv"}, .most = 0.2},
    {.d = {COMMON}, .cycled = true},
    {.d = {COMMON, ROPE}, .value_norm = true},
    {.d = {COMMON, ROPE, .gate.kind = TARE_GATE_HEADS, .gate.softplus = true, .v_head_dim = 5}},
    {.d = {COMMON, .gate.kind = TARE_GATE_ELEMENTS, .gate.name = "gate_proj", .gate.bias = true}},
    {.d = {COMMON, ROPE, .gate.kind = TARE_GATE_QUERY, .qk_norm.kind = TARE_QK_NORM_RMS}},
    {.d = {COMMON, .gate.kind = TARE_GATE_FUSED, .qkv_name = "Wqkv"}, .mixed_head_norm = true},
    {.d = {COMMON, ROPE},
     .index = {.heads = 2,
               .dim = 4,
               .size = 3,
               .top = 3,
               .local = 1,
               .one_plus = true,
               .rope = {.kind = TARE_ROPE_DEFAULT, .dims = 4, .base = 50}}},
};

/* One text, written as in the papers. */
struct plain {
    const struct sample_block *b;
    const struct tare_gqa_desc *d;
    const struct variant *more;
    double row[TOKENS][MOST]; /* q, k, v, what else is projected */
    double q[TOKENS][HEADS][HEAD], k[TOKENS][KV][HEAD], v[TOKENS][KV][HEAD];
    double gate[TOKENS][HEADS][HEAD];
    double index_q[TOKENS][2][4], index_k[TOKENS][4];
};

static const float *weight(const struct plain *p, const char *name)
{
    char full[80];
    snprintf(full, sizeof full, "self_attn.%s", name);
    return tare_tree_find(&p->b->tree, full) ? sample_weight(p->b, full) : NULL;
}

/* y (rows) = linear(x), how many rows; 0: there is no such linear. */
static int64_t multiply(const struct plain *p, const char *name, const double *x, double *y)
{
    char full[80];
    snprintf(full, sizeof full, "self_attn.%s.weight", name);
    const struct tare_parameter *w = tare_tree_find(&p->b->tree, full);
    if (!w)
        return 0;
    const float *data = sample_weight(p->b, full);
    snprintf(full, sizeof full, "self_attn.%s.bias", name);
    const float *bias = tare_tree_find(&p->b->tree, full) ? sample_weight(p->b, full) : NULL;
    for (int64_t r = 0; r < w->shape[0]; r++) {
        y[r] = bias ? (double)bias[r] : 0;
        for (int64_t i = 0; i < w->shape[1]; i++)
            y[r] += (double)data[r * w->shape[1] + i] * x[i];
    }
    return w->shape[0];
}

static void rms(double *x, int64_t n, const float *w, double plus)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    const double scale = 1 / sqrt(sum / (double)n + 1e-5);
    for (int64_t i = 0; i < n; i++)
        x[i] *= scale * (w ? plus + (double)w[i] : 1);
}

static void rotate(double *x, const struct tare_rope *rope, int64_t position)
{
    const int64_t half = rope->dims / 2;
    for (int64_t i = 0; i < half; i++) {
        const double angle = (double)position * pow(rope->base, -2 * (double)i / (double)rope->dims);
        const double a = x[i], b = x[i + half];
        x[i] = a * cos(angle) - b * sin(angle);
        x[i + half] = b * cos(angle) + a * sin(angle);
    }
}

static void finish_head(const struct plain *p, double *x, const float *norm, int64_t t)
{
    const bool normed = p->d->qk_norm.kind == TARE_QK_NORM_RMS || p->d->qk_norm.kind == TARE_QK_NORM_RMS_BARE;
    if (normed && !p->d->qk_norm.last)
        rms(x, HEAD, norm, 0);
    if (p->d->rope.kind != TARE_ROPE_NONE)
        rotate(x, &p->d->rope, t);
    if (normed && p->d->qk_norm.last)
        rms(x, HEAD, norm, 0);
}

static int64_t value_dim(const struct tare_gqa_desc *d)
{
    return d->v_head_dim > 0 ? d->v_head_dim : HEAD;
}

/* Cut a token's projections into heads. */
static void cut(struct plain *p, int64_t t, const double *row)
{
    const struct tare_gqa_desc *d = p->d;
    const int64_t v = value_dim(d), step = d->gate.kind == TARE_GATE_QUERY ? 2 * HEAD : HEAD;
    for (int64_t h = 0; h < HEADS; h++)
        for (int64_t i = 0; i < HEAD; i++) {
            p->q[t][h][i] = row[h * step + i];
            p->gate[t][h][i] = step > HEAD ? row[h * step + HEAD + i] : 0;
        }
    row += HEADS * step;
    for (int64_t h = 0; h < KV; h++) {
        for (int64_t i = 0; i < HEAD; i++)
            p->k[t][h][i] = row[h * HEAD + i];
        for (int64_t i = 0; i < v; i++)
            p->v[t][h][i] = row[KV * HEAD + h * v + i] * (p->more->factor != 0 ? p->more->factor : 1);
        if (p->more->value_norm)
            rms(p->v[t][h], v, NULL, 0);
    }
    for (int64_t i = 0; i < HEADS * HEAD && d->gate.kind == TARE_GATE_FUSED; i++)
        p->gate[t][i / HEAD][i % HEAD] = row[KV * (HEAD + v) + i];
}

static void gates(struct plain *p, int64_t t, const double *x)
{
    double row[HEADS * HEAD];
    const int64_t n = multiply(p, p->d->gate.name ? p->d->gate.name : "g_proj", x, row);
    for (int64_t i = 0; i < HEADS * HEAD && n; i++)
        p->gate[t][i / HEAD][i % HEAD] = row[n == HEADS ? i / HEAD : i];
}

static void index_token(struct plain *p, int64_t t, const double *x)
{
    double q[8];
    if (!multiply(p, "index_q_proj", x, q))
        return;
    multiply(p, "index_k_proj", x, p->index_k[t]);
    rms(p->index_k[t], 4, weight(p, "index_k_norm.weight"), 1);
    rotate(p->index_k[t], &p->more->index.rope, t);
    for (int h = 0; h < 2; h++) {
        memcpy(p->index_q[t][h], q + 4 * h, 4 * sizeof *q);
        rms(p->index_q[t][h], 4, weight(p, "index_q_norm.weight"), 1);
        rotate(p->index_q[t][h], &p->more->index.rope, t);
    }
}

static void prepare(struct plain *p, int64_t t, const double *x)
{
    const struct tare_gqa_desc *d = p->d;
    double *row = p->row[t];
    int64_t n = multiply(p, "Wqkv", x, row);
    for (int i = 0; i < 3 && !d->qkv_name; i++)
        n += multiply(p, (const char *[]){"q_proj", "k_proj", "v_proj"}[i], x, row + n);
    if (d->qk_norm.kind == TARE_QK_NORM_RMS_WIDE) {
        rms(row, HEADS * HEAD, weight(p, "q_norm.weight"), 0);
        rms(row + HEADS * HEAD, KV * HEAD, weight(p, "k_norm.weight"), 0);
    }
    for (int64_t i = 0; i < n && p->more->most > 0; i++)
        row[i] = fmax(-p->more->most, fmin(p->more->most, row[i]));
    cut(p, t, row);
    gates(p, t, x);
    index_token(p, t, x);
    for (int h = 0; h < HEADS; h++) {
        finish_head(p, p->q[t][h], weight(p, "q_norm.weight"), t);
        const struct tare_gqa_tempered *warm = &p->more->tempered;
        for (int i = 0; i < HEAD && warm->beta != 0; i++)
            p->q[t][h][i] *= 1 + warm->beta * log(1 + floor(((double)t + warm->from) / warm->length));
    }
    for (int h = 0; h < KV; h++)
        finish_head(p, p->k[t][h], weight(p, "k_norm.weight"), t);
}

static double best_of_block(const struct plain *p, int64_t t, int64_t h, int64_t block)
{
    const struct tare_gqa_index_desc *x = &p->more->index;
    double best = -INFINITY;
    if (block > t / x->size - x->local)
        return INFINITY;
    for (int64_t j = block * x->size; j < (block + 1) * x->size && j <= t; j++) {
        double sum = 0;
        for (int i = 0; i < 4; i++)
            sum += p->index_q[t][h][i] * p->index_k[j][i];
        best = fmax(best, sum);
    }
    return best;
}

static bool sees(const struct plain *p, int64_t t, int64_t h, int64_t j)
{
    const struct tare_gqa_desc *d = p->d;
    int64_t better = 0;
    if (j > t || (d->window > 0 && j <= t - d->window) ||
        (p->more->chunk > 0 && j / p->more->chunk != t / p->more->chunk))
        return false;
    if (p->more->index.heads < 1)
        return true;
    for (int64_t b = 0; b <= t / p->more->index.size; b++)
        better += best_of_block(p, t, h / 2, b) > best_of_block(p, t, h / 2, j / p->more->index.size);
    return better < p->more->index.top;
}

static void attend(const struct plain *p, int64_t t, int64_t h, double *y)
{
    const struct tare_gqa_desc *d = p->d;
    const int64_t kv = p->more->cycled ? h % KV : h / (HEADS / KV), v = value_dim(d);
    double sum = d->sink_name ? exp((double)weight(p, d->sink_name)[h]) : 0;
    memset(y, 0, (size_t)v * sizeof *y);
    for (int64_t j = 0; j < TOKENS; j++) {
        double s = 0;
        if (!sees(p, t, h, j))
            continue;
        for (int i = 0; i < HEAD; i++)
            s += p->q[t][h][i] * p->k[j][kv][i];
        s *= d->scale != 0 ? d->scale : 1 / sqrt((double)HEAD);
        s = exp(d->soft_cap > 0 ? d->soft_cap * tanh(s / d->soft_cap) : s);
        sum += s;
        for (int64_t i = 0; i < v; i++)
            y[i] += s * p->v[j][kv][i];
    }
    for (int64_t i = 0; i < v; i++)
        y[i] /= sum;
    if (p->more->mixed_head_norm)
        rms(y, v, NULL, 0);
    for (int64_t i = 0; i < v && d->gate.kind != TARE_GATE_NONE; i++)
        y[i] *= d->gate.softplus ? log1p(exp(p->gate[t][h][i])) : 1 / (1 + exp(-p->gate[t][h][i]));
}

static void reference(const struct sample_block *b, const struct variant *v, const float *x, float *want)
{
    static struct plain p;
    double in[DIM], mixed[HEADS * HEAD], out[DIM];
    p = (struct plain){.b = b, .d = &v->d, .more = v};
    for (int64_t t = 0; t < TOKENS; t++) {
        for (int i = 0; i < DIM; i++)
            in[i] = (double)x[t * DIM + i];
        prepare(&p, t, in);
    }
    for (int64_t t = 0; t < TOKENS; t++) {
        for (int64_t h = 0; h < HEADS; h++)
            attend(&p, t, h, mixed + h * value_dim(&v->d));
        multiply(&p, "o_proj", mixed, out);
        for (int i = 0; i < DIM; i++)
            want[t * DIM + i] = (float)out[i];
    }
}

static float x[2][TOKENS * DIM], want[2][TOKENS * DIM], y[2 * TOKENS * DIM];

static void extend(struct tare_layer *l, struct tare_at at, const struct variant *v)
{
    tare_gqa_tempered(l, at, &v->tempered);
    tare_gqa_chunked(l, at, v->chunk);
    tare_gqa_clipped(l, at, v->most);
    if (v->factor != 0)
        tare_gqa_scaled_values(l, at, v->factor);
    if (v->value_norm)
        tare_gqa_normed_values(l, at, HEAD, 1e-5);
    if (v->index.heads > 0)
        tare_gqa_index(l, at, &v->d, &v->index);
    if (v->cycled)
        tare_gqa_cycled(l, at);
    if (v->mixed_head_norm)
        tare_gqa_mixed_head_norm(l, at, HEAD, 1e-5);
}

static void begin(struct sample_block *b, const struct variant *v, int threads)
{
    const struct tare_at at = sample_block_begin(b, threads, DIM);
    tare_gqa(&b->layer, at, &v->d);
    extend(&b->layer, tare_at(at, "self_attn"), v);
    sample_block_load(b);
    assert_non_null(b->layer.mixer.ops);
    sample_fill(x[0], TOKENS * DIM, "first", 0, 1);
    sample_fill(x[1], TOKENS * DIM, "second", 0, 1);
}

static void test_plain(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < FIXTURE_COUNT(variants); i++) {
        struct sample_block b;
        struct sample_text text;
        begin(&b, &variants[i], 1 + (int)(i % 3));
        reference(&b, &variants[i], x[0], want[0]);
        sample_text_begin(&text, &b);
        sample_run(&b, &text, (const int64_t[]){TOKENS}, 1, x[0], y);
        sample_near(y, want[0], TOKENS * DIM, 2e-5f);
        sample_text_end(&text);
        sample_block_end(&b);
    }
}

/* Two texts by turns and side by side: 2 + 5 tokens, 1 + 1, 4 alone, and so on. */
static void test_pieces(void **unused)
{
    static const int64_t pieces[][2] = {{2, 5}, {1, 1}, {4, 0}, {0, 6}, {14, 1}, {1, 9}, {1, 1}};
    (void)unused;
    for (size_t i = 0; i < FIXTURE_COUNT(variants); i++) {
        struct sample_block b;
        struct sample_text texts[2];
        begin(&b, &variants[i], 2);
        reference(&b, &variants[i], x[0], want[0]);
        reference(&b, &variants[i], x[1], want[1]);
        sample_text_begin(&texts[0], &b);
        sample_text_begin(&texts[1], &b);
        for (size_t p = 0; p < FIXTURE_COUNT(pieces); p++) {
            const int64_t *n = pieces[p], at[2] = {texts[0].length, texts[1].length};
            float in[2 * TOKENS * DIM];
            memcpy(in, x[0] + at[0] * DIM, (size_t)(n[0] * DIM) * sizeof *in);
            memcpy(in + n[0] * DIM, x[1] + at[1] * DIM, (size_t)(n[1] * DIM) * sizeof *in);
            const int first = n[0] == 0; /* spans have tokens */
            sample_run(&b, texts + first, n + first, n[0] && n[1] ? 2 : 1, in, y);
            sample_near(y, want[0] + at[0] * DIM, n[0] * DIM, 2e-5f);
            sample_near(y + n[0] * DIM, want[1] + at[1] * DIM, n[1] * DIM, 2e-5f);
        }
        sample_text_end(&texts[0]);
        sample_text_end(&texts[1]);
        sample_block_end(&b);
    }
}

/* What is declared, and cannot be run. */
static void test_cannot_run(void **unused)
{
    static const struct tare_gqa_desc odd[] = {
        {.dim = DIM, .heads = 4, .kv_heads = 3, .head_dim = 8},
        {COMMON, .gate.kind = TARE_GATE_FUSED},
        {COMMON, .gate.kind = TARE_GATE_QUERY, .v_head_dim = 4},
        {COMMON, .kv = TARE_KV_KEYS_ONLY, .v_head_dim = 4},
        {COMMON, .rope = {.kind = TARE_ROPE_DEFAULT, .dims = 9, .base = 10}},
    };
    (void)unused;
    for (size_t i = 0; i < FIXTURE_COUNT(odd); i++) {
        struct sample_block b;
        tare_gqa(&b.layer, sample_block_begin(&b, 1, DIM), &odd[i]);
        assert_int_equal(b.tree.error.code, TARE_OK);
        assert_null(b.layer.mixer.ops);
        sample_block_end(&b);
    }
}

/* Extensions that a block refuses: it can be planned, and not run. */
static void test_cannot_extend(void **unused)
{
    const struct tare_rope rope = {.kind = TARE_ROPE_DEFAULT, .dims = 4};
    const struct variant odd[] = {
        {.d = {COMMON}, .tempered = {.beta = 1}},
        {.d = {COMMON}, .index = {.heads = 2, .dim = 4, .size = 0, .top = 3, .rope = rope}},
        {.d = {COMMON}, .index = {.heads = 3, .dim = 4, .size = 2, .top = 3, .rope = rope}},
        {.d = {COMMON, .kv = TARE_KV_LENT}, .index = {.heads = 2, .dim = 4, .size = 2, .top = 3, .rope = rope}},
        {.d = {COMMON}, .chunk = 4, .cycled = true}, /* two of them */
    };
    (void)unused;
    for (size_t i = 0; i < FIXTURE_COUNT(odd); i++) {
        struct sample_block b;
        const struct tare_at at = sample_block_begin(&b, 1, DIM);
        tare_gqa(&b.layer, at, &odd[i].d);
        assert_non_null(b.layer.mixer.ops);
        extend(&b.layer, tare_at(at, "self_attn"), &odd[i]);
        assert_int_equal(b.tree.error.code, TARE_OK);
        assert_null(b.layer.mixer.ops);
        sample_block_end(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain), cmocka_unit_test(test_pieces),
                                       cmocka_unit_test(test_cannot_run), cmocka_unit_test(test_cannot_extend)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
