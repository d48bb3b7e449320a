/* SPDX-License-Identifier: MIT
 * points.c - sets of characters, and the rules over bytes of UTF-8 that spell them. */
#include <stdlib.h>
#include <string.h>

#include "grammar/grammar.h"

#define LAST_POINT 0x10ffffu

bool tare_points_add(struct tare_points *p, uint32_t low, uint32_t high)
{
    if (!tare_grow(&p->ranges, &p->room, p->n + 1, sizeof *p->ranges))
        return false;
    p->ranges[p->n].low = low;
    p->ranges[p->n++].high = high;
    return true;
}

static int by_low(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Replaces the sorted ranges by the gaps between them. */
static bool turn_round(struct tare_points *p)
{
    struct tare_points other = {0};
    uint32_t next = 0;
    bool ok = true;
    for (size_t i = 0; i < p->n; i++) {
        if (p->ranges[i].low > next)
            ok = ok && tare_points_add(&other, next, p->ranges[i].low - 1);
        next = p->ranges[i].high + 1;
    }
    if (next <= LAST_POINT)
        ok = ok && tare_points_add(&other, next, LAST_POINT);
    free(p->ranges);
    *p = other;
    return ok;
}

bool tare_points_settle(struct tare_points *p, bool negated)
{
    size_t n = 0;
    if (p->n)
        qsort(p->ranges, p->n, sizeof *p->ranges, by_low);
    for (size_t i = 0; i < p->n; i++) {
        if (n && p->ranges[i].low <= p->ranges[n - 1].high + 1) {
            if (p->ranges[i].high > p->ranges[n - 1].high)
                p->ranges[n - 1].high = p->ranges[i].high;
        } else {
            p->ranges[n++] = p->ranges[i];
        }
    }
    p->n = n;
    return !negated || turn_round(p);
}

static size_t encode(uint32_t c, unsigned char out[4])
{
    if (c < 0x80) {
        out[0] = (unsigned char)c;
        return 1;
    }
    const size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (unsigned char)(0x80 | (c & 0x3f));
    out[0] = (unsigned char)(lead[n] | c);
    return n;
}

/* Adds alternatives for [low, high], whose encodings have one length. A range of characters is a product of ranges of
 * bytes only if all bytes after the first different one run through all of 80..BF, so it is cut until that holds. For
 * example U+0101..U+0180 becomes C4 81..BF, C5 80..BF and C6 80. */
static bool put_range(struct tare_rules *rules, uint32_t rule, uint32_t low, uint32_t high)
{
    unsigned char a[4], b[4];
    const size_t n = encode(low, a);
    for (size_t last = 1; last < n; last++) {
        const uint32_t mask = ((uint32_t)1 << 6 * last) - 1;
        if ((low & ~mask) == (high & ~mask))
            continue;
        if (low & mask)
            return put_range(rules, rule, low, low | mask) && put_range(rules, rule, (low | mask) + 1, high);
        if ((high & mask) != mask)
            return put_range(rules, rule, low, (high & ~mask) - 1) && put_range(rules, rule, high & ~mask, high);
    }
    encode(high, b);
    bool ok = tare_rules_begin(rules, rule);
    for (size_t i = 0; i < n && ok; i++)
        ok = tare_rules_put(rules, (struct tare_item){TARE_ITEM_BYTES, a[i], b[i]});
    return ok && tare_rules_put(rules, (struct tare_item){0});
}

static bool put_cut(struct tare_rules *rules, uint32_t rule, uint32_t low, uint32_t high)
{
    /* The cuts lie where the length of the encoding changes, and around the surrogates, which UTF-8 does not have. */
    static const uint32_t parts[][2] = {
        {0, 0x7f}, {0x80, 0x7ff}, {0x800, 0xd7ff}, {0xe000, 0xffff}, {0x10000, LAST_POINT}};
    bool ok = true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const uint32_t from = low > parts[i][0] ? low : parts[i][0], to = high < parts[i][1] ? high : parts[i][1];
        if (from <= to)
            ok = ok && put_range(rules, rule, from, to);
    }
    return ok;
}

/* The ranges themselves are the key under which the rule of a set is remembered. */
uint32_t tare_points_rule(struct tare_rules *rules, const struct tare_points *p)
{
    const size_t size = p->n * sizeof *p->ranges;
    uint32_t rule = p->n ? tare_map_get(&rules->classes, (const char *)p->ranges, size) : TARE_MAP_NONE;
    if (rule != TARE_MAP_NONE)
        return rule;
    rule = tare_rules_add(rules, NULL, 0);
    bool ok = rule != UINT32_MAX;
    for (size_t i = 0; i < p->n && ok; i++)
        ok = put_cut(rules, rule, p->ranges[i].low, p->ranges[i].high);
    if (!ok)
        return UINT32_MAX;
    rules->rules[rule].defined = true;
    char *key = size ? tare_arena_copy(&rules->arena, (const char *)p->ranges, size) : NULL;
    return !size || (key && tare_map_put(&rules->classes, key, size, rule, NULL)) ? rule : UINT32_MAX;
}
