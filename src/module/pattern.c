/* SPDX-License-Identifier: MIT
 * pattern.c - names with wildcards.
 *
 * When a match fails, only the last "*" of the component and the last "**" of the pattern take more. What stands before
 * them has matched at the earliest place there is, and a later place would leave less of the name for the rest. So the
 * time is at most the product of the two lengths; a matcher that retried every wildcard would need a power of them.
 */
#include "module/pattern.h"

#include <string.h>

/* Is the component that begins here "**"? */
static bool is_many(const char *component, const char *end)
{
    return end - component == 2 && component[0] == '*' && component[1] == '*';
}

static const char *end_of(const char *component)
{
    while (*component && *component != '.')
        component++;
    return component;
}

/* The component after one that ends at `end`, or NULL. */
static const char *after(const char *end)
{
    return *end ? end + 1 : NULL;
}

struct tare_pattern tare_pattern_read(const char *text, bool numbered)
{
    struct tare_pattern p = {.text = text, .numbered = numbered, .suffix = text, .prefix = SIZE_MAX};
    for (const char *c = text; c; c = after(end_of(c))) {
        const char *end = end_of(c);
        const bool many = is_many(c, end);
        for (const char *s = c; s < end; s++) {
            if (*s != '*' && (*s != '#' || !numbered))
                continue;
            p.wildcards += *s == '*' && !(many && s > c);
            /* "a.**.b" matches "a.b": a dot beside "**" may be missing */
            if (p.prefix == SIZE_MAX)
                p.prefix = (size_t)(s - text) - (many && s > text);
            p.suffix = s + 1 + (many && s[1] == '.');
        }
    }
    p.suffix_size = strlen(p.suffix);
    if (p.prefix == SIZE_MAX)
        p.prefix = p.suffix_size;
    return p;
}

static void remember(struct tare_match *match, size_t k, const char *at, size_t size)
{
    if (match && k < TARE_WILDCARDS_MOST) {
        match->wildcard[k].at = at;
        match->wildcard[k].size = size;
    }
}

/* A number without leading zeros; returns what follows it, or NULL. */
static const char *number(const char *s, const char *end, int64_t *value)
{
    const char *first = s;
    *value = 0;
    while (s < end && *s >= '0' && *s <= '9') {
        if (*value > (INT64_MAX - 9) / 10 || (s > first && *first == '0'))
            return NULL;
        *value = *value * 10 + (*s++ - '0');
    }
    return s > first ? s : NULL;
}

/* One component against one; *k counts wildcards. */
static bool match_component(bool numbered, const char *p, const char *p_end, const char *s, const char *s_end,
                            size_t *k, struct tare_match *match)
{
    const char *star = NULL, *from = NULL, *taken = NULL; /* after the last "*", and what it took */
    size_t star_k = 0;
    int64_t value;
    while (p < p_end || s < s_end) {
        const char *next = s + 1;
        if (p < p_end && *p == '*') {
            star = ++p;
            from = taken = s;
            star_k = (*k)++;
            remember(match, star_k, s, 0);
            continue;
        }
        if (p < p_end && *p == '#' && numbered) {
            next = number(s, s_end, &value);
            if (next && match)
                match->number = value;
        } else if (p == p_end || s == s_end || *p != *s) {
            next = NULL;
        }
        if (next) {
            p++;
            s = next;
            continue;
        }
        if (!star || taken == s_end)
            return false;
        taken++;
        remember(match, star_k, from, (size_t)(taken - from));
        *k = star_k + 1;
        p = star;
        s = taken;
    }
    return true;
}

/* Matches component by component. Each time the part after a "**" does not match, the "**" takes one component more. */
static bool match_name(const struct tare_pattern *pattern, const char *s, bool leading, struct tare_match *match)
{
    const char *p = pattern->text;          /* NULL: no component left */
    const char *many = NULL;                /* the pattern after the last "**" */
    const char *from = NULL, *taken = NULL; /* that "**" took [from, taken); taken is NULL when it took all */
    bool has_many = false;
    size_t k = 0, many_k = 0;
    for (;;) {
        const char *p_end = p ? end_of(p) : NULL;
        if (!p && (!s || leading))
            return true;
        if (p && is_many(p, p_end)) {
            many = p = after(p_end);
            from = taken = s;
            has_many = true;
            many_k = k++;
            remember(match, many_k, NULL, 0);
            continue;
        }
        const char *s_end = s ? end_of(s) : NULL;
        if (p && s && match_component(pattern->numbered, p, p_end, s, s_end, &k, match)) {
            p = after(p_end);
            s = after(s_end);
            continue;
        }
        if (!has_many || !taken)
            return false;
        const char *end = end_of(taken);
        remember(match, many_k, from, (size_t)(end - from));
        s = taken = after(end);
        p = many;
        k = many_k + 1;
    }
}

bool tare_pattern_match(const struct tare_pattern *pattern, const char *name, bool leading, struct tare_match *match)
{
    if (strncmp(pattern->text, name, pattern->prefix))
        return false;
    if (!leading && pattern->suffix_size) {
        const size_t size = strlen(name);
        if (size < pattern->suffix_size ||
            memcmp(name + size - pattern->suffix_size, pattern->suffix, pattern->suffix_size))
            return false;
    }
    return match_name(pattern, name, leading, match);
}

bool tare_name_matches(const char *pattern, const char *name)
{
    const struct tare_pattern p = tare_pattern_read(pattern, false);
    return tare_pattern_match(&p, name, false, NULL);
}

void tare_pattern_expand(struct tare_text *text, const char *target, const struct tare_match *match)
{
    bool dot = false;
    size_t k = 0;
    tare_text_add(text, "", 0);
    for (const char *c = target; c; c = after(end_of(c))) {
        const char *end = end_of(c);
        const bool many = is_many(c, end);
        if (many && !match->wildcard[k].at) { /* no component: no dot either */
            k++;
            continue;
        }
        if (dot)
            tare_text_add(text, ".", 1);
        dot = true;
        for (const char *s = c; s < end; s += many ? 2 : 1) {
            if (*s != '*') {
                tare_text_add(text, s, 1);
            } else {
                if (match->wildcard[k].at)
                    tare_text_add(text, match->wildcard[k].at, match->wildcard[k].size);
                k++;
            }
        }
    }
}
