/* SPDX-License-Identifier: MIT
 * jinja_number.c - arithmetic as Python has it. Integers have 64 bits; what needs more is refused. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "template/jinja.h"

double j_as_real(struct j_value value)
{
    return value.kind == J_FLOAT ? value.as.real : value.kind == J_BOOL ? value.as.truth : (double)value.as.whole;
}

bool j_as_whole(struct j_value value, int64_t *whole)
{
    if (value.kind != J_INT && value.kind != J_BOOL)
        return false;
    *whole = value.kind == J_BOOL ? value.as.truth : value.as.whole;
    return true;
}

int64_t j_need_whole(struct j_state *s, struct j_value value, int64_t fallback)
{
    if (value.kind != J_ABSENT && !j_as_whole(value, &fallback))
        j_fail(s, "'%s' object cannot be interpreted as an integer", j_type(value));
    return fallback;
}

static struct j_value undefined(struct j_state *s, struct j_value v)
{
    if (v.unsafe)
        return j_fail(s, "access to attribute '%.*s' of '%s' is unsafe", (int)v.size, v.as.text, j_object(v.owner));
    if (v.owner == J_ABSENT)
        return j_fail(s, "'%.*s' is undefined", (int)v.size, v.as.text ? v.as.text : "");
    if (v.owner == J_LOOP)
        return j_fail(s, "%.*s", (int)v.size, v.as.text);
    if (!v.as.text)
        return j_fail(s, "%s has no element %lld", j_object(v.owner), (long long)v.size);
    return j_fail(s, "'%s' has no attribute '%.*s'", j_object(v.owner), (int)v.size, v.as.text);
}

static struct j_value too_big(struct j_state *s)
{
    return j_fail_limit(s, "an integer does not fit 64 bits");
}

static struct j_value power_whole(struct j_state *s, int64_t a, int64_t b)
{
    int64_t result = 1;
    if (b < 0)
        return a ? j_real(pow((double)a, (double)b)) : j_fail(s, "0.0 cannot be raised to a negative power");
    if (a == 0 || a == 1 || b == 0)
        return j_whole(b == 0 ? 1 : a);
    if (a == -1)
        return j_whole(b % 2 ? -1 : 1);
    for (; b > 0; b--)
        if (__builtin_mul_overflow(result, a, &result))
            return too_big(s);
    return j_whole(result);
}

static struct j_value divide_whole(struct j_state *s, int op, int64_t a, int64_t b)
{
    if (!b)
        return j_fail(s, op == T_MOD ? "integer modulo by zero" : "integer division or modulo by zero");
    if (b == -1)
        return op == T_MOD ? j_whole(0) : a == INT64_MIN ? too_big(s) : j_whole(-a);
    int64_t quotient = a / b, rest = a % b;
    if (rest && (rest < 0) != (b < 0)) {
        quotient--;
        rest += b;
    }
    return j_whole(op == T_MOD ? rest : quotient);
}

static struct j_value whole(struct j_state *s, int op, int64_t a, int64_t b)
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
        return b ? j_real((double)a / (double)b) : j_fail(s, "division by zero");
    case T_POW:
        return power_whole(s, a, b);
    default:
        return divide_whole(s, op, a, b);
    }
    return over ? too_big(s) : j_whole(result);
}

static struct j_value real(struct j_state *s, int op, double a, double b)
{
    switch (op) {
    case T_ADD:
        return j_real(a + b);
    case T_SUB:
        return j_real(a - b);
    case T_MUL:
        return j_real(a * b);
    case T_POW:
        if (a < 0 && b != floor(b))
            return j_fail(s, "complex numbers are not supported");
        return a == 0 && b < 0 ? j_fail(s, "0.0 cannot be raised to a negative power") : j_real(pow(a, b));
    default:
        break;
    }
    if (b == 0)
        return j_fail(s, op == T_MOD ? "float modulo by zero" : "float division by zero");
    if (op == T_DIV)
        return j_real(a / b);
    double rest = fmod(a, b);
    double quotient = (a - rest) / b;
    if (rest != 0 && (rest < 0) != (b < 0)) {
        rest += b;
        quotient -= 1;
    }
    if (op == T_MOD)
        return j_real(rest != 0 ? rest : copysign(0.0, b));
    const double down = floor(quotient);
    return j_real(quotient == 0 ? copysign(0.0, a / b) : quotient - down > 0.5 ? down + 1 : down);
}

static struct j_value repeat(struct j_state *s, struct j_value what, int64_t times)
{
    const size_t n = what.kind == J_TEXT ? what.size : what.as.list->n;
    if (times <= 0 || !n)
        return what.kind == J_TEXT ? j_text("", 0) : j_listed(what.kind, j_list_new(s, 0));
    if ((size_t)times > J_TEXT_MOST / n)
        return j_fail_limit(s, "the template makes a text or list that is too large (%lld times %zu)", (long long)times, n);
    if (what.kind != J_TEXT) {
        struct j_list *list = j_list_new(s, n * (size_t)times);
        for (int64_t i = 0; i < times && !s->failed; i++)
            for (size_t k = 0; k < n; k++)
                j_list_add(s, list, what.as.list->items[k]);
        return j_listed(what.kind, list);
    }
    struct tare_text out = {0};
    for (int64_t i = 0; i < times && j_spend(s, 1); i++)
        j_add_value(s, &out, what);
    return j_take(s, &out);
}

static struct j_value join_lists(struct j_state *s, struct j_value a, struct j_value b)
{
    struct j_list *list = j_list_new(s, a.as.list->n + b.as.list->n);
    for (size_t i = 0; i < a.as.list->n; i++)
        j_list_add(s, list, a.as.list->items[i]);
    for (size_t i = 0; i < b.as.list->n; i++)
        j_list_add(s, list, b.as.list->items[i]);
    return j_listed(a.kind, list);
}

static bool repeats(struct j_value v)
{
    return v.kind == J_TEXT || v.kind == J_LIST || v.kind == J_TUPLE;
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

struct j_value j_binary(struct j_state *s, int op, struct j_value a, struct j_value b)
{
    int64_t i, k;
    if (s->failed)
        return a;
    if (a.kind == J_TEXT && op == T_MOD)
        return j_percent(s, a, b, NULL);
    if (a.kind == J_UNDEFINED || b.kind == J_UNDEFINED)
        if (!(a.kind == J_TEXT && op == T_ADD))
            return undefined(s, a.kind == J_UNDEFINED ? a : b);
    if (j_as_whole(a, &i) && j_as_whole(b, &k))
        return whole(s, op, i, k);
    if (j_is_number(a) && j_is_number(b))
        return real(s, op, j_as_real(a), j_as_real(b));
    if (op == T_ADD && a.kind == J_TEXT && b.kind == J_TEXT)
        return j_join(s, a, b);
    if (op == T_ADD && (a.kind == J_LIST || a.kind == J_TUPLE) && a.kind == b.kind)
        return join_lists(s, a, b);
    if (op == T_MUL && repeats(a) && j_as_whole(b, &i))
        return repeat(s, a, i);
    if (op == T_MUL && repeats(b) && j_as_whole(a, &i))
        return repeat(s, b, i);
    if (op == T_ADD && b.kind == J_UNDEFINED)
        return undefined(s, b);
    if (op == T_ADD && repeats(a))
        return j_fail(s, "can only concatenate %s (not \"%s\") to %s", j_type(a), j_type(b), j_type(a));
    return j_fail(s, "unsupported operand type(s) for %s: '%s' and '%s'", sign(op), j_type(a), j_type(b));
}

struct j_value j_negate(struct j_state *s, struct j_value a, bool minus)
{
    int64_t i;
    if (a.kind == J_UNDEFINED)
        return undefined(s, a);
    if (a.kind == J_FLOAT)
        return j_real(minus ? -a.as.real : a.as.real);
    if (j_as_whole(a, &i))
        return minus && i == INT64_MIN ? too_big(s) : j_whole(minus ? -i : i);
    return j_fail(s, "bad operand type for unary %s: '%s'", minus ? "-" : "+", j_type(a));
}

/* The text without white space around and without underscores between digits, as ASCII; false: it is no number. */
static bool plain(struct j_value text, char *out, size_t room)
{
    size_t n = 0;
    text = j_strip(text, j_make(J_NONE), STRIP_LEFT | STRIP_RIGHT);
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.as.text[i];
        if (c == '_') {
            if (!i || i + 1 == text.size || text.as.text[i - 1] == '_' || text.as.text[i + 1] == '_')
                return false;
            continue;
        }
        if (c == 0xd9 && i + 1 < text.size && (unsigned char)text.as.text[i + 1] >= 0xa0 &&
            (unsigned char)text.as.text[i + 1] <= 0xa9)
            c = (unsigned char)('0' + (unsigned char)text.as.text[++i] - 0xa0); /* Arabic digits */
        if (n + 1 == room || c >= 0x80 || c <= ' ')
            return false;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return n > 0;
}

bool j_parse_whole(struct j_value text, int base, int64_t *number)
{
    char word[80], *end = NULL;
    if (!plain(text, word, sizeof word) || base == 1 || base < 0 || base > 36)
        return false;
    char *digits = word + (*word == '-' || *word == '+');
    const char mark = (char)(digits[0] == '0' ? digits[1] | 32 : ' ');
    const int marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
    if (marked != 10 && (base == marked || base == 0)) {
        digits[0] = digits[1] = '0'; /* the prefix becomes zeros */
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

bool j_parse_real(struct j_value text, double *number)
{
    char word[400], *end = NULL;
    if (!plain(text, word, sizeof word))
        return false;
    if (strpbrk(word, "xXpP()")) /* strtod knows more than Python */
        return false;
    *number = strtod(word, &end);
    return end != word && !*end;
}
