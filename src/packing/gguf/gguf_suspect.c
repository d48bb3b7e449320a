/* SPDX-License-Identifier: MIT
 * gguf_suspect.c - may a group of GGUF's blocks of 32 be dead, or its scale no sound number? The scale stands in front
 * of the codes: a float16, in some followed by another, the minimum. */
#include <string.h>

#include "packing/gguf/gguf_block.h"
#include "packing/suspect.h"

/* Where the bytes of codes lie in a block: those of which each holds whole low bits of some codes. */
struct form {
    bool minimum;
    int codes, n;
};

static bool form_of(enum tare_dtype blocks, struct form *form)
{
    switch (blocks) {
    case TARE_Q4_0:
        *form = (struct form){false, 2, 16};
        return true;
    case TARE_Q4_1:
        *form = (struct form){true, 4, 16};
        return true;
    case TARE_Q5_0:
        *form = (struct form){false, 6, 16};
        return true;
    case TARE_Q5_1:
        *form = (struct form){true, 8, 16};
        return true;
    case TARE_Q8_0:
        *form = (struct form){false, 2, 32};
        return true;
    default:
        return false;
    }
}

static int64_t units(const struct tare_module *module)
{
    struct form form;
    return form_of(module->packing->blocks, &form) ? tare_module_rows(module) : 0;
}

static uint32_t half_at(const unsigned char *at)
{
    uint16_t half;
    memcpy(&half, at, sizeof half);
    return half & 0x7fff;
}

static bool look(const struct tare_module *module, const void *const part[TARE_PARTS], const void *stretch,
                 int64_t unit, int64_t n)
{
    const struct tare_block_size block = tare_dtype_block(module->packing->blocks);
    const int64_t blocks = n * (tare_module_columns(module) / block.columns);
    const unsigned char *at = stretch;
    struct form form;
    (void)part;
    (void)unit;
    if (!form_of(module->packing->blocks, &form))
        return true;
    for (int64_t k = 0; k < blocks; k++, at += block.bytes) {
        const uint32_t scale = half_at(at);
        const unsigned char *codes = at + form.codes;
        if (scale < 0x400 || scale >= 0x7c00 || (form.minimum && half_at(at + 2) >= 0x7c00))
            return true; /* 0, denormal, infinite or NaN */
        if (!memcmp(codes, codes + 1, 4) && !memcmp(codes, codes + 1, (size_t)form.n - 1))
            return true;
    }
    return false;
}

const struct tare_suspect tare_suspect_blocks = {units, look};
