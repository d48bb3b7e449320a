/* SPDX-License-Identifier: MIT
 * specials.c - stored floats that are no sound number, at the speed of memory.
 *
 * A block is first asked, by a loop that vectorises, whether any of its exponents is all ones (NaN, infinite) or, of
 * scales, all zeros (0, denormal). Only where one is, its elements are looked at one by one.
 */
#include "audit/specials.h"

#include <string.h>

#define BLOCK 1024 /* elements */

/* Where a format has its exponent, and what its all-ones exponent means. */
struct layout {
    uint64_t exponent, fraction;
    bool all_ones; /* is special; else only the number with all bits but the sign set is: e4m3 */
};

static bool layout_of(enum tare_dtype dtype, struct layout *layout)
{
    switch (dtype) {
    case TARE_F16:
        *layout = (struct layout){0x7c00, 0x3ff, true};
        return true;
    case TARE_BF16:
        *layout = (struct layout){0x7f80, 0x7f, true};
        return true;
    case TARE_F32:
        *layout = (struct layout){0x7f800000, 0x7fffff, true};
        return true;
    case TARE_F64:
        *layout = (struct layout){0x7ff0000000000000, 0xfffffffffffff, true};
        return true;
    case TARE_F8_E5M2:
        *layout = (struct layout){0x7c, 3, true};
        return true;
    case TARE_F8_E4M3:
        *layout = (struct layout){0x78, 7, false};
        return true;
    default:
        return false;
    }
}

/*
 * high: adding the lowest bit of the exponent (or of the number, e4m3) to what is below the sign carries into the sign
 * exactly where all bits above are ones. low: no bit of the exponent is set.
 */
#define LOOK(type, bits)                                                                                               \
    static void look##bits(const unsigned char *data, uint64_t n, uint64_t exponent, uint64_t one, bool small,         \
                           bool *hit)                                                                                  \
    {                                                                                                                  \
        const type mask = (type)exponent, add = (type)one, below = (type)((type) ~(type)0 >> 1);                       \
        type high = 0, low = 0;                                                                                        \
        for (uint64_t i = 0; i < n; i++) {                                                                             \
            type value;                                                                                                \
            memcpy(&value, data + i * sizeof value, sizeof value);                                                     \
            high |= (type)((value & below) + add);                                                                     \
        }                                                                                                              \
        for (uint64_t i = 0; small && i < n; i++) {                                                                    \
            type value;                                                                                                \
            memcpy(&value, data + i * sizeof value, sizeof value);                                                     \
            low |= (type)((value & mask) == 0);                                                                        \
        }                                                                                                              \
        *hit = (high & (type)~below) != 0 || low != 0;                                                                 \
    }
LOOK(uint8_t, 8)
LOOK(uint16_t, 16)
LOOK(uint32_t, 32)
LOOK(uint64_t, 64)

#define READ(type)                                                                                                     \
    do {                                                                                                               \
        type value;                                                                                                    \
        memcpy(&value, data + at * sizeof value, sizeof value);                                                        \
        return value;                                                                                                  \
    } while (0)
/* safetensors is little-endian, and so are we */
static inline uint64_t load(const unsigned char *data, size_t size, uint64_t at)
{
    if (size == 2)
        READ(uint16_t);
    if (size == 1)
        READ(uint8_t);
    if (size == 4)
        READ(uint32_t);
    READ(uint64_t);
}

static void note(struct tare_specials *found, enum tare_special special, uint64_t at)
{
    if (!found->count[special]++)
        found->first[special] = at;
}

/* Looks at every element of a block in which a fast look found something. */
static void sift(const unsigned char *data, size_t size, const struct layout *layout, uint64_t at, uint64_t n,
                 bool small, struct tare_specials *found)
{
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t value = load(data, size, i), exponent = value & layout->exponent;
        const uint64_t fraction = value & layout->fraction;
        if (exponent == layout->exponent && (layout->all_ones || fraction == layout->fraction))
            note(found, fraction ? TARE_IS_NAN : TARE_IS_INFINITE, at + i);
        else if (small && !exponent)
            note(found, fraction ? TARE_IS_DENORMAL : TARE_IS_ZERO, at + i);
    }
}

/* e8m0 has no infinity, and 0xff is its only NaN. */
static void scan_e8m0(const unsigned char *data, uint64_t at, uint64_t n, struct tare_specials *found)
{
    for (const unsigned char *hit = data; n && (hit = memchr(hit, 0xff, (size_t)(n - (uint64_t)(hit - data)))); hit++)
        note(found, TARE_IS_NAN, at + (uint64_t)(hit - data));
}

void tare_specials_find(const void *data, enum tare_dtype dtype, uint64_t at, uint64_t n, bool small,
                        struct tare_specials *found)
{
    struct layout layout;
    const unsigned char *bytes = data;
    const size_t size = tare_dtype_size(dtype);
    if (dtype == TARE_F8_E8M0)
        scan_e8m0(bytes, at, n, found);
    if (!layout_of(dtype, &layout))
        return;
    const uint64_t one = layout.all_ones ? layout.fraction + 1 : 1;
    for (uint64_t done = 0; done < n;) {
        const uint64_t count = n - done < BLOCK ? n - done : BLOCK;
        const unsigned char *block = bytes + done * size;
        bool hit = false;
        if (size == 1)
            look8(block, count, layout.exponent, one, small, &hit);
        else if (size == 2)
            look16(block, count, layout.exponent, one, small, &hit);
        else if (size == 4)
            look32(block, count, layout.exponent, one, small, &hit);
        else
            look64(block, count, layout.exponent, one, small, &hit);
        if (hit)
            sift(block, size, &layout, at + done, count, small, found);
        done += count;
    }
}

void tare_specials_add(struct tare_specials *sum, const struct tare_specials *found)
{
    for (int k = 0; k < TARE_SPECIALS; k++) {
        if (found->count[k] && (!sum->count[k] || found->first[k] < sum->first[k]))
            sum->first[k] = found->first[k];
        sum->count[k] += found->count[k];
    }
}
