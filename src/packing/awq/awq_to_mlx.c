/* SPDX-License-Identifier: MIT
 * awq_to_mlx.c - awq-gemm into MLX's affine layout without the neutral form between.
 *
 * AWQ packs eight output columns of one input row in a word, MLX eight input columns of one output row: eight words of
 * AWQ are an 8 x 8 matrix of nibbles, and its transpose (with the interleave undone) is eight words of MLX.
 */
#include <string.h>

#include "base/awq_order.h"
#include "base/number.h"
#include "kernels/transpose.h"
#include "packing/mlx/to_mlx.h"

/* Transposes an 8 x 8 matrix of nibbles: nibble k of a[i] becomes nibble i of a[k]. It swaps blocks of 4 x 4 nibbles
 * first, then blocks of 2 x 2, then single ones. */
static void transpose(uint32_t a[8])
{
    for (int i = 0; i < 4; i++) {
        const uint32_t x = a[i], y = a[i + 4];
        a[i] = (x & 0xffff) | y << 16;
        a[i + 4] = x >> 16 | (y & 0xffff0000);
    }
    for (int k = 0; k < 4; k++) {
        const int i = k / 2 * 4 + k % 2;
        const uint32_t x = a[i], y = a[i + 2];
        a[i] = (x & 0x00ff00ff) | (y & 0x00ff00ff) << 8;
        a[i + 2] = (x >> 8 & 0x00ff00ff) | (y & 0xff00ff00);
    }
    for (int i = 0; i < 8; i += 2) {
        const uint32_t x = a[i], y = a[i + 1];
        a[i] = (x & 0x0f0f0f0f) | (y & 0x0f0f0f0f) << 4;
        a[i + 1] = (x >> 4 & 0x0f0f0f0f) | (y & 0xf0f0f0f0);
    }
}

/* Moves output columns [first, first + n) of the eight that the words of column w hold. */
static void move_codes(const void *qweight, int64_t in, int64_t words, int64_t w, int first, int n, unsigned char *to)
{
    for (int64_t i = 0; i < in; i += 8) {
        uint32_t a[8];
        for (int k = 0; k < 8; k++)
            a[k] = tare_word_at(qweight, (i + k) * words + w);
        transpose(a);
        for (int j = 0; j < n; j++)
            memcpy(to + (j * in + i) / 2, &a[tare_awq_nibble[first + j]], 4);
    }
}

/* Transposes the scales of rows [row, row + rows), and makes their biases = -zero * scale. */
static void move_scales(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                        const struct tare_mlx_rows *to)
{
    const int64_t out = module->shape[0], words = out / 8, groups = module->shape[1] / module->group_size;
    const void *zeros = part[TARE_PART_ZEROS];
    for (int64_t g = 0; g < groups; g++)
        for (int64_t r = 0; r < rows; r++) {
            const int64_t column = row + r;
            const int shift = tare_awq_shift[column % 8];
            const float zero = zeros ? (float)(tare_word_at(zeros, g * words + column / 8) >> shift & 15) : 8.0f;
            const float scale = tare_float_at(part[TARE_PART_SCALES], module->dtype, g * out + column);
            tare_float_put(to->scales, module->dtype, r * groups + g, scale);
            tare_float_put(to->biases, module->dtype, r * groups + g, -zero * scale);
        }
}

/* Transposes 16-bit numbers: n columns of `from`, whose rows lie `stride` numbers apart, become rows. */
static void transpose_halves(const unsigned char *from, int64_t stride, int64_t groups, int64_t n, unsigned char *to)
{
    for (int64_t r = 0; r < n; r++)
        for (int64_t g = 0; g < groups; g++)
            memcpy(to + 2 * (r * groups + g), from + 2 * (g * stride + r), 2);
}

/* Does the same for 128 rows with the AVX2 kernel. `row` is a multiple of eight, and scales have 16 bits. */
static void move_scales_fast(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                             unsigned char *scales, unsigned char *biases)
{
    uint16_t made[16][128];
    const int64_t out = module->shape[0], groups = module->shape[1] / module->group_size;
    const unsigned char *from = (const unsigned char *)part[TARE_PART_SCALES] + 2 * row;
    const unsigned char *zeros = part[TARE_PART_ZEROS];
    transpose_halves(from, out, groups, 128, scales);
    for (int64_t first = 0; first < groups; first += 16) {
        const int64_t n = groups - first < 16 ? groups - first : 16;
        for (int64_t g = 0; g < n; g++)
            tare_awq_biases_avx2(from + 2 * (first + g) * out, zeros ? zeros + ((first + g) * out + row) / 2 : NULL,
                                 module->dtype == TARE_BF16, made[g]);
        for (int64_t r = 0; r < 128; r++)
            for (int64_t g = 0; g < n; g++)
                memcpy(biases + 2 * (r * groups + first + g), &made[g][r], 2);
    }
}

/* Moves as many rows from `row` on as the AVX2 kernels take, and returns their number; 0 where they do not run. */
static int64_t move_fast(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                         int64_t rows, const struct tare_mlx_rows *to)
{
    const int64_t in = module->shape[1], groups = in / module->group_size;
    if (row % 8 || in % 8 || module->dtype == TARE_F32 || !tare_transpose_avx2())
        return 0;
    const int64_t fast = rows / 128 * 128;
    tare_awq_codes_avx2(part[TARE_PART_WEIGHT], in, module->shape[0] / 8, row / 8, fast / 128, to->weight);
    for (int64_t r = 0; r < fast; r += 128)
        move_scales_fast(module, part, row + r, (unsigned char *)to->scales + 2 * r * groups,
                         (unsigned char *)to->biases + 2 * r * groups);
    return fast;
}

void tare_awq_to_mlx_portable(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                              int64_t rows, const struct tare_mlx_rows *to)
{
    const int64_t in = module->shape[1], words = module->shape[0] / 8;
    for (int64_t r = 0; r < rows;) {
        const int first = (int)((row + r) % 8);
        const int n = rows - r < 8 - first ? (int)(rows - r) : 8 - first;
        move_codes(part[TARE_PART_WEIGHT], in, words, (row + r) / 8, first, n,
                   (unsigned char *)to->weight + r * in / 2);
        r += n;
    }
    move_scales(module, part, row, rows, to);
}

void tare_awq_to_mlx(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                     const struct tare_mlx_rows *to)
{
    const int64_t done = move_fast(module, part, row, rows, to);
    const int64_t scale_bytes = module->shape[1] / module->group_size * (int64_t)tare_dtype_size(module->dtype);
    const struct tare_mlx_rows rest = {
        .weight = (unsigned char *)to->weight + done * module->shape[1] / 2,
        .scales = (unsigned char *)to->scales + done * scale_bytes,
        .biases = (unsigned char *)to->biases + done * scale_bytes,
    };
    tare_awq_to_mlx_portable(module, part, row + done, rows - done, &rest);
}
