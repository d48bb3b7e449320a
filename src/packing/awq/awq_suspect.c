/* SPDX-License-Identifier: MIT
 * awq_suspect.c - may a group of awq-gemm be dead? A word holds a few output columns of one input, so one xor and
 * one or look at all columns of a word at once. */
#include <string.h>

#include "base/number.h"
#include "packing/suspect.h"

/* These first inputs settle almost every group: by chance, one column in 2^64 has the zero in all 16 of them. */
#define FEW 16
#define WIDE 2048 /* words that look() handles side by side; they stay in the first-level cache */

/* Collects the bits in which the words of `rows` rows differ from the zeros. It takes four rows at a time, so that
 * `differs` is read and written less often. */
static void gather(const unsigned char *words, int64_t stride, int64_t rows, int64_t n, const uint32_t *restrict zeros,
                   uint32_t *restrict differs)
{
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4, words += 4 * stride)
        for (int64_t w = 0; w < n; w++)
            differs[w] |= (tare_word_at(words, w) ^ zeros[w]) | (tare_word_at(words + stride, w) ^ zeros[w]) |
                          (tare_word_at(words + 2 * stride, w) ^ zeros[w]) |
                          (tare_word_at(words + 3 * stride, w) ^ zeros[w]);
    for (; i < rows; i++, words += stride)
        for (int64_t w = 0; w < n; w++)
            differs[w] |= tare_word_at(words, w) ^ zeros[w];
}

/* Returns nonzero if some field of the word has no bit set. */
static uint32_t empty_fields(uint32_t word, int bits)
{
    const uint32_t any = word | word >> 1 | word >> 2 | word >> 3;
    return bits == 8 ? ~(any | any >> 4) & 0x01010101 : ~any & 0x11111111;
}

/* The words of a group of inputs, for all columns, are neighbours in the file. */
static int64_t units(const struct tare_module *module)
{
    return tare_module_groups(module);
}

/*
 * Looks for a column whose codes all equal its zero: (word ^ zeros) has no bit set in its field, in all words of the
 * group. Zeros lie in the same fields as codes, so none can be out of range.
 */
static bool look(const struct tare_module *module, const void *const part[TARE_PARTS], const void *stretch,
                 int64_t unit, int64_t n)
{
    const int64_t words = module->shape[0] * module->bits / 32, size = module->group_size;
    const uint32_t symmetric = module->bits == 8 ? 0x80808080 : 0x88888888;
    for (int64_t g = 0; g < n; g++)
        for (int64_t at = 0; at < words; at += WIDE) {
            uint32_t differs[WIDE] = {0}, zeros[WIDE], none = 0;
            const int64_t wide = words - at < WIDE ? words - at : WIDE;
            for (int64_t w = 0; w < wide; w++)
                zeros[w] = part[TARE_PART_ZEROS] ? tare_word_at(part[TARE_PART_ZEROS], (unit + g) * words + at + w)
                                                 : symmetric;
            const unsigned char *group = (const unsigned char *)stretch + 4 * (g * size * words + at);
            const int64_t few = size < FEW ? size : FEW;
            gather(group, 4 * words, few, wide, zeros, differs);
            for (int64_t w = 0; w < wide; w++)
                none |= empty_fields(differs[w], module->bits);
            if (!none)
                continue;
            gather(group + 4 * few * words, 4 * words, size - few, wide, zeros, differs);
            none = 0;
            for (int64_t w = 0; w < wide; w++)
                none |= empty_fields(differs[w], module->bits);
            if (none)
                return true;
        }
    return false;
}

const struct tare_suspect tare_suspect_awq = {units, look};
