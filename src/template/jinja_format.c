/* SPDX-License-Identifier: MIT
 * jinja_format.c - Python's two ways to format: "%s" % x and "{}".format(x). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "template/jinja.h"
#include "text/unicode.h"

/* One conversion: what both ways ask for. */
struct spec {
    struct j_value fill;
    char align; /* < > ^ =, 0: by type */
    char sign;  /* + - space */
    bool alternate, comma, underscore;
    int64_t width, precision; /* precision -1: none */
    char type;                /* 0: none */
};

static void pad(struct j_state *s, struct tare_text *out, struct j_value fill, int64_t n)
{
    if (n > (int64_t)J_TEXT_MOST) {
        j_fail_limit(s, "a width is too large");
        return;
    }
    while (n-- > 0 && !s->failed)
        j_add_value(s, out, fill);
}

/* prefix: sign and "0x", which zeros go behind. */
static void put_aligned(struct j_state *s, struct tare_text *out, const struct spec *spec, const char *prefix,
                        struct j_value body, char align)
{
    const int64_t size = (int64_t)(strlen(prefix) + j_characters(body.as.text, body.size));
    const int64_t room = spec->width > size ? spec->width - size : 0;
    if (spec->align)
        align = spec->align;
    if (align == '>' || align == '^')
        pad(s, out, spec->fill, align == '^' ? room / 2 : room);
    j_puts(s, out, prefix);
    if (align == '=')
        pad(s, out, spec->fill, room);
    j_add_value(s, out, body);
    if (align == '<' || align == '^')
        pad(s, out, spec->fill, align == '^' ? room - room / 2 : room);
}

/* Digits in front of the point in groups of three. */
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

static void put_whole(struct j_state *s, struct tare_text *out, const struct spec *spec, int64_t value)
{
    char digits[160], prefix[8];
    const uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    const char *mark = "";
    switch (spec->type) {
    case 'x':
        snprintf(digits, sizeof digits, "%" PRIx64, size);
        mark = "0x";
        break;
    case 'X':
        snprintf(digits, sizeof digits, "%" PRIX64, size);
        mark = "0X";
        break;
    case 'o':
        snprintf(digits, sizeof digits, "%" PRIo64, size);
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
    default:
        snprintf(digits, sizeof digits, "%" PRIu64, size);
    }
    if (spec->comma || spec->underscore)
        group(digits, sizeof digits, spec->comma ? ',' : '_');
    snprintf(prefix, sizeof prefix, "%s%s", sign_of(spec, value < 0), spec->alternate ? mark : "");
    put_aligned(s, out, spec, prefix, j_word(digits), '>');
}

static void put_real(struct j_state *s, struct tare_text *out, const struct spec *spec, double value)
{
    char digits[700] = "", word[40], format[8] = "%.*f";
    const char type = spec->type == 'n' ? 'g' : spec->type;
    const int precision = spec->precision < 0 ? 6 : (int)spec->precision;
    const double size = fabs(value);
    if (spec->precision > 300) {
        j_fail_limit(s, "a precision is too large");
        return;
    }
    if (isnan(value) || isinf(value)) {
        snprintf(digits, sizeof digits, "%s", isnan(value) ? "nan" : "inf");
    } else if (!type && spec->precision < 0) {
        j_real_print(size, word);
        snprintf(digits, sizeof digits, "%s", word);
    } else if (type == '%') {
        snprintf(digits, sizeof digits, "%.*f%%", precision, size * 100);
    } else {
        format[3] = type ? type : 'g';
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(digits, sizeof digits, format, precision, size);
#pragma GCC diagnostic pop
    }
    if (spec->comma || spec->underscore)
        group(digits, sizeof digits, spec->comma ? ',' : '_');
    put_aligned(s, out, spec, sign_of(spec, signbit(value) && !isnan(value)), j_word(digits), '>');
}

static void put_text(struct j_state *s, struct tare_text *out, const struct spec *spec, struct j_value text)
{
    if (spec->precision >= 0)
        text.size = j_offset(text.as.text, text.size, (size_t)spec->precision);
    put_aligned(s, out, spec, "", text, '<');
}

/* ---- % ----------------------------------------------------------------------------------------------------------- */

struct percent {
    struct j_state *s;
    const char *p, *end;
    struct j_value values; /* a tuple, or one value */
    const struct j_args *args;
    size_t used;
};

static struct j_value next_value(struct percent *f)
{
    const struct j_value *items = &f->values;
    size_t n = 1;
    if (f->args) {
        items = f->args->items;
        n = f->args->n;
    } else if (f->values.kind == J_TUPLE) {
        items = f->values.as.list->items;
        n = f->values.as.list->n;
    }
    return f->used < n ? items[f->used++] : j_fail(f->s, "not enough arguments for format string");
}

static int64_t percent_number(struct percent *f)
{
    int64_t n = 0;
    if (f->p < f->end && *f->p == '*') {
        f->p++;
        return j_need_whole(f->s, next_value(f), 0);
    }
    for (; f->p < f->end && *f->p >= '0' && *f->p <= '9'; f->p++)
        if ((n = n * 10 + *f->p - '0') > (int64_t)J_TEXT_MOST)
            j_fail_limit(f->s, "a width is too large"), n = 0;
    return n;
}

static struct j_value keyed_value(struct percent *f)
{
    const char *close = memchr(f->p, ')', (size_t)(f->end - f->p));
    if (!close)
        return j_fail(f->s, "incomplete format key");
    const struct j_value key = j_text(f->p, (size_t)(close - f->p));
    const struct j_value *value = NULL;
    f->p = close + 1;
    f->used = 1;
    if (f->args) {
        for (size_t i = 0; i < f->args->n_named && !value; i++)
            value = j_equal(f->s, f->args->named[i].key, key) ? &f->args->named[i].value : NULL;
    } else if (f->values.kind == J_DICT) {
        value = j_dict_get(f->s, f->values.as.dict, key);
    } else {
        return j_fail(f->s, "format requires a mapping");
    }
    return value ? *value : j_fail(f->s, "'%.*s'", (int)key.size, key.as.text);
}

static void percent_put(struct percent *f, struct tare_text *out, struct spec *spec, struct j_value value)
{
    struct j_state *const s = f->s;
    int64_t whole;
    const char type = spec->type;
    if (s->failed)
        return;
    if (type == 's' || type == 'r' || type == 'a') {
        struct tare_text repr = {0};
        if (type != 's')
            j_repr(s, &repr, value, 0);
        const struct j_value text = type == 's' ? j_string(s, value) : j_take(s, &repr);
        if (!s->failed) {
            spec->align = spec->align == '<' ? '<' : '>';
            spec->fill = j_word(" ");
            put_text(s, out, spec, text);
        }
    } else if (strchr("diuxXo", type)) {
        if (value.kind == J_FLOAT && strchr("diu", type) && fabs(value.as.real) < 0x1p62)
            value = j_whole((int64_t)value.as.real);
        if (!j_as_whole(value, &whole))
            j_fail(s, "%%%c format: a real number is required, not %s", type, j_type(value));
        else
            put_whole(s, out, spec, whole);
    } else if (strchr("eEfFgG", type)) {
        if (j_is_number(value))
            put_real(s, out, spec, j_as_real(value));
        else
            j_fail(s, "must be real number, not %s", j_type(value));
    } else if (type == 'c' && value.kind == J_TEXT) {
        put_text(s, out, spec, value);
    } else {
        j_fail(s, "unsupported format character '%c'", type);
    }
}

static void percent_one(struct percent *f, struct tare_text *out)
{
    struct spec spec = {.fill = j_word(" "), .precision = -1};
    struct j_value value = j_make(J_ABSENT);
    if (f->p < f->end && *f->p == '(') {
        f->p++;
        value = keyed_value(f);
    }
    for (; f->p < f->end && *f->p && strchr("#0- +", *f->p); f->p++) {
        if (*f->p == '-')
            spec.align = '<';
        else if (*f->p == '0' && spec.align != '<')
            spec.align = '=', spec.fill = j_word("0");
        else if (*f->p == '#')
            spec.alternate = true;
        else if (*f->p == '+' || spec.sign != '+')
            spec.sign = *f->p;
    }
    if (spec.align == '<')
        spec.fill = j_word(" ");
    spec.width = percent_number(f);
    if (f->p < f->end && *f->p == '.') {
        f->p++;
        spec.precision = percent_number(f);
    }
    if (f->p >= f->end) {
        j_fail(f->s, "incomplete format");
        return;
    }
    spec.type = *f->p++;
    if (spec.type == '%') {
        j_puts(f->s, out, "%");
        return;
    }
    if (value.kind == J_ABSENT && !f->s->failed)
        value = next_value(f);
    percent_put(f, out, &spec, value);
}

struct j_value j_percent(struct j_state *s, struct j_value format, struct j_value values, const struct j_args *args)
{
    struct percent f = {s, format.as.text, format.as.text + format.size, values, args, 0};
    struct tare_text out = {0};
    while (f.p < f.end && !s->failed) {
        const char *sign = memchr(f.p, '%', (size_t)(f.end - f.p));
        j_add(s, &out, f.p, (size_t)((sign ? sign : f.end) - f.p));
        f.p = sign ? sign + 1 : f.end;
        if (sign)
            percent_one(&f, &out);
    }
    const size_t given = args ? args->n : values.kind == J_TUPLE ? values.as.list->n : values.kind == J_DICT ? 0 : 1;
    if (!s->failed && f.used < given)
        j_fail(s, "not all arguments converted during string formatting");
    return j_take(s, &out);
}

/* ---- {} ---------------------------------------------------------------------------------------------------------- */

struct braces {
    struct j_state *s;
    const struct j_args *args;
    size_t next;
};

static struct j_value field_value(struct braces *f, struct j_value name)
{
    int64_t at = 0;
    size_t n = 0;
    while (n < name.size && name.as.text[n] != '.' && name.as.text[n] != '[')
        n++;
    const struct j_value first = j_text(name.as.text, n);
    struct j_value value = j_make(J_ABSENT);
    if (!n || (j_parse_whole(first, 10, &at) && at >= 0)) {
        at = n ? at : (int64_t)f->next++;
        if ((size_t)at < f->args->n)
            value = f->args->items[at];
    } else {
        for (size_t i = 0; i < f->args->n_named; i++)
            if (j_equal(f->s, f->args->named[i].key, first))
                value = f->args->named[i].value;
    }
    if (value.kind == J_ABSENT)
        return j_fail(f->s, "format: no argument for '%.*s'", (int)n, name.as.text);
    while (n < name.size && !f->s->failed) {
        const bool dot = name.as.text[n++] == '.';
        size_t m = n;
        while (m < name.size && (dot ? name.as.text[m] != '.' && name.as.text[m] != '[' : name.as.text[m] != ']'))
            m++;
        const struct j_value key = j_text(name.as.text + n, m - n);
        const bool number = !dot && j_parse_whole(key, 10, &at);
        value = dot ? j_attribute(f->s, value, key) : j_item(f->s, value, number ? j_whole(at) : key);
        n = m + !dot;
    }
    return value;
}

static bool parse_spec(struct j_state *s, struct j_value text, struct spec *spec)
{
    const char *p = text.as.text, *end = p + text.size;
    *spec = (struct spec){.fill = j_word(" "), .precision = -1};
    const size_t n = text.size ? tare_utf8_size(*p) : 0;
    if (n && n < text.size && strchr("<>=^", p[n])) {
        spec->fill = j_text(p, n);
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
        spec->fill = j_word("0");
    }
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        if ((spec->width = spec->width * 10 + *p - '0') > (int64_t)J_TEXT_MOST)
            return j_fail_limit(s, "a width is too large"), false;
    if (p < end && (*p == ',' || *p == '_')) {
        spec->comma = *p == ',';
        spec->underscore = *p++ == '_';
    }
    if (p < end && *p == '.') {
        spec->precision = 0;
        for (p++; p < end && *p >= '0' && *p <= '9'; p++)
            if ((spec->precision = spec->precision * 10 + *p - '0') > (int64_t)J_TEXT_MOST)
                return j_fail_limit(s, "a precision is too large"), false;
    }
    if (p < end)
        spec->type = *p++;
    return p == end ? true : (j_fail(s, "invalid format specifier '%.*s'", (int)text.size, text.as.text), false);
}

static void put_field(struct j_state *s, struct tare_text *out, struct j_value value, struct j_value text)
{
    struct spec spec;
    int64_t whole;
    if (s->failed || !parse_spec(s, text, &spec))
        return;
    if (!text.size) {
        j_print(s, out, value);
    } else if (value.kind == J_TEXT && (!spec.type || spec.type == 's')) {
        put_text(s, out, &spec, value);
    } else if (j_as_whole(value, &whole) && (!spec.type || strchr("dxXobn", spec.type))) {
        put_whole(s, out, &spec, whole);
    } else if (j_is_number(value) && (!spec.type || strchr("eEfFgGn%", spec.type))) {
        put_real(s, out, &spec, j_as_real(value));
    } else {
        j_fail(s, "unknown format code '%c' for object of type '%s'", spec.type ? spec.type : ' ', j_type(value));
    }
}

/* text lies between the braces: name!r:spec */
static void one_field(struct braces *f, struct tare_text *out, struct j_value text)
{
    size_t n = 0;
    while (n < text.size && text.as.text[n] != '!' && text.as.text[n] != ':')
        n++;
    struct j_value value = field_value(f, j_text(text.as.text, n));
    if (n + 1 < text.size && text.as.text[n] == '!') {
        struct tare_text word = {0};
        if (text.as.text[n + 1] == 's')
            j_print(f->s, &word, value);
        else
            j_repr(f->s, &word, value, 0);
        value = j_take(f->s, &word);
        n += 2;
    }
    const size_t from = n < text.size && text.as.text[n] == ':' ? n + 1 : n;
    put_field(f->s, out, value, j_text(text.as.text + from, text.size - from));
}

struct j_value j_format(struct j_state *s, struct j_value format, const struct j_args *args)
{
    struct braces f = {s, args, 0};
    struct tare_text out = {0};
    const char *p = format.as.text, *end = p + format.size;
    while (p < end && !s->failed) {
        if ((*p == '{' || *p == '}') && p + 1 < end && p[1] == *p) {
            j_add(s, &out, p, 1);
            p += 2;
        } else if (*p == '{') {
            const char *close = memchr(p, '}', (size_t)(end - p));
            if (!close) {
                j_fail(s, "expected '}' before end of string");
                break;
            }
            one_field(&f, &out, j_text(p + 1, (size_t)(close - p) - 1));
            p = close + 1;
        } else if (*p == '}') {
            j_fail(s, "single '}' encountered in format string");
        } else {
            const char *from = p;
            while (p < end && *p != '{' && *p != '}')
                p++;
            j_add(s, &out, from, (size_t)(p - from));
        }
    }
    return j_take(s, &out);
}
