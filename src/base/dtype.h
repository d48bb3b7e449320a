/* SPDX-License-Identifier: MIT
 * dtype.h - the types of elements that a tensor can have: their names and sizes, and their elements as floats. */
#ifndef TARE_BASE_DTYPE_H
#define TARE_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/half.h"

/* The dtypes of safetensors: name, bytes of an element, whether it is a float. */
/* clang-format off */
#define TARE_DTYPES(X)                                                                                                 \
    X(BOOL, 1, false) X(U8, 1, false) X(I8, 1, false) X(I16, 2, false) X(U16, 2, false) X(I32, 4, false)               \
    X(U32, 4, false) X(I64, 8, false) X(U64, 8, false) X(F8_E4M3, 1, true) X(F8_E5M2, 1, true) X(F8_E8M0, 1, true)     \
    X(F16, 2, true) X(BF16, 2, true) X(F32, 4, true) X(F64, 8, true)

/* The blocks of GGUF, which no safetensors file has: name, ggml's number, columns and bytes of one block.
 * Source: docs/layouts.md, "GGUF blocks"; ggml's ggml.h and ggml-common.h. */
#define TARE_BLOCKS(X)                                                                                                 \
    X(Q4_0, 2, 32, 18) X(Q4_1, 3, 32, 20) X(Q5_0, 6, 32, 22) X(Q5_1, 7, 32, 24) X(Q8_0, 8, 32, 34) X(Q2_K, 10, 256, 84) \
    X(Q3_K, 11, 256, 110) X(Q4_K, 12, 256, 144) X(Q5_K, 13, 256, 176) X(Q6_K, 14, 256, 210) X(MXFP4, 39, 32, 17)       \
    X(IQ2_XXS, 16, 256, 66) X(IQ2_XS, 17, 256, 74) X(IQ3_XXS, 18, 256, 98) X(IQ1_S, 19, 256, 50)                       \
    X(IQ4_NL, 20, 32, 18) X(IQ3_S, 21, 256, 110) X(IQ2_S, 22, 256, 82) X(IQ4_XS, 23, 256, 136) X(IQ1_M, 29, 256, 56)   \
    X(TQ1_0, 34, 256, 54) X(TQ2_0, 35, 256, 66) X(Q1_0, 41, 128, 18) X(Q2_0, 42, 64, 18)

enum tare_dtype {
#define TARE_DTYPE_ENUM(name, size, real) TARE_##name,
    TARE_DTYPES(TARE_DTYPE_ENUM)
#undef TARE_DTYPE_ENUM
    TARE_DTYPE_COUNT,
    TARE_DTYPE_BEFORE_BLOCKS = TARE_DTYPE_COUNT - 1,
#define TARE_BLOCK_ENUM(name, number, columns, bytes) TARE_##name,
    TARE_BLOCKS(TARE_BLOCK_ENUM)
#undef TARE_BLOCK_ENUM
    TARE_DTYPE_END
};
/* clang-format on */

/* "BF16", "Q4_K"; "?" for a number that is no dtype. Static. */
const char *tare_dtype_name(enum tare_dtype dtype);
/* Bytes of an element; 0 for a block of GGUF, whose elements share bytes. */
size_t tare_dtype_size(enum tare_dtype dtype);
/* True for F8_*, F16, BF16, F32 and F64. */
bool tare_dtype_is_float(enum tare_dtype dtype);

/* Columns and bytes of a block; {1, bytes of an element} for a dtype without blocks. */
struct tare_block_size {
    int64_t columns, bytes;
};
struct tare_block_size tare_dtype_block(enum tare_dtype dtype);

/* The functions below read and write elements of an array of a dtype. The array need not be aligned, because a tensor
 * lies in its file after a header of any length. `at` counts elements. */

/* The value that a dtype can hold nearest to the given one: F16 and BF16 round, all others keep it. */
static inline float tare_float_round(enum tare_dtype dtype, float value)
{
    return dtype == TARE_F16    ? tare_from_float16(tare_to_float16(value))
           : dtype == TARE_BF16 ? tare_from_bfloat16(tare_to_bfloat16(value))
                                : value;
}

/* Element `at` of an array of F16, BF16 or F32. */
static inline float tare_float_at(const void *data, enum tare_dtype dtype, int64_t at)
{
    uint16_t half;
    float value;
    if (dtype == TARE_F32) {
        memcpy(&value, (const unsigned char *)data + 4 * at, sizeof value);
        return value;
    }
    memcpy(&half, (const unsigned char *)data + 2 * at, sizeof half);
    return dtype == TARE_F16 ? tare_from_float16(half) : tare_from_bfloat16(half);
}

/* Element `at` of an array of F16, BF16, F32 or F64. */
static inline double tare_real_at(const void *data, enum tare_dtype dtype, int64_t at)
{
    double value;
    if (dtype != TARE_F64)
        return (double)tare_float_at(data, dtype, at);
    memcpy(&value, (const unsigned char *)data + 8 * at, sizeof value);
    return value;
}

/* Rounds value to F16, BF16 or F32 and stores it as element `at`. */
static inline void tare_float_put(void *data, enum tare_dtype dtype, int64_t at, float value)
{
    if (dtype == TARE_F32) {
        memcpy((unsigned char *)data + 4 * at, &value, sizeof value);
        return;
    }
    const uint16_t half = dtype == TARE_F16 ? tare_to_float16(value) : tare_to_bfloat16(value);
    memcpy((unsigned char *)data + 2 * at, &half, sizeof half);
}

/* Rounds n values to F16, BF16 or F32 and stores them one after another, at any alignment, as tare_float_put() does. */
void tare_floats_put(void *data, enum tare_dtype dtype, const float *values, int64_t n);

/* Element `at` of any dtype without blocks as a double. A BOOL, a U8 and a float of 8 bits give their byte. */
double tare_number_at(const void *data, enum tare_dtype dtype, int64_t at);

/* Elements [first, first + n) of an array of F16, BF16, F32 or F64 as float32. Returns false for another dtype. */
bool tare_floats_at(const void *data, enum tare_dtype dtype, int64_t first, int64_t n, float *dst);

#endif
