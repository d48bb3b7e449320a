/* SPDX-License-Identifier: MIT
 * gguf_iq4_xs.c - GGUF's IQ4_XS: 256 columns in 136 bytes.
 *
 *     w = d * (sc - 32) * T[n]
 *
 * f16 d; 16 bits and then 4 bytes of scales of 32 columns; 128 bytes of nibbles, 16 for 32 columns. Scale k has its low
 * four bits in a half of byte k / 2, the low half first, and its high two bits in the 16 bits, from bit 2k on. T is
 * tare_block_nonlinear; the code is T[n] + 128.
 */
#include "packing/gguf/gguf_block.h"

static void unpack(const unsigned char *block, uint8_t *code, struct tare_block_numbers *numbers)
{
    const unsigned high = tare_half_at(block + 2, 0);
    numbers->scale = tare_block_half(block);
    numbers->offset = 128;
    for (int k = 0; k < 8; k++) {
        const unsigned low = block[4 + k / 2] >> 4 * (k % 2) & 15;
        numbers->factor[k] = (int8_t)((int)(low | (high >> 2 * k & 3) << 4) - 32);
        tare_block_nibbles(block + 8 + 16 * (ptrdiff_t)k, code + 32 * (ptrdiff_t)k);
    }
    tare_block_look_up(256, code);
}

static const struct tare_block_kind kind = {.bits = 8, .group_size = 32, .dtype = TARE_F32, .unpack = unpack};

const struct tare_packing tare_packing_gguf_iq4_xs = {
    .name = "gguf-iq4_xs",
    .suffix = {".weight"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .table = &tare_block_nonlinear,
    .blocks = TARE_IQ4_XS,
    .block = &kind,
    .shape = tare_block_shape,
    .decode = tare_block_decode,
    .factoring = &tare_block_halves,
};
