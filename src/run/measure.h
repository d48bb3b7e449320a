/* SPDX-License-Identifier: MIT
 * measure.h - what a token costs: bytes of weights, counted from the loaded matrices. */
#ifndef TARE_RUN_MEASURE_H
#define TARE_RUN_MEASURE_H

#include "run/decoder.h"
#include "run/loaded.h"
#include "tree/tree.h"

/* Bytes that a product with m reads: its codes or floats, scales and offsets. 0 for one without rows. */
uint64_t tare_matrix_bytes(const struct tare_matrix *m);
/*
 * Bytes of matrices that decoding one token reads: all but embeddings, which give one row, and the experts that are not
 * chosen (ops->spared), and the head, which may be an embedding. Layers that are gone through several times count once.
 */
uint64_t tare_measure_token(const struct tare_loaded *loaded, const struct tare_tree *tree,
                            const struct tare_decoder *decoder, const struct tare_matrix *head);

#endif
