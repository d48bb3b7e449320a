/* SPDX-License-Identifier: MIT
 * mamba_family.h - what models with a Mamba mixer share: values of their configs, names of their parts. */
#ifndef TARE_MODELS_FAMILY_MAMBA_FAMILY_H
#define TARE_MODELS_FAMILY_MAMBA_FAMILY_H

#include "blocks/recurrent/mamba1_mixer.h"
#include "blocks/recurrent/mamba2_mixer.h"
#include "models/model.h"

/* The rank of time steps: an integer, or "auto" (also when absent): a sixteenth of dim, rounded up. Another value
 * becomes the tree's error. */
int64_t tare_mamba_rank(struct tare_at at, const char *key, const json_t *value, int64_t dim);

/* time_step_limit: absent, or a list of two numbers, the first not above the second. TARE_E_CONFIG otherwise. */
enum tare_code tare_mamba_limit_check(const json_t *limit, const struct tare_derive *d);
/* Its fields of a tare_mamba2_desc. Absent: none, as the authors have it. */
#define TARE_MAMBA_LIMIT(limit) .least = tare_mamba_limit(limit, 0), .most = tare_mamba_limit(limit, 1)
double tare_mamba_limit(const json_t *limit, size_t i);

/* How Mamba models call the parts of a skeleton. */
#define TARE_BACKBONE .model = "backbone", .embedding = "embeddings", .norm_name = "norm_f"

/* The whole sanitize of models that only turn their convolutions: **.conv1d.weight (channels, 1, width) -> channels
 * last. */
void tare_mamba_sanitize(struct tare_weights *w, const void *args);

#endif
