/* SPDX-License-Identifier: MIT
 * gptq_suspect.c - may a group of gptq be dead? Its words hold codes of one output for some inputs in a row.
 *
 * If all codes of a group are alike, its first word repeats its own first code. By chance that is so in one of 2^24
 * words, or fewer. Decoded zeros are never out of range, because what goes beyond their bits wraps.
 */
#include <string.h>

#include "packing/gptq/gptq.h"
#include "packing/suspect.h"

/* The bits of a field; in a planar word those of the first plane, see unpack_planes() in gptq.c. */
static int field_bits(const struct tare_module *module)
{
    const int bits = module->bits;
    if (module->packing != &tare_packing_gptq_p)
        return bits;
    return bits == 8 ? 8 : bits >= 4 ? 4 : bits >= 2 ? 2 : 1;
}

static int64_t units(const struct tare_module *module)
{
    const uint64_t stride = (uint64_t)module->shape[0] * 4;
    const uint64_t words = (uint64_t)module->shape[1] * (uint64_t)module->bits / 32;
    if (module->place || module->by_rows) /* codes are stored in another order */
        return 0;
    /* Groups must be whole words. */
    const bool whole = tare_module_even(module) && module->group_size % TARE_GPTQ_BLOCK == 0;
    return whole && module->part[TARE_PART_WEIGHT]->size == words * stride ? tare_module_groups(module) : 0;
}

static bool look(const struct tare_module *module, const void *const part[TARE_PARTS], const void *stretch,
                 int64_t unit, int64_t n)
{
    const int bits = field_bits(module);
    const int64_t out = module->shape[0], words = module->group_size * module->bits / 32;
    const uint32_t mask = (1u << bits) - 1;
    uint32_t ones = 0; /* the lowest bit of each field */
    (void)part;
    (void)unit;
    for (int at = 0; at < 32; at += bits)
        ones |= 1u << at;
    for (int64_t g = 0; g < n; g++) {
        const unsigned char *first = (const unsigned char *)stretch + 4 * g * words * out;
        uint32_t alike = 0;
        for (int64_t w = 0; w < out; w++) {
            uint32_t word;
            memcpy(&word, first + 4 * w, sizeof word);
            alike |= (uint32_t)(word == (word & mask) * ones);
        }
        if (alike)
            return true;
    }
    return false;
}

const struct tare_suspect tare_suspect_gptq = {units, look};
