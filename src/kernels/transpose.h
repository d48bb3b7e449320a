/* SPDX-License-Identifier: MIT
 * transpose.h - turns awq's columns into mlx's rows, with AVX2. tare_transpose_avx2() answers false where the processor
 * or the build lacks it; the caller then takes its portable way, which gives the same bits.
 */
#ifndef TARE_KERNELS_TRANSPOSE_H
#define TARE_KERNELS_TRANSPOSE_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__) && defined(__GNUC__)
/* Tells whether this processor runs the two functions below. */
bool tare_transpose_avx2(void);
/*
 * Word columns [w, w + 16) of qweight, (in, words) words of eight interleaved nibbles, in a multiple of 8, become 128
 * rows of in / 2 bytes at `to`.
 */
void tare_awq_codes_avx2(const void *qweight, int64_t in, int64_t words, int64_t w, int64_t n, unsigned char *to);
/*
 * bias[j] = round16(-zero[j] * scale[j]) of 128 neighbouring output columns. scales are 128 16-bit floats, bfloat16 or
 * not; zeros are 16 words of interleaved nibbles, or NULL: eight each.
 */
void tare_awq_biases_avx2(const void *scales, const void *zeros, bool bfloat16, uint16_t biases[128]);
#else
static inline bool tare_transpose_avx2(void)
{
    return false;
}
static inline void tare_awq_codes_avx2(const void *qweight, int64_t in, int64_t words, int64_t w, int64_t n,
                                       unsigned char *to)
{
    (void)qweight, (void)in, (void)words, (void)w, (void)n, (void)to;
}
static inline void tare_awq_biases_avx2(const void *scales, const void *zeros, bool bfloat16, uint16_t biases[128])
{
    (void)scales, (void)zeros, (void)bfloat16, (void)biases;
}
#endif

#endif
