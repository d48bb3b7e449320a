/* SPDX-License-Identifier: MIT
 * to_mlx.h - rows into MLX's layout: through the neutral form, and by fused functions that must give the same bits. */
#ifndef TARE_PACKING_MLX_TO_MLX_H
#define TARE_PACKING_MLX_TO_MLX_H

#include "base/dtype.h"
#include "packing/packing.h"

/* MLX's word for a mode: "affine". */
const char *tare_mlx_mode_word(enum tare_mlx_mode mode);
/* The packing of a module of MLX's own whose scales are bytes, told by its shapes. */
const struct tare_packing *tare_mlx_floats_of(const struct tare_module *module);

/* Does MLX's affine layout have codes of that many bits? */
bool tare_mlx_bits(int bits);
/* Packs n codes of `bits` bits as one stream, the least significant bit first, or unpacks it. n * bits is a multiple of
 * 8. */
void tare_mlx_pack(const uint8_t *code, int bits, int64_t n, void *words);
void tare_mlx_unpack(const void *words, int bits, int64_t n, uint8_t *code);

/*
 * Goes through the neutral form, for any packing but nvfp4: decode, then encode. The bias of a zero is -zero * scale,
 * computed in float32 and rounded to dtype; a zero of 0 gives -0 * scale, as in mlx-lm. Scales of mxfp4 and mxfp8 are
 * powers of two and become their exponents. For affine, dtype may differ from that of the module's scales: float32 holds
 * every -zero * scale of a 16-bit scale exactly. The caller resets work. False: no memory.
 */
bool tare_neutral_to_mlx(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                         int64_t rows, enum tare_dtype dtype, const struct tare_mlx_rows *to, struct tare_arena *work);

/* The to_mlx() of awq-gemm: with AVX2 where the processor has it and the rows suit it, else in portable C. The columns
 * are a multiple of 8. */
void tare_awq_to_mlx(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                     const struct tare_mlx_rows *to);
void tare_awq_to_mlx_portable(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                              int64_t rows, const struct tare_mlx_rows *to);

/* The to_tiles() of MLX's affine layout of 4 bits. */
bool tare_mlx_to_tiles(const struct tare_stretch *stretch);

#endif
