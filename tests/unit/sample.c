/* SPDX-License-Identifier: MIT
 * sample.c - random checkpoints and blocks. */
#include "sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXT = 512 };

void sample_fill(float *into, int64_t n, const char *name, float center, float spread)
{
    uint64_t state = 1469598103934665603u;
    for (const char *c = name; *c; c++)
        state = (state ^ (unsigned char)*c) * 1099511628211u;
    for (int64_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        into[i] = center + spread * ((float)(state >> 40) / 8388608.0f - 1);
    }
}

/* Norms around 1, all else around 0, and no larger than keeps sums of a few dozen near 1. */
static void fill(float *into, int64_t n, int rank, const char *name)
{
    const bool norm = rank == 1 && strstr(name, "norm");
    sample_fill(into, n, name, norm ? 1 : 0, rank == 1 ? 0.5f : 0.25f);
}

tare_model *sample_plan(const char *folder)
{
    tare_model *model = NULL;
    struct tare_error err = {0};
    if (tare_plan(&model, folder, NULL, &err))
        fail_msg("%s: %s", err.where, err.text);
    return model;
}

/* A checkpoint of nothing tells all that the config declares: it is missing. */
void sample_checkpoint(const char *folder, const char *config)
{
    tare_model *model = NULL;
    struct tare_error err = {0};
    fixture_text(folder, "config.json", config);
    fixture_safetensors(folder, "model.safetensors", NULL, 0);
    const enum tare_code code = tare_plan(&model, folder, NULL, &err);
    if (code != TARE_E_STRICT)
        fail_msg("%s: %s", err.where, err.text);
    const struct tare_report *report = tare_model_report(model);
    struct fixture_tensor *t = calloc(report->n_missing, sizeof *t);
    float **data = calloc(report->n_missing, sizeof *data);
    for (size_t i = 0; i < report->n_missing; i++) {
        const struct tare_report_tensor *from = &report->missing[i];
        int64_t n = 1;
        t[i] = (struct fixture_tensor){.name = from->name, .dtype = "F32", .rank = from->rank};
        for (int d = 0; d < from->rank; d++)
            n *= t[i].shape[d] = from->shape[d];
        data[i] = malloc((size_t)n * sizeof(float));
        fill(data[i], n, from->rank, from->name);
        t[i].data = data[i];
    }
    fixture_safetensors(folder, "model.safetensors", t, report->n_missing);
    for (size_t i = 0; i < report->n_missing; i++)
        free(data[i]);
    free(data);
    free(t);
    tare_model_free(model);
}

struct tare_at sample_block_begin(struct sample_block *b, int threads, int64_t dim)
{
    memset(b, 0, sizeof *b);
    b->tree.arena = &b->arena;
    b->dim = dim;
    tare_kernels_pick(&b->pass.kernels, NULL);
    assert_int_equal(tare_pool_open(&b->pass.pool, threads, NULL), TARE_OK);
    for (int i = 0; i < threads; i++)
        b->work[i] = aligned_alloc(64, (TARE_PANEL_FLOATS + 2 * CONTEXT) * sizeof(float));
    b->pass.work = b->work;
    b->pass.loaded = &b->loaded;
    b->pass.lender = -1;
    return (struct tare_at){&b->tree, ""};
}

void sample_block_load(struct sample_block *b)
{
    if (b->tree.error.code)
        fail_msg("%s: %s", b->tree.error.where, b->tree.error.text);
    b->loaded.n = b->tree.n;
    b->loaded.vectors = calloc(b->tree.n, sizeof *b->loaded.vectors);
    b->loaded.matrices = calloc(b->tree.n, sizeof *b->loaded.matrices);
    for (size_t i = 0; i < b->tree.n; i++) {
        const struct tare_parameter *p = b->tree.parameters[i];
        int64_t n = 1;
        for (int d = 0; d < p->rank; d++)
            n *= p->shape[d];
        float *data = b->loaded.vectors[i] = malloc((size_t)n * sizeof *data);
        fill(data, n, p->rank, p->name);
        const int64_t in = p->rank ? p->shape[p->rank - 1] : 1;
        b->loaded.matrices[i] = (struct tare_matrix){.storage = TARE_STORE_F32,
                                                     .rows = n / in,
                                                     .in = in,
                                                     .data = (const unsigned char *)data,
                                                     .stride = (size_t)in * sizeof *data};
    }
}

const float *sample_weight(const struct sample_block *b, const char *name)
{
    const struct tare_parameter *p = tare_tree_find(&b->tree, name);
    if (!p)
        fail_msg("no %s", name);
    return tare_loaded_vector(&b->loaded, p);
}

void sample_block_end(struct sample_block *b)
{
    for (size_t i = 0; i < b->loaded.n; i++)
        free(b->loaded.vectors[i]);
    free(b->loaded.vectors);
    free(b->loaded.matrices);
    for (int i = 0; i < 4; i++)
        free(b->work[i]);
    tare_pool_free(b->pass.pool);
    tare_tree_release(&b->tree);
    tare_arena_release(&b->arena);
}

void sample_text_begin(struct sample_text *text, const struct sample_block *b)
{
    *text = (struct sample_text){0};
    struct tare_state_part parts[TARE_STATE_PARTS];
    const struct tare_block *mixer = &b->layer.mixer;
    assert_non_null(mixer->ops);
    const int n = mixer->ops->state ? mixer->ops->state(mixer->self, parts) : 0;
    if (n)
        assert_int_equal(tare_state_open(&text->states[0], parts, n, CONTEXT, NULL), TARE_OK);
}

void sample_text_end(struct sample_text *text)
{
    tare_state_free(text->states[0]);
}

void sample_run(struct sample_block *b, struct sample_text *texts, const int64_t *counts, int64_t n, const float *x,
                float *y)
{
    struct tare_span spans[4];
    int32_t span_of[CONTEXT];
    int64_t tokens = 0;
    for (int64_t i = 0; i < n; i++) {
        spans[i] = (struct tare_span){.first = tokens,
                                      .tokens = counts[i],
                                      .start = texts[i].length,
                                      .total = texts[i].length + counts[i],
                                      .states = texts[i].states,
                                      .turn = texts[i].turn};
        for (int64_t t = 0; t < counts[i]; t++)
            span_of[tokens++] = (int32_t)i;
        texts[i].length += counts[i];
        texts[i].turn = 1 - texts[i].turn;
        if (texts[i].states[0])
            assert_int_equal(tare_state_reserve(texts[i].states[0], spans[i].start, spans[i].total, NULL), TARE_OK);
    }
    const struct tare_block *mixer = &b->layer.mixer;
    b->pass.tokens = tokens;
    b->pass.spans = spans;
    b->pass.n_spans = n;
    b->pass.span_of = span_of;
    b->pass.scratch = malloc((mixer->ops->scratch(mixer->self, tokens) + 1) * sizeof(float));
    float *slice = malloc((size_t)(tokens * b->dim + 1) * sizeof(float));
    memcpy(slice, x, (size_t)(tokens * b->dim) * sizeof(float));
    for (int i = 0; i < TARE_SLICES; i++)
        b->pass.slice[i] = slice;
    mixer->ops->forward(mixer->self, &b->pass, x, y);
    free(slice);
    free(b->pass.scratch);
}

void sample_near(const float *got, const float *want, int64_t n, float tolerance)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabsf(got[i] - want[i]) <= tolerance * (1 + fabsf(want[i]))))
            fail_msg("number %lld: got %.9g, expected %.9g", (long long)i, (double)got[i], (double)want[i]);
}
