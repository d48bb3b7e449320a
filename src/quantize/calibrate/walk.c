/* SPDX-License-Identifier: MIT
 * walk.c - takes all tokens of a text through one part of a layer after another, by the engine's own blocks. */
#include <stdlib.h>
#include <string.h>

#include "quantize/calibrate/calibrate.h"

#define SAMPLE_TOKENS 2048 /* on which what blocks give is compared */

static int64_t row(const struct tare_walk *walk)
{
    return walk->length * walk->decoder->dim;
}

/* How the text is cut: sequences of `length` ids, what is left at the end is not used; a shorter text is one sequence. */
static enum tare_code cut(struct tare_walk *walk, const struct tare_quantize_options *options, int64_t length,
                          struct tare_error *err)
{
    const struct tare_decoder *d = walk->decoder;
    const int64_t n = (int64_t)options->n_calibrate;
    if (options->n_calibrate < 2 || options->n_calibrate > INT32_MAX)
        return tare_fail(err, TARE_E_ARGUMENT, "calibrate", "the text has %zu tokens; 2 to %d can be used",
                         options->n_calibrate, INT32_MAX);
    for (int64_t i = 0; i < n; i++)
        if (options->calibrate[i] < 0 || options->calibrate[i] >= d->vocabulary)
            return tare_fail(err, TARE_E_ARGUMENT, "calibrate", "%d is no id of the model, which has %lld",
                             (int)options->calibrate[i], (long long)d->vocabulary);
    walk->ids = options->calibrate;
    walk->length = d->context > 0 && d->context < length ? d->context : length;
    walk->length = n < walk->length ? n : walk->length;
    walk->sequences = n / walk->length;
    walk->together = walk->length < TARE_PASS_TOKENS ? TARE_PASS_TOKENS / walk->length : 1;
    walk->sample = SAMPLE_TOKENS / walk->length;
    walk->sample = walk->sample < 1 ? 1 : walk->sample;
    walk->sample = walk->sample < walk->sequences ? walk->sample : walk->sequences;
    return TARE_OK;
}

static float *rows_of(const struct tare_walk *walk, int64_t sequences)
{
    size_t bytes;
    if (__builtin_mul_overflow((size_t)sequences, (size_t)row(walk), &bytes) || bytes > SIZE_MAX / 8)
        return NULL;
    return malloc(bytes * sizeof(float));
}

/* Matrices and vectors of our own, which begin as the model's. */
static bool copy_loaded(struct tare_walk *walk)
{
    const struct tare_loaded *stored = walk->stored = walk->runner->pass.loaded;
    walk->loaded = *stored;
    walk->loaded.matrices = malloc((stored->n + 1) * sizeof *stored->matrices);
    walk->loaded.vectors = malloc((stored->n + 1) * sizeof(float *));
    if (!walk->loaded.matrices || !walk->loaded.vectors)
        return false;
    memcpy(walk->loaded.matrices, stored->matrices, stored->n * sizeof *stored->matrices);
    memcpy(walk->loaded.vectors, stored->vectors, stored->n * sizeof(float *));
    walk->runner->pass.loaded = &walk->loaded;
    return true;
}

void tare_walk_matrix(struct tare_walk *walk, const struct tare_parameter *p, const float *w)
{
    walk->loaded.matrices[p->index] = !w ? walk->stored->matrices[p->index]
                                         : (struct tare_matrix){.storage = TARE_STORE_F32,
                                                                .rows = p->shape[0],
                                                                .in = p->shape[1],
                                                                .stride = (size_t)p->shape[1] * sizeof *w,
                                                                .data = (const unsigned char *)w};
}

void tare_walk_vector(struct tare_walk *walk, const struct tare_parameter *p, float *vector)
{
    walk->loaded.vectors[p->index] = vector ? vector : walk->stored->vectors[p->index];
}

/* A pass takes the tokens from `start` on of each of some sequences. */
static void begin_pass(struct tare_walk *walk, int64_t together, int64_t start, int32_t *span_of)
{
    struct tare_pass *pass = &walk->runner->pass;
    const int64_t left = walk->length - start, n = left < TARE_PASS_TOKENS ? left : TARE_PASS_TOKENS;
    pass->tokens = together * n;
    pass->n_spans = together;
    pass->spans = walk->spans;
    pass->span_of = span_of;
    walk->passes++;
    for (int64_t i = 0; i < together; i++) {
        walk->spans[i] = (struct tare_span){.first = i * n,
                                            .tokens = n,
                                            .start = start,
                                            .total = walk->length,
                                            .states = walk->states + 2 * walk->decoder->n_layers * i,
                                            .turn = (int)(start / TARE_PASS_TOKENS & 1)};
        for (int64_t t = 0; t < n; t++)
            span_of[i * n + t] = (int32_t)i;
    }
}

/* Rows of a pass out of the sequences, or back into them. */
static void move(const struct tare_walk *walk, float *all, int64_t first, bool back)
{
    const struct tare_pass *pass = &walk->runner->pass;
    const int64_t dim = walk->decoder->dim;
    for (int64_t i = 0; i < pass->n_spans; i++) {
        const struct tare_span *span = &pass->spans[i];
        float *there = all + (first + i) * row(walk) + span->start * dim, *here = pass->x + span->first * dim;
        memcpy(back ? there : here, back ? here : there, (size_t)(span->tokens * dim) * sizeof *here);
    }
}

static void embed(struct tare_walk *walk)
{
    int32_t span_of[TARE_PASS_TOKENS], ids[TARE_PASS_TOKENS];
    for (int64_t s = 0; s < walk->sequences; s += walk->together) {
        const int64_t n = walk->sequences - s < walk->together ? walk->sequences - s : walk->together;
        for (int64_t start = 0; start < walk->length; start += TARE_PASS_TOKENS) {
            begin_pass(walk, n, start, span_of);
            for (int64_t i = 0; i < n; i++)
                memcpy(ids + walk->spans[i].first, walk->ids + (s + i) * walk->length + start,
                       (size_t)walk->spans[i].tokens * sizeof *ids);
            tare_decoder_embed(walk->decoder, &walk->runner->pass, ids);
            move(walk, walk->x, s, true);
        }
    }
}

enum tare_code tare_walk_part(struct tare_walk *walk, int64_t layer, int part, int64_t n,
                              const struct tare_observer *observer, float *to, struct tare_error *err)
{
    int32_t span_of[TARE_PASS_TOKENS];
    struct tare_pass *pass = &walk->runner->pass;
    pass->observer = observer;
    for (int64_t s = 0; s < n; s += walk->together) {
        const int64_t together = n - s < walk->together ? n - s : walk->together;
        for (int64_t i = 0; i < together; i++)
            for (int k = 0; k < 2; k++) {
                struct tare_state *state = walk->states[2 * (walk->decoder->n_layers * i + layer) + k];
                if (state)
                    tare_state_clear(state, 0);
            }
        for (int64_t start = 0; start < walk->length; start += TARE_PASS_TOKENS) {
            begin_pass(walk, together, start, span_of);
            move(walk, walk->x, s, false);
            tare_decoder_part(walk->decoder, pass, layer, part);
            if (to)
                move(walk, to, s, true);
        }
        if (walk->progress && walk->progress(walk->user, "calibrate", walk->done, walk->all))
            return tare_fail(err, TARE_E_CANCELLED, "", "cancelled in layer %lld", (long long)layer);
    }
    pass->observer = NULL;
    return TARE_OK;
}

static void free_states(struct tare_walk *walk)
{
    for (int64_t i = 0; walk->states && i < 2 * walk->together * walk->decoder->n_layers; i++) {
        tare_state_free(walk->states[i]);
        walk->states[i] = NULL;
    }
}

enum tare_code tare_walk_layer(struct tare_walk *walk, int64_t layer, struct tare_error *err)
{
    const struct tare_layer *l = &walk->decoder->layers[layer];
    const struct tare_block *const blocks[] = {&l->mixer, &l->ffn};
    enum tare_code code = TARE_OK;
    free_states(walk);
    for (int64_t i = 0; i < walk->together && !code; i++)
        for (int k = 0; k < 2 && !code; k++) {
            struct tare_state_part parts[TARE_STATE_PARTS];
            const struct tare_block *b = blocks[k];
            const int n = b->ops->state ? b->ops->state(b->self, parts) : 0;
            struct tare_state **state = &walk->states[2 * (walk->decoder->n_layers * i + layer) + k];
            if (n > 0 && !(code = tare_state_open(state, parts, n, walk->length, err)))
                code = tare_state_reserve(*state, 0, walk->length, err);
        }
    return code;
}

enum tare_code tare_walk_open(struct tare_walk *walk, struct tare_model *model,
                              const struct tare_quantize_options *options, int64_t length, bool compares,
                              struct tare_error *err)
{
    const struct tare_runner_options needs = {.pool = options->pool, .threads = options->threads, .exact = true};
    *walk = (struct tare_walk){.decoder = model->decoder, .progress = options->progress, .user = options->user};
    enum tare_code code = cut(walk, options, length, err);
    if (code || (code = tare_runner_open(&walk->runner, model, &needs, err)) ||
        (code = tare_runner_reserve(walk->runner, TARE_PASS_TOKENS, walk->length, err)))
        return code;
    const size_t n_states = (size_t)(2 * walk->together * walk->decoder->n_layers);
    walk->states = calloc(n_states, sizeof(struct tare_state *));
    walk->spans = calloc((size_t)walk->together, sizeof *walk->spans);
    walk->x = rows_of(walk, walk->sequences);
    walk->y = compares ? rows_of(walk, walk->sample) : NULL;
    walk->other = compares ? rows_of(walk, walk->sample) : NULL;
    if (!walk->states || !walk->spans || !walk->x || (compares && !(walk->y && walk->other)) || !copy_loaded(walk))
        return tare_fail_memory(err);
    embed(walk);
    return TARE_OK;
}

void tare_walk_close(struct tare_walk *walk)
{
    if (walk->runner && walk->stored)
        walk->runner->pass.loaded = walk->stored;
    free_states(walk);
    free(walk->states);
    free(walk->spans);
    free(walk->x);
    free(walk->y);
    free(walk->other);
    free(walk->loaded.matrices);
    free(walk->loaded.vectors);
    tare_runner_free(walk->runner);
    *walk = (struct tare_walk){0};
}
