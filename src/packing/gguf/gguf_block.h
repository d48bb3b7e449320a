/* SPDX-License-Identifier: MIT
 * gguf_block.h - what GGUF's packings share: a row is one block after another, and each block holds its own scales.
 * The file of a kind says only what lies where in a block. */
#ifndef TARE_PACKING_GGUF_GGUF_BLOCK_H
#define TARE_PACKING_GGUF_GGUF_BLOCK_H

#include "packing/mlx/to_mlx.h"

/* The numbers of a block. Where it is one group, its scale and its zero, or bias. Where it has several, the scale of
 * group k is scale * factor[k], and its bias offset * least[k]; a zero is the same for all of them. */
struct tare_block_numbers {
    float scale, offset;
    int8_t factor[16];
    uint8_t least[16];
};

/* Unpacks one block: code gets its columns. */
typedef void tare_block_unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers);

/* What the file of a kind says. How many columns and bytes a block has is told by its dtype (tare_dtype_block()). */
struct tare_block_kind {
    int bits;
    /* Columns that share a scale; as many as the block has, or fewer. */
    int64_t group_size;
    /* Of the scales in MLX's layout, and of the values when they are dense. */
    enum tare_dtype dtype;
    tare_block_unpack *unpack;
};

/* The shape() of every kind: the module is its one tensor. */
void tare_block_shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena);
/* The decode() of every kind. */
void tare_block_decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                       struct tare_codes *codes);
/* The factoring of kinds whose blocks have several groups: their scale and offset are float16, or only float32 holds
 * them. */
extern const struct tare_factoring tare_block_halves, tare_block_floats;
/* The to_tiles() of Q4_0 and of Q8_0. */
bool tare_q4_0_to_tiles(const struct tare_stretch *stretch);
bool tare_q8_0_to_tiles(const struct tare_stretch *stretch);

/* The row of the file that holds a row of the module: they differ where tensor.heads says that rows are permuted. */
int64_t tare_block_row(const struct tare_module *module, int64_t row);

/* Unpacks 16 bytes, whose low nibbles are columns 0 to 15 and whose high ones are columns 16 to 31. */
void tare_block_nibbles(const unsigned char bytes[16], uint8_t code[32]);
/* The numbers that the nibbles of IQ4_NL and IQ4_XS stand for, plus 128; and n codes, of one nibble each, by it. */
extern const struct tare_code_table tare_block_nonlinear;
void tare_block_look_up(int n, uint8_t *code);
/* Adds the fifth bit: bit j of the four bytes is bit 4 of the code of column j (Q5_0, Q5_1). */
void tare_block_fifth_bit(const unsigned char bits[4], uint8_t code[32]);
/* Unpacks 128 bytes: the low nibbles of each run of 32 are 32 columns, the high ones the next 32 (Q4_K, Q5_K). */
void tare_block_nibble_runs(const unsigned char *bytes, uint8_t code[256]);
/* Adds two bits to each code, at bit `shift`: byte l of each 32 of the 64 bytes holds those of columns l, l + 32, l +
 * 64 and l + 96 of 128, the lowest first (Q2_K, Q3_K, Q6_K). */
void tare_block_add_pairs(const unsigned char *bytes, int shift, uint8_t code[256]);
/* Adds one bit to each code, at bit `shift`: bit k of byte l of the 32 bytes is that of column l + 32k (Q3_K, Q5_K). */
void tare_block_add_bits(const unsigned char *bytes, int shift, uint8_t code[256]);
/* Reads the 6-bit scale and minimum of group k, 0 to 7, from 12 bytes (Q4_K, Q5_K). */
void tare_block_six_bits(const unsigned char bytes[12], int k, int8_t *scale, uint8_t *minimum);

static inline float tare_block_half(const unsigned char *at)
{
    return tare_float_at(at, TARE_F16, 0);
}

#endif
