/* SPDX-License-Identifier: MIT
 * jinja_number.c - arithmetic as Python has it. Integers have 64 bits; what needs more is refused. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/locale.h"
#include "template/jinja.h"

double tare_jinja_as_real(struct tare_jinja_value value)
{
    return value.kind == TARE_JINJA_FLOAT  ? value.as.real
           : value.kind == TARE_JINJA_BOOL ? value.as.truth
                                           : (double)value.as.whole;
}

bool tare_jinja_as_whole(struct tare_jinja_value value, int64_t *whole)
{
    if (value.kind != TARE_JINJA_INT && value.kind != TARE_JINJA_BOOL)
        return false;
    *whole = value.kind == TARE_JINJA_BOOL ? value.as.truth : value.as.whole;
    return true;
}

int64_t tare_jinja_need_whole(struct tare_jinja_state *s, struct tare_jinja_value value, int64_t fallback)
{
    if (value.kind != TARE_JINJA_ABSENT && !tare_jinja_as_whole(value, &fallback))
        tare_jinja_fail(s, "'%s' object cannot be interpreted as an integer", tare_jinja_type(value));
    return fallback;
}

static struct tare_jinja_value undefined(struct tare_jinja_state *s, struct tare_jinja_value v)
{
    if (v.unsafe)
        return tare_jinja_fail(s, "access to attribute '%.*s' of '%s' is unsafe", (int)v.size, v.as.text,
                               tare_jinja_object(v.owner));
    if (v.owner == TARE_JINJA_ABSENT)
        return tare_jinja_fail(s, "'%.*s' is undefined", (int)v.size, v.as.text ? v.as.text : "");
    if (v.owner == TARE_JINJA_LOOP)
        return tare_jinja_fail(s, "%.*s", (int)v.size, v.as.text);
    if (!v.as.text)
        return tare_jinja_fail(s, "%s has no element %lld", tare_jinja_object(v.owner), (long long)v.size);
    return tare_jinja_fail(s, "'%s' has no attribute '%.*s'", tare_jinja_object(v.owner), (int)v.size, v.as.text);
}

static struct tare_jinja_value too_big(struct tare_jinja_state *s)
{
    return tare_jinja_fail_limit(s, "an integer does not fit 64 bits");
}

static struct tare_jinja_value power_whole(struct tare_jinja_state *s, int64_t a, int64_t b)
{
    int64_t result = 1;
    if (b < 0)
        return a ? tare_jinja_real(pow((double)a, (double)b))
                 : tare_jinja_fail(s, "0.0 cannot be raised to a negative power");
    if (a == 0 || a == 1 || b == 0)
        return tare_jinja_whole(b == 0 ? 1 : a);
    if (a == -1)
        return tare_jinja_whole(b % 2 ? -1 : 1);
    for (; b > 0; b--)
        if (__builtin_mul_overflow(result, a, &result))
            return too_big(s);
    return tare_jinja_whole(result);
}

static struct tare_jinja_value divide_whole(struct tare_jinja_state *s, int op, int64_t a, int64_t b)
{
    if (!b)
        return tare_jinja_fail(s, op == T_MOD ? "integer modulo by zero" : "integer division or modulo by zero");
    if (b == -1)
        return op == T_MOD ? tare_jinja_whole(0) : a == INT64_MIN ? too_big(s) : tare_jinja_whole(-a);
    int64_t quotient = a / b, rest = a % b;
    if (rest && (rest < 0) != (b < 0)) {
        quotient--;
        rest += b;
    }
    return tare_jinja_whole(op == T_MOD ? rest : quotient);
}

static struct tare_jinja_value whole(struct tare_jinja_state *s, int op, int64_t a, int64_t b)
{
    int64_t result = 0;
    bool over = false;
    switch (op) {
    case T_ADD:
        over = __builtin_add_overflow(a, b, &result);
        break;
    case T_SUB:
        over = __builtin_sub_overflow(a, b, &result);
        break;
    case T_MUL:
        over = __builtin_mul_overflow(a, b, &result);
        break;
    case T_DIV:
        return b ? tare_jinja_real((double)a / (double)b) : tare_jinja_fail(s, "division by zero");
    case T_POW:
        return power_whole(s, a, b);
    default:
        return divide_whole(s, op, a, b);
    }
    return over ? too_big(s) : tare_jinja_whole(result);
}

static struct tare_jinja_value real(struct tare_jinja_state *s, int op, double a, double b)
{
    switch (op) {
    case T_ADD:
        return tare_jinja_real(a + b);
    case T_SUB:
        return tare_jinja_real(a - b);
    case T_MUL:
        return tare_jinja_real(a * b);
    case T_POW:
        if (a < 0 && b != floor(b))
            return tare_jinja_fail(s, "complex numbers are not supported");
        return a == 0 && b < 0 ? tare_jinja_fail(s, "0.0 cannot be raised to a negative power")
                               : tare_jinja_real(pow(a, b));
    default:
        break;
    }
    if (b == 0)
        return tare_jinja_fail(s, op == T_MOD ? "float modulo by zero" : "float division by zero");
    if (op == T_DIV)
        return tare_jinja_real(a / b);
    double rest = fmod(a, b);
    double quotient = (a - rest) / b;
    if (rest != 0 && (rest < 0) != (b < 0)) {
        rest += b;
        quotient -= 1;
    }
    if (op == T_MOD)
        return tare_jinja_real(rest != 0 ? rest : copysign(0.0, b));
    const double down = floor(quotient);
    return tare_jinja_real(quotient == 0 ? copysign(0.0, a / b) : quotient - down > 0.5 ? down + 1 : down);
}

static struct tare_jinja_value repeat(struct tare_jinja_state *s, struct tare_jinja_value what, int64_t times)
{
    const size_t n = what.kind == TARE_JINJA_TEXT ? what.size : what.as.list->n;
    if (times <= 0 || !n)
        return what.kind == TARE_JINJA_TEXT ? tare_jinja_text("", 0)
                                            : tare_jinja_listed(what.kind, tare_jinja_list_new(s, 0));
    if ((size_t)times > TARE_JINJA_TEXT_MOST / n)
        return tare_jinja_fail_limit(s, "the template makes a text or list that is too large (%lld times %zu)",
                                     (long long)times, n);
    if (what.kind != TARE_JINJA_TEXT) {
        struct tare_jinja_list *list = tare_jinja_list_new(s, n * (size_t)times);
        for (int64_t i = 0; i < times && !s->failed; i++)
            for (size_t k = 0; k < n; k++)
                tare_jinja_list_add(s, list, what.as.list->items[k]);
        return tare_jinja_listed(what.kind, list);
    }
    struct tare_text out = {0};
    for (int64_t i = 0; i < times && tare_jinja_spend(s, 1); i++)
        tare_jinja_add_value(s, &out, what);
    return tare_jinja_take(s, &out);
}

static struct tare_jinja_value join_lists(struct tare_jinja_state *s, struct tare_jinja_value a,
                                          struct tare_jinja_value b)
{
    struct tare_jinja_list *list = tare_jinja_list_new(s, a.as.list->n + b.as.list->n);
    for (size_t i = 0; i < a.as.list->n; i++)
        tare_jinja_list_add(s, list, a.as.list->items[i]);
    for (size_t i = 0; i < b.as.list->n; i++)
        tare_jinja_list_add(s, list, b.as.list->items[i]);
    return tare_jinja_listed(a.kind, list);
}

static bool repeats(struct tare_jinja_value v)
{
    return v.kind == TARE_JINJA_TEXT || v.kind == TARE_JINJA_LIST || v.kind == TARE_JINJA_TUPLE;
}

static const char *sign(int op)
{
    switch (op) {
    case T_ADD:
        return "+";
    case T_SUB:
        return "-";
    case T_MUL:
        return "*";
    case T_DIV:
        return "/";
    case T_FLOORDIV:
        return "//";
    case T_MOD:
        return "%";
    default:
        return "** or pow()";
    }
}

struct tare_jinja_value tare_jinja_binary(struct tare_jinja_state *s, int op, struct tare_jinja_value a,
                                          struct tare_jinja_value b)
{
    int64_t i, k;
    if (s->failed)
        return a;
    if (a.kind == TARE_JINJA_TEXT && op == T_MOD)
        return tare_jinja_percent(s, a, b, NULL);
    if (a.kind == TARE_JINJA_UNDEFINED || b.kind == TARE_JINJA_UNDEFINED)
        if (!(a.kind == TARE_JINJA_TEXT && op == T_ADD))
            return undefined(s, a.kind == TARE_JINJA_UNDEFINED ? a : b);
    if (tare_jinja_as_whole(a, &i) && tare_jinja_as_whole(b, &k))
        return whole(s, op, i, k);
    if (tare_jinja_is_number(a) && tare_jinja_is_number(b))
        return real(s, op, tare_jinja_as_real(a), tare_jinja_as_real(b));
    if (op == T_ADD && a.kind == TARE_JINJA_TEXT && b.kind == TARE_JINJA_TEXT)
        return tare_jinja_join(s, a, b);
    if (op == T_ADD && (a.kind == TARE_JINJA_LIST || a.kind == TARE_JINJA_TUPLE) && a.kind == b.kind)
        return join_lists(s, a, b);
    if (op == T_MUL && repeats(a) && tare_jinja_as_whole(b, &i))
        return repeat(s, a, i);
    if (op == T_MUL && repeats(b) && tare_jinja_as_whole(a, &i))
        return repeat(s, b, i);
    if (op == T_ADD && b.kind == TARE_JINJA_UNDEFINED)
        return undefined(s, b);
    if (op == T_ADD && repeats(a))
        return tare_jinja_fail(s, "can only concatenate %s (not \"%s\") to %s", tare_jinja_type(a), tare_jinja_type(b),
                               tare_jinja_type(a));
    return tare_jinja_fail(s, "unsupported operand type(s) for %s: '%s' and '%s'", sign(op), tare_jinja_type(a),
                           tare_jinja_type(b));
}

struct tare_jinja_value tare_jinja_negate(struct tare_jinja_state *s, struct tare_jinja_value a, bool minus)
{
    int64_t i;
    if (a.kind == TARE_JINJA_UNDEFINED)
        return undefined(s, a);
    if (a.kind == TARE_JINJA_FLOAT)
        return tare_jinja_real(minus ? -a.as.real : a.as.real);
    if (tare_jinja_as_whole(a, &i))
        return minus && i == INT64_MIN ? too_big(s) : tare_jinja_whole(minus ? -i : i);
    return tare_jinja_fail(s, "bad operand type for unary %s: '%s'", minus ? "-" : "+", tare_jinja_type(a));
}

/* Writes a number's text as ASCII without white space around it and without underscores between digits, as Python's
 * int() and float() read it. Returns false when it is no number. */
static bool plain(struct tare_jinja_value text, char *out, size_t room)
{
    size_t n = 0;
    text = tare_jinja_strip(text, tare_jinja_make(TARE_JINJA_NONE), STRIP_LEFT | STRIP_RIGHT);
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.as.text[i];
        if (c == '_') {
            if (!i || i + 1 == text.size || text.as.text[i - 1] == '_' || text.as.text[i + 1] == '_')
                return false;
            continue;
        }
        if (c == 0xd9 && i + 1 < text.size && (unsigned char)text.as.text[i + 1] >= 0xa0 &&
            (unsigned char)text.as.text[i + 1] <= 0xa9)
            /* Arabic-Indic digits. */
            c = (unsigned char)('0' + (unsigned char)text.as.text[++i] - 0xa0);
        if (n + 1 == room || c >= 0x80 || c <= ' ')
            return false;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return n > 0;
}

bool tare_jinja_parse_whole(struct tare_jinja_value text, int base, int64_t *number)
{
    char word[80], *end = NULL;
    if (!plain(text, word, sizeof word) || base == 1 || base < 0 || base > 36)
        return false;
    char *digits = word + (*word == '-' || *word == '+');
    const char mark = (char)(digits[0] == '0' ? digits[1] | 32 : ' ');
    const int marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
    if (marked != 10 && (base == marked || base == 0)) {
        /* "0x" and the like become zeros. */
        digits[0] = digits[1] = '0';
        base = marked;
    }
    if (!base)
        base = 10;
    if (*digits == '-' || *digits == '+')
        return false;
    errno = 0;
    const long long value = strtoll(word, &end, base);
    if (errno || end == word || *end)
        return false;
    *number = value;
    return true;
}

bool tare_jinja_parse_real(struct tare_jinja_value text, double *number)
{
    char word[400], *end = NULL;
    if (!plain(text, word, sizeof word))
        return false;
    /* strtod() knows hexadecimal floats and "nan(..)", which Python does not. */
    if (strpbrk(word, "xXpP()"))
        return false;
    *number = tare_number_parse(word, &end);
    return end != word && !*end;
}
