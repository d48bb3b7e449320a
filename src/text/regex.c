/* SPDX-License-Identifier: MIT
 * regex.c - regular expressions over Unicode, matched by PCRE2 over bytes. A pattern tells only few kinds of
 * characters apart: two characters that are in the same sets of the pattern match alike. Each kind gets a symbol,
 * a byte; pattern and text are both translated into symbols, and PCRE2 matches those. */
#include "text/regex.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/text.h"
#include "text/unicode.h"

/* Code points that share one row of the symbol table. */
#define BLOCK 256

struct tare_regex {
    pcre2_code *code;
    bool jit;
    uint16_t row[TARE_UNICODE_TOP / BLOCK];
    unsigned char (*rows)[BLOCK];
    size_t n_rows, rows_room;
};

/* ---- symbols ----------------------------------------------------------------------------------------------------- */

/* A place where a set begins or ends: passing it toggles membership of the set with that key. */
struct edge {
    uint32_t at;
    uint64_t key;
};

struct symbols {
    struct edge *edges;
    size_t n_edges;
    /* For each symbol the sets that its characters are in, as the exclusive or of their keys. */
    uint64_t signature[256];
    bool used[256];
};

static uint64_t set_key(size_t set) /* splitmix64 */
{
    uint64_t z = (set + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static int compare_edges(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

/* The newline always has a symbol of its own, because PCRE2 must recognize it for ^ and $. */
#define NEWLINE_SET SIZE_MAX / 2

/* Lists where each range of each set begins and ends, in order of the code points. */
static bool collect_edges(struct symbols *symbols, const struct tare_regex_parts *parts)
{
    size_t n = 2;
    for (size_t i = 0; i < parts->n_sets; i++)
        n += 2 * parts->sets[i].n;
    symbols->edges = malloc(n * sizeof *symbols->edges);
    if (!symbols->edges)
        return false;
    struct edge *edge = symbols->edges;
    *edge++ = (struct edge){'\n', set_key(NEWLINE_SET)};
    *edge++ = (struct edge){'\n' + 1, set_key(NEWLINE_SET)};
    for (size_t i = 0; i < parts->n_sets; i++)
        for (size_t k = 0; k < parts->sets[i].n; k++) {
            *edge++ = (struct edge){parts->sets[i].ranges[k].first, set_key(i)};
            *edge++ = (struct edge){parts->sets[i].ranges[k].last + 1, set_key(i)};
        }
    symbols->n_edges = n;
    qsort(symbols->edges, n, sizeof *symbols->edges, compare_edges);
    return true;
}

/* Returns the symbol of a signature and makes a new one if needed, or returns -1 when all are taken. The newline is
 * always symbol 10, its own byte, so that PCRE2 knows it. */
static int symbol_of(struct symbols *symbols, uint64_t signature, bool newline)
{
    if (newline) {
        symbols->used['\n'] = true;
        symbols->signature['\n'] = signature;
        return '\n';
    }
    for (int i = 0; i < 256; i++) {
        if (i == '\n')
            continue;
        if (!symbols->used[i]) {
            symbols->used[i] = true;
            symbols->signature[i] = signature;
            return i;
        }
        if (symbols->signature[i] == signature)
            return i;
    }
    return -1;
}

/* Sets the row for one block of code points. Neighbouring blocks mostly have equal rows, so the last four are tried
 * before a new one is made. */
static bool add_row(struct tare_regex *regex, size_t block, const unsigned char row[BLOCK])
{
    for (size_t back = 0; back < 4 && back < regex->n_rows; back++)
        if (!memcmp(regex->rows[regex->n_rows - 1 - back], row, BLOCK)) {
            regex->row[block] = (uint16_t)(regex->n_rows - 1 - back);
            return true;
        }
    if (!tare_grow(&regex->rows, &regex->rows_room, regex->n_rows + 1, BLOCK))
        return false;
    memcpy(regex->rows[regex->n_rows], row, BLOCK);
    regex->row[block] = (uint16_t)regex->n_rows++;
    return true;
}

/* Gives every code point its symbol. The signature changes only at edges, so one symbol serves all code points up to
 * the next edge. */
static enum tare_code assign(struct tare_regex *regex, struct symbols *symbols, const char *where,
                             struct tare_error *err)
{
    unsigned char row[BLOCK];
    uint64_t signature = 0;
    size_t edge = 0;
    uint32_t at = 0;
    while (at < TARE_UNICODE_TOP) {
        for (; edge < symbols->n_edges && symbols->edges[edge].at <= at; edge++)
            signature ^= symbols->edges[edge].key;
        const uint32_t next = edge < symbols->n_edges ? symbols->edges[edge].at : TARE_UNICODE_TOP;
        const int symbol = symbol_of(symbols, signature, at == '\n');
        if (symbol < 0)
            return tare_fail(err, TARE_E_UNKNOWN, where,
                             "regular expression: it tells more than 255 kinds of characters apart; tare takes 255");
        for (; at < next && at < TARE_UNICODE_TOP; at++) {
            row[at % BLOCK] = (unsigned char)symbol;
            if (at % BLOCK == BLOCK - 1 && !add_row(regex, at / BLOCK, row))
                return tare_fail_memory(err);
        }
    }
    return TARE_OK;
}

/* Writes a set as a class of the symbols that occur in its ranges. An empty set becomes a class that matches
 * nothing. */
static void write_set(const struct tare_regex *regex, const struct tare_charset *set, struct tare_text *out)
{
    bool in[256] = {false};
    for (size_t i = 0; i < set->n; i++)
        for (uint32_t c = set->ranges[i].first; c <= set->ranges[i].last; c++) {
            in[regex->rows[regex->row[c / BLOCK]][c % BLOCK]] = true;
            /* If the whole block has one symbol, its other code points add nothing. */
            const unsigned char *row = regex->rows[regex->row[c / BLOCK]];
            if (c % BLOCK == 0 && set->ranges[i].last - c >= BLOCK && !memcmp(row, row + 1, BLOCK - 1))
                c += BLOCK - 1;
        }
    tare_text_puts(out, set->n ? "[" : "[^\\x00-\\xff");
    for (int i = 0; i < 256; i++) {
        if (!in[i])
            continue;
        int last = i;
        while (last < 255 && in[last + 1])
            last++;
        tare_text_format(out, last > i ? "\\x%02x-\\x%02x" : "\\x%02x", i, last);
        i = last;
    }
    tare_text_puts(out, "]");
}

/* ---- compiling --------------------------------------------------------------------------------------------------- */

static enum tare_code compile(struct tare_regex *regex, const struct tare_regex_parts *parts, const char *pattern,
                              const char *where, struct tare_error *err)
{
    struct tare_text out = {0};
    for (size_t i = 0; i < parts->n_items; i++)
        if (parts->items[i].set < 0)
            tare_text_puts(&out, parts->items[i].text);
        else
            write_set(regex, &parts->sets[parts->items[i].set], &out);
    tare_text_puts(&out, "");
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (out.failed || !context) {
        tare_text_release(&out);
        pcre2_compile_context_free(context);
        return tare_fail_memory(err);
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    int number;
    PCRE2_SIZE offset;
    regex->code = pcre2_compile((PCRE2_SPTR)out.data, out.size, PCRE2_MULTILINE | PCRE2_NO_AUTO_CAPTURE, &number,
                                &offset, context);
    pcre2_compile_context_free(context);
    tare_text_release(&out);
    if (!regex->code) {
        char message[128] = "";
        pcre2_get_error_message(number, (PCRE2_UCHAR *)message, sizeof message);
        return tare_fail(err, TARE_E_FORMAT, where, "regular expression: %s, in \"%.200s\"", message, pattern);
    }
    regex->jit = !pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
    return TARE_OK;
}

enum tare_code tare_regex_open(struct tare_regex **result, const char *pattern, size_t size, const char *where,
                               struct tare_error *err)
{
    struct tare_regex_parts parts = {0};
    struct symbols symbols = {0};
    struct tare_regex *regex = calloc(1, sizeof *regex);
    enum tare_code code = regex ? tare_regex_parse(&parts, pattern, size, where, err) : tare_fail_memory(err);
    if (!code && !collect_edges(&symbols, &parts))
        code = tare_fail_memory(err);
    if (!code)
        code = assign(regex, &symbols, where, err);
    if (!code)
        code = compile(regex, &parts, pattern, where, err);
    free(symbols.edges);
    tare_regex_parts_release(&parts);
    if (code) {
        tare_regex_free(regex);
        regex = NULL;
    }
    *result = regex;
    return code;
}

void tare_regex_free(struct tare_regex *regex)
{
    if (!regex)
        return;
    pcre2_code_free(regex->code);
    free(regex->rows);
    free(regex);
}

/* ---- matching ---------------------------------------------------------------------------------------------------- */

/* Makes what PCRE2 needs for matching: room for one pair of offsets and, where it was built with a JIT, a stack of 32 KiB
 * to 8 MiB for compiled patterns. */
static bool prepare(struct tare_matcher *matcher)
{
    uint32_t has_jit = 0;
    if (matcher->match)
        return true;
    pcre2_config(PCRE2_CONFIG_JIT, &has_jit);
    matcher->match = pcre2_match_data_create(1, NULL);
    matcher->context = pcre2_match_context_create(NULL);
    matcher->stack = has_jit ? pcre2_jit_stack_create((size_t)32 << 10, (size_t)8 << 20, NULL) : NULL;
    if (!matcher->match || !matcher->context || (has_jit && !matcher->stack))
        return false;
    if (has_jit)
        pcre2_jit_stack_assign(matcher->context, NULL, matcher->stack);
    return true;
}

/* Translates the text into symbols, one a character. */
enum tare_code tare_matcher_start(struct tare_matcher *matcher, const struct tare_regex *regex, const char *text,
                                  size_t size, struct tare_error *err)
{
    if (!prepare(matcher) || !tare_grow(&matcher->symbols, &matcher->room, size + 1, 1))
        return tare_fail_memory(err);
    matcher->regex = regex;
    matcher->text = text;
    matcher->size = size;
    matcher->from = matcher->seen_symbol = matcher->seen_byte = 0;
    matcher->last = SIZE_MAX;
    size_t n = 0;
    const unsigned char *ascii = regex->rows[regex->row[0]];
    for (size_t i = 0; i < size;) {
        if ((unsigned char)text[i] < 0x80) {
            matcher->symbols[n++] = ascii[(unsigned char)text[i++]];
            continue;
        }
        size_t bytes;
        const uint32_t c = tare_utf8_get(text + i, &bytes);
        matcher->symbols[n++] = regex->rows[regex->row[c / BLOCK]][c % BLOCK];
        i += bytes;
    }
    matcher->n = n;
    matcher->ascii = n == size;
    return TARE_OK;
}

/* Returns the byte at which a symbol's character begins. Calls must come in ascending order, since it counts on from
 * the last answer. */
static size_t byte_of(struct tare_matcher *matcher, size_t symbol)
{
    if (matcher->ascii)
        return symbol;
    for (; matcher->seen_symbol < symbol; matcher->seen_symbol++)
        matcher->seen_byte += tare_utf8_size(matcher->text[matcher->seen_byte]);
    return matcher->seen_byte;
}

static int search(struct tare_matcher *matcher)
{
    const struct tare_regex *regex = matcher->regex;
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    if (regex->jit)
        rc = pcre2_jit_match(regex->code, matcher->symbols, matcher->n, matcher->from, 0, matcher->match,
                             matcher->context);
    /* PCRE2's interpreter keeps its state on the heap. */
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(regex->code, matcher->symbols, matcher->n, matcher->from, PCRE2_NO_JIT, matcher->match,
                         matcher->context);
    return rc;
}

enum tare_code tare_matcher_next(struct tare_matcher *matcher, bool *found, size_t *start, size_t *end,
                                 struct tare_error *err)
{
    *found = false;
    while (matcher->from <= matcher->n) {
        const int rc = search(matcher);
        if (rc == PCRE2_ERROR_NOMATCH)
            break;
        if (rc < 0) {
            char message[128] = "";
            pcre2_get_error_message(rc, (PCRE2_UCHAR *)message, sizeof message);
            return tare_fail(err, TARE_E_FORMAT, "tokenizer.json",
                             "a regular expression gave up on this text (%s); look at its nested repetitions", message);
        }
        const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(matcher->match);
        const size_t s = offsets[0], e = offsets[1];
        /* An empty match directly after the last match does not count: look again one character later. */
        if (s == e && e == matcher->last) {
            matcher->from++;
            continue;
        }
        /* Only \K in a lookahead could make this happen. */
        if (s > e || s < matcher->seen_symbol)
            break;
        matcher->from = matcher->last = e;
        *start = byte_of(matcher, s);
        *end = byte_of(matcher, e);
        *found = true;
        break;
    }
    return TARE_OK;
}

void tare_matcher_release(struct tare_matcher *matcher)
{
    pcre2_match_data_free(matcher->match);
    pcre2_match_context_free(matcher->context);
    pcre2_jit_stack_free(matcher->stack);
    free(matcher->symbols);
    *matcher = (struct tare_matcher){0};
}
