/* SPDX-License-Identifier: MIT
 * rope.h - rotary position embeddings: a head's pairs of dimensions are turned by angles that grow with the position.
 * Su et al. 2021, and the ways to stretch it to longer texts.
 */
#ifndef TARE_BLOCKS_ROPE_H
#define TARE_BLOCKS_ROPE_H

#include "config/args.h"
#include "tree/tree.h"

enum tare_rope_kind {
    TARE_ROPE_NONE,
    TARE_ROPE_DEFAULT,
    TARE_ROPE_LINEAR,
    TARE_ROPE_LLAMA3,
    TARE_ROPE_YARN,
    TARE_ROPE_LONGROPE,
    TARE_ROPE_DYNAMIC,
    TARE_ROPE_PROPORTIONAL
};
struct tare_rope {
    enum tare_rope_kind kind;
    int64_t dims;     /* rotated dimensions of a head */
    bool interleaved; /* pairs are (0, 1), (2, 3) ..: "traditional"; otherwise (0, dims / 2), (1, dims / 2 + 1) .. */
    bool backwards;   /* the angles are negative */
    double base;
    double factor; /* linear, llama3, yarn, longrope and dynamic */
    /* llama3, yarn, longrope, dynamic: positions that the model was first trained on, and that it has now. */
    double original_context;
    double context;
    /* llama3 */
    double low_freq_factor;
    double high_freq_factor;
    /* yarn; truncate: the bounds of the ramp are rounded to whole dimensions */
    double beta_fast;
    double beta_slow;
    double mscale;
    double mscale_all_dim;
    double attention_factor;
    bool truncate;
    /* longrope: arrays of dims / 2 numbers, and the factors on cosine and sine, 0 when they are not given */
    const json_t *short_factor;
    const json_t *long_factor;
    double short_mscale;
    double long_mscale;
    double proportion; /* proportional: the share of dims that rotates */
};

/*
 * Reads a rope from a config in either spelling: rope_theta and rope_scaling (transformers 4), or rope_parameters
 * (transformers 5). scaling is rope_scaling or rope_parameters and may be NULL; context is max_position_embeddings. An
 * unknown rope_type is refused by name through the tree's error.
 */
struct tare_rope tare_rope_read(struct tare_at at, int64_t dims, double theta, const json_t *scaling, int64_t context);

/*
 * Fills freq (dims / 2) with the angle by which one position turns each pair, and returns the factor on cosine and
 * sine. total is the length of the text so far: longrope chooses its factors by it, dynamic its base.
 */
float tare_rope_frequencies(const struct tare_rope *rope, int64_t total, float *freq);
/* Fills table with the cosines (dims / 2) of a position, then its sines (dims / 2), both times factor. */
void tare_rope_table(const struct tare_rope *rope, const float *freq, float factor, int64_t position, float *table);
/* Rotates one head (at least dims floats) in place by a table. */
void tare_rope_rotate(const struct tare_rope *rope, const float *table, float *head);

#endif
