/* SPDX-License-Identifier: MIT
 * schema_pattern.c - a plain subset of ECMAScript's patterns: alternatives, groups, classes, counts, and ^ and $
 * at the ends of the outermost alternatives. Characters are written as they are spelled in a JSON string. */
#include <stdlib.h>
#include <string.h>

#include "grammar/schema.h"
#include "text/unicode.h"

struct pattern {
    struct tare_schema *s;
    struct tare_text *to;
    const char *at;
    int depth;
};

static enum tare_code refuse(struct pattern *p, const char *what)
{
    char text[200];
    snprintf(text, sizeof text, "%s is not supported, near \"%.40s\"", what, p->at);
    return tare_schema_refuse(p->s, "pattern", text);
}

static bool add_range(struct tare_points *set, uint32_t low, uint32_t high)
{
    return tare_points_add(set, low, high);
}

/* Adds what \d, \w, \s or their opposites stand for. Returns false when c is none of them. */
static bool class_escape(char c, struct tare_points *set, bool *ok)
{
    struct tare_points one = {0};
    switch (c | 32) {
    case 'd':
        *ok = add_range(&one, '0', '9');
        break;
    case 'w':
        *ok = add_range(&one, '0', '9') && add_range(&one, 'A', 'Z') && add_range(&one, 'a', 'z') &&
              add_range(&one, '_', '_');
        break;
    case 's': /* ECMAScript's white space */
        *ok = add_range(&one, 9, 13) && add_range(&one, ' ', ' ') && add_range(&one, 0xa0, 0xa0) &&
              add_range(&one, 0x1680, 0x1680) && add_range(&one, 0x2000, 0x200a) && add_range(&one, 0x2028, 0x2029) &&
              add_range(&one, 0x202f, 0x202f) && add_range(&one, 0x205f, 0x205f) && add_range(&one, 0x3000, 0x3000) &&
              add_range(&one, 0xfeff, 0xfeff);
        break;
    default:
        return false;
    }
    *ok = *ok && tare_points_settle(&one, c >= 'A' && c <= 'Z');
    for (size_t i = 0; i < one.n && *ok; i++)
        *ok = add_range(set, one.ranges[i].low, one.ranges[i].high);
    free(one.ranges);
    return true;
}

static enum tare_code hex_escape(struct pattern *p, int n, uint32_t *point)
{
    *point = 0;
    for (int i = 0; i < n; i++, p->at++) {
        const char c = *p->at, *found = c ? strchr("0123456789abcdef", c | (c >= 'A' ? 32 : 0)) : NULL;
        if (!found)
            return refuse(p, "an escape with fewer digits");
        *point = *point * 16 + (uint32_t)(found - "0123456789abcdef");
    }
    return *point >= 0xd800 && *point < 0xe000 ? refuse(p, "half a surrogate pair") : TARE_OK;
}

/* Reads a character or an escape at p->at: one point, or a set (then *is_set is true and `set` has grown). */
static enum tare_code read_one(struct pattern *p, struct tare_points *set, uint32_t *point, bool *is_set)
{
    size_t n;
    bool ok = true;
    *is_set = false;
    if (*p->at != '\\') {
        *point = tare_utf8_get(p->at, &n);
        p->at += n;
        return TARE_OK;
    }
    const char c = *++p->at;
    if (c && class_escape(c, set, &ok)) {
        *is_set = true;
        p->at++;
        return ok ? TARE_OK : tare_fail_memory(p->s->err);
    }
    static const char names[] = "nrtfv", values[] = "\n\r\t\f\v";
    const char *found = c ? strchr(names, c) : NULL;
    p->at += c != '\0';
    if (c == 'x' || c == 'u')
        return hex_escape(p, c == 'x' ? 2 : 4, point);
    if (found)
        *point = (unsigned char)values[found - names];
    else if (c && strchr("^$\\.*+?()[]{}|/-\"'@#%&=:;,<>!~` _", c))
        *point = (unsigned char)c;
    else
        return refuse(p, "this escape");
    return TARE_OK;
}

static void put_point(struct tare_text *to, uint32_t c)
{
    tare_text_format(to, "\\U%08X", (unsigned)c);
}

/* Writes a set: a class of the characters that a JSON string holds as they are, and an escape for each other one that
 * has a short escape. */
static enum tare_code put_set(struct pattern *p, struct tare_points *set)
{
    static const char special[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    struct tare_text *to = p->to;
    bool any = false;
    const size_t start = to->size;
    tare_text_puts(to, "(");
    for (size_t i = 0; i < set->n; i++) {
        static const uint32_t plain[][2] = {{0x20, 0x21}, {0x23, 0x5b}, {0x5d, 0xd7ff}, {0xe000, 0x10ffff}};
        for (size_t k = 0; k < 4; k++) {
            const uint32_t low = set->ranges[i].low > plain[k][0] ? set->ranges[i].low : plain[k][0];
            const uint32_t high = set->ranges[i].high < plain[k][1] ? set->ranges[i].high : plain[k][1];
            if (low > high)
                continue;
            tare_text_puts(to, any ? "" : "[");
            put_point(to, low);
            tare_text_puts(to, "-");
            put_point(to, high);
            any = true;
        }
    }
    tare_text_puts(to, any ? "]" : "");
    for (size_t k = 0; k < sizeof special - 1; k++)
        for (size_t i = 0; i < set->n; i++)
            if (set->ranges[i].low <= (unsigned char)special[k] && (unsigned char)special[k] <= set->ranges[i].high) {
                tare_text_puts(to, any ? " | " : "");
                tare_schema_literal(to, (const char[]){'\\', names[k]}, 2);
                any = true;
            }
    tare_text_puts(to, ")");
    if (!any && to->data)
        to->size = start;
    return any ? TARE_OK : refuse(p, "a class of control characters or of none");
}

static enum tare_code read_class(struct pattern *p)
{
    struct tare_points set = {0};
    const bool negated = *p->at == '^';
    enum tare_code code = TARE_OK;
    p->at += negated;
    while (!code && *p->at != ']') {
        uint32_t low = 0, high = 0;
        bool is_set = false, other = false;
        if (!*p->at)
            code = refuse(p, "a class that is not closed");
        if (!code)
            code = read_one(p, &set, &low, &is_set);
        high = low;
        if (!code && !is_set && p->at[0] == '-' && p->at[1] && p->at[1] != ']') {
            p->at++;
            code = read_one(p, &set, &high, &other);
            if (!code && (other || high < low))
                code = refuse(p, "such a range");
        }
        if (!code && !is_set && !add_range(&set, low, high))
            code = tare_fail_memory(p->s->err);
    }
    p->at += !code;
    if (!code && !tare_points_settle(&set, negated))
        code = tare_fail_memory(p->s->err);
    if (!code)
        code = put_set(p, &set);
    free(set.ranges);
    return code;
}

/* Reads a character, an escape or a dot and writes its set. */
static enum tare_code read_character(struct pattern *p)
{
    struct tare_points set = {0};
    uint32_t point = 0;
    bool is_set = false, ok = true;
    enum tare_code code = TARE_OK;
    /* A dot stands for all characters but line ends. */
    if (*p->at == '.') {
        p->at++;
        ok = add_range(&set, '\n', '\n') && add_range(&set, '\r', '\r') && add_range(&set, 0x2028, 0x2029) &&
             tare_points_settle(&set, true);
    } else {
        code = read_one(p, &set, &point, &is_set);
        if (!code && !is_set)
            ok = add_range(&set, point, point);
        ok = ok && tare_points_settle(&set, false);
    }
    if (!code)
        code = ok ? put_set(p, &set) : tare_fail_memory(p->s->err);
    free(set.ranges);
    return code;
}

static enum tare_code read_alternatives(struct pattern *p, bool outer);

static enum tare_code read_group(struct pattern *p)
{
    enum tare_code code;
    if (p->at[0] == '?') {
        if (p->at[1] != ':')
            return refuse(p, "a group of this kind");
        p->at += 2;
    }
    if (++p->depth > TARE_GRAMMAR_DEPTH / 2)
        return refuse(p, "so many groups inside one another");
    if ((code = read_alternatives(p, false)))
        return code;
    p->depth--;
    if (*p->at != ')')
        return refuse(p, "a group that is not closed");
    p->at++;
    return TARE_OK;
}

static void read_count(struct pattern *p)
{
    const char *c = p->at;
    if (*c && strchr("*+?", *c)) {
        tare_text_add(p->to, c, 1);
        p->at++;
        /* The count is copied as it is: the reader of GBNF checks it. */
    } else if (*c == '{') {
        const size_t n = strcspn(c, "}");
        tare_text_add(p->to, c, n + (c[n] == '}'));
        p->at += n + (c[n] == '}');
    } else {
        return;
    }
    /* A lazy count allows the same texts. */
    p->at += *p->at == '?';
}

/* Reads one alternative. An outermost one without ^ or $ may have any characters before or after it, since a pattern
 * matches anywhere. */
static enum tare_code read_sequence(struct pattern *p, bool outer)
{
    bool start = outer && *p->at == '^', end = false;
    enum tare_code code = TARE_OK;
    p->at += start;
    tare_text_puts(p->to, outer && !start ? "char* " : "\"\" ");
    while (!code && *p->at && *p->at != '|' && *p->at != ')' && !end) {
        if (outer && *p->at == '$' && (p->at[1] == '\0' || p->at[1] == '|')) {
            p->at++;
            end = true;
            break;
        }
        if (strchr("^$*+?{", *p->at))
            return refuse(p, "this here");
        if (*p->at == '(') {
            p->at++;
            code = read_group(p);
        } else if (*p->at == '[') {
            p->at++;
            code = read_class(p);
        } else {
            code = read_character(p);
        }
        if (!code)
            read_count(p);
        tare_text_puts(p->to, " ");
    }
    tare_text_puts(p->to, outer && !end ? "char*" : "");
    return code;
}

static enum tare_code read_alternatives(struct pattern *p, bool outer)
{
    tare_text_puts(p->to, "(");
    enum tare_code code = read_sequence(p, outer);
    while (!code && *p->at == '|') {
        p->at++;
        tare_text_puts(p->to, " | ");
        code = read_sequence(p, outer);
    }
    tare_text_puts(p->to, ")");
    return code;
}

enum tare_code tare_schema_pattern(struct tare_schema *s, const char *pattern, struct tare_text *to)
{
    struct pattern p = {.s = s, .to = to, .at = pattern};
    tare_text_puts(to, "(\"\\\"\" ");
    const enum tare_code code = read_alternatives(&p, true);
    tare_text_puts(to, " \"\\\"\")");
    return !code && *p.at ? refuse(&p, "a closing parenthesis") : code;
}
