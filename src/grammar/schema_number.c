/* SPDX-License-Identifier: MIT
 * schema_number.c - numbers between bounds, as rules over digits. */
#include <math.h>
#include <string.h>

#include "grammar/schema.h"

/* The most digits of a number without an upper bound. */
#define DIGITS 16

static void digits(struct tare_text *to, int64_t least, int64_t most)
{
    if (most > 0)
        tare_text_format(to, " [0-9]{%lld,%lld}", (long long)least, (long long)most);
}

/* Writes the numbers from a to b, which both have n digits. Where the first digits are equal, that digit and the rest
 * follow. Else there are three cases: a's first digit with a rest from a's up, any digit between with any rest, b's
 * first digit with a rest up to b's. */
static void same_length(struct tare_text *to, const char *a, const char *b, int n)
{
    if (n == 0)
        return;
    if (a[0] == b[0]) {
        tare_text_format(to, " \"%c\"", a[0]);
        same_length(to, a + 1, b + 1, n - 1);
        return;
    }
    char low[24], high[24];
    memset(low, '0', sizeof low);
    memset(high, '9', sizeof high);
    tare_text_format(to, " (\"%c\"", a[0]);
    same_length(to, a + 1, high, n - 1);
    if (b[0] - a[0] > 1) {
        tare_text_format(to, " | [%c-%c]", a[0] + 1, b[0] - 1);
        digits(to, n - 1, n - 1);
    }
    tare_text_format(to, " | \"%c\"", b[0]);
    same_length(to, low, b + 1, n - 1);
    tare_text_puts(to, ")");
}

/* Writes whole numbers from a >= 0 to b, or without an end where b < 0, one alternative for each number of digits. */
static void range(struct tare_text *to, int64_t a, int64_t b)
{
    char low[24], high[24];
    const int first = snprintf(low, sizeof low, "%lld", (long long)a);
    const int last = b < 0 ? first : snprintf(high, sizeof high, "%lld", (long long)b);
    tare_text_puts(to, "(");
    for (int n = first; n <= last; n++) {
        char from[24], until[24];
        snprintf(from, sizeof from, "1%0*d", n > 1 ? n - 1 : 1, 0);
        memset(until, '9', sizeof until);
        tare_text_puts(to, n > first ? " |" : "");
        same_length(to, n == first ? low : from, b >= 0 && n == last ? high : until, n);
    }
    if (b < 0) {
        tare_text_puts(to, " | [1-9]");
        digits(to, first, first < DIGITS ? DIGITS - 1 : first);
    }
    tare_text_puts(to, ")");
}

struct bounds {
    int64_t least, most;
    /* Whether each bound was given. */
    bool below, above;
};

static enum tare_code read_bound(struct tare_schema *s, const json_t *schema, const char *key, int64_t *bound,
                                 bool *there)
{
    const json_t *value = json_object_get(schema, key);
    *there = value != NULL;
    if (!value)
        return TARE_OK;
    const double real = json_number_value(value);
    if (!json_is_number(value) || !(fabs(real) < 1e15) || real > floor(real))
        return tare_schema_refuse(s, key, "only whole numbers under 10^15 are bounds");
    *bound = (int64_t)real;
    return TARE_OK;
}

static enum tare_code read_bounds(struct tare_schema *s, const json_t *schema, bool whole, struct bounds *b)
{
    int64_t over = 0, under = 0;
    bool has_over, has_under;
    enum tare_code code;
    if ((code = read_bound(s, schema, "minimum", &b->least, &b->below)) ||
        (code = read_bound(s, schema, "maximum", &b->most, &b->above)) ||
        (code = read_bound(s, schema, "exclusiveMinimum", &over, &has_over)) ||
        (code = read_bound(s, schema, "exclusiveMaximum", &under, &has_under)))
        return code;
    if (!whole && (has_over || has_under))
        return tare_schema_refuse(s, has_over ? "exclusiveMinimum" : "exclusiveMaximum",
                                  "of numbers that are not integers it is not supported");
    if (has_over && (!b->below || over + 1 > b->least))
        b->least = over + 1;
    if (has_under && (!b->above || under - 1 < b->most))
        b->most = under - 1;
    b->below = b->below || has_over;
    b->above = b->above || has_under;
    if (b->below && b->above && b->least > b->most)
        return tare_schema_refuse(s, "minimum", "is over the maximum: there is no such number");
    return TARE_OK;
}

enum tare_code tare_schema_integer(struct tare_schema *s, const json_t *schema, struct tare_text *to)
{
    struct bounds b = {0};
    const enum tare_code code = read_bounds(s, schema, true, &b);
    if (code)
        return code;
    if (!b.below && !b.above) {
        tare_text_puts(to, "(\"-\"? (\"0\" | [1-9] [0-9]{0,15}))");
        return TARE_OK;
    }
    const bool positive = !b.above || b.most >= 0, negative = !b.below || b.least < 0;
    tare_text_puts(to, "(");
    if (positive)
        range(to, b.below && b.least > 0 ? b.least : 0, b.above ? b.most : -1);
    if (negative) {
        tare_text_puts(to, positive ? " | \"-\" " : "\"-\" ");
        range(to, b.above && b.most < 0 ? -b.most : 1, b.below ? -b.least : -1);
    }
    tare_text_puts(to, ")");
    return TARE_OK;
}

/* Writes magnitudes from a to b, or without an end where b < 0: whole parts from a to b - 1 with any fraction, or b
 * itself with a fraction of zeros. */
static void magnitudes(struct tare_text *to, int64_t a, int64_t b)
{
    tare_text_puts(to, "(");
    if (b < 0 || a < b) {
        range(to, a, b < 0 ? -1 : b - 1);
        tare_text_puts(to, " (\".\" [0-9]{1,16})?");
        tare_text_puts(to, b < 0 ? "" : " | ");
    }
    if (b >= 0)
        tare_text_format(to, "\"%lld\" (\".\" \"0\"{1,16})?", (long long)b);
    tare_text_puts(to, ")");
}

enum tare_code tare_schema_number(struct tare_schema *s, const json_t *schema, struct tare_text *to)
{
    struct bounds b = {0};
    const enum tare_code code = read_bounds(s, schema, false, &b);
    if (code)
        return code;
    if (!b.below && !b.above) {
        tare_text_puts(to, "(\"-\"? (\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]{1,16})? ([eE] [-+]? \"0\"? [0-9]{1,2})?)");
        return TARE_OK;
    }
    const bool positive = !b.above || b.most >= 0, negative = !b.below || b.least < 0;
    tare_text_puts(to, "(");
    if (positive)
        magnitudes(to, b.below && b.least > 0 ? b.least : 0, b.above ? b.most : -1);
    if (negative) {
        tare_text_puts(to, positive ? " | \"-\" " : "\"-\" ");
        magnitudes(to, b.above && b.most < 0 ? -b.most : 0, b.below ? -b.least : -1);
    }
    tare_text_puts(to, ")");
    return TARE_OK;
}
