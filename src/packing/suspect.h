/* SPDX-License-Identifier: MIT
 * suspect.h - may a group be dead, which means that all its codes are its zero? Judged from the stored bits, many times
 * faster than by decoding. A yes may be wrong, a no may not. */
#ifndef TARE_PACKING_SUSPECT_H
#define TARE_PACKING_SUSPECT_H

#include "packing/packing.h"

/* For all packings whose rows are one bit stream, the least significant bit first, and whose zeros cannot be out of
 * range (or are biases): MLX's forms, mxfp4 and its kin, fp8, symmetric int4. Its units are rows. */
extern const struct tare_suspect tare_suspect_rows;
/* For awq-gemm of 4 and 8 bits: awq_suspect.c. A unit is one group of inputs, over all output columns. */
extern const struct tare_suspect tare_suspect_awq;
/* For all versions of gptq: gptq_suspect.c. A unit is one group of inputs as well. */
extern const struct tare_suspect tare_suspect_gptq;
/* For GGUF's blocks of 32 columns: gguf_suspect.c. It suspects the scales in the blocks too. Its units are rows. */
extern const struct tare_suspect tare_suspect_blocks;
/* Looks at `groups` groups of codes, one after another, each of group_bytes bytes, with codes of `bits` bits. */
bool tare_stream_suspect(const void *stream, int64_t groups, int64_t group_bytes, int bits, enum tare_code_form kind);

#endif
