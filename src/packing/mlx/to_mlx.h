/* SPDX-License-Identifier: MIT
 * to_mlx.h - rows into MLX's layout: the neutral way, and the fused kernels that must equal it bit for bit. */
#ifndef TARE_PACKING_MLX_TO_MLX_H
#define TARE_PACKING_MLX_TO_MLX_H

#include "base/dtype.h"
#include "packing/packing.h"

/* affine, mxfp4, mxfp8, nvfp4; NULL is affine. */
bool tare_mlx_mode_known(const char *mode);
/* "affine" .. of a mode that is not dense. */
const char *tare_mlx_mode_word(enum tare_mlx_mode mode);
/* The mode of a module of MLX's own with scales of bytes, by its shapes. */
const struct tare_packing *tare_mlx_floats_of(const struct tare_module *module);

/* Does MLX's affine layout have codes of so many bits? */
bool tare_mlx_bits(int bits);
/* n codes of `bits` bits as one stream, least significant bit first; n * bits is a multiple of 8. */
void tare_mlx_pack(const uint8_t *code, int bits, int64_t n, void *words);
void tare_mlx_unpack(const void *words, int bits, int64_t n, uint8_t *code);

/*
 * The neutral way, for any packing but nvfp4: decode, then encode. The bias of a zero is -zero * scale, computed in
 * float32 and rounded to the dtype of the scales; zero 0 gives -0 * scale, as in mlx-lm. Scales of mxfp4 and mxfp8 are
 * powers of two and become their exponents. work is the caller's to reset. False: no memory.
 */
bool tare_neutral_to_mlx(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                         int64_t rows, const struct tare_mlx_rows *to, struct tare_arena *work);

/* The same for affine, with scales and biases computed in another dtype than that of the module's scales: float32 holds
 * every -zero * scale of 16 bits. */
bool tare_neutral_to_mlx_as(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                            int64_t rows, enum tare_dtype dtype, const struct tare_mlx_rows *to,
                            struct tare_arena *work);

/* awq-gemm, fused: by AVX2 where the processor has it and the rows suit, else portable. in must be a multiple of 8. */
void tare_awq_to_mlx(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                     const struct tare_mlx_rows *to);
void tare_awq_to_mlx_portable(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                              int64_t rows, const struct tare_mlx_rows *to);

#endif
