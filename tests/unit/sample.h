/* SPDX-License-Identifier: MIT
 * sample.h - small models for tests of running: a random checkpoint for any config, and a block by itself on random
 * weights. */
#ifndef TARE_TESTS_SAMPLE_H
#define TARE_TESTS_SAMPLE_H

#include "blocks/pass.h"
#include "fixture.h"

/* Numbers around `center`, at most `spread` from it; the same from one run to the next for a name. */
void sample_fill(float *into, int64_t n, const char *name, float center, float spread);

/* config.json and model.safetensors (F32) of what the config declares, in the folder, which is there. */
void sample_checkpoint(const char *folder, const char *config);
tare_model *sample_plan(const char *folder);

/* A block with weights, threads and work memory; what tokens it gets is one `sample_text` a sequence. */
struct sample_block {
    struct tare_arena arena;
    struct tare_tree tree;
    struct tare_layer layer; /* declare into this, its mixer at "" of the tree */
    struct tare_loaded loaded;
    struct tare_pass pass;
    float *work[4];
    int64_t dim; /* of the model */
};
struct tare_at sample_block_begin(struct sample_block *b, int threads, int64_t dim);
void sample_block_load(struct sample_block *b); /* after declaring */
const float *sample_weight(const struct sample_block *b, const char *name);
void sample_block_end(struct sample_block *b);

struct sample_text {
    struct tare_state *states[2];
    int64_t length;
    int turn;
};
void sample_text_begin(struct sample_text *text, const struct sample_block *b);
void sample_text_end(struct sample_text *text);
/* One pass of n texts, counts[i] tokens of each; x and y (tokens, dim). All slices are one, as wide as x, and begin as
 * x. */
void sample_run(struct sample_block *b, struct sample_text *texts, const int64_t *counts, int64_t n, const float *x,
                float *y);

/* |got - want| <= tolerance * (1 + |want|), number by number. */
void sample_near(const float *got, const float *want, int64_t n, float tolerance);

#endif
