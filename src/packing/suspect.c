/* SPDX-License-Identifier: MIT
 * suspect.c - looks for dead groups in rows that are one stream of bits. A group of integers can only be dead where all
 * its codes are alike, a group of floats only where all are zero. */
#include "packing/suspect.h"

#include <string.h>

static uint64_t load64(const unsigned char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/*
 * Codes that are all alike repeat after a byte where a byte holds whole codes, else after `bits` bytes (8 codes). The
 * first four bytes already settle it for almost every group.
 */
static bool alike(const unsigned char *group, int64_t bytes, int64_t lag)
{
    return !memcmp(group, group + lag, 4) && !memcmp(group + 4, group + 4 + lag, (size_t)(bytes - lag - 4));
}

static bool all_zero(const unsigned char *group, int64_t bytes, uint64_t mask)
{
    int64_t i = 0;
    for (; i + 8 <= bytes; i += 8)
        if (load64(group + i) & mask)
            return false;
    for (; i < bytes; i++)
        if (group[i] & (unsigned char)mask)
            return false;
    return true;
}

bool tare_stream_suspect(const void *stream, int64_t groups, int64_t bytes, int bits, enum tare_code_form kind)
{
    const unsigned char *group = stream;
    const int64_t lag = 8 % bits ? bits : 1;
    if (bytes < (kind == TARE_CODE_INTEGER ? 4 + lag : 8))
        return true;
    if (kind != TARE_CODE_INTEGER) { /* -0 is zero too */
        const uint64_t mask = kind == TARE_CODE_E2M1 ? 0x7777777777777777 : 0x7f7f7f7f7f7f7f7f;
        for (int64_t g = 0; g < groups; g++, group += bytes)
            if (!(load64(group) & mask) && all_zero(group, bytes, mask))
                return true;
        return false;
    }
    for (int64_t g = 0; g < groups; g++, group += bytes)
        if (alike(group, bytes, lag))
            return true;
    return false;
}

static int64_t units(const struct tare_module *module)
{
    const uint64_t rows = (uint64_t)tare_module_rows(module), columns = (uint64_t)tare_module_columns(module);
    const uint64_t bits = (uint64_t)module->bits;
    if (module->group_size % 8 || !tare_module_even(module)) /* 8 codes are whole bytes, so groups are */
        return 0;
    if ((module->whole_codes && 32 % bits) || module->part[TARE_PART_WEIGHT]->size != rows * columns * bits / 8)
        return 0; /* the rows are not one stream, or a padded one */
    return tare_module_rows(module);
}

static bool look(const struct tare_module *module, const void *const part[TARE_PARTS], const void *stretch,
                 int64_t unit, int64_t n)
{
    (void)part;
    (void)unit;
    return tare_stream_suspect(stretch, n * tare_module_groups(module), module->group_size * module->bits / 8,
                               module->bits, module->packing->codes);
}

const struct tare_suspect tare_suspect_rows = {units, look};
