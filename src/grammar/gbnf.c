/* SPDX-License-Identifier: MIT
 * gbnf.c - reads llama.cpp's GBNF: rules of literals, classes, groups and counts. docs/grammar.md describes the
 * language. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grammar/grammar.h"
#include "text/unicode.h"

/* ---- rules ------------------------------------------------------------------------------------------------------- */

uint32_t tare_rules_add(struct tare_rules *rules, const char *name, size_t size)
{
    if (rules->n_rules == TARE_GRAMMAR_RULES ||
        !tare_grow(&rules->rules, &rules->rules_room, rules->n_rules + 1, sizeof *rules->rules))
        return UINT32_MAX;
    struct tare_rule *rule = &rules->rules[rules->n_rules];
    *rule = (struct tare_rule){.name = name ? tare_arena_copy(&rules->arena, name, size) : NULL, .size = size};
    if (name && (!rule->name || !tare_map_put(&rules->names, rule->name, size, (uint32_t)rules->n_rules, NULL)))
        return UINT32_MAX;
    return (uint32_t)rules->n_rules++;
}

bool tare_rules_begin(struct tare_rules *rules, uint32_t number)
{
    struct tare_rule *rule = &rules->rules[number];
    if (!tare_grow(&rule->starts, &rule->room, rule->n + 1, sizeof *rule->starts))
        return false;
    rule->starts[rule->n++] = (uint32_t)rules->n_items;
    return true;
}

bool tare_rules_put(struct tare_rules *rules, struct tare_item item)
{
    if (rules->n_items == TARE_GRAMMAR_ITEMS ||
        !tare_grow(&rules->items, &rules->items_room, rules->n_items + 1, sizeof *rules->items))
        return false;
    rules->items[rules->n_items++] = item;
    return true;
}

void tare_rules_release(struct tare_rules *rules)
{
    for (size_t i = 0; i < rules->n_rules; i++)
        free(rules->rules[i].starts);
    free(rules->rules);
    free(rules->items);
    tare_map_release(&rules->names);
    tare_map_release(&rules->classes);
    tare_arena_release(&rules->arena);
    *rules = (struct tare_rules){0};
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

struct reader {
    struct tare_rules *rules;
    const char *text;
    size_t size, at;
    int depth;
    struct tare_error *err;
};

/* The items of the alternative that is being read; each group has a sequence of its own. */
struct sequence {
    struct tare_item *items;
    size_t n, room;
};

/* Fails with the line and the column of the place where the reader stands. */
static enum tare_code wrong(const struct reader *r, const char *what)
{
    size_t line = 1, column = 1;
    char where[64];
    for (size_t i = 0; i < r->at && i < r->size; i++) {
        line += r->text[i] == '\n';
        column = r->text[i] == '\n' ? 1 : column + 1;
    }
    snprintf(where, sizeof where, "grammar:%zu:%zu", line, column);
    return tare_fail(r->err, TARE_E_FORMAT, where, "%s", what);
}

static enum tare_code full(const struct reader *r)
{
    const struct tare_rules *g = r->rules;
    if (g->n_rules >= TARE_GRAMMAR_RULES || g->n_items >= TARE_GRAMMAR_ITEMS)
        return wrong(r, "the grammar is too large: more than 16384 rules or 524288 items");
    return tare_fail_memory(r->err);
}

static int peek(const struct reader *r)
{
    return r->at < r->size ? (unsigned char)r->text[r->at] : -1;
}

static bool take(struct reader *r, const char *word)
{
    const size_t n = strlen(word);
    if (r->size - r->at < n || memcmp(r->text + r->at, word, n) != 0)
        return false;
    r->at += n;
    return true;
}

/* Skips spaces and comments. Line ends are skipped only inside a group, or where an alternative must follow. */
static void skip(struct reader *r, bool lines)
{
    for (int c; (c = peek(r)) >= 0; r->at++) {
        if (c == '#')
            while (r->at + 1 < r->size && r->text[r->at + 1] != '\n')
                r->at++;
        else if (!(c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))))
            return;
    }
}

static bool in_name(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static size_t name_size(const struct reader *r)
{
    size_t n = 0;
    while (r->at + n < r->size && in_name((unsigned char)r->text[r->at + n]))
        n++;
    return n;
}

/* The number of the rule with this name; a rule may be used before it is defined. */
static uint32_t rule_of(struct reader *r, const char *name, size_t size)
{
    const uint32_t found = tare_map_get(&r->rules->names, name, size);
    return found != TARE_MAP_NONE ? found : tare_rules_add(r->rules, name, size);
}

static enum tare_code read_hex(struct reader *r, int digits, uint32_t *point)
{
    *point = 0;
    for (int i = 0; i < digits; i++, r->at++) {
        const int d = peek(r) < 0 ? -1 : tare_hex_digit(peek(r));
        if (d < 0)
            return wrong(r, "an escape needs as many hexadecimal digits: \\xHH, \\uHHHH, \\UHHHHHHHH");
        *point = *point << 4 | (uint32_t)d;
    }
    if (*point > 0x10ffff || (*point >= 0xd800 && *point < 0xe000))
        return wrong(r, "an escape that is no Unicode character");
    return TARE_OK;
}

static enum tare_code read_point(struct reader *r, uint32_t *point)
{
    size_t bytes = 0;
    if (peek(r) < 0 || peek(r) == '\n')
        return wrong(r, "a literal or class that is not closed");
    if (peek(r) != '\\') {
        /* The text was checked to be UTF-8. */
        *point = tare_utf8_get(r->text + r->at, &bytes);
        r->at += bytes;
        return TARE_OK;
    }
    r->at++;
    const int c = peek(r);
    r->at += c >= 0;
    switch (c) {
    case 'x':
        return read_hex(r, 2, point);
    case 'u':
        return read_hex(r, 4, point);
    case 'U':
        return read_hex(r, 8, point);
    case 't':
    case 'n':
    case 'r':
        *point = c == 't' ? '\t' : c == 'n' ? '\n' : '\r';
        return TARE_OK;
    case '\\':
    case '"':
    case '[':
    case ']':
    case '^':
    case '-':
        *point = (uint32_t)c;
        return TARE_OK;
    default:
        return wrong(
            r, "an escape that is not known: \\\\ \\\" \\[ \\] \\^ \\- \\n \\r \\t \\xHH \\uHHHH \\UHHHHHHHH are");
    }
}

static enum tare_code add_item(struct reader *r, struct sequence *s, struct tare_item item)
{
    if (s->n == TARE_GRAMMAR_ITEMS || !tare_grow(&s->items, &s->room, s->n + 1, sizeof *s->items))
        return tare_fail_memory(r->err);
    s->items[s->n++] = item;
    return TARE_OK;
}

/* A literal becomes one item a byte, since the machine reads bytes. */
static enum tare_code read_literal(struct reader *r, struct sequence *s)
{
    enum tare_code code = TARE_OK;
    while (!code && peek(r) != '"') {
        uint32_t point = 0;
        char bytes[4];
        if ((code = read_point(r, &point)))
            break;
        const size_t n = tare_utf8_put(bytes, point);
        for (size_t i = 0; i < n && !code; i++)
            code =
                add_item(r, s, (struct tare_item){TARE_ITEM_BYTES, (unsigned char)bytes[i], (unsigned char)bytes[i]});
    }
    r->at += !code;
    return code;
}

static enum tare_code read_ranges(struct reader *r, struct tare_points *points)
{
    enum tare_code code = TARE_OK;
    while (!code && peek(r) != ']') {
        uint32_t low = 0, high;
        if ((code = read_point(r, &low)))
            break;
        high = low;
        if (peek(r) == '-' && r->at + 1 < r->size && r->text[r->at + 1] != ']') {
            r->at++;
            code = read_point(r, &high);
        }
        if (!code && high < low)
            code = wrong(r, "a range of a class that runs backwards");
        if (!code && !tare_points_add(points, low, high))
            code = tare_fail_memory(r->err);
    }
    r->at += !code;
    return code;
}

/* A class becomes a rule over the bytes of UTF-8 (see points.c). "." is the negation of the empty class. */
static enum tare_code read_class(struct reader *r, struct sequence *s, bool any)
{
    struct tare_points points = {0};
    const bool negated = any || take(r, "^");
    enum tare_code code = any ? TARE_OK : read_ranges(r, &points);
    if (!code && !tare_points_settle(&points, negated))
        code = tare_fail_memory(r->err);
    if (!code && points.n == 0)
        code = wrong(r, "a class without a character");
    if (!code) {
        const uint32_t rule = tare_points_rule(r->rules, &points);
        code = rule == UINT32_MAX ? full(r) : add_item(r, s, (struct tare_item){TARE_ITEM_RULE, rule, 0});
    }
    free(points.ranges);
    return code;
}

/* ---- tokens and free text ---------------------------------------------------------------------------------------- */

/* <[ID]> is the special id of that number, <[*]> any of them. */
static enum tare_code read_token(struct reader *r, struct sequence *s)
{
    unsigned char bytes[TARE_MARK_BYTES];
    int64_t id = 0;
    const bool any = take(r, "*");
    const size_t from = r->at;
    for (; !any && peek(r) >= '0' && peek(r) <= '9' && id < 1000000; r->at++)
        id = id * 10 + (peek(r) - '0');
    if ((!any && (r->at == from || id >= 4000000)) || !take(r, "]>"))
        return wrong(r, "a token is <[ID]> with a number below 4000000, or <[*]>");
    r->rules->marks = true;
    tare_mark_spell((int32_t)id, bytes);
    enum tare_code code = TARE_OK;
    for (size_t i = 0; i < sizeof bytes && !code; i++)
        code =
            add_item(r, s,
                     any && i ? (struct tare_item){TARE_ITEM_BYTES, TARE_MARK_ZERO, TARE_MARK_ZERO + TARE_MARK_BASE - 1}
                              : (struct tare_item){TARE_ITEM_BYTES, bytes[i], bytes[i]});
    return code;
}

/* A word of literals and tokens; of one alone outside a group. */
static enum tare_code read_word(struct reader *r, bool group, struct sequence *s)
{
    enum tare_code code = TARE_OK;
    bool found = true;
    for (size_t n = 0; !code && found && (group || n == 0); n++) {
        skip(r, group);
        if (take(r, "\""))
            code = read_literal(r, s);
        else if (take(r, "<["))
            code = read_token(r, s);
        else
            found = false;
        if (!code && !found && n == 0)
            code = wrong(r, "after ~ comes a word of literals and tokens, or several in parentheses with | between");
    }
    for (size_t i = 0; i < s->n && !code; i++)
        if (s->items[i].low != s->items[i].high)
            code = wrong(r, "<[*]> cannot stand in a word after ~");
    return code;
}

/* ~"word" is any text, special ids too, in which the word does not occur; ~("a" | "b") that with neither; ~"" any. A word
 * after ^ is only kept from beginning the text. */
static enum tare_code read_without(struct reader *r, struct sequence *s)
{
    struct sequence all = {0};
    size_t sizes[64], n = 0;
    bool first[64];
    const bool group = take(r, "(");
    enum tare_code code = TARE_OK;
    do {
        const size_t from = all.n;
        skip(r, group);
        first[n % 64] = take(r, "^");
        code = n == sizeof sizes / sizeof *sizes ? wrong(r, "more than 64 words after ~") : read_word(r, group, &all);
        if (!code)
            sizes[n++] = all.n - from;
    } while (!code && group && take(r, "|"));
    if (!code && group && !take(r, ")"))
        code = wrong(r, "a group that is not closed");
    if (!code && all.n > 4000)
        code = wrong(r, "the words after ~ have more than 4000 bytes");
    unsigned char *bytes = malloc(all.n + 1);
    for (size_t i = 0; bytes && i < all.n; i++)
        bytes[i] = (unsigned char)all.items[i].low;
    free(all.items);
    if (!code && !bytes)
        code = tare_fail_memory(r->err);
    if (!code) {
        const uint32_t rule = tare_without_rule(r->rules, bytes, sizes, first, n);
        r->rules->marks = true;
        code = rule == UINT32_MAX ? full(r) : add_item(r, s, (struct tare_item){TARE_ITEM_RULE, rule, 0});
    }
    free(bytes);
    return code;
}

/* ---- counts ------------------------------------------------------------------------------------------------------ */

static enum tare_code read_number(struct reader *r, int64_t *number)
{
    *number = -1;
    for (; peek(r) >= '0' && peek(r) <= '9'; r->at++) {
        *number = (*number < 0 ? 0 : *number) * 10 + (peek(r) - '0');
        if (*number > 1000000)
            return wrong(r, "a count over 1000000");
    }
    return TARE_OK;
}

/* Reads a count, if one stands here (else *counted is false). *most is -1 for a count without end. */
static enum tare_code read_count(struct reader *r, int64_t *least, int64_t *most, bool *counted)
{
    enum tare_code code;
    *counted = true;
    *least = 0;
    *most = -1;
    if (take(r, "*"))
        return TARE_OK;
    if (take(r, "+")) {
        *least = 1;
        return TARE_OK;
    }
    if (take(r, "?")) {
        *most = 1;
        return TARE_OK;
    }
    if (!(*counted = take(r, "{")))
        return TARE_OK;
    skip(r, true);
    if ((code = read_number(r, least)))
        return code;
    skip(r, true);
    if (take(r, ",")) {
        skip(r, true);
        code = read_number(r, most);
        *least = *least < 0 && *most >= 0 ? 0 : *least; /* {,n} */
        skip(r, true);
    } else {
        *most = *least;
    }
    if (!code && (*least < 0 || (*most >= 0 && *most < *least) || !take(r, "}")))
        code = wrong(r, "a count is {n}, {n,}, {,n} or {n,m} with n not over m");
    return code;
}

/* Makes a rule without a name. Its first alternative is items[0 .. n) and then the rule `next`, where UINT32_MAX
 * means none and UINT32_MAX - 1 the new rule itself. With `empty` its second alternative is empty. */
static uint32_t tail_rule(struct reader *r, const struct tare_item *items, size_t n, uint32_t next, bool empty)
{
    const uint32_t rule = tare_rules_add(r->rules, NULL, 0);
    if (rule == UINT32_MAX)
        return rule;
    bool ok = tare_rules_begin(r->rules, rule);
    for (size_t i = 0; i < n && ok; i++)
        ok = tare_rules_put(r->rules, items[i]);
    if (next != UINT32_MAX)
        ok =
            ok && tare_rules_put(r->rules, (struct tare_item){TARE_ITEM_RULE, next == UINT32_MAX - 1 ? rule : next, 0});
    ok = ok && tare_rules_put(r->rules, (struct tare_item){0});
    if (empty)
        ok = ok && tare_rules_begin(r->rules, rule) && tare_rules_put(r->rules, (struct tare_item){0});
    r->rules->rules[rule].defined = true;
    return ok ? rule : UINT32_MAX;
}

/* Repeats items[from ..): they stand `least` times, then comes what may follow. Without an end that is R ::= x R |
 * ""; with one, R1 ::= x | "", R2 ::= x R1 | "", and so on. */
static enum tare_code repeat(struct reader *r, struct sequence *s, size_t from, int64_t least, int64_t most)
{
    const size_t n = s->n - from;
    struct tare_item one = {0}, *items = &one;
    if (n == 0)
        return TARE_OK;
    if (n == 1) {
        one = s->items[from];
        /* Several items become a rule first, so that each copy costs one item. */
    } else {
        const uint32_t whole = tail_rule(r, s->items + from, n, UINT32_MAX, false);
        if (whole == UINT32_MAX)
            return full(r);
        one = (struct tare_item){TARE_ITEM_RULE, whole, 0};
    }
    uint32_t rest = UINT32_MAX;
    if (most < 0 && (rest = tail_rule(r, items, 1, UINT32_MAX - 1, true)) == UINT32_MAX)
        return full(r);
    for (int64_t i = least; i < most; i++)
        if ((rest = tail_rule(r, items, 1, rest, true)) == UINT32_MAX)
            return full(r);
    enum tare_code code = TARE_OK;
    s->n = from;
    for (int64_t i = 0; i < least && !code; i++)
        code = add_item(r, s, one);
    return code || rest == UINT32_MAX ? code : add_item(r, s, (struct tare_item){TARE_ITEM_RULE, rest, 0});
}

/* ---- alternatives ------------------------------------------------------------------------------------------------ */

static enum tare_code read_alternatives(struct reader *r, uint32_t rule, bool group);

static enum tare_code read_group(struct reader *r, struct sequence *s)
{
    const uint32_t rule = tare_rules_add(r->rules, NULL, 0);
    if (rule == UINT32_MAX)
        return full(r);
    if (++r->depth > TARE_GRAMMAR_DEPTH)
        return wrong(r, "groups inside one another more than 256 times");
    enum tare_code code = read_alternatives(r, rule, true);
    r->depth--;
    if (!code && !take(r, ")"))
        code = wrong(r, "a group that is not closed");
    r->rules->rules[rule].defined = true;
    return code ? code : add_item(r, s, (struct tare_item){TARE_ITEM_RULE, rule, 0});
}

/* Reads one item of a sequence. *found is false when there is none. */
static enum tare_code read_item(struct reader *r, struct sequence *s, bool *found)
{
    const size_t name = name_size(r);
    *found = true;
    if (name) {
        const uint32_t rule = rule_of(r, r->text + r->at, name);
        r->at += name;
        return rule == UINT32_MAX ? full(r) : add_item(r, s, (struct tare_item){TARE_ITEM_RULE, rule, 0});
    }
    if (take(r, "\""))
        return read_literal(r, s);
    if (take(r, "["))
        return read_class(r, s, false);
    if (take(r, "."))
        return read_class(r, s, true);
    if (take(r, "("))
        return read_group(r, s);
    if (take(r, "<["))
        return read_token(r, s);
    if (take(r, "~"))
        return read_without(r, s);
    if (peek(r) == '<' || peek(r) == '!')
        return wrong(r, "tokens are <[ID]> or <[*]> in this dialect");
    *found = false;
    return TARE_OK;
}

static enum tare_code read_sequence(struct reader *r, struct sequence *s, bool group)
{
    for (bool found = true;;) {
        const size_t from = s->n;
        int64_t least = 0, most = 0;
        bool counted = true;
        skip(r, group);
        enum tare_code code = read_item(r, s, &found);
        if (code || !found)
            return code;
        skip(r, group);
        if ((code = read_count(r, &least, &most, &counted)) || (counted && (code = repeat(r, s, from, least, most))))
            return code;
    }
}

static enum tare_code read_alternatives(struct reader *r, uint32_t rule, bool group)
{
    enum tare_code code = TARE_OK;
    do {
        struct sequence s = {0};
        skip(r, true);
        code = read_sequence(r, &s, group);
        bool ok = !code && tare_rules_begin(r->rules, rule);
        for (size_t i = 0; i < s.n && ok; i++)
            ok = tare_rules_put(r->rules, s.items[i]);
        ok = ok && tare_rules_put(r->rules, (struct tare_item){0});
        free(s.items);
        if (!code && !ok)
            code = full(r);
        skip(r, group);
    } while (!code && take(r, "|"));
    return code;
}

static enum tare_code read_rule(struct reader *r)
{
    const size_t size = name_size(r);
    if (!size)
        return wrong(r, "expected the name of a rule: letters, digits, - and _");
    const uint32_t rule = rule_of(r, r->text + r->at, size);
    if (rule == UINT32_MAX)
        return full(r);
    if (r->rules->rules[rule].defined)
        return wrong(r, "a rule that is defined already");
    r->rules->rules[rule].defined = true;
    r->at += size;
    skip(r, false);
    if (!take(r, "::="))
        return wrong(r, "expected ::= after the name of a rule");
    const enum tare_code code = read_alternatives(r, rule, false);
    if (!code && peek(r) >= 0 && peek(r) != '\n' && peek(r) != '\r')
        return wrong(r, "expected an item, | or the end of the line");
    return code;
}

static enum tare_code check_names(const struct tare_rules *rules, struct tare_error *err)
{
    for (size_t i = 0; i < rules->n_rules; i++)
        if (!rules->rules[i].defined)
            return tare_fail(err, TARE_E_FORMAT, "grammar", "the rule \"%.100s\" is used and not defined",
                             rules->rules[i].name);
    return TARE_OK;
}

enum tare_code tare_gbnf_read(struct tare_rules *rules, const char *text, size_t size, struct tare_error *err)
{
    struct reader r = {.rules = rules, .text = text, .size = size, .err = err};
    if (size > TARE_GRAMMAR_TEXT)
        return tare_fail(err, TARE_E_FORMAT, "grammar", "more than 1 MiB of text");
    if (tare_utf8_check(text, size) != size || memchr(text, '\0', size))
        return tare_fail(err, TARE_E_FORMAT, "grammar", "the text is not UTF-8");
    enum tare_code code = TARE_OK;
    for (skip(&r, true); r.at < size && !code; skip(&r, true))
        code = read_rule(&r);
    if (code || (code = check_names(rules, err)))
        return code;
    const uint32_t root = tare_map_get(&rules->names, "root", 4);
    if (root == TARE_MAP_NONE)
        return tare_fail(err, TARE_E_FORMAT, "grammar", "there is no rule \"root\"");
    rules->root = root;
    return tare_rules_check(rules, err);
}
