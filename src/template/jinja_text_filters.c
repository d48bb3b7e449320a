/* SPDX-License-Identifier: MIT
 * jinja_text_filters.c - filters of texts. A value that is no text becomes one first. */
#include <stdio.h>
#include <string.h>

#include "template/jinja_builtin.h"
#include "text/unicode.h"

static struct tare_jinja_value method(struct tare_jinja_state *s, const char *name, struct tare_jinja_value text,
                                      const struct tare_jinja_args *args)
{
    text = tare_jinja_string(s, text);
    return s->failed ? text
                     : tare_jinja_call_builtin(
                           s, tare_jinja_builtin_find(tare_jinja_text_methods, tare_jinja_word(name)), text, args);
}

BUILTIN_IS(trim, method(s, "strip", a[0], args));
BUILTIN_IS(upper, method(s, "upper", a[0], args));
BUILTIN_IS(lower, method(s, "lower", a[0], args));
BUILTIN_IS(capitalize, method(s, "capitalize", a[0], args));
BUILTIN_IS(safe, tare_jinja_string(s, a[0]));

BUILTIN(center)
{
    const struct tare_jinja_value width = a[1].kind == TARE_JINJA_ABSENT ? tare_jinja_whole(80) : a[1];
    const struct tare_jinja_args one = {(struct tare_jinja_value *)(uintptr_t)&width, 1, NULL, 0};
    UNUSED;
    return method(s, "center", a[0], &one);
}

BUILTIN(replace)
{
    struct tare_jinja_value items[3] = {tare_jinja_string(s, a[1]), tare_jinja_string(s, a[2]), a[3]};
    const struct tare_jinja_args all = {items, a[3].kind == TARE_JINJA_ABSENT || a[3].kind == TARE_JINJA_NONE ? 2 : 3,
                                        NULL, 0};
    UNUSED;
    return method(s, "replace", a[0], &all);
}

BUILTIN(format)
{
    UNUSED;
    const struct tare_jinja_value text = tare_jinja_string(s, a[0]);
    return s->failed ? text : tare_jinja_percent(s, text, tare_jinja_make(TARE_JINJA_NONE), args);
}

/* Raises the first letter of each word and lowers the others; words begin after spaces, dashes and opening
 * brackets. */
BUILTIN(title)
{
    struct tare_text out = {0};
    const struct tare_jinja_value text = tare_jinja_string(s, a[0]);
    size_t n;
    UNUSED;
    for (size_t i = 0; i < text.size && !s->failed;) {
        size_t to = i;
        const uint32_t c = tare_utf8_get(text.as.text + i, &n);
        if (tare_jinja_class(C_SPACE, c) || (c < 0x80 && c && strchr("-({[<", (int)c))) {
            tare_jinja_add(s, &out, text.as.text + i, n);
            i += n;
            continue;
        }
        for (; to < text.size; to += n) {
            const uint32_t d = tare_utf8_get(text.as.text + to, &n);
            if (tare_jinja_class(C_SPACE, d) || (d < 0x80 && d && strchr("-({[<", (int)d)))
                break;
        }
        const struct tare_jinja_value word =
            tare_jinja_case(s, tare_jinja_text(text.as.text + i, to - i), CASE_CAPITAL);
        tare_jinja_add_value(s, &out, word);
        i = to;
    }
    return tare_jinja_take(s, &out);
}

/* width first blank */
BUILTIN(indent)
{
    const struct tare_jinja_value text = tare_jinja_string(s, a[0]);
    struct tare_jinja_value margin = a[1];
    struct tare_text out = {0};
    const bool first = tare_jinja_truth(a[2]), blank = tare_jinja_truth(a[3]);
    UNUSED;
    if (margin.kind != TARE_JINJA_TEXT)
        margin = tare_jinja_binary(s, T_MUL, tare_jinja_text(" ", 1),
                                   margin.kind == TARE_JINJA_ABSENT ? tare_jinja_whole(4) : margin);
    for (size_t from = 0; from <= text.size && !s->failed;) {
        const char *end = memchr(text.as.text + from, '\n', text.size - from);
        const size_t to = end ? (size_t)(end - text.as.text) : text.size;
        if (!end && from == text.size && from && !blank)
            /* Nothing follows the last line end. */
            break;
        if (from ? to > from || (blank && (end || to > from)) : first && (to > from || blank || !text.size))
            tare_jinja_add_value(s, &out, margin);
        tare_jinja_add(s, &out, text.as.text + from, to - from + (end != NULL));
        from = to + 1;
    }
    return tare_jinja_take(s, &out);
}

/* length killwords end leeway */
BUILTIN(truncate)
{
    const struct tare_jinja_value text = tare_jinja_string(s, a[0]),
                                  end = a[3].kind == TARE_JINJA_TEXT ? a[3] : tare_jinja_text("...", 3);
    const int64_t length = tare_jinja_need_whole(s, a[1], 255), n = tare_jinja_length(s, text),
                  keep = length - tare_jinja_length(s, end);
    const int64_t leeway = a[4].kind == TARE_JINJA_NONE ? 5 : tare_jinja_need_whole(s, a[4], 5);
    UNUSED;
    if (s->failed || n <= length + leeway)
        return text;
    if (keep < 0 || leeway < 0)
        return tare_jinja_fail(s, "truncate: the length is too small");
    struct tare_jinja_value part =
        tare_jinja_text(text.as.text, tare_jinja_offset(text.as.text, text.size, (size_t)keep));
    if (!tare_jinja_truth(a[2])) {
        size_t at = part.size;
        while (at && part.as.text[at - 1] != ' ')
            at--;
        if (at)
            part.size = at - 1;
    }
    return tare_jinja_join(s, part, end);
}

BUILTIN(wordcount)
{
    const struct tare_jinja_value text = tare_jinja_string(s, a[0]);
    bool inside = false;
    int64_t words = 0;
    size_t n;
    UNUSED;
    for (size_t i = 0; i < text.size; i += n) {
        const bool word = tare_jinja_class(C_WORD, tare_utf8_get(text.as.text + i, &n));
        words += word && !inside;
        inside = word;
    }
    return tare_jinja_whole(words);
}

/* Parameter: width. Lines are broken at spaces, and words that are too long are cut. */
BUILTIN(wordwrap)
{
    const struct tare_jinja_value text = tare_jinja_string(s, a[0]);
    const int64_t width = tare_jinja_need_whole(s, a[1], 79);
    struct tare_text out = {0};
    int64_t column = 0;
    UNUSED;
    if (width <= 0)
        return tare_jinja_fail(s, "wordwrap needs a positive width");
    for (size_t i = 0; i < text.size && !s->failed;) {
        if (text.as.text[i] == '\n') {
            tare_jinja_puts(s, &out, "\n");
            column = 0;
            i++;
            continue;
        }
        const size_t spaces = strspn(text.as.text + i, " ") > text.size - i ? 0 : strspn(text.as.text + i, " ");
        size_t to = i + spaces;
        while (to < text.size && text.as.text[to] != ' ' && text.as.text[to] != '\n')
            to++;
        const int64_t n = (int64_t)tare_jinja_characters(text.as.text + i + spaces, to - i - spaces);
        if (n > width)
            return tare_text_release(&out), tare_jinja_fail(s, "wordwrap: a word is longer than a line");
        if (column && column + (int64_t)spaces + n > width) {
            tare_jinja_puts(s, &out, "\n");
            column = 0;
        } else {
            tare_jinja_add(s, &out, text.as.text + i, spaces);
            column += (int64_t)spaces;
        }
        tare_jinja_add(s, &out, text.as.text + i + spaces, to - i - spaces);
        column += n;
        i = to;
    }
    return tare_jinja_take(s, &out);
}

/* Returns the character that an entity stands for, or 0; *size becomes its bytes. It knows the entities that escape()
 * makes, and numeric ones. */
static uint32_t entity_of(const char *text, size_t size, size_t *n)
{
    static const struct {
        const char *name;
        uint32_t c;
    } named[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}, {"&nbsp;", 0xa0}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (size >= (*n = strlen(named[i].name)) && !memcmp(text, named[i].name, *n))
            return named[i].c;
    if (size < 4 || text[1] != '#')
        return 0;
    const bool hex = text[2] == 'x' || text[2] == 'X';
    uint32_t c = 0;
    for (*n = hex ? 3 : 2; *n < size && *n < 10 && strchr("0123456789abcdefABCDEF", text[*n]) && text[*n]; ++*n) {
        const char d = text[*n];
        if (!hex && d > '9')
            return 0;
        c = c * (hex ? 16 : 10) + (uint32_t)(d <= '9' ? d - '0' : (d | 32) - 'a' + 10);
    }
    const bool ends = *n < size && text[(*n)++] == ';';
    return ends && c < 0x110000 && (c < 0xd800 || c > 0xdfff) ? c : 0;
}

static struct tare_jinja_value unescape(struct tare_jinja_state *s, struct tare_jinja_value text)
{
    struct tare_text out = {0};
    size_t n;
    for (size_t i = 0; i < text.size && !s->failed; i += n) {
        char written[4];
        const uint32_t c = text.as.text[i] == '&' ? entity_of(text.as.text + i, text.size - i, &n) : 0;
        if (c)
            tare_jinja_add(s, &out, written, tare_utf8_put(written, c));
        else
            tare_jinja_add(s, &out, text.as.text + i, n = 1);
    }
    return tare_jinja_take(s, &out);
}

BUILTIN(striptags)
{
    struct tare_jinja_value text = tare_jinja_string(s, a[0]);
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
        } else if (tare_jinja_class(C_SPACE, c)) {
            space = true;
        } else {
            if (space && out.size)
                tare_jinja_puts(s, &out, " ");
            space = false;
            tare_jinja_add(s, &out, text.as.text + i, n);
        }
    }
    return unescape(s, tare_jinja_take(s, &out));
}

BUILTIN(escape)
{
    const struct tare_jinja_value text = tare_jinja_string(s, a[0]);
    struct tare_text out = {0};
    UNUSED;
    for (size_t i = 0; i < text.size && !s->failed; i++) {
        const char c = text.as.text[i];
        if (c == '&' || c == '<' || c == '>' || c == '"' || c == '\'')
            tare_jinja_puts(s, &out,
                            c == '&'   ? "&amp;"
                            : c == '<' ? "&lt;"
                            : c == '>' ? "&gt;"
                            : c == '"' ? "&#34;"
                                       : "&#39;");
        else
            tare_jinja_add(s, &out, &c, 1);
    }
    return tare_jinja_take(s, &out);
}

static void quote(struct tare_jinja_state *s, struct tare_text *out, struct tare_jinja_value value, bool query)
{
    const struct tare_jinja_value text = tare_jinja_string(s, value);
    char word[8];
    for (size_t i = 0; i < text.size && !s->failed; i++) {
        const unsigned char c = (unsigned char)text.as.text[i];
        const bool plain =
            (c < 0x80 && tare_jinja_class(C_WORD, c)) || c == '.' || c == '-' || c == '~' || (c == '/' && !query);
        snprintf(word, sizeof word, plain ? "%c" : "%%%02X", c);
        tare_jinja_puts(s, out, c == ' ' && query ? "+" : word);
    }
}

BUILTIN(urlencode)
{
    struct tare_text out = {0};
    UNUSED;
    if (a[0].kind != TARE_JINJA_DICT && a[0].kind != TARE_JINJA_LIST && a[0].kind != TARE_JINJA_TUPLE) {
        quote(s, &out, a[0], false);
        return tare_jinja_take(s, &out);
    }
    const struct tare_jinja_list *pairs = a[0].kind == TARE_JINJA_DICT ? NULL : a[0].as.list;
    const size_t n = pairs ? pairs->n : a[0].as.dict->n;
    for (size_t i = 0; i < n && !s->failed; i++) {
        const struct tare_jinja_list *pair = pairs ? tare_jinja_collect(s, pairs->items[i]) : NULL;
        if (pairs && (!pair || pair->n != 2)) {
            tare_jinja_fail(s, "urlencode takes pairs");
            break;
        }
        if (i)
            tare_jinja_puts(s, &out, "&");
        quote(s, &out, pair ? pair->items[0] : a[0].as.dict->pairs[i].key, true);
        tare_jinja_puts(s, &out, "=");
        quote(s, &out, pair ? pair->items[1] : a[0].as.dict->pairs[i].value, true);
    }
    return tare_jinja_take(s, &out);
}

const struct tare_jinja_builtin tare_jinja_text_filters[] = {{"trim", trim, "*"},
                                                             {"upper", upper, "*"},
                                                             {"lower", lower, "*"},
                                                             {"capitalize", capitalize, "*"},
                                                             {"title", title, ""},
                                                             {"safe", safe, ""},
                                                             {"center", center, "?width"},
                                                             {"replace", replace, "old new ?count"},
                                                             {"format", format, "*"},
                                                             {"indent", indent, "?width ?first ?blank"},
                                                             {"truncate", truncate, "?length ?killwords ?end ?leeway"},
                                                             {"wordcount", wordcount, ""},
                                                             {"wordwrap", wordwrap, "?width"},
                                                             {"striptags", striptags, ""},
                                                             {"escape", escape, ""},
                                                             {"e", escape, ""},
                                                             {"forceescape", escape, ""},
                                                             {"urlencode", urlencode, ""},
                                                             {NULL, NULL, NULL}};

const struct tare_jinja_builtin *tare_jinja_filter_find(struct tare_jinja_value name)
{
    static const struct tare_jinja_builtin *const tables[] = {tare_jinja_sequence_filters, tare_jinja_select_filters,
                                                              tare_jinja_text_filters};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        const struct tare_jinja_builtin *filter = tare_jinja_builtin_find(tables[i], name);
        if (filter)
            return filter;
    }
    return NULL;
}
