/* SPDX-License-Identifier: MIT
 * measure.h - what a token costs: bytes of weights, counted from the loaded matrices. */
#ifndef TARE_RUN_SESSION_MEASURE_H
#define TARE_RUN_SESSION_MEASURE_H

#include "blocks/decoder.h"
#include "run/weights/loaded.h"
#include "tree/tree.h"

/*
 * Counts the bytes of matrices that decoding one token reads: all matrices and the head, except embeddings, which give
 * one row, and experts that are not chosen (ops->spared). Layers that a token goes through several times count once.
 */
uint64_t tare_measure_token(const struct tare_loaded *loaded, const struct tare_tree *tree,
                            const struct tare_decoder *decoder, const struct tare_matrix *head);

#endif
