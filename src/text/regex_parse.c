/* SPDX-License-Identifier: MIT
 * regex_parse.c - takes a pattern in Oniguruma's Ruby syntax apart into text for PCRE2 and sets of characters. All
 * groups become non-capturing, because nothing refers back to them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/regex.h"
#include "text/unicode.h"

#define DEPTH_MOST 64  /* groups and classes within one another */
#define SETS_MOST 4096 /* different sets of one pattern */
#define ITEMS_MOST 65536

struct parse {
    struct tare_regex_parts *parts;
    const char *start, *p, *end;
    /* The options in force: (?i), Ruby's (?m), which lets the dot match a newline, and (?x). */
    bool fold, dot_all, extended;
    int depth;
    const char *where;
    struct tare_error *err;
};

static enum tare_code malformed(const struct parse *parse, const char *what)
{
    return tare_fail(parse->err, TARE_E_FORMAT, parse->where, "regular expression: %s, at byte %zu of \"%.200s\"", what,
                     (size_t)(parse->p - parse->start), parse->start);
}

static enum tare_code unknown(const struct parse *parse, const char *what)
{
    return tare_fail(parse->err, TARE_E_UNKNOWN, parse->where,
                     "regular expression: tare does not know %s, at byte %zu of \"%.200s\"", what,
                     (size_t)(parse->p - parse->start), parse->start);
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

/* Inserts an item before item `at`: a text, or the number of a set (text is then NULL). */
static enum tare_code insert(struct parse *parse, size_t at, int32_t set, const char *text)
{
    struct tare_regex_parts *parts = parse->parts;
    if (parts->n_items >= ITEMS_MOST)
        return malformed(parse, "it is too long");
    if (!tare_grow(&parts->items, &parts->items_room, parts->n_items + 1, sizeof *parts->items))
        return tare_fail_memory(parse->err);
    memmove(parts->items + at + 1, parts->items + at, (parts->n_items - at) * sizeof *parts->items);
    parts->items[at] = (struct tare_regex_item){.set = set};
    if (text)
        snprintf(parts->items[at].text, sizeof parts->items[at].text, "%s", text);
    parts->n_items++;
    return TARE_OK;
}

static enum tare_code put(struct parse *parse, const char *text)
{
    return insert(parse, parse->parts->n_items, -1, text);
}

/* Adds a set to the pattern and takes its memory over. A set that the pattern has already keeps its number. */
static enum tare_code put_set(struct parse *parse, struct tare_charset *set)
{
    struct tare_regex_parts *parts = parse->parts;
    tare_charset_settle(set);
    size_t i = 0;
    while (i < parts->n_sets && !tare_charset_equal(&parts->sets[i], set))
        i++;
    if (i == parts->n_sets) {
        if (i >= SETS_MOST || !tare_grow(&parts->sets, &parts->sets_room, i + 1, sizeof *parts->sets)) {
            tare_charset_release(set);
            return i >= SETS_MOST ? malformed(parse, "it has too many different characters")
                                  : tare_fail_memory(parse->err);
        }
        parts->sets[parts->n_sets++] = *set;
    } else {
        tare_charset_release(set);
    }
    return insert(parse, parts->n_items, (int32_t)i, NULL);
}

/* ---- characters and escapes -------------------------------------------------------------------------------------- */

static uint32_t take(struct parse *parse)
{
    size_t size;
    const uint32_t c = tare_utf8_get(parse->p, &size);
    parse->p += size;
    return c;
}

static bool accept(struct parse *parse, const char *text)
{
    const size_t n = strlen(text);
    if ((size_t)(parse->end - parse->p) < n || memcmp(parse->p, text, n) != 0)
        return false;
    parse->p += n;
    return true;
}

/* Reads up to `most` digits. Returns false when there is none or the number is beyond Unicode. */
static bool digits(struct parse *parse, unsigned base, int most, uint32_t *value)
{
    int n = 0;
    for (*value = 0; n < most && parse->p < parse->end; n++, parse->p++) {
        const char c = *parse->p;
        const unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                               : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                               : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                                      : 99;
        if (digit >= base)
            break;
        *value = *value * base + digit;
        if (*value >= TARE_UNICODE_TOP)
            return false;
    }
    return n > 0;
}

enum escape { ESCAPE_CHARACTER, ESCAPE_SET };

/* Reads a property: \p{..}, \P{..} or \p{^..}, of which the "p" was taken. */
static enum tare_code property(struct parse *parse, bool negated, struct tare_charset *set)
{
    if (!accept(parse, "{"))
        return malformed(parse, "\\p without {");
    if (accept(parse, "^"))
        negated = !negated;
    const char *close = memchr(parse->p, '}', (size_t)(parse->end - parse->p));
    if (!close)
        return malformed(parse, "\\p{ without }");
    bool known;
    if (!tare_charset_add_property(set, parse->p, (size_t)(close - parse->p), &known))
        return tare_fail_memory(parse->err);
    if (!known)
        return unknown(parse, "this property");
    parse->p = close + 1;
    return !negated || tare_charset_invert(set) ? TARE_OK : tare_fail_memory(parse->err);
}

/* Reads \d, \s, \w, \h (hexadecimal) or the capital of one, if c is that. In a class the first three are POSIX's. */
static bool shorthand(struct parse *parse, char c, bool in_class, struct tare_charset *set, enum tare_code *code)
{
    static const char letters[] = "dswh";
    static const char *const names[] = {"digit", "space", "word", NULL};
    const char *at = strchr(letters, c | 32);
    if (!at || !c)
        return false;
    const char *name = names[at - letters];
    bool known = true;
    bool ok =
        name && in_class ? tare_charset_add_posix(set, name, strlen(name), &known)
        : name           ? tare_charset_add_property(set, name, strlen(name), &known)
               : tare_charset_add(set, '0', '9') && tare_charset_add(set, 'A', 'F') && tare_charset_add(set, 'a', 'f');
    if (ok && !(c & 32))
        ok = tare_charset_invert(set);
    *code = ok ? TARE_OK : tare_fail_memory(parse->err);
    return true;
}

static enum tare_code number_escape(struct parse *parse, char c, uint32_t *value)
{
    bool ok;
    if (c == 'x' && accept(parse, "{"))
        ok = digits(parse, 16, 8, value) && accept(parse, "}");
    else if (c == 'x')
        ok = digits(parse, 16, 2, value);
    else if (c == 'u')
        ok = digits(parse, 16, 4, value);
    else
        ok = digits(parse, 8, 3, value);
    return ok ? TARE_OK : malformed(parse, "an escape without its number");
}

/* Reads an escape that stands for a character or a set, inside or outside a class; the backslash was taken. */
static enum tare_code escape(struct parse *parse, bool in_class, enum escape *kind, uint32_t *value,
                             struct tare_charset *set)
{
    static const char plain[] = "tnrfvae", means[] = "\t\n\r\f\v\a\x1b";
    enum tare_code code = TARE_OK;
    *kind = ESCAPE_CHARACTER;
    if ((unsigned char)*parse->p >= 0x80) {
        *value = take(parse);
        return TARE_OK;
    }
    const char c = *parse->p++;
    const char *at = c ? strchr(plain, c) : NULL;
    if (at) {
        *value = (unsigned char)means[at - plain];
        return TARE_OK;
    }
    if (c == 'x' || c == 'u' || c == '0') {
        if (c == '0')
            parse->p--; /* the zero is a digit of the number */
        return number_escape(parse, c, value);
    }
    if (c == 'p' || c == 'P') {
        *kind = ESCAPE_SET;
        return property(parse, c == 'P', set);
    }
    if (shorthand(parse, c, in_class, set, &code)) {
        *kind = ESCAPE_SET;
        return code;
    }
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '1' && c <= '9')) {
        parse->p--;
        return unknown(parse, "this escape");
    }
    *value = (unsigned char)c;
    return TARE_OK;
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

static enum tare_code class(struct parse *parse, struct tare_charset *set, bool outer);

/* Reads [:alpha:] or [:^alpha:], of which "[:" was taken. When it is no such name, *is is false and nothing is
 * taken. */
static enum tare_code posix(struct parse *parse, struct tare_charset *set, bool *is)
{
    const char *from = parse->p;
    const bool negated = accept(parse, "^");
    const char *name = parse->p;
    while (parse->p < parse->end && *parse->p >= 'a' && *parse->p <= 'z')
        parse->p++;
    const size_t size = (size_t)(parse->p - name);
    struct tare_charset named = {0};
    *is = accept(parse, ":]");
    if (!*is) {
        parse->p = from;
        return TARE_OK;
    }
    bool known = false;
    bool ok = tare_charset_add_posix(&named, name, size, &known);
    ok = ok && (!negated || tare_charset_invert(&named)) && tare_charset_join(set, &named);
    tare_charset_release(&named);
    return !ok ? tare_fail_memory(parse->err) : known ? TARE_OK : malformed(parse, "an unknown POSIX class");
}

/* Reads one character of a class, or a set that an escape names; then *single is false and the set was added. */
static enum tare_code class_atom(struct parse *parse, struct tare_charset *set, bool *single, uint32_t *value)
{
    *single = true;
    if (!accept(parse, "\\")) {
        *value = take(parse);
        return TARE_OK;
    }
    if (parse->p == parse->end)
        return malformed(parse, "a backslash at the end");
    if (accept(parse, "b")) {
        *value = '\b';
        return TARE_OK;
    }
    enum escape kind;
    struct tare_charset named = {0};
    enum tare_code code = escape(parse, true, &kind, value, &named);
    *single = kind == ESCAPE_CHARACTER;
    if (!code && !*single && !tare_charset_join(set, &named))
        code = tare_fail_memory(parse->err);
    tare_charset_release(&named);
    return code;
}

/* Reads a character, a range or a named set. A dash before "]", "&&" or "[" begins no range. */
static enum tare_code class_item(struct parse *parse, struct tare_charset *set)
{
    bool single, single_last;
    uint32_t first, last;
    enum tare_code code = class_atom(parse, set, &single, &first);
    if (code || !single)
        return code;
    last = first;
    const bool dash = parse->end - parse->p >= 2 && parse->p[0] == '-' && parse->p[1] != ']';
    if (dash && !(parse->p[1] == '&' && parse->end - parse->p >= 3 && parse->p[2] == '&') && parse->p[1] != '[') {
        parse->p++;
        code = class_atom(parse, set, &single_last, &last);
        if (code)
            return code;
        if (!single_last) { /* in [a-\d] the dash stands for itself */
            last = first;
            if (!tare_charset_add(set, '-', '-'))
                return tare_fail_memory(parse->err);
        }
        if (last < first)
            return malformed(parse, "a range that ends before it begins");
    }
    return tare_charset_add(set, first, last) ? TARE_OK : tare_fail_memory(parse->err);
}

static enum tare_code nested_class(struct parse *parse, struct tare_charset *set)
{
    if (accept(parse, ":")) {
        bool is;
        const enum tare_code code = posix(parse, set, &is);
        if (code || is)
            return code;
        parse->p--;
    }
    struct tare_charset inner = {0};
    enum tare_code code = class(parse, &inner, false);
    if (!code && !tare_charset_join(set, &inner))
        code = tare_fail_memory(parse->err);
    tare_charset_release(&inner);
    return code;
}

/* Reads the items of a class up to its "]" or the next "&&". A "]" at the very beginning stands for itself. */
static enum tare_code class_run(struct parse *parse, struct tare_charset *set, bool first)
{
    for (;; first = false) {
        if (parse->p == parse->end)
            return malformed(parse, "[ without ]");
        if ((*parse->p == ']' && !first) || (parse->end - parse->p >= 2 && parse->p[0] == '&' && parse->p[1] == '&'))
            return TARE_OK;
        const enum tare_code code = accept(parse, "[") ? nested_class(parse, set) : class_item(parse, set);
        if (code)
            return code;
    }
}

/* Reads a class after its "[". As in Oniguruma only the outermost one ignores case, before it is negated. */
static enum tare_code class(struct parse *parse, struct tare_charset *set, bool outer) {
    if (++parse->depth > DEPTH_MOST) return malformed(parse, "too many classes within one another");
    const bool negated = accept(parse, "^"); enum tare_code code = class_run(parse, set, true);
    while (!code && accept(parse, "&&")){struct tare_charset right = {0}; code = class_run(parse, &right, false);
                                         if (!code && !tare_charset_intersect(set, &right))
                                             code = tare_fail_memory(parse->err);
                                         tare_charset_release(&right);}
if (!code && ((outer && parse->fold && !tare_charset_fold(set)) || (negated && !tare_charset_invert(set)))) code =
    tare_fail_memory(parse->err);
parse->p++; /* the ] */
parse->depth--;
return code;
}

/* ---- structure --------------------------------------------------------------------------------------------------- */

static enum tare_code alternatives(struct parse *parse);

static enum tare_code put_character(struct parse *parse, uint32_t c)
{
    struct tare_charset set = {0};
    if (!tare_charset_add(&set, c, c) || (parse->fold && !tare_charset_fold(&set))) {
        tare_charset_release(&set);
        return tare_fail_memory(parse->err);
    }
    return put_set(parse, &set);
}

/* Writes \b or \B. PCRE2's own would not know our symbols, so \b becomes "a word character before and none after, or
 * none before and one after", by lookaround; \B is the opposite. */
static enum tare_code word_boundary(struct parse *parse, bool negated)
{
    static const char *const inside[] = {"(?<=", ")(?!", ")|(?<!", ")(?=", "))"};
    static const char *const level[] = {"(?<=", ")(?=", ")|(?<!", ")(?!", "))"};
    enum tare_code code = put(parse, "(?:");
    for (size_t i = 0; i < 5 && !code; i++) {
        code = put(parse, negated ? level[i] : inside[i]);
        struct tare_charset set = {0};
        enum tare_code ignored;
        if (!code && i < 4) {
            shorthand(parse, 'w', false, &set, &ignored);
            code = ignored ? ignored : put_set(parse, &set);
        }
    }
    return code;
}

static enum tare_code outer_escape(struct parse *parse)
{
    if (parse->p == parse->end)
        return malformed(parse, "a backslash at the end");
    if (strchr("AzZG", *parse->p) && *parse->p) {
        const char text[3] = {'\\', *parse->p++, '\0'};
        return put(parse, text);
    }
    if (*parse->p == 'b' || *parse->p == 'B')
        return word_boundary(parse, *parse->p++ == 'B');
    enum escape kind;
    uint32_t value = 0;
    struct tare_charset set = {0};
    enum tare_code code = escape(parse, false, &kind, &value, &set);
    if (code || kind == ESCAPE_CHARACTER) {
        tare_charset_release(&set);
        return code ? code : put_character(parse, value);
    }
    return put_set(parse, &set); /* outside a class (?i) does not affect \\p{Lu} */
}

/* Reads options up to the end of (?imx-imx) or (?imx-imx:. The first form sets *isolated. */
static enum tare_code options(struct parse *parse, bool *isolated)
{
    bool on = true;
    for (;; parse->p++) {
        if (parse->p == parse->end)
            return malformed(parse, "( without )");
        const char c = *parse->p;
        if (c == '-')
            on = false;
        else if (c == 'i')
            parse->fold = on;
        else if (c == 'm')
            parse->dot_all = on;
        else if (c == 'x')
            parse->extended = on;
        else
            break;
    }
    *isolated = *parse->p == ')';
    if (*parse->p != ')' && *parse->p != ':')
        return unknown(parse, "this kind of group");
    parse->p++;
    return TARE_OK;
}

/* Reads what follows "(?". *isolated becomes true for options that hold for the rest of the enclosing group. */
static enum tare_code group_head(struct parse *parse, bool *isolated)
{
    static const char *const heads[] = {":", "=", "!", ">", "<=", "<!"};
    char text[8];
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        if (accept(parse, heads[i])) {
            snprintf(text, sizeof text, "(?%s", heads[i]);
            return put(parse, text);
        }
    if (accept(parse, "<")) { /* a name, which nothing uses */
        const char *close = memchr(parse->p, '>', (size_t)(parse->end - parse->p));
        if (!close)
            return malformed(parse, "(?< without >");
        parse->p = close + 1;
        return put(parse, "(?:");
    }
    const enum tare_code code = options(parse, isolated);
    return code ? code : put(parse, "(?:");
}

/* Reads a group. Isolated options become a group around the rest of the enclosing one, whose ")" they leave. */
static enum tare_code group(struct parse *parse)
{
    const bool fold = parse->fold, dot_all = parse->dot_all, extended = parse->extended;
    bool isolated = false;
    if (accept(parse, "?#")) {
        const char *close = memchr(parse->p, ')', (size_t)(parse->end - parse->p));
        if (!close)
            return malformed(parse, "(?# without )");
        parse->p = close + 1;
        return put(parse, "");
    }
    if (++parse->depth > DEPTH_MOST)
        return malformed(parse, "too many groups within one another");
    enum tare_code code = accept(parse, "?") ? group_head(parse, &isolated) : put(parse, "(?:");
    if (!code)
        code = alternatives(parse);
    if (!code && !isolated && !accept(parse, ")"))
        code = malformed(parse, "( without )");
    parse->depth--;
    parse->fold = fold;
    parse->dot_all = dot_all;
    parse->extended = extended;
    return code ? code : put(parse, ")");
}

static enum tare_code atom(struct parse *parse)
{
    struct tare_charset set = {0};
    enum tare_code code;
    switch (*parse->p) {
    case '(':
        parse->p++;
        return group(parse);
    case '[':
        parse->p++;
        code = class(parse, &set, true);
        if (!code)
            return put_set(parse, &set);
        tare_charset_release(&set);
        return code;
    case '\\':
        parse->p++;
        return outer_escape(parse);
    case '^':
    case '$':
        return put(parse, *parse->p++ == '^' ? "^" : "$");
    case '.':
        parse->p++;
        if ((parse->dot_all || (tare_charset_add(&set, '\n', '\n'))) && tare_charset_invert(&set))
            return put_set(parse, &set);
        tare_charset_release(&set);
        return tare_fail_memory(parse->err);
    case '*':
    case '+':
    case '?':
        return malformed(parse, "nothing to repeat");
    default:
        return put_character(parse, take(parse));
    }
}

/* Reads {n}, {n,}, {,m} or {n,m}. Returns false, and takes nothing, when the brace stands for itself. */
static bool interval(struct parse *parse, char text[32])
{
    const char *from = parse->p;
    uint32_t least = 0, most = 0;
    parse->p++;
    const bool has_least = digits(parse, 10, 6, &least), comma = accept(parse, ","),
               has_most = comma && digits(parse, 10, 6, &most);
    if (!accept(parse, "}") || (!has_least && !has_most) || least > 65535 || most > 65535) {
        parse->p = from;
        return false;
    }
    if (!comma)
        snprintf(text, 28, "{%u}", (unsigned)(least & 0xffff));
    else if (!has_most)
        snprintf(text, 28, "{%u,}", (unsigned)(least & 0xffff));
    else
        snprintf(text, 28, "{%u,%u}", (unsigned)(least & 0xffff), (unsigned)(most & 0xffff));
    return true;
}

/* Reads the quantifiers of the atom that begins at item `at`. A second one repeats the repetition: a{2}+ is
 * (?:a{2})+, since Ruby has no possessive interval. So the atom is wrapped in a group first. */
static enum tare_code quantifiers(struct parse *parse, size_t at)
{
    enum tare_code code = TARE_OK;
    for (int n = 0; !code && parse->p < parse->end; n++) {
        char text[32] = ""; /* two numbers of up to ten digits, and a "?" */
        const bool braces = *parse->p == '{';
        if (braces ? !interval(parse, text) : !strchr("*+?", *parse->p) || !*parse->p)
            return TARE_OK;
        if (n > DEPTH_MOST)
            return malformed(parse, "too many quantifiers");
        if (!braces) {
            text[0] = *parse->p++;
            if (parse->p < parse->end && (*parse->p == '?' || *parse->p == '+'))
                text[1] = *parse->p++;
        } else if (strchr(text, ',') && parse->p < parse->end && *parse->p == '?') {
            const size_t end = strlen(text);
            text[end] = '?';
            text[end + 1] = 0;
            parse->p++;
        }
        if (n) {
            code = insert(parse, at, -1, "(?:");
            code = code ? code : put(parse, ")");
        }
        code = code ? code : put(parse, text);
    }
    return code;
}

static void skip_extended(struct parse *parse)
{
    while (parse->extended && parse->p < parse->end && strchr(" \t\r\n\f\v#", *parse->p) && *parse->p) {
        if (*parse->p == '#')
            while (parse->p < parse->end && *parse->p != '\n')
                parse->p++;
        else
            parse->p++;
    }
}

static enum tare_code alternatives(struct parse *parse)
{
    enum tare_code code = TARE_OK;
    while (!code) {
        skip_extended(parse);
        if (parse->p == parse->end || *parse->p == ')')
            return TARE_OK;
        if (accept(parse, "|")) {
            code = put(parse, "|");
            continue;
        }
        const size_t at = parse->parts->n_items;
        code = atom(parse);
        skip_extended(parse);
        if (!code)
            code = quantifiers(parse, at);
    }
    return code;
}

enum tare_code tare_regex_parse(struct tare_regex_parts *parts, const char *pattern, size_t size, const char *where,
                                struct tare_error *err)
{
    struct parse parse = {
        .parts = parts, .start = pattern, .p = pattern, .end = pattern + size, .where = where, .err = err};
    if (tare_utf8_check(pattern, size) != size)
        return malformed(&parse, "it is no UTF-8");
    const enum tare_code code = alternatives(&parse);
    return code ? code : parse.p < parse.end ? malformed(&parse, ") without (") : TARE_OK;
}

void tare_regex_parts_release(struct tare_regex_parts *parts)
{
    for (size_t i = 0; i < parts->n_sets; i++)
        tare_charset_release(&parts->sets[i]);
    free(parts->sets);
    free(parts->items);
    *parts = (struct tare_regex_parts){0};
}
