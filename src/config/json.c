/* SPDX-License-Identifier: MIT
 * json.c - configs as trees: jansson, after a pass that makes strings of bare Infinity and NaN. */
#include "config/json.h"

#include <string.h>

#include "base/text.h"

/* What Python's json module writes for floats that JSON cannot express. */
static const char *const words[] = {"-Infinity", "Infinity", "NaN"};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The length of such a word at text, or 0. A word before a colon does not count, since a key has to be a string. */
static size_t word_at(const char *text, size_t n, char before)
{
    if (before != ':' && before != ',' && before != '[' && before != '\0')
        return 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i]), next = length;
        if (n < length || memcmp(text, words[i], length) != 0)
            continue;
        while (next < n && is_space(text[next]))
            next++;
        return next == n || text[next] != ':' ? length : 0;
    }
    return 0;
}

/* Length of the string at text, with its quotes; to the end when it has none. */
static size_t string_length(const char *text, size_t n)
{
    size_t i = 1;
    while (i < n && text[i] != '"')
        i += text[i] == '\\' ? 2 : 1;
    return i < n ? i + 1 : n;
}

/*
 * Copy text to out, with quotes around bare words. With out NULL, nothing is copied. Stops where `limit` bytes would
 * have been written, and returns how many bytes of text were read by then: so a position in the copy is found again in
 * the text.
 */
static size_t quote_words(const char *text, size_t n, size_t limit, struct tare_text *out, size_t *n_words)
{
    char before = '\0';
    size_t i = 0, written = 0;
    while (i < n && written < limit) {
        const size_t word = text[i] == '-' || text[i] == 'I' || text[i] == 'N' ? word_at(text + i, n - i, before) : 0;
        const size_t step = word ? word : text[i] == '"' ? string_length(text + i, n - i) : 1;
        if (limit - written < step + (word ? 2 : 0))
            return word ? i : i + (limit - written);
        if (out && word)
            tare_text_add(out, "\"", 1);
        if (out)
            tare_text_add(out, text + i, step);
        if (out && word)
            tare_text_add(out, "\"", 1);
        *n_words += word != 0;
        written += step + (word ? 2 : 0);
        if (!is_space(text[i]))
            before = text[i];
        i += step;
    }
    return i;
}

/* Where parsing stopped, as line and character, which is how editors count. */
static void line_and_column(const char *text, size_t at, size_t *line, size_t *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            ++*column;
        }
    }
}

static enum tare_code fail_parse(const json_error_t *error, const char *file, const char *text, size_t size,
                                 struct tare_error *err)
{
    size_t line, column, n_words = 0;
    const size_t limit = error->position > 0 ? (size_t)error->position - 1 : 0; /* the last byte that was read */
    const size_t at = quote_words(text, size, limit, NULL, &n_words);
    line_and_column(text, at, &line, &column);
    if (!error->text[0]) /* jansson says nothing where an allocation failed */
        return tare_fail_memory(err);
    switch (json_error_code(error)) {
    case json_error_out_of_memory:
        return tare_fail_memory(err);
    case json_error_invalid_utf8:
        return tare_fail(err, TARE_E_CONFIG, file, "line %zu, column %zu: %s: this is no UTF-8, save it as UTF-8", line,
                         column, error->text);
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return tare_fail(
            err, TARE_E_CONFIG, file,
            "line %zu, column %zu: U+0000 in a string, which no honest file has: the file is damaged or made "
            "to deceive",
            line, column);
    case json_error_duplicate_key:
        return tare_fail(err, TARE_E_CONFIG, file,
                         "line %zu, column %zu: %s: which value counts is not said; remove one", line, column,
                         error->text);
    default:
        return tare_fail(err, TARE_E_CONFIG, file,
                         "line %zu, column %zu: %s: this is no JSON, mend it or fetch it again", line, column,
                         error->text);
    }
}

/* The word that {"__float__": "Infinity"} stands for (borrowed), or NULL. */
static json_t *wrapped_word(json_t *json)
{
    json_t *inner = json_object_size(json) == 1 ? json_object_get(json, "__float__") : NULL;
    for (size_t k = 0; json_is_string(inner) && k < sizeof words / sizeof *words; k++)
        if (!strcmp(json_string_value(inner), words[k]))
            return inner;
    return NULL;
}

/* Put wrapped words in their objects' place, everywhere below json; false: no memory. jansson limits the depth. */
static bool unwrap_words(json_t *json)
{
    json_t *value;
    const char *key;
    size_t i;
    json_array_foreach(json, i, value)
    {
        if (!unwrap_words(value))
            return false;
        json_t *word = wrapped_word(value);
        if (word && json_array_set(json, i, word))
            return false;
    }
    json_object_foreach(json, key, value)
    {
        if (!unwrap_words(value))
            return false;
        json_t *word = wrapped_word(value);
        if (word && json_object_set_nocheck(json, key, word)) /* the key stays, and with it the iterator */
            return false;
    }
    return true;
}

static enum tare_code parse(json_t **json, const char *file, const char *text, size_t size, size_t flags,
                            struct tare_error *err)
{
    struct tare_text quoted = {0};
    json_error_t error = {0};
    size_t n_words = 0;
    *json = NULL;
    if (!size)
        return tare_fail(err, TARE_E_CONFIG, file, "is empty: fetch it again");
    if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
        return tare_fail(err, TARE_E_CONFIG, file,
                         "begins with a byte order mark, which JSON does not have: save it without");
    quote_words(text, size, SIZE_MAX, NULL, &n_words);
    if (n_words)
        quote_words(text, size, SIZE_MAX, &quoted, &n_words);
    if (quoted.failed) {
        tare_text_release(&quoted);
        return tare_fail_memory(err);
    }
    *json = json_loadb(quoted.data ? quoted.data : text, quoted.data ? quoted.size : size, flags, &error);
    tare_text_release(&quoted);
    if (!*json)
        return fail_parse(&error, file, text, size, err);
    if (!unwrap_words(*json)) {
        json_decref(*json);
        *json = NULL;
        return tare_fail_memory(err);
    }
    json_t *word = json_incref(wrapped_word(*json));
    if (word) { /* the whole document is one */
        json_decref(*json);
        *json = word;
    }
    return TARE_OK;
}

enum tare_code tare_json_parse(json_t **json, const char *file, const char *text, size_t size, struct tare_error *err)
{
    return parse(json, file, text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, err);
}

enum tare_code tare_json_parse_texts(json_t **json, const char *file, const char *text, size_t size,
                                     struct tare_error *err)
{
    return parse(json, file, text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, err);
}

bool tare_json_lists(const json_t *array, const char *text)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *one = json_string_value(json_array_get(array, i));
        if (one && !strcmp(one, text))
            return true;
    }
    return false;
}
