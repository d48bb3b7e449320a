/* SPDX-License-Identifier: MIT
 * gguf_block.h - what GGUF's packings share: a row is blocks one after another, and a block has its own scales. Each
 * file of a kind says only what lies where in a block. */
#ifndef TARE_PACKING_GGUF_GGUF_BLOCK_H
#define TARE_PACKING_GGUF_GGUF_BLOCK_H

#include "packing/mlx/to_mlx.h"

/* A block into codes (its columns), and scales and offsets (one a group of it). */
typedef void tare_block_unpack(const unsigned char *block, uint8_t *code, float *scale, float *offset);

/* The module is its one tensor; dtype: of the scales in MLX's layout, and of the values when dense. */
void tare_block_shape(struct tare_module *module, int bits, int64_t group_size, enum tare_dtype dtype);
/* The decode() of a packing whose blocks `unpack` takes. */
void tare_block_decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                       struct tare_codes *codes, tare_block_unpack *unpack);

/* Where the file has a row: tensor.heads. */
int64_t tare_block_row(const struct tare_module *module, int64_t row);

/* 16 bytes: low nibbles are columns 0 to 15, high ones 16 to 31. */
void tare_block_nibbles(const unsigned char bytes[16], uint8_t code[32]);
/* Bit j of four bytes is bit 4 of the code of column j (Q5_0, Q5_1). */
void tare_block_fifth_bit(const unsigned char bits[4], uint8_t code[32]);
/* 128 bytes: of each run of 32, the low nibbles are 32 columns and the high ones the next 32 (Q4_K, Q5_K). */
void tare_block_nibble_runs(const unsigned char *bytes, uint8_t code[256]);
/* 64 bytes: byte l of each 32 has 2 bits of columns l, l + 32, l + 64, l + 96 of 128, the lowest first; `shift` places
 * them in codes that have other bits already (Q2_K, Q3_K, Q6_K). */
void tare_block_add_pairs(const unsigned char *bytes, int shift, uint8_t code[256]);
/* 32 bytes: bit k of byte l is bit `shift` of column l + 32k; codes have other bits already (Q3_K, Q5_K). */
void tare_block_add_bits(const unsigned char *bytes, int shift, uint8_t code[256]);
/* 12 bytes: the 6-bit scale and minimum of group k, 0 to 7 (Q4_K, Q5_K). */
void tare_block_six_bits(const unsigned char bytes[12], int k, int *scale, int *minimum);

static inline float tare_block_half(const unsigned char *at)
{
    return tare_float_at(at, TARE_F16, 0);
}

/* The record of a kind: the functions shape() and decode() around `unpack`. */
#define TARE_BLOCK_FUNCTIONS(unpack, bits, group_size, dtype)                                                          \
    static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)            \
    {                                                                                                                  \
        (void)quant;                                                                                                   \
        (void)arena;                                                                                                   \
        tare_block_shape(module, bits, group_size, dtype);                                                             \
    }                                                                                                                  \
    static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,              \
                       int64_t rows, struct tare_codes *codes)                                                         \
    {                                                                                                                  \
        tare_block_decode(module, part, row, rows, codes, unpack);                                                     \
    }

#endif
