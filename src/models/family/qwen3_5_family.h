/* SPDX-License-Identifier: MIT
 * qwen3_5_family.h - what Qwen3.5's models share: the text model inside, dense or with routed experts, and its
 * published names.
 */
#ifndef TARE_MODELS_FAMILY_QWEN3_5_FAMILY_H
#define TARE_MODELS_FAMILY_QWEN3_5_FAMILY_H

#include "models/model.h"

/* The text model inside. Its names are those below language_model, and its sanitize stacks experts. */
extern const struct tare_arch tare_qwen3_5_text;

/* A wrapper's sanitize. It sets towers aside, puts the text model's names below language_model, turns convolutions, and
 * adds 1 to published norms. */
void tare_qwen3_5_sanitize(struct tare_weights *w, const void *args);

#endif
