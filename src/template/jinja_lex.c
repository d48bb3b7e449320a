/* SPDX-License-Identifier: MIT
 * jinja_lex.c - cuts a template's text into tokens. White space is removed as Jinja2 does with trim_blocks and
 * lstrip_blocks, and a newline at the very end is dropped. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "template/jinja.h"
#include "text/unicode.h"

struct lexer {
    struct tare_jinja_state *s;
    struct tare_jinja_tokens *tokens;
    const char *text;
    size_t at, size;
    int line;
    /* What came last ended a line. */
    bool line_starts;
    char open[TARE_JINJA_NEST_MOST];
    int n_open;
};

static void put(struct lexer *x, enum tare_jinja_token_kind kind, struct tare_jinja_value value)
{
    if (!tare_grow(&x->tokens->items, &x->tokens->room, x->tokens->n + 1, sizeof *x->tokens->items)) {
        x->s->failed = true;
        x->s->code = tare_fail_memory(x->s->err);
        return;
    }
    x->tokens->items[x->tokens->n++] = (struct tare_jinja_token){(uint8_t)kind, x->line, value};
}

static bool at(const struct lexer *x, const char *word)
{
    const size_t n = strlen(word);
    return x->size - x->at >= n && !memcmp(x->text + x->at, word, n);
}

static void move(struct lexer *x, size_t to)
{
    for (; x->at < to; x->at++)
        x->line += x->text[x->at] == '\n';
}

static size_t skip_space(const struct lexer *x, size_t from)
{
    size_t n;
    while (from < x->size && tare_jinja_class(C_SPACE, tare_utf8_get(x->text + from, &n)))
        from += n;
    return from;
}

/* Puts the text before a tag as a T_DATA token. The character at `sign`, the tag's first, is "-" to cut white space,
 * "+" to keep it. */
static void put_data(struct lexer *x, size_t from, size_t to, char sign, bool variable)
{
    struct tare_jinja_value text = tare_jinja_text(x->text + from, to - from);
    if (sign == '-') {
        text = tare_jinja_strip(text, tare_jinja_make(TARE_JINJA_NONE), STRIP_RIGHT);
    } else if (sign != '+' && !variable) {
        size_t start = text.size;
        while (start && text.as.text[start - 1] != '\n')
            start--;
        if ((start || x->line_starts) && !tare_jinja_strip(tare_jinja_text(text.as.text + start, text.size - start),
                                                           tare_jinja_make(TARE_JINJA_NONE), STRIP_LEFT)
                                              .size)
            text.size = start;
    }
    if (text.size)
        put(x, T_DATA, text);
}

/* Continues after the end of a tag; its sign says what white space is skipped. */
static void leave(struct lexer *x, size_t end, char sign, bool trim)
{
    size_t to = end;
    if (sign == '-')
        to = skip_space(x, end);
    else if (sign != '+' && trim && end < x->size && x->text[end] == '\n')
        to++;
    move(x, to);
    x->line_starts = to && x->text[to - 1] == '\n';
}

static void lex_comment(struct lexer *x)
{
    const char *end = NULL;
    for (const char *p = x->text + x->at + 2; p + 1 < x->text + x->size && !end; p++)
        if (p[0] == '#' && p[1] == '}')
            end = p;
    x->s->line = x->line;
    if (!end) {
        tare_jinja_fail(x->s, "a comment has no end: #} is missing");
        return;
    }
    const size_t e = (size_t)(end - x->text);
    const char sign = e > x->at + 2 ? end[-1] : ' ';
    leave(x, e + 2, sign, true);
}

/* Does "{%- word -%}" stand at `from`? Returns the place past its end, or 0. */
static size_t word_tag(const struct lexer *x, size_t from, const char *word, char *end_sign)
{
    const size_t n = strlen(word);
    size_t p = from + 2;
    if (p < x->size && (x->text[p] == '-' || x->text[p] == '+'))
        p++;
    p = skip_space(x, p);
    if (x->size - p < n || memcmp(x->text + p, word, n))
        return 0;
    p = skip_space(x, p + n);
    *end_sign = p < x->size && (x->text[p] == '-' || x->text[p] == '+') ? x->text[p++] : ' ';
    return x->size - p >= 2 && !memcmp(x->text + p, "%}", 2) ? p + 2 : 0;
}

static bool lex_raw(struct lexer *x)
{
    char sign, last;
    const size_t begin = word_tag(x, x->at, "raw", &sign);
    if (!begin || sign == '+')
        return false;
    leave(x, begin, sign, false);
    const size_t from = x->at;
    for (size_t p = from; p + 1 < x->size; p++) {
        const size_t end = x->text[p] == '{' && x->text[p + 1] == '%' ? word_tag(x, p, "endraw", &last) : 0;
        if (!end)
            continue;
        put_data(x, from, p, p + 2 < x->size ? x->text[p + 2] : ' ', false);
        leave(x, end, last, true);
        return true;
    }
    x->s->line = x->line;
    tare_jinja_fail(x->s, "a raw block has no end: {%% endraw %%} is missing");
    return true;
}

static void put_character(struct lexer *x, struct tare_text *out, uint32_t c)
{
    char bytes[4];
    if (c >= TARE_UNICODE_TOP || (c >= 0xd800 && c < 0xe000))
        tare_jinja_fail(x->s, "an escape in a string names no character (U+%X)", c);
    else
        tare_jinja_add(x->s, out, bytes, tare_utf8_put(bytes, c));
}

/* Writes the character of an escape \x, \u or \U and returns the number of digits used. */
static size_t hex_escape(struct lexer *x, struct tare_text *out, const char *p, const char *end, size_t digits,
                         char name)
{
    uint32_t c = 0;
    for (size_t i = 0; i < digits; i++) {
        if (p + i >= end || tare_hex_digit(p[i]) < 0) {
            tare_jinja_fail(x->s, "an escape \\%c in a string is cut short: it takes %zu hexadecimal digits", name,
                            digits);
            return 0;
        }
        c = c << 4 | (uint32_t)tare_hex_digit(p[i]);
    }
    put_character(x, out, c);
    return digits;
}

static size_t octal_escape(struct lexer *x, struct tare_text *out, const char *p, const char *end)
{
    uint32_t c = 0;
    size_t n = 0;
    for (; n < 3 && p + n < end && p[n] >= '0' && p[n] <= '7'; n++)
        c = c * 8 + (uint32_t)(p[n] - '0');
    put_character(x, out, c);
    return n;
}

/* Writes what an escape means; p is past the backslash. Returns the bytes used. */
static size_t escape(struct lexer *x, struct tare_text *out, const char *p, const char *end)
{
    static const char names[] = "\\'\"abfnrtv", values[] = "\\'\"\a\b\f\n\r\t\v";
    const char *simple = strchr(names, *p);
    if (*p && simple) {
        tare_jinja_add(x->s, out, &values[simple - names], 1);
        return 1;
    }
    if (*p == '\n')
        return 1;
    if (*p == 'x' || *p == 'u' || *p == 'U')
        return 1 + hex_escape(x, out, p + 1, end, *p == 'x' ? 2 : *p == 'u' ? 4 : 8, *p);
    if (*p >= '0' && *p <= '7')
        return octal_escape(x, out, p, end);
    if (*p == 'N') {
        tare_jinja_fail(x->s, "the escape \\N{..} in a string is not supported; write \\u and the number");
        return 1;
    }
    tare_jinja_add(x->s, out, "\\", 1);
    return 0;
}

static void lex_string(struct lexer *x)
{
    const char quote = x->text[x->at];
    const size_t from = x->at + 1;
    size_t to = from;
    bool escapes = false;
    for (; to < x->size && x->text[to] != quote; to++)
        if (x->text[to] == '\\') {
            escapes = true;
            to++;
        }
    if (to >= x->size) {
        tare_jinja_fail(x->s, "a string has no end: %c is missing", quote);
        return;
    }
    struct tare_jinja_value value = tare_jinja_text(x->text + from, to - from);
    if (escapes) {
        struct tare_text out = {0};
        const char *end = x->text + to;
        for (const char *p = x->text + from; p < end && !x->s->failed;) {
            if (*p != '\\')
                tare_jinja_add(x->s, &out, p++, 1);
            else
                p += 1 + escape(x, &out, p + 1, end);
        }
        value = tare_jinja_take(x->s, &out);
    }
    put(x, T_TEXT, value);
    move(x, to + 1);
}

static bool digit_of(char c, int base)
{
    const int value = tare_hex_digit(c);
    return value >= 0 && value < base;
}

/* Skips digits with single underscores between them; returns the place past their end. */
static size_t digits(const struct lexer *x, size_t p, int base)
{
    while (p < x->size &&
           (digit_of(x->text[p], base) || (x->text[p] == '_' && p + 1 < x->size && digit_of(x->text[p + 1], base))))
        p++;
    return p;
}

static void put_number(struct lexer *x, size_t from, size_t to, bool real, int base)
{
    char word[64];
    size_t n = 0;
    for (size_t p = from; p < to; p++) {
        if (x->text[p] == '_')
            continue;
        if (n + 1 == sizeof word) {
            tare_jinja_fail_limit(x->s, "a number has more than %zu digits", sizeof word - 1);
            return;
        }
        word[n++] = x->text[p];
    }
    word[n] = '\0';
    errno = 0;
    if (real) {
        double value = 0;
        tare_jinja_parse_real(tare_jinja_text(word, n), &value);
        put(x, T_FLOAT, tare_jinja_real(value));
    } else {
        const long long value = strtoll(word, NULL, base);
        if (errno)
            tare_jinja_fail_limit(x->s, "the integer %s does not fit 64 bits", word);
        put(x, T_INTEGER, tare_jinja_whole(value));
    }
    move(x, to);
}

static void lex_number(struct lexer *x)
{
    const size_t from = x->at, whole = digits(x, from, 10);
    const char next = from + 1 < x->size ? (char)(x->text[from + 1] | 32) : ' ';
    const int base = x->text[from] != '0' ? 10 : next == 'x' ? 16 : next == 'o' ? 8 : next == 'b' ? 2 : 10;
    size_t p = whole;
    if (base != 10 && digits(x, from + 2, base) > from + 2) {
        put_number(x, from + 2, digits(x, from + 2, base), false, base);
        return;
    }
    const bool after_dot = from && x->text[from - 1] == '.';
    if (!after_dot && p + 1 < x->size && x->text[p] == '.' && digit_of(x->text[p + 1], 10))
        p = digits(x, p + 1, 10);
    if (!after_dot && p < x->size && (x->text[p] | 32) == 'e') {
        const size_t e = p + 1 < x->size && (x->text[p + 1] == '+' || x->text[p + 1] == '-') ? p + 2 : p + 1;
        if (e < x->size && digit_of(x->text[e], 10))
            p = digits(x, e, 10);
    }
    if (p > whole) {
        put_number(x, from, p, true, 10);
        return;
    }
    /* A whole number that begins with 0 has only zeros. */
    size_t to = whole;
    if (x->text[from] == '0')
        for (to = from + 1; to < whole && (x->text[to] == '0' || x->text[to] == '_');)
            to++;
    put_number(x, from, to, false, 10);
}

static const struct {
    char text[3];
    uint8_t kind;
} operators[] = {{"**", T_POW},     {"//", T_FLOORDIV}, {"==", T_EQ},      {"!=", T_NE},      {">=", T_GE},
                 {"<=", T_LE},      {"+", T_ADD},       {"-", T_SUB},      {"/", T_DIV},      {"*", T_MUL},
                 {"%", T_MOD},      {"~", T_TILDE},     {"[", T_LBRACKET}, {"]", T_RBRACKET}, {"(", T_LPAREN},
                 {")", T_RPAREN},   {"{", T_LBRACE},    {"}", T_RBRACE},   {">", T_GT},       {"<", T_LT},
                 {"=", T_ASSIGN},   {".", T_DOT},       {":", T_COLON},    {"|", T_PIPE},     {",", T_COMMA},
                 {";", T_SEMICOLON}};

static void balance(struct lexer *x, char c)
{
    if (c == '(' || c == '[' || c == '{') {
        if (x->n_open == TARE_JINJA_NEST_MOST)
            tare_jinja_fail_limit(x->s, "parentheses are nested more than %d deep", TARE_JINJA_NEST_MOST);
        else
            x->open[x->n_open++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
        if (!x->n_open)
            tare_jinja_fail(x->s, "unexpected '%c'", c);
        else if (x->open[--x->n_open] != c)
            tare_jinja_fail(x->s, "unexpected '%c', expected '%c'", c, x->open[x->n_open]);
    }
}

static void lex_operator(struct lexer *x)
{
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (at(x, operators[i].text)) {
            put(x, operators[i].kind, tare_jinja_word(operators[i].text));
            if (!operators[i].text[1])
                balance(x, *operators[i].text);
            move(x, x->at + strlen(operators[i].text));
            return;
        }
    tare_jinja_fail(x->s, "unexpected character '%.*s'", (int)tare_utf8_size(x->text[x->at]), x->text + x->at);
}

static void lex_name(struct lexer *x)
{
    size_t p = x->at, n;
    while (p < x->size && tare_jinja_class(C_WORD, tare_utf8_get(x->text + p, &n)))
        p += n;
    put(x, T_NAME, tare_jinja_text(x->text + x->at, p - x->at));
    move(x, p);
}

/* Does the tag end here, with "-%}" or "}}"? Returns the length of the end without the brace, or 0. */
static size_t tag_ends(const struct lexer *x, char last)
{
    const bool sign = x->text[x->at] == '-' || (x->text[x->at] == '+' && last == '%');
    const size_t p = x->at + sign;
    return p + 1 < x->size && x->text[p] == last && x->text[p + 1] == '}' ? 2 + (size_t)sign : 0;
}

/* Reads the tokens from past {{ or {% to the end of the tag. */
static void lex_tag(struct lexer *x, bool variable)
{
    size_t n;
    x->n_open = 0;
    while (!x->s->failed) {
        move(x, skip_space(x, x->at));
        x->s->line = x->line;
        if (x->at == x->size) {
            put(x, T_END, tare_jinja_word(""));
            return;
        }
        const size_t end = x->n_open ? 0 : tag_ends(x, variable ? '}' : '%');
        if (end) {
            put(x, variable ? T_VARIABLE_END : T_BLOCK_END, tare_jinja_word(""));
            leave(x, x->at + end, x->text[x->at], !variable);
            return;
        }
        const char c = x->text[x->at];
        if (c >= '0' && c <= '9')
            lex_number(x);
        else if (tare_jinja_class(C_WORD, tare_utf8_get(x->text + x->at, &n)))
            lex_name(x);
        else if (c == '"' || c == '\'')
            lex_string(x);
        else
            lex_operator(x);
    }
}

static size_t next_tag(const struct lexer *x)
{
    size_t p = x->at;
    for (; p + 1 < x->size; p++)
        if (x->text[p] == '{' && (x->text[p + 1] == '{' || x->text[p + 1] == '%' || x->text[p + 1] == '#'))
            return p;
    return x->size;
}

static void lex_all(struct lexer *x)
{
    while (x->at < x->size && !x->s->failed) {
        const size_t from = x->at, tag = next_tag(x);
        if (tag == x->size) {
            put(x, T_DATA, tare_jinja_text(x->text + from, tag - from));
            break;
        }
        const char kind = x->text[tag + 1], sign = tag + 2 < x->size ? x->text[tag + 2] : ' ';
        const bool signed_tag = sign == '-' || sign == '+';
        put_data(x, from, tag, sign, kind == '{');
        move(x, tag);
        if (kind == '#') {
            lex_comment(x);
        } else if (kind != '%' || !lex_raw(x)) {
            put(x, kind == '%' ? T_BLOCK_BEGIN : T_VARIABLE_BEGIN, tare_jinja_word(""));
            move(x, tag + 2 + signed_tag);
            lex_tag(x, kind == '{');
        }
    }
    put(x, T_END, tare_jinja_word(""));
}

bool tare_jinja_lex(struct tare_jinja_state *s, const char *text, size_t size, struct tare_jinja_tokens *tokens)
{
    struct lexer x = {.s = s, .tokens = tokens, .line = 1, .line_starts = true};
    char *copy = tare_jinja_alloc(s, size + 1, 1);
    if (!copy)
        return false;
    /* CR LF and CR become LF, as Jinja2 does. */
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\r' && i + 1 < size && text[i + 1] == '\n')
            continue;
        copy[x.size++] = text[i] == '\r' ? '\n' : text[i];
    }
    if (x.size && copy[x.size - 1] == '\n')
        x.size--;
    x.text = copy;
    lex_all(&x);
    return !s->failed;
}
