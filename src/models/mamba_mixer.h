/* SPDX-License-Identifier: MIT
 * mamba_mixer.h - the mixers of selective state spaces as mlx keeps them: Mamba-1 and Mamba-2. Declared only: no block
 * runs them yet. */
#ifndef TARE_MODELS_MAMBA_MIXER_H
#define TARE_MODELS_MAMBA_MIXER_H

#include "config/args.h"
#include "names/rewrite.h"
#include "tree/tree.h"

struct tare_mamba1_desc {
    int64_t dim, inner;   /* of the model; of the mixer (expand * dim) */
    int64_t state, width; /* of the state, a channel; of the convolution */
    int64_t rank;         /* of the time step: tare_mamba_rank */
    bool bias, conv_bias; /* of in_proj and out_proj; of conv1d */
};
/* in_proj, conv1d, x_proj, dt_proj, A_log, D, out_proj below `at` ("backbone.layers.0.mixer"). */
void tare_mamba1(struct tare_at at, const struct tare_mamba1_desc *desc);
/* An integer, or "auto" (also when absent): a sixteenth of dim, rounded up. Another value becomes the tree's error. */
int64_t tare_mamba_rank(struct tare_at at, const char *key, const json_t *value, int64_t dim);

struct tare_mamba2_desc {
    int64_t dim, heads, head_dim;
    int64_t inner; /* 0: heads * head_dim */
    int64_t groups, state, width;
    bool bias, out_bias, conv_bias; /* of in_proj; of out_proj; of conv1d */
    bool no_norm;                   /* without the gated norm before out_proj */
    double eps;
};
/* in_proj (rows: gate, convolved, time steps), conv1d, dt_bias, A_log, D, norm, out_proj below `at`. */
void tare_mamba2(struct tare_at at, const struct tare_mamba2_desc *desc);

/* How Mamba models call the parts of a skeleton. */
#define TARE_BACKBONE .model = "backbone", .embedding = "embeddings", .norm_name = "norm_f"

/* The whole sanitize of models that only turn their convolutions: **.conv1d.weight (channels, 1, width) -> channels
 * last. */
void tare_mamba_sanitize(struct tare_weights *w, const void *args);

#endif
