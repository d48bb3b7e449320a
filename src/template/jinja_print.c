/* SPDX-License-Identifier: MIT
 * jinja_print.c - values as text: Python's str() and repr(), and JSON. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/locale.h"
#include "template/jinja.h"
#include "text/unicode.h"

/* Finds the shortest digits that read back as the same number, as Python's repr() does, and writes them as d.ddd.
 * Returns the decimal exponent. */
static int shortest(double real, char digits[32])
{
    char word[40];
    for (int n = 0; n < 17; n++) {
        tare_format(word, sizeof word, "%.*e", n, real);
        if (tare_number_parse(word, NULL) == real)
            break;
    }
    const char *e = strchr(word, 'e');
    size_t n = 0;
    for (const char *p = word; p < e; p++)
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = '\0';
    return (int)strtol(e + 1, NULL, 10);
}

size_t tare_jinja_real_print(double real, char out[40])
{
    char digits[32];
    if (isnan(real) || isinf(real))
        return (size_t)tare_format(out, 40, "%s", isnan(real) ? "nan" : real < 0 ? "-inf" : "inf");
    const char *minus = signbit(real) ? "-" : "";
    if (real == 0)
        return (size_t)tare_format(out, 40, "%s0.0", minus);
    const int e = shortest(fabs(real), digits), n = (int)strlen(digits);
    if (e < -4 || e >= 16)
        return (size_t)tare_format(out, 40, "%s%c%s%se%c%02d", minus, digits[0], n > 1 ? "." : "", digits + 1,
                                   e < 0 ? '-' : '+', abs(e));
    if (e < 0)
        return (size_t)tare_format(out, 40, "%s0.%.*s%s", minus, -e - 1, "0000", digits);
    if (e + 1 >= n)
        return (size_t)tare_format(out, 40, "%s%s%.*s.0", minus, digits, e + 1 - n, "0000000000000000");
    return (size_t)tare_format(out, 40, "%s%.*s.%s", minus, e + 1, digits, digits + e + 1);
}

bool tare_jinja_printable(uint32_t c)
{
    if (c == ' ')
        return true;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
        return false;
    default:
        return true;
    }
}

static void repr_character(struct tare_jinja_state *s, struct tare_text *out, uint32_t c, const char *bytes, size_t n,
                           char quote)
{
    char word[16];
    if (c == (uint32_t)quote || c == '\\')
        tare_format(word, sizeof word, "\\%c", (int)c);
    else if (c == '\n' || c == '\r' || c == '\t')
        tare_format(word, sizeof word, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    else if (c >= 0x20 && c < 0x7f)
        tare_format(word, sizeof word, "%c", (int)c);
    else if (c >= 0x80 && tare_jinja_printable(c)) {
        tare_jinja_add(s, out, bytes, n);
        return;
    } else
        tare_format(word, sizeof word, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
    tare_jinja_puts(s, out, word);
}

static void repr_text(struct tare_jinja_state *s, struct tare_text *out, struct tare_jinja_value text)
{
    const bool single = memchr(text.as.text, '\'', text.size) != NULL,
               twice = memchr(text.as.text, '"', text.size) != NULL;
    const char quote = single && !twice ? '"' : '\'';
    size_t n = 1;
    tare_jinja_add(s, out, &quote, 1);
    for (size_t i = 0; i < text.size && !s->failed; i += n) {
        const unsigned char byte = (unsigned char)text.as.text[i];
        char word[8];
        if (text.kind != TARE_JINJA_BYTES || byte < 0x80) {
            const uint32_t c = byte < 0x80 ? byte : tare_utf8_get(text.as.text + i, &n);
            n = byte < 0x80 ? 1 : n;
            repr_character(s, out, c, text.as.text + i, n, quote);
        } else {
            tare_format(word, sizeof word, "\\x%02x", byte);
            tare_jinja_puts(s, out, word);
        }
    }
    tare_jinja_add(s, out, &quote, 1);
}

static void repr_items(struct tare_jinja_state *s, struct tare_text *out, const struct tare_jinja_list *list,
                       const char *open, const char *close, int depth)
{
    tare_jinja_puts(s, out, open);
    for (size_t i = 0; i < list->n && tare_jinja_spend(s, 1); i++) {
        if (i)
            tare_jinja_puts(s, out, ", ");
        tare_jinja_repr(s, out, list->items[i], depth + 1);
    }
    tare_jinja_puts(s, out, close);
}

static void repr_dict(struct tare_jinja_state *s, struct tare_text *out, const struct tare_jinja_dict *dict, int depth)
{
    tare_jinja_puts(s, out, "{");
    for (size_t i = 0; i < dict->n && tare_jinja_spend(s, 1); i++) {
        if (i)
            tare_jinja_puts(s, out, ", ");
        tare_jinja_repr(s, out, dict->pairs[i].key, depth + 1);
        tare_jinja_puts(s, out, ": ");
        tare_jinja_repr(s, out, dict->pairs[i].value, depth + 1);
    }
    tare_jinja_puts(s, out, "}");
}

static void repr_range(struct tare_jinja_state *s, struct tare_text *out, const struct tare_jinja_range *range)
{
    char word[100];
    if (range->step == 1)
        tare_format(word, sizeof word, "range(%" PRId64 ", %" PRId64 ")", range->start, range->stop);
    else
        tare_format(word, sizeof word, "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")", range->start, range->stop,
                    range->step);
    tare_jinja_puts(s, out, word);
}

static void repr_other(struct tare_jinja_state *s, struct tare_text *out, struct tare_jinja_value value)
{
    char word[100];
    if (value.kind == TARE_JINJA_LOOP)
        tare_format(word, sizeof word, "<LoopContext %" PRId64 "/%" PRId64 ">", value.as.loop->index + 1,
                    value.as.loop->length);
    else if (value.kind == TARE_JINJA_MACRO)
        tare_format(word, sizeof word, "<Macro '%.*s'>",
                    value.as.macro->name.size > 60 ? 60 : (int)value.as.macro->name.size, value.as.macro->name.as.text);
    else
        tare_format(word, sizeof word, "<%s object>", tare_jinja_type(value));
    tare_jinja_puts(s, out, word);
}

void tare_jinja_repr(struct tare_jinja_state *s, struct tare_text *out, struct tare_jinja_value value, int depth)
{
    char word[40];
    if (depth > TARE_JINJA_NEST_MOST) {
        tare_jinja_fail_limit(s, "a value is nested more than %d deep", TARE_JINJA_NEST_MOST);
        return;
    }
    switch (value.kind) {
    case TARE_JINJA_ABSENT:
    case TARE_JINJA_UNDEFINED:
        tare_jinja_puts(s, out, "Undefined");
        break;
    case TARE_JINJA_NONE:
        tare_jinja_puts(s, out, "None");
        break;
    case TARE_JINJA_BOOL:
        tare_jinja_puts(s, out, value.as.truth ? "True" : "False");
        break;
    case TARE_JINJA_INT:
        tare_format(word, sizeof word, "%" PRId64, value.as.whole);
        tare_jinja_puts(s, out, word);
        break;
    case TARE_JINJA_FLOAT:
        tare_jinja_add(s, out, word, tare_jinja_real_print(value.as.real, word));
        break;
    case TARE_JINJA_BYTES:
        tare_jinja_puts(s, out, "b");
        repr_text(s, out, value);
        break;
    case TARE_JINJA_TEXT:
        repr_text(s, out, value);
        break;
    case TARE_JINJA_LIST:
        repr_items(s, out, value.as.list, "[", "]", depth);
        break;
    case TARE_JINJA_TUPLE:
        repr_items(s, out, value.as.list, "(", value.as.list->n == 1 ? ",)" : ")", depth);
        break;
    case TARE_JINJA_VIEW:
        tare_jinja_puts(s, out, value.as.list->type);
        repr_items(s, out, value.as.list, "([", "])", depth);
        break;
    case TARE_JINJA_DICT:
        repr_dict(s, out, value.as.dict, depth);
        break;
    case TARE_JINJA_RANGE:
        repr_range(s, out, value.as.range);
        break;
    case TARE_JINJA_SPACE:
        tare_jinja_puts(s, out, "<Namespace ");
        repr_dict(s, out, value.as.dict, depth);
        tare_jinja_puts(s, out, ">");
        break;
    default:
        repr_other(s, out, value);
    }
}

void tare_jinja_print(struct tare_jinja_state *s, struct tare_text *out, struct tare_jinja_value value)
{
    if (value.kind == TARE_JINJA_TEXT)
        tare_jinja_add_value(s, out, value);
    else if (value.kind == TARE_JINJA_UNDEFINED && value.unsafe)
        return;
    else if (value.kind != TARE_JINJA_UNDEFINED)
        tare_jinja_repr(s, out, value, 0);
}

struct tare_jinja_value tare_jinja_string(struct tare_jinja_state *s, struct tare_jinja_value value)
{
    struct tare_text out = {0};
    if (value.kind == TARE_JINJA_TEXT || s->failed)
        return value;
    tare_jinja_print(s, &out, value);
    return tare_jinja_take(s, &out);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

struct writer {
    struct tare_jinja_state *s;
    struct tare_text *out;
    bool ascii, sorted, indented;
    struct tare_jinja_value indent, item, key; /* item and key: separators */
};

static void json_value(struct writer *w, struct tare_jinja_value value, int depth);

static void json_character(struct writer *w, uint32_t c, const char *bytes, size_t n)
{
    static const char names[] = "\"\\\n\r\t\f\b", letters[] = "\"\\nrtfb";
    const char *simple = c && c < 0x80 ? strchr(names, (int)c) : NULL;
    char word[16];
    if (simple)
        tare_format(word, sizeof word, "\\%c", letters[simple - names]);
    else if (c >= 0x10000 && w->ascii)
        tare_format(word, sizeof word, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                    0xdc00 + ((c - 0x10000) & 0x3ff));
    else if (c < 0x20 || (c >= 0x7f && w->ascii && c != 0x7f))
        tare_format(word, sizeof word, "\\u%04x", (unsigned)c);
    else {
        tare_jinja_add(w->s, w->out, bytes, n);
        return;
    }
    tare_jinja_puts(w->s, w->out, word);
}

static void json_text(struct writer *w, struct tare_jinja_value text)
{
    size_t n;
    tare_jinja_puts(w->s, w->out, "\"");
    for (size_t i = 0; i < text.size && !w->s->failed; i += n) {
        const uint32_t c = tare_utf8_get(text.as.text + i, &n);
        json_character(w, c, text.as.text + i, n);
    }
    tare_jinja_puts(w->s, w->out, "\"");
}

static void json_line(struct writer *w, int depth)
{
    if (!w->indented)
        return;
    tare_jinja_puts(w->s, w->out, "\n");
    for (int i = 0; i < depth && !w->s->failed; i++)
        tare_jinja_add_value(w->s, w->out, w->indent);
}

static void json_list(struct writer *w, const struct tare_jinja_list *list, int depth)
{
    if (!list->n) {
        tare_jinja_puts(w->s, w->out, "[]");
        return;
    }
    tare_jinja_puts(w->s, w->out, "[");
    for (size_t i = 0; i < list->n && tare_jinja_spend(w->s, 1); i++) {
        if (i)
            tare_jinja_add_value(w->s, w->out, w->item);
        json_line(w, depth + 1);
        json_value(w, list->items[i], depth + 1);
    }
    json_line(w, depth);
    tare_jinja_puts(w->s, w->out, "]");
}

static void json_key(struct writer *w, struct tare_jinja_value key, int depth)
{
    struct tare_text word = {0}, *const out = w->out;
    if (key.kind == TARE_JINJA_TEXT) {
        json_text(w, key);
    } else if (tare_jinja_is_number(key) || key.kind == TARE_JINJA_NONE) {
        w->out = &word;
        json_value(w, key, depth);
        w->out = out;
        json_text(w, tare_jinja_text(word.data ? word.data : "", word.size));
        tare_text_release(&word);
    } else {
        tare_jinja_fail(w->s, "keys must be str, int, float, bool or None, not %s", tare_jinja_type(key));
    }
}

static void json_dict(struct writer *w, const struct tare_jinja_dict *dict, int depth)
{
    struct tare_jinja_value *places = NULL, *keys = NULL;
    if (!dict->n) {
        tare_jinja_puts(w->s, w->out, "{}");
        return;
    }
    if (w->sorted) {
        keys = tare_jinja_alloc(w->s, dict->n, sizeof *keys);
        places = tare_jinja_alloc(w->s, dict->n, sizeof *places);
        for (size_t i = 0; places && keys && i < dict->n; i++) {
            keys[i] = dict->pairs[i].key;
            places[i] = tare_jinja_whole((int64_t)i);
        }
        if (!w->s->failed)
            tare_jinja_sort(w->s, keys, places, dict->n, false);
    }
    tare_jinja_puts(w->s, w->out, "{");
    for (size_t i = 0; i < dict->n && tare_jinja_spend(w->s, 1); i++) {
        const struct tare_jinja_pair *pair = &dict->pairs[places ? (size_t)places[i].as.whole : i];
        if (i)
            tare_jinja_add_value(w->s, w->out, w->item);
        json_line(w, depth + 1);
        json_key(w, pair->key, depth);
        tare_jinja_add_value(w->s, w->out, w->key);
        json_value(w, pair->value, depth + 1);
    }
    json_line(w, depth);
    tare_jinja_puts(w->s, w->out, "}");
}

static void json_value(struct writer *w, struct tare_jinja_value value, int depth)
{
    if (depth > TARE_JINJA_NEST_MOST) {
        tare_jinja_fail_limit(w->s, "a value is nested more than %d deep", TARE_JINJA_NEST_MOST);
        return;
    }
    switch (value.kind) {
    case TARE_JINJA_NONE:
        tare_jinja_puts(w->s, w->out, "null");
        break;
    case TARE_JINJA_BOOL:
        tare_jinja_puts(w->s, w->out, value.as.truth ? "true" : "false");
        break;
    case TARE_JINJA_FLOAT:
        if (isnan(value.as.real) || isinf(value.as.real))
            tare_jinja_puts(w->s, w->out, isnan(value.as.real) ? "NaN" : value.as.real < 0 ? "-Infinity" : "Infinity");
        else
            tare_jinja_repr(w->s, w->out, value, 0);
        break;
    case TARE_JINJA_INT:
        tare_jinja_repr(w->s, w->out, value, 0);
        break;
    case TARE_JINJA_TEXT:
        json_text(w, value);
        break;
    case TARE_JINJA_LIST:
    case TARE_JINJA_TUPLE:
        json_list(w, value.as.list, depth);
        break;
    case TARE_JINJA_DICT:
        json_dict(w, value.as.dict, depth);
        break;
    default:
        tare_jinja_fail(w->s, "Object of type %s is not JSON serializable", tare_jinja_type(value));
    }
}

/* value ensure_ascii indent separators sort_keys */
struct tare_jinja_value tare_jinja_json(struct tare_jinja_state *s, const struct tare_jinja_value *a,
                                        const struct tare_jinja_args *args)
{
    struct tare_text out = {0};
    struct writer w = {.s = s, .out = &out, .key = tare_jinja_word(": ")};
    int64_t n;
    (void)args;
    w.ascii = tare_jinja_truth(a[1]);
    w.indented = a[2].kind == TARE_JINJA_TEXT || tare_jinja_as_whole(a[2], &n);
    w.sorted = tare_jinja_truth(a[4]);
    w.indent = a[2];
    w.item = tare_jinja_word(w.indented ? "," : ", ");
    if (a[2].kind != TARE_JINJA_TEXT && w.indented)
        w.indent = tare_jinja_binary(s, T_MUL, tare_jinja_word(" "), a[2]);
    if (a[3].kind == TARE_JINJA_LIST || a[3].kind == TARE_JINJA_TUPLE) {
        if (a[3].as.list->n != 2 || a[3].as.list->items[0].kind != TARE_JINJA_TEXT ||
            a[3].as.list->items[1].kind != TARE_JINJA_TEXT)
            return tare_jinja_fail(s, "tojson: separators must be two strings");
        w.item = a[3].as.list->items[0];
        w.key = a[3].as.list->items[1];
    }
    json_value(&w, a[0], 0);
    return tare_jinja_take(s, &out);
}
