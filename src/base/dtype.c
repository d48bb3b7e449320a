/* SPDX-License-Identifier: MIT
 * dtype.c - names and sizes of the dtypes, and elements of any of them as numbers. */
#include "base/dtype.h"

static const struct {
    const char *name;
    size_t size;
    bool real;
} dtypes[] = {
#define DTYPE_ROW(name, size, real) {#name, size, real},
    TARE_DTYPES(DTYPE_ROW)
#undef DTYPE_ROW
};

static const struct {
    const char *name;
    struct tare_block_size block;
} blocks[] = {
#define BLOCK_ROW(name, number, columns, bytes) {#name, {columns, bytes}},
    TARE_BLOCKS(BLOCK_ROW)
#undef BLOCK_ROW
};

const char *tare_dtype_name(enum tare_dtype dtype)
{
    if ((unsigned)dtype < TARE_DTYPE_COUNT)
        return dtypes[dtype].name;
    return (unsigned)dtype < TARE_DTYPE_END ? blocks[dtype - TARE_DTYPE_COUNT].name : "?";
}

size_t tare_dtype_size(enum tare_dtype dtype)
{
    return (unsigned)dtype < TARE_DTYPE_COUNT ? dtypes[dtype].size : 0;
}

bool tare_dtype_is_float(enum tare_dtype dtype)
{
    return (unsigned)dtype < TARE_DTYPE_COUNT && dtypes[dtype].real;
}

struct tare_block_size tare_dtype_block(enum tare_dtype dtype)
{
    if ((unsigned)dtype >= TARE_DTYPE_COUNT && (unsigned)dtype < TARE_DTYPE_END)
        return blocks[dtype - TARE_DTYPE_COUNT].block;
    return (struct tare_block_size){1, (int64_t)tare_dtype_size(dtype)};
}

/* An integer of `size` bytes, little-endian as all formats have it; its sign is extended where it has one. */
static int64_t integer_at(const unsigned char *bytes, size_t size, bool has_sign)
{
    uint64_t value = 0;
    for (size_t k = 0; k < size; k++)
        value |= (uint64_t)bytes[k] << 8 * k;
    const int unused = 64 - 8 * (int)size;
    return has_sign ? (int64_t)(value << unused) >> unused : (int64_t)value;
}

double tare_number_at(const void *data, enum tare_dtype dtype, int64_t at)
{
    const size_t size = tare_dtype_size(dtype);
    const unsigned char *bytes = (const unsigned char *)data + at * (int64_t)size;
    switch (dtype) {
    case TARE_I8:
    case TARE_I16:
    case TARE_I32:
    case TARE_I64:
        return (double)integer_at(bytes, size, true);
    case TARE_U16:
    case TARE_U32:
        return (double)integer_at(bytes, size, false);
    /* Converted as a uint64_t, because a value from 2^63 on is no int64_t. */
    case TARE_U64:
        return (double)(uint64_t)integer_at(bytes, size, false);
    case TARE_F16:
    case TARE_BF16:
    case TARE_F32:
    case TARE_F64:
        return tare_real_at(data, dtype, at);
    default:
        return (double)*bytes;
    }
}

bool tare_floats_at(const void *data, enum tare_dtype dtype, int64_t first, int64_t n, float *dst)
{
    switch (dtype) {
    case TARE_F32:
        memcpy(dst, (const unsigned char *)data + 4 * first, (size_t)n * 4);
        return true;
    case TARE_F16:
    case TARE_BF16:
        for (int64_t k = 0; k < n; k++)
            dst[k] = tare_float_at(data, dtype, first + k);
        return true;
    case TARE_F64:
        for (int64_t k = 0; k < n; k++)
            dst[k] = (float)tare_real_at(data, dtype, first + k);
        return true;
    default:
        return false;
    }
}

/* ---- arrays of floats ---------------------------------------------------------------------------------------- */

enum { BLOCK = 64 }; /* numbers rounded at once: the compiler makes vectors of the loops, which have no branches */

/* tare_to_float16() by selection: every case is computed, and the one that applies is taken. */
static void block_to_float16(const float *values, uint16_t *half)
{
    for (int i = 0; i < BLOCK; i++) {
        const uint32_t bits = tare_float_bits(values[i]), size = bits & 0x7fffffff;
        const uint32_t nan = 0x7e00 | (size >> 13 & 0x3ff);
        const uint32_t small = tare_float_bits(tare_bits_float(size) + 0.5f) - 0x3f000000;
        const uint32_t normal = (size + 0xfff + (size >> 13 & 1) - 0x38000000) >> 13;
        /* Masks, not conditions: a compiler may make a branch of a condition, and then no vectors. */
        const uint32_t is_small = 0 - (uint32_t)(size < 0x38800000), is_large = 0 - (uint32_t)(size >= 0x477ff000);
        const uint32_t is_nan = 0 - (uint32_t)(size > 0x7f800000);
        uint32_t result = (small & is_small) | (normal & ~is_small);
        result = (0x7c00 & is_large) | (result & ~is_large);
        result = (nan & is_nan) | (result & ~is_nan);
        half[i] = (uint16_t)(result | (bits >> 16 & 0x8000));
    }
}

static void block_to_bfloat16(const float *values, uint16_t *half)
{
    for (int i = 0; i < BLOCK; i++) {
        const uint32_t bits = tare_float_bits(values[i]);
        const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, nan = bits >> 16 | 0x40;
        half[i] = (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
    }
}

void tare_floats_put(void *data, enum tare_dtype dtype, const float *values, int64_t n)
{
    unsigned char *to = data;
    uint16_t half[BLOCK];
    int64_t i = 0;
    if (dtype == TARE_F32) {
        if (n > 0)
            memcpy(to, values, (size_t)n * sizeof *values);
        return;
    }
    for (; i + BLOCK <= n; i += BLOCK) {
        if (dtype == TARE_F16)
            block_to_float16(values + i, half);
        else
            block_to_bfloat16(values + i, half);
        memcpy(to + 2 * i, half, sizeof half);
    }
    for (; i < n; i++)
        tare_float_put(to, dtype, i, values[i]);
}
