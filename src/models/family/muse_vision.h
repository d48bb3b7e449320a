/* SPDX-License-Identifier: MIT
 * muse_vision.h - the vision tower of Muse Spark, which mlx-lm loads with the text model. */
#ifndef TARE_MODELS_FAMILY_MUSE_VISION_H
#define TARE_MODELS_FAMILY_MUSE_VISION_H

#include "models/model.h"

struct tare_muse_vision;

/* Reads vision_config into *vision, which stays as it is without one. out_hidden and projector_hidden are the adapter's
 * widths as the whole config gives them; below 1 they have defaults. */
enum tare_code tare_muse_vision_read(struct tare_muse_vision **vision, const json_t *config, int64_t out_hidden,
                                     int64_t projector_hidden, const struct tare_derive *d);

/* Declares model.vision_tower, model.vision_adapter and model.vision_projection, whose output has the text model's
 * width. */
void tare_muse_vision_declare(struct tare_at model, const struct tare_muse_vision *vision, int64_t text_dim);

/* Joins the tower's q, k and v. When vision is NULL, the tower's tensors are dropped. */
void tare_muse_vision_rewrite(struct tare_weights *w, const struct tare_muse_vision *vision);

/* Reorders the rows of each head from halves that rotate together to neighbours that do: rows i and head / 2 + i become
 * rows 2 i and 2 i + 1. Each row has `in` elements. */
void tare_muse_interleave(struct tare_weights *w, const char *pattern, int64_t head, int64_t in);

#endif
