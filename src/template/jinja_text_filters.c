/* SPDX-License-Identifier: MIT
 * jinja_text_filters.c - filters of texts. What they are given becomes a text first. */
#include <stdio.h>
#include <string.h>

#include "template/jinja.h"
#include "text/unicode.h"

#define FILTER(name) static struct j_value name(struct j_state *s, const struct j_value *a, const struct j_args *args)
#define UNUSED (void)s, (void)args

static struct j_value method(struct j_state *s, const char *name, struct j_value text, const struct j_args *args)
{
    text = j_string(s, text);
    return s->failed ? text : j_call_builtin(s, j_builtin_find(j_text_methods, j_word(name)), text, args);
}

FILTER(trim) { (void)a; return method(s, "strip", a[0], args); }
FILTER(upper) { return method(s, "upper", a[0], args); }
FILTER(lower) { return method(s, "lower", a[0], args); }
FILTER(capitalize) { return method(s, "capitalize", a[0], args); }
FILTER(safe) { UNUSED; return j_string(s, a[0]); }

FILTER(center)
{
    const struct j_value width = a[1].kind == J_ABSENT ? j_whole(80) : a[1];
    const struct j_args one = {(struct j_value *)(uintptr_t)&width, 1, NULL, 0};
    UNUSED;
    return method(s, "center", a[0], &one);
}

FILTER(replace)
{
    struct j_value items[3] = {j_string(s, a[1]), j_string(s, a[2]), a[3]};
    const struct j_args all = {items, a[3].kind == J_ABSENT || a[3].kind == J_NONE ? 2 : 3, NULL, 0};
    UNUSED;
    return method(s, "replace", a[0], &all);
}

FILTER(format)
{
    UNUSED;
    const struct j_value text = j_string(s, a[0]);
    return s->failed ? text : j_percent(s, text, j_make(J_NONE), args);
}

/* The first letter of each word raised, the others lowered; words begin behind spaces, -, brackets. */
FILTER(title)
{
    struct tare_text out = {0};
    const struct j_value text = j_string(s, a[0]);
    size_t n;
    UNUSED;
    for (size_t i = 0; i < text.size && !s->failed;) {
        size_t to = i;
        const uint32_t c = tare_utf8_get(text.as.text + i, &n);
        if (j_class(C_SPACE, c) || (c < 0x80 && c && strchr("-({[<", (int)c))) {
            j_add(s, &out, text.as.text + i, n);
            i += n;
            continue;
        }
        for (; to < text.size; to += n) {
            const uint32_t d = tare_utf8_get(text.as.text + to, &n);
            if (j_class(C_SPACE, d) || (d < 0x80 && d && strchr("-({[<", (int)d)))
                break;
        }
        const struct j_value word = j_case(s, j_text(text.as.text + i, to - i), CASE_CAPITAL);
        j_add_value(s, &out, word);
        i = to;
    }
    return j_take(s, &out);
}

/* width first blank */
FILTER(indent)
{
    const struct j_value text = j_string(s, a[0]);
    struct j_value margin = a[1];
    struct tare_text out = {0};
    const bool first = j_truth(a[2]), blank = j_truth(a[3]);
    UNUSED;
    if (margin.kind != J_TEXT)
        margin = j_binary(s, T_MUL, j_text(" ", 1), margin.kind == J_ABSENT ? j_whole(4) : margin);
    for (size_t from = 0; from <= text.size && !s->failed;) {
        const char *end = memchr(text.as.text + from, '\n', text.size - from);
        const size_t to = end ? (size_t)(end - text.as.text) : text.size;
        if (!end && from == text.size && from && !blank)
            break; /* nothing follows the last line end */
        if (from ? to > from || (blank && (end || to > from)) : first && (to > from || blank || !text.size))
            j_add_value(s, &out, margin);
        j_add(s, &out, text.as.text + from, to - from + (end != NULL));
        from = to + 1;
    }
    return j_take(s, &out);
}

/* length killwords end leeway */
FILTER(truncate)
{
    const struct j_value text = j_string(s, a[0]), end = a[3].kind == J_TEXT ? a[3] : j_text("...", 3);
    const int64_t length = j_need_whole(s, a[1], 255), n = j_length(s, text), keep = length - j_length(s, end);
    const int64_t leeway = a[4].kind == J_NONE ? 5 : j_need_whole(s, a[4], 5);
    UNUSED;
    if (s->failed || n <= length + leeway)
        return text;
    if (keep < 0 || leeway < 0)
        return j_fail(s, "truncate: the length is too small");
    struct j_value part = j_text(text.as.text, j_offset(text.as.text, text.size, (size_t)keep));
    if (!j_truth(a[2])) {
        size_t at = part.size;
        while (at && part.as.text[at - 1] != ' ')
            at--;
        if (at)
            part.size = at - 1;
    }
    return j_join(s, part, end);
}

FILTER(wordcount)
{
    const struct j_value text = j_string(s, a[0]);
    bool inside = false;
    int64_t words = 0;
    size_t n;
    UNUSED;
    for (size_t i = 0; i < text.size; i += n) {
        const bool word = j_class(C_WORD, tare_utf8_get(text.as.text + i, &n));
        words += word && !inside;
        inside = word;
    }
    return j_whole(words);
}

/* width: lines are broken at spaces; long words are cut */
FILTER(wordwrap)
{
    const struct j_value text = j_string(s, a[0]);
    const int64_t width = j_need_whole(s, a[1], 79);
    struct tare_text out = {0};
    int64_t column = 0;
    UNUSED;
    if (width <= 0)
        return j_fail(s, "wordwrap needs a positive width");
    for (size_t i = 0; i < text.size && !s->failed;) {
        if (text.as.text[i] == '\n') {
            j_puts(s, &out, "\n");
            column = 0;
            i++;
            continue;
        }
        const size_t spaces = strspn(text.as.text + i, " ") > text.size - i ? 0 : strspn(text.as.text + i, " ");
        size_t to = i + spaces;
        while (to < text.size && text.as.text[to] != ' ' && text.as.text[to] != '\n')
            to++;
        const int64_t n = (int64_t)j_characters(text.as.text + i + spaces, to - i - spaces);
        if (n > width)
            return tare_text_release(&out), j_fail(s, "wordwrap: a word is longer than a line");
        if (column && column + (int64_t)spaces + n > width) {
            j_puts(s, &out, "\n");
            column = 0;
        } else {
            j_add(s, &out, text.as.text + i, spaces);
            column += (int64_t)spaces;
        }
        j_add(s, &out, text.as.text + i + spaces, to - i - spaces);
        column += n;
        i = to;
    }
    return j_take(s, &out);
}

FILTER(striptags)
{
    struct j_value text = j_string(s, a[0]);
    struct tare_text out = {0};
    bool space = false, tag = false;
    size_t n;
    UNUSED;
    for (size_t i = 0; i < text.size && !s->failed; i += n) {
        const uint32_t c = tare_utf8_get(text.as.text + i, &n);
        if (c == '<' && memchr(text.as.text + i, '>', text.size - i)) {
            tag = true;
        } else if (tag) {
            tag = c != '>';
        } else if (j_class(C_SPACE, c)) {
            space = true;
        } else {
            if (space && out.size)
                j_puts(s, &out, " ");
            space = false;
            j_add(s, &out, text.as.text + i, n);
        }
    }
    return j_take(s, &out);
}

FILTER(escape)
{
    const struct j_value text = j_string(s, a[0]);
    struct tare_text out = {0};
    UNUSED;
    for (size_t i = 0; i < text.size && !s->failed; i++) {
        const char c = text.as.text[i];
        if (c == '&' || c == '<' || c == '>' || c == '"' || c == '\'')
            j_puts(s, &out, c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '"' ? "&#34;" : "&#39;");
        else
            j_add(s, &out, &c, 1);
    }
    return j_take(s, &out);
}

static void quote(struct j_state *s, struct tare_text *out, struct j_value value, bool query)
{
    const struct j_value text = j_string(s, value);
    char word[8];
    for (size_t i = 0; i < text.size && !s->failed; i++) {
        const unsigned char c = (unsigned char)text.as.text[i];
        const bool plain = (c < 0x80 && j_class(C_WORD, c)) || c == '.' || c == '-' || c == '~' || (c == '/' && !query);
        snprintf(word, sizeof word, plain ? "%c" : "%%%02X", c);
        j_puts(s, out, c == ' ' && query ? "+" : word);
    }
}

FILTER(urlencode)
{
    struct tare_text out = {0};
    UNUSED;
    if (a[0].kind != J_DICT && a[0].kind != J_LIST && a[0].kind != J_TUPLE) {
        quote(s, &out, a[0], false);
        return j_take(s, &out);
    }
    const struct j_list *pairs = a[0].kind == J_DICT ? NULL : a[0].as.list;
    const size_t n = pairs ? pairs->n : a[0].as.dict->n;
    for (size_t i = 0; i < n && !s->failed; i++) {
        const struct j_list *pair = pairs ? j_collect(s, pairs->items[i]) : NULL;
        if (pairs && (!pair || pair->n != 2)) {
            j_fail(s, "urlencode takes pairs");
            break;
        }
        if (i)
            j_puts(s, &out, "&");
        quote(s, &out, pair ? pair->items[0] : a[0].as.dict->pairs[i].key, true);
        j_puts(s, &out, "=");
        quote(s, &out, pair ? pair->items[1] : a[0].as.dict->pairs[i].value, true);
    }
    return j_take(s, &out);
}

const struct j_builtin j_text_filters[] = {
    {"trim", trim, "*"}, {"upper", upper, "*"}, {"lower", lower, "*"}, {"capitalize", capitalize, "*"},
    {"title", title, ""}, {"safe", safe, ""}, {"center", center, "?width"}, {"replace", replace, "old new ?count"},
    {"format", format, "*"}, {"indent", indent, "?width ?first ?blank"},
    {"truncate", truncate, "?length ?killwords ?end ?leeway"}, {"wordcount", wordcount, ""},
    {"wordwrap", wordwrap, "?width"}, {"striptags", striptags, ""}, {"escape", escape, ""}, {"e", escape, ""},
    {"forceescape", escape, ""}, {"urlencode", urlencode, ""}, {NULL, NULL, NULL}};

const struct j_builtin *j_filter_find(struct j_value name)
{
    static const struct j_builtin *const tables[] = {j_sequence_filters, j_select_filters, j_text_filters};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        const struct j_builtin *filter = j_builtin_find(tables[i], name);
        if (filter)
            return filter;
    }
    return NULL;
}
