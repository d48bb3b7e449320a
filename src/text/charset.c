/* SPDX-License-Identifier: MIT
 * charset.c - sets of code points, held as ranges that tare_charset_settle() sorts and joins. */
#include "text/charset.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "text/unicode.h"

bool tare_charset_add(struct tare_charset *set, uint32_t first, uint32_t last)
{
    if (!tare_grow(&set->ranges, &set->room, set->n + 1, sizeof *set->ranges))
        return false;
    set->ranges[set->n++] = (struct tare_charset_range){first, last};
    set->settled = false;
    return true;
}

static bool add_pairs(struct tare_charset *set, const uint32_t *pairs, size_t count)
{
    for (size_t i = 0; i + 1 < count; i += 2)
        if (!tare_charset_add(set, pairs[i], pairs[i + 1]))
            return false;
    return true;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct tare_charset_range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/* Sorts the ranges and joins those that overlap or touch. A settled set has one form only, so that sets can be
 * compared byte by byte. */
void tare_charset_settle(struct tare_charset *set)
{
    if (set->settled)
        return;
    set->settled = true;
    if (!set->n)
        return;
    qsort(set->ranges, set->n, sizeof *set->ranges, compare_ranges);
    size_t n = 1;
    for (size_t i = 1; i < set->n; i++) {
        struct tare_charset_range *last = &set->ranges[n - 1];
        if (set->ranges[i].first > last->last + 1)
            set->ranges[n++] = set->ranges[i];
        else if (set->ranges[i].last > last->last)
            last->last = set->ranges[i].last;
    }
    set->n = n;
}

bool tare_charset_join(struct tare_charset *set, struct tare_charset *other)
{
    for (size_t i = 0; i < other->n; i++)
        if (!tare_charset_add(set, other->ranges[i].first, other->ranges[i].last))
            return false;
    return true;
}

/* The inverse consists of the gaps between the sorted ranges, within 0 .. 0x10ffff. */
bool tare_charset_invert(struct tare_charset *set)
{
    tare_charset_settle(set);
    struct tare_charset inverse = {0};
    uint32_t from = 0;
    for (size_t i = 0; i < set->n; i++) {
        if (set->ranges[i].first > from && !tare_charset_add(&inverse, from, set->ranges[i].first - 1))
            goto failed;
        from = set->ranges[i].last + 1;
    }
    if (from < TARE_UNICODE_TOP && !tare_charset_add(&inverse, from, TARE_UNICODE_TOP - 1))
        goto failed;
    inverse.settled = true;
    tare_charset_release(set);
    *set = inverse;
    return true;
failed:
    tare_charset_release(&inverse);
    return false;
}

/* By De Morgan, a & b = ~(~a | ~b). That is short, and patterns have few intersections. */
bool tare_charset_intersect(struct tare_charset *set, struct tare_charset *other)
{
    return tare_charset_invert(set) && tare_charset_invert(other) && tare_charset_join(set, other) &&
           tare_charset_invert(set);
}

/* Binary search for the first range that ends at or after c. */
static bool has(const struct tare_charset *set, uint32_t c)
{
    size_t low = 0, high = set->n;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (set->ranges[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < set->n && set->ranges[low].first <= c;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Adds every character whose case folding equals that of a member. The table has pairs (character, its folding). */
bool tare_charset_fold(struct tare_charset *set)
{
    tare_charset_settle(set);
    const uint32_t *fold = tare_unicode_fold;
    const size_t n = tare_unicode_fold_count;
    /* The foldings of the members. */
    uint32_t *targets = malloc(n * sizeof *targets);
    if (!targets)
        return false;
    size_t count = 0;
    for (size_t i = 0; i < n; i += 2)
        if (has(set, fold[i]))
            targets[count++] = fold[i + 1];
    qsort(targets, count, sizeof *targets, compare_numbers);
    bool ok = true;
    for (size_t i = 0; i < n && ok && count; i += 2)
        if (bsearch(&fold[i + 1], targets, count, sizeof *targets, compare_numbers))
            ok = tare_charset_add(set, fold[i], fold[i]);
    free(targets);
    tare_charset_settle(set);
    return ok;
}

/* The general categories, in the order in which tools/unicode.py numbers them in the table. */
static const char categories[][3] = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl",
                                     "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc",
                                     "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn"};

static const struct {
    const char *name, *category;
} long_names[] = {
    {"letter", "L"},
    {"mark", "M"},
    {"number", "N"},
    {"punctuation", "P"},
    {"punct", "P"},
    {"symbol", "S"},
    {"separator", "Z"},
    {"other", "C"},
    {"uppercaseletter", "Lu"},
    {"lowercaseletter", "Ll"},
    {"titlecaseletter", "Lt"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"nonspacingmark", "Mn"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"decimalnumber", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"openpunctuation", "Ps"},
    {"closepunctuation", "Pe"},
    {"initialpunctuation", "Pi"},
    {"finalpunctuation", "Pf"},
    {"otherpunctuation", "Po"},
    {"mathsymbol", "Sm"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"othersymbol", "So"},
    {"spaceseparator", "Zs"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"control", "Cc"},
    {"format", "Cf"},
    {"privateuse", "Co"},
    {"unassigned", "Cn"},
};

#define POSIX(name)                                                                                                    \
    {                                                                                                                  \
#name, tare_unicode_posix_##name, &tare_unicode_posix_##name##_count                                           \
    }
static const struct {
    const char *name;
    const uint32_t *pairs;
    const size_t *count;
} posix[] = {POSIX(alnum),
             POSIX(alpha),
             POSIX(blank),
             POSIX(cntrl),
             POSIX(digit),
             POSIX(graph),
             POSIX(lower),
             POSIX(print),
             POSIX(punct),
             POSIX(space),
             POSIX(upper),
             POSIX(word),
             POSIX(xdigit),
             {"alphabetic", tare_unicode_posix_alpha, &tare_unicode_posix_alpha_count},
             {"lowercase", tare_unicode_posix_lower, &tare_unicode_posix_lower_count},
             {"uppercase", tare_unicode_posix_upper, &tare_unicode_posix_upper_count},
             {"whitespace", tare_unicode_posix_space, &tare_unicode_posix_space_count}};
#undef POSIX

/* Adds the runs of a table whose value is wanted. An entry is first code point << 8 | value; a run ends where the
 * next entry begins. */
static bool add_runs(struct tare_charset *set, const uint32_t *table, size_t count, const bool wanted[256])
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t end = i + 1 < count ? table[i + 1] >> 8 : TARE_UNICODE_TOP;
        if (wanted[table[i] & 0xff] && !tare_charset_add(set, table[i] >> 8, end - 1))
            return false;
    }
    return true;
}

/* Writes a name in lower case without spaces, "_" and "-". Returns false when nothing is left or it does not fit. */
static bool plain_name(const char *name, size_t size, char out[48])
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        const char c = name[i];
        if (c == ' ' || c == '_' || c == '-')
            continue;
        if (n + 1 >= 48)
            return false;
        out[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    out[n] = '\0';
    return n > 0;
}

/* Marks the categories that a name stands for: "lu" is one of them, "l" is every one that begins with L, and a long
 * name is translated first. Returns false when there is none. */
static bool category_wanted(const char *plain, bool wanted[256])
{
    bool any = false;
    const char *key = plain;
    for (size_t i = 0; i < sizeof long_names / sizeof long_names[0]; i++)
        if (!strcmp(long_names[i].name, plain))
            key = long_names[i].category;
    for (size_t i = 0; i < sizeof categories / sizeof categories[0]; i++) {
        const char both[3] = {(char)(categories[i][0] | 32), categories[i][1], '\0'};
        const char first[2] = {key[0], '\0'};
        if ((first[0] | 32) != both[0] || (key[1] && (key[1] != both[1] || key[2])))
            continue;
        wanted[i] = any = true;
    }
    return any;
}

bool tare_charset_add_posix(struct tare_charset *set, const char *name, size_t size, bool *known)
{
    char plain[48];
    *known = true;
    if (plain_name(name, size, plain))
        for (size_t i = 0; i < sizeof posix / sizeof posix[0]; i++)
            if (!strcmp(posix[i].name, plain))
                return add_pairs(set, posix[i].pairs, *posix[i].count);
    *known = false;
    return true;
}

/* Oniguruma's order of names: \p{word}, categories, POSIX names, scripts, "any" and "ascii". */
bool tare_charset_add_property(struct tare_charset *set, const char *name, size_t size, bool *known)
{
    char plain[48], script[48];
    bool wanted[256] = {false};
    *known = true;
    if (plain_name(name, size, plain)) {
        if (!strcmp(plain, "word"))
            return add_pairs(set, tare_unicode_word, tare_unicode_word_count);
        if (category_wanted(plain, wanted))
            return add_runs(set, tare_unicode_category, tare_unicode_category_count, wanted);
        const bool ok = tare_charset_add_posix(set, plain, strlen(plain), known);
        if (!ok || *known)
            return ok;
        *known = true;
        for (size_t i = 1; i < tare_unicode_script_name_count; i++) {
            const char *label = tare_unicode_script_name[i];
            if (plain_name(label, strlen(label), script) && !strcmp(script, plain)) {
                wanted[i] = true;
                return add_runs(set, tare_unicode_script, tare_unicode_script_count, wanted);
            }
        }
        if (!strcmp(plain, "any"))
            return tare_charset_add(set, 0, TARE_UNICODE_TOP - 1);
        if (!strcmp(plain, "ascii"))
            return tare_charset_add(set, 0, 0x7f);
    }
    *known = false;
    return true;
}

bool tare_charset_equal(const struct tare_charset *a, const struct tare_charset *b)
{
    return a->n == b->n && (!a->n || !memcmp(a->ranges, b->ranges, a->n * sizeof *a->ranges));
}

void tare_charset_release(struct tare_charset *set)
{
    free(set->ranges);
    *set = (struct tare_charset){0};
}
