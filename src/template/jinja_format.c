/* SPDX-License-Identifier: MIT
 * jinja_format.c - Python's two ways to format: "%s" % x and "{}".format(x). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/locale.h"
#include "template/jinja.h"
#include "text/unicode.h"

/* One conversion: what both ways ask for. */
struct spec {
    struct tare_jinja_value fill;
    /* One of < > ^ =, or 0 for the type's own. */
    char align;
    /* One of + - and space. */
    char sign;
    bool alternate, comma, underscore;
    int64_t width;
    /* -1 when none was given. */
    int64_t precision;
    /* The letter of the conversion, or 0. */
    char type;
};

static void pad(struct tare_jinja_state *s, struct tare_text *out, struct tare_jinja_value fill, int64_t n)
{
    if (n > (int64_t)TARE_JINJA_TEXT_MOST) {
        tare_jinja_fail_limit(s, "a width is too large");
        return;
    }
    while (n-- > 0 && !s->failed)
        tare_jinja_add_value(s, out, fill);
}

/* Writes digits, padded to the width. `prefix` is the sign and "0x", after which padding zeros go. */
static void put_aligned(struct tare_jinja_state *s, struct tare_text *out, const struct spec *spec, const char *prefix,
                        struct tare_jinja_value body, char align)
{
    const int64_t size = (int64_t)(strlen(prefix) + tare_jinja_characters(body.as.text, body.size));
    const int64_t room = spec->width > size ? spec->width - size : 0;
    if (spec->align)
        align = spec->align;
    if (align == '>' || align == '^')
        pad(s, out, spec->fill, align == '^' ? room / 2 : room);
    tare_jinja_puts(s, out, prefix);
    if (align == '=')
        pad(s, out, spec->fill, room);
    tare_jinja_add_value(s, out, body);
    if (align == '<' || align == '^')
        pad(s, out, spec->fill, align == '^' ? room - room / 2 : room);
}

/* Separates the digits before the point into groups of three. */
static void group(char *digits, size_t room, char separator)
{
    const size_t whole = strspn(digits, "0123456789"), size = strlen(digits);
    const size_t commas = whole ? (whole - 1) / 3 : 0;
    if (size + commas + 1 > room)
        return;
    memmove(digits + whole + commas, digits + whole, size - whole + 1);
    for (size_t i = whole, to = whole + commas, n = 0; i > 0 && to > i; n++) {
        if (n && n % 3 == 0)
            digits[--to] = separator;
        digits[--to] = digits[--i];
    }
}

static const char *sign_of(const struct spec *spec, bool negative)
{
    return negative ? "-" : spec->sign == '+' ? "+" : spec->sign == ' ' ? " " : "";
}

static void put_whole(struct tare_jinja_state *s, struct tare_text *out, const struct spec *spec, int64_t value)
{
    char digits[160], prefix[8];
    const uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    const char *mark = "";
    switch (spec->type) {
    case 'x':
        tare_format(digits, sizeof digits, "%" PRIx64, size);
        mark = "0x";
        break;
    case 'X':
        tare_format(digits, sizeof digits, "%" PRIX64, size);
        mark = "0X";
        break;
    case 'o':
        tare_format(digits, sizeof digits, "%" PRIo64, size);
        mark = "0o";
        break;
    case 'b': {
        size_t n = 0;
        for (int bit = 63; bit >= 0; bit--)
            if (n || size >> bit & 1 || !bit)
                digits[n++] = (char)('0' + (size >> bit & 1));
        digits[n] = '\0';
        mark = "0b";
        break;
    }
    case 'c':
        digits[tare_utf8_put(digits, (uint32_t)size)] = '\0'; /* checked before */
        break;
    default:
        tare_format(digits, sizeof digits, "%" PRIu64, size);
    }
    if (spec->comma || spec->underscore)
        group(digits, sizeof digits, spec->comma ? ',' : '_');
    tare_format(prefix, sizeof prefix, "%s%s", sign_of(spec, value < 0), spec->alternate ? mark : "");
    put_aligned(s, out, spec, prefix, tare_jinja_word(digits), '>');
}

static void put_real(struct tare_jinja_state *s, struct tare_text *out, const struct spec *spec, double value)
{
    char digits[700] = "", word[40], format[8] = "%.*f";
    const char type = spec->type == 'n' ? 'g' : spec->type;
    const int precision = spec->precision < 0 ? 6 : (int)spec->precision;
    const double size = fabs(value);
    if (spec->precision > 300) {
        tare_jinja_fail_limit(s, "a precision is too large");
        return;
    }
    if (isnan(value) || isinf(value)) {
        tare_format(digits, sizeof digits, "%s", isnan(value) ? "nan" : "inf");
    } else if (!type && spec->precision < 0) {
        tare_jinja_real_print(size, word);
        tare_format(digits, sizeof digits, "%s", word);
    } else if (type == '%') {
        tare_format(digits, sizeof digits, "%.*f%%", precision, size * 100);
    } else {
        format[3] = type ? type : 'g';
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        tare_format(digits, sizeof digits, format, precision, size);
#pragma GCC diagnostic pop
    }
    if (spec->comma || spec->underscore)
        group(digits, sizeof digits, spec->comma ? ',' : '_');
    put_aligned(s, out, spec, sign_of(spec, signbit(value) && !isnan(value)), tare_jinja_word(digits), '>');
}

static void put_text(struct tare_jinja_state *s, struct tare_text *out, const struct spec *spec,
                     struct tare_jinja_value text)
{
    if (spec->precision >= 0)
        text.size = tare_jinja_offset(text.as.text, text.size, (size_t)spec->precision);
    put_aligned(s, out, spec, "", text, '<');
}

/* ---- % ----------------------------------------------------------------------------------------------------------- */

struct percent {
    struct tare_jinja_state *s;
    const char *p, *end;
    struct tare_jinja_value values; /* a tuple, or one value */
    const struct tare_jinja_args *args;
    size_t used;
};

static struct tare_jinja_value next_value(struct percent *f)
{
    const struct tare_jinja_value *items = &f->values;
    size_t n = 1;
    if (f->args) {
        items = f->args->items;
        n = f->args->n;
    } else if (f->values.kind == TARE_JINJA_TUPLE) {
        items = f->values.as.list->items;
        n = f->values.as.list->n;
    }
    return f->used < n ? items[f->used++] : tare_jinja_fail(f->s, "not enough arguments for format string");
}

static int64_t percent_number(struct percent *f)
{
    int64_t n = 0;
    if (f->p < f->end && *f->p == '*') {
        f->p++;
        return tare_jinja_need_whole(f->s, next_value(f), 0);
    }
    for (; f->p < f->end && *f->p >= '0' && *f->p <= '9'; f->p++)
        if ((n = n * 10 + *f->p - '0') > (int64_t)TARE_JINJA_TEXT_MOST)
            tare_jinja_fail_limit(f->s, "a width is too large"), n = 0;
    return n;
}

static struct tare_jinja_value keyed_value(struct percent *f)
{
    const char *close = memchr(f->p, ')', (size_t)(f->end - f->p));
    if (!close)
        return tare_jinja_fail(f->s, "incomplete format key");
    const struct tare_jinja_value key = tare_jinja_text(f->p, (size_t)(close - f->p));
    const struct tare_jinja_value *value = NULL;
    f->p = close + 1;
    f->used = 1;
    if (f->args) {
        for (size_t i = 0; i < f->args->n_named && !value; i++)
            value = tare_jinja_equal(f->s, f->args->named[i].key, key) ? &f->args->named[i].value : NULL;
    } else if (f->values.kind == TARE_JINJA_DICT) {
        value = tare_jinja_dict_get(f->s, f->values.as.dict, key);
    } else {
        return tare_jinja_fail(f->s, "format requires a mapping");
    }
    return value ? *value : tare_jinja_fail(f->s, "'%.*s'", (int)key.size, key.as.text);
}

static void percent_put(struct percent *f, struct tare_text *out, struct spec *spec, struct tare_jinja_value value)
{
    struct tare_jinja_state *const s = f->s;
    int64_t whole;
    const char type = spec->type;
    if (s->failed)
        return;
    if (type == 's' || type == 'r' || type == 'a') {
        struct tare_text repr = {0};
        if (type != 's')
            tare_jinja_repr(s, &repr, value, 0);
        const struct tare_jinja_value text = type == 's' ? tare_jinja_string(s, value) : tare_jinja_take(s, &repr);
        if (!s->failed) {
            spec->align = spec->align == '<' ? '<' : '>';
            spec->fill = tare_jinja_word(" ");
            put_text(s, out, spec, text);
        }
    } else if (strchr("diuxXo", type)) {
        if (value.kind == TARE_JINJA_FLOAT && strchr("diu", type) && fabs(value.as.real) < 0x1p62)
            value = tare_jinja_whole((int64_t)value.as.real);
        if (!tare_jinja_as_whole(value, &whole))
            tare_jinja_fail(s, "%%%c format: a real number is required, not %s", type, tare_jinja_type(value));
        else
            put_whole(s, out, spec, whole);
    } else if (strchr("eEfFgG", type)) {
        if (tare_jinja_is_number(value))
            put_real(s, out, spec, tare_jinja_as_real(value));
        else
            tare_jinja_fail(s, "must be real number, not %s", tare_jinja_type(value));
    } else if (type == 'c' && value.kind == TARE_JINJA_TEXT) {
        put_text(s, out, spec, value);
    } else {
        tare_jinja_fail(s, "unsupported format character '%c'", type);
    }
}

static void percent_one(struct percent *f, struct tare_text *out)
{
    struct spec spec = {.fill = tare_jinja_word(" "), .precision = -1};
    struct tare_jinja_value value = tare_jinja_make(TARE_JINJA_ABSENT);
    if (f->p < f->end && *f->p == '(') {
        f->p++;
        value = keyed_value(f);
    }
    for (; f->p < f->end && *f->p && strchr("#0- +", *f->p); f->p++) {
        if (*f->p == '-')
            spec.align = '<';
        else if (*f->p == '0' && spec.align != '<')
            spec.align = '=', spec.fill = tare_jinja_word("0");
        else if (*f->p == '#')
            spec.alternate = true;
        else if (*f->p == '+' || spec.sign != '+')
            spec.sign = *f->p;
    }
    if (spec.align == '<')
        spec.fill = tare_jinja_word(" ");
    spec.width = percent_number(f);
    if (f->p < f->end && *f->p == '.') {
        f->p++;
        spec.precision = percent_number(f);
    }
    if (f->p >= f->end) {
        tare_jinja_fail(f->s, "incomplete format");
        return;
    }
    spec.type = *f->p++;
    if (spec.type == '%') {
        tare_jinja_puts(f->s, out, "%");
        return;
    }
    if (value.kind == TARE_JINJA_ABSENT && !f->s->failed)
        value = next_value(f);
    percent_put(f, out, &spec, value);
}

struct tare_jinja_value tare_jinja_percent(struct tare_jinja_state *s, struct tare_jinja_value format,
                                           struct tare_jinja_value values, const struct tare_jinja_args *args)
{
    struct percent f = {s, format.as.text, format.as.text + format.size, values, args, 0};
    struct tare_text out = {0};
    while (f.p < f.end && !s->failed) {
        const char *sign = memchr(f.p, '%', (size_t)(f.end - f.p));
        tare_jinja_add(s, &out, f.p, (size_t)((sign ? sign : f.end) - f.p));
        f.p = sign ? sign + 1 : f.end;
        if (sign)
            percent_one(&f, &out);
    }
    const size_t given = args                              ? args->n
                         : values.kind == TARE_JINJA_TUPLE ? values.as.list->n
                         : values.kind == TARE_JINJA_DICT  ? 0
                                                           : 1;
    if (!s->failed && f.used < given)
        tare_jinja_fail(s, "not all arguments converted during string formatting");
    return tare_jinja_take(s, &out);
}

/* ---- {} ---------------------------------------------------------------------------------------------------------- */

struct braces {
    struct tare_jinja_state *s;
    const struct tare_jinja_args *args;
    size_t next;
};

static struct tare_jinja_value field_value(struct braces *f, struct tare_jinja_value name)
{
    int64_t at = 0;
    size_t n = 0;
    while (n < name.size && name.as.text[n] != '.' && name.as.text[n] != '[')
        n++;
    const struct tare_jinja_value first = tare_jinja_text(name.as.text, n);
    struct tare_jinja_value value = tare_jinja_make(TARE_JINJA_ABSENT);
    if (!n || (tare_jinja_parse_whole(first, 10, &at) && at >= 0)) {
        at = n ? at : (int64_t)f->next++;
        if ((size_t)at < f->args->n)
            value = f->args->items[at];
    } else {
        for (size_t i = 0; i < f->args->n_named; i++)
            if (tare_jinja_equal(f->s, f->args->named[i].key, first))
                value = f->args->named[i].value;
    }
    if (value.kind == TARE_JINJA_ABSENT)
        return tare_jinja_fail(f->s, "format: no argument for '%.*s'", (int)n, name.as.text);
    while (n < name.size && !f->s->failed) {
        const bool dot = name.as.text[n++] == '.';
        size_t m = n;
        while (m < name.size && (dot ? name.as.text[m] != '.' && name.as.text[m] != '[' : name.as.text[m] != ']'))
            m++;
        const struct tare_jinja_value key = tare_jinja_text(name.as.text + n, m - n);
        const bool number = !dot && tare_jinja_parse_whole(key, 10, &at);
        value = dot ? tare_jinja_attribute(f->s, value, key)
                    : tare_jinja_item(f->s, value, number ? tare_jinja_whole(at) : key);
        n = m + !dot;
    }
    return value;
}

static bool parse_spec(struct tare_jinja_state *s, struct tare_jinja_value text, struct spec *spec)
{
    const char *p = text.as.text, *end = p + text.size;
    *spec = (struct spec){.fill = tare_jinja_word(" "), .precision = -1};
    const size_t n = text.size ? tare_utf8_size(*p) : 0;
    if (n && n < text.size && strchr("<>=^", p[n])) {
        spec->fill = tare_jinja_text(p, n);
        spec->align = p[n];
        p += n + 1;
    } else if (p < end && *p && strchr("<>=^", *p)) {
        spec->align = *p++;
    }
    if (p < end && *p && strchr("+- ", *p))
        spec->sign = *p++;
    if (p < end && *p == '#')
        spec->alternate = p++ != NULL;
    if (p < end && *p == '0' && !spec->align) {
        spec->align = '=';
        spec->fill = tare_jinja_word("0");
    }
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        if ((spec->width = spec->width * 10 + *p - '0') > (int64_t)TARE_JINJA_TEXT_MOST)
            return tare_jinja_fail_limit(s, "a width is too large"), false;
    if (p < end && (*p == ',' || *p == '_')) {
        spec->comma = *p == ',';
        spec->underscore = *p++ == '_';
    }
    if (p < end && *p == '.') {
        spec->precision = 0;
        for (p++; p < end && *p >= '0' && *p <= '9'; p++)
            if ((spec->precision = spec->precision * 10 + *p - '0') > (int64_t)TARE_JINJA_TEXT_MOST)
                return tare_jinja_fail_limit(s, "a precision is too large"), false;
    }
    if (p < end)
        spec->type = *p++;
    return p == end ? true
                    : (tare_jinja_fail(s, "invalid format specifier '%.*s'", (int)text.size, text.as.text), false);
}

static void put_field(struct tare_jinja_state *s, struct tare_text *out, struct tare_jinja_value value,
                      struct tare_jinja_value text)
{
    struct spec spec;
    int64_t whole;
    if (s->failed || !parse_spec(s, text, &spec))
        return;
    if (!text.size) {
        tare_jinja_print(s, out, value);
    } else if (value.kind == TARE_JINJA_TEXT && (!spec.type || spec.type == 's')) {
        put_text(s, out, &spec, value);
    } else if (tare_jinja_as_whole(value, &whole) &&
               (!spec.type || strchr("dxXobn", spec.type) || (spec.type == 'c' && whole > 0 && whole < 0xd800))) {
        put_whole(s, out, &spec, whole);
    } else if (tare_jinja_is_number(value) && (!spec.type || strchr("eEfFgGn%", spec.type))) {
        put_real(s, out, &spec, tare_jinja_as_real(value));
    } else {
        tare_jinja_fail(s, "unknown format code '%c' for object of type '%s'", spec.type ? spec.type : ' ',
                        tare_jinja_type(value));
    }
}

/* Formats one field; `text` is what stands between the braces: name!r:spec. */
static void one_field(struct braces *f, struct tare_text *out, struct tare_jinja_value text)
{
    size_t n = 0;
    while (n < text.size && text.as.text[n] != '!' && text.as.text[n] != ':')
        n++;
    struct tare_jinja_value value = field_value(f, tare_jinja_text(text.as.text, n));
    if (n + 1 < text.size && text.as.text[n] == '!') {
        struct tare_text word = {0};
        if (text.as.text[n + 1] == 's')
            tare_jinja_print(f->s, &word, value);
        else
            tare_jinja_repr(f->s, &word, value, 0);
        value = tare_jinja_take(f->s, &word);
        n += 2;
    }
    const size_t from = n < text.size && text.as.text[n] == ':' ? n + 1 : n;
    put_field(f->s, out, value, tare_jinja_text(text.as.text + from, text.size - from));
}

struct tare_jinja_value tare_jinja_format(struct tare_jinja_state *s, struct tare_jinja_value format,
                                          const struct tare_jinja_args *args)
{
    struct braces f = {s, args, 0};
    struct tare_text out = {0};
    const char *p = format.as.text, *end = p + format.size;
    while (p < end && !s->failed) {
        if ((*p == '{' || *p == '}') && p + 1 < end && p[1] == *p) {
            tare_jinja_add(s, &out, p, 1);
            p += 2;
        } else if (*p == '{') {
            const char *close = memchr(p, '}', (size_t)(end - p));
            if (!close) {
                tare_jinja_fail(s, "expected '}' before end of string");
                break;
            }
            one_field(&f, &out, tare_jinja_text(p + 1, (size_t)(close - p) - 1));
            p = close + 1;
        } else if (*p == '}') {
            tare_jinja_fail(s, "single '}' encountered in format string");
        } else {
            const char *from = p;
            while (p < end && *p != '{' && *p != '}')
                p++;
            tare_jinja_add(s, &out, from, (size_t)(p - from));
        }
    }
    return tare_jinja_take(s, &out);
}
