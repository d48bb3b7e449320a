/* SPDX-License-Identifier: MIT
 * suspect.h - may a group be dead? Judged from stored bits, many times faster than by decoding. A yes may be wrong, a
 * no may not. */
#ifndef TARE_PACKING_SUSPECT_H
#define TARE_PACKING_SUSPECT_H

#include "packing/packing.h"

/* Of all packings whose rows are one bit stream, least significant bit first, and whose zeros cannot be out of range
 * (or are biases): MLX's forms, mxfp4 and its kin, fp8, symmetric int4. Its units are rows. */
extern const struct tare_suspect tare_suspect_rows;
/* Of awq-gemm, 4 and 8 bits: awq_suspect.c. Its units are groups of inputs, of all columns. */
extern const struct tare_suspect tare_suspect_awq;
/* Of gptq, all its versions: gptq_suspect.c. Its units are groups of inputs too. */
extern const struct tare_suspect tare_suspect_gptq;
/* Of GGUF's blocks of 32: gguf_suspect.c. It suspects scales within blocks too. Its units are rows. */
extern const struct tare_suspect tare_suspect_blocks;
/* Of `groups` groups of codes that follow one another, each of so many bytes and codes of so many bits. */
bool tare_stream_suspect(const void *stream, int64_t groups, int64_t group_bytes, int bits, enum tare_code_form kind);

#endif
