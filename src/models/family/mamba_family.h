/* SPDX-License-Identifier: MIT
 * mamba_family.h - what models with a Mamba mixer share: values of their configs, names of their parts. */
#ifndef TARE_MODELS_FAMILY_MAMBA_FAMILY_H
#define TARE_MODELS_FAMILY_MAMBA_FAMILY_H

#include "blocks/recurrent/mamba1_mixer.h"
#include "blocks/recurrent/mamba2_mixer.h"
#include "models/model.h"

/* Returns the rank of time steps. It is an integer in the config, or "auto" or absent: then it is a sixteenth of dim,
 * rounded up. Another value becomes the tree's error. */
int64_t tare_mamba_rank(struct tare_at at, const char *key, const json_t *value, int64_t dim);

/* Fails with TARE_E_CONFIG unless time_step_limit is absent or a list of two numbers, the first not above the second.
 */
enum tare_code tare_mamba_limit_check(const json_t *limit, const struct tare_derive *d);
/* The fields of a tare_mamba2_desc that it gives. When it is absent, there are no limits, as in the authors' code. */
#define TARE_MAMBA_LIMIT(limit) .least = tare_mamba_limit(limit, 0), .most = tare_mamba_limit(limit, 1)
double tare_mamba_limit(const json_t *limit, size_t i);

/* The names that Mamba models give to the parts of a skeleton. */
#define TARE_BACKBONE .model = "backbone", .embedding = "embeddings", .norm_name = "norm_f"

/* Turns convolutions, **.conv1d.weight (channels, 1, width), to channels last. For some models this is the whole
 * sanitize. */
void tare_mamba_sanitize(struct tare_weights *w, const void *args);

#endif
