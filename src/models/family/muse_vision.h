/* SPDX-License-Identifier: MIT
 * muse_vision.h - the vision tower of Muse Spark, which mlx-lm loads with the text model. */
#ifndef TARE_MODELS_FAMILY_MUSE_VISION_H
#define TARE_MODELS_FAMILY_MUSE_VISION_H

#include "models/model.h"

struct tare_muse_vision;

/* *vision from vision_config, NULL without one. The adapter's widths are those of the whole config, below 1: defaults.
 */
enum tare_code tare_muse_vision_read(struct tare_muse_vision **vision, const json_t *config, int64_t out_hidden,
                                     int64_t projector_hidden, const struct tare_derive *d);

/* model.vision_tower, model.vision_adapter and model.vision_projection, the last of the text model's width. */
void tare_muse_vision_declare(struct tare_at model, const struct tare_muse_vision *vision, int64_t text_dim);

/* q, k and v as one; without a tower its tensors are dropped. */
void tare_muse_vision_rewrite(struct tare_weights *w, const struct tare_muse_vision *vision);

/* The rows of each head for neighbours that rotate together, where the file has them for halves: row i and row
 * head / 2 + i -> rows 2 i and 2 i + 1. Each row has `in` elements. */
void tare_muse_interleave(struct tare_weights *w, const char *pattern, int64_t head, int64_t in);

#endif
