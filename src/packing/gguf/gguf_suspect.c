/* SPDX-License-Identifier: MIT
 * gguf_suspect.c - may a group of GGUF's blocks of 32 columns be dead, or its scale no sound number? The scale comes
 * first in a block: a float16, in some kinds followed by another, the minimum. */
#include "packing/gguf/gguf_block.h"
#include "packing/suspect.h"

static int64_t units(const struct tare_module *module)
{
    return tare_module_rows(module);
}

static uint32_t size_at(const unsigned char *half)
{
    return tare_half_at(half, 0) & 0x7fffu; /* without the sign */
}

static bool look(const struct tare_module *module, const void *const part[TARE_PARTS], const void *stretch,
                 int64_t unit, int64_t rows)
{
    const struct tare_block_size block = tare_dtype_block(module->packing->blocks);
    const int64_t blocks = rows * (tare_module_columns(module) / block.columns);
    const unsigned char *at = stretch;
    /* The codes, or their low nibbles, end the block: 32 bytes or 16. A minimum is a float16 after the scale. */
    const int64_t n = block.columns * (module->bits == 8 ? 8 : 4) / 8, first = block.bytes - n;
    const bool minimum = module->packing->biases;
    (void)part;
    (void)unit;
    for (int64_t k = 0; k < blocks; k++, at += block.bytes) {
        const uint32_t scale = size_at(at);
        const unsigned char *codes = at + first;
        if (scale < 0x400 || scale >= 0x7c00 || (minimum && size_at(at + 2) >= 0x7c00))
            return true; /* 0, denormal, infinite or NaN */
        if (!memcmp(codes, codes + 1, 4) && !memcmp(codes, codes + 1, (size_t)n - 1))
            return true;
    }
    return false;
}

const struct tare_suspect tare_suspect_blocks = {units, look};
