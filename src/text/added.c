/* SPDX-License-Identifier: MIT
 * added.c - added tokens, which are found in a text before the model sees it. At each place from left to right the
 * longest token wins. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"
#include "text/unicode.h"

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct reading {
    struct tare_tokenizer *tokenizer;
    struct tare_normal normal;
    /* The tokens read so far, in the order of the file: those looked for in the text as it is, and those looked for in
     * the normalized text. Each array has room for the whole list. */
    struct tare_added_token *plain;
    struct tare_added_token *normalized;
    size_t n_plain;
    size_t n_normalized;
    /* The largest id given so far, or TARE_TOKEN_NONE before the first one. */
    uint32_t most;
    /* The contents of the tokens marked as special. */
    struct tare_map specials;
    /* True when ids are taken from the list, false when they are counted as the reference does. */
    bool exact;
    struct tare_error *err;
};

struct entry {
    const char *content;
    size_t size;
    /* The id that the list gives, or TARE_TOKEN_NONE when it gives none. */
    uint32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
};

static enum tare_code read_entry(const json_t *item, struct entry *entry, struct tare_error *err)
{
    static const char *const keys[] = {"single_word", "lstrip", "rstrip", "normalized", "special"};
    bool *const values[] = {&entry->single_word, &entry->lstrip, &entry->rstrip, &entry->normalized, &entry->special};
    const json_t *content = json_object_get(item, "content"), *id = json_object_get(item, "id");
    if (!json_is_string(content))
        return tare_fail(err, TARE_E_FORMAT, "tokenizer.json: added_tokens", "an added token without content");
    entry->content = json_string_value(content);
    entry->size = json_string_length(content);
    entry->id = json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) <= INT32_MAX
                    ? (uint32_t)json_integer_value(id)
                    : TARE_TOKEN_NONE;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *flag = json_object_get(item, keys[i]);
        if (flag && !json_is_boolean(flag))
            return tare_fail(err, TARE_E_FORMAT, "tokenizer.json: added_tokens",
                             "\"%.100s\": %s is neither true nor false", entry->content, keys[i]);
        *values[i] = json_is_true(flag);
    }
    return TARE_OK;
}

/* The reference ignores the ids of the file, unless the list was made by us (exact). A token that the model knows
 * keeps the model's id; every other one gets the next free number after the model's ids. */
static uint32_t number(struct reading *reading, const struct entry *entry)
{
    const struct tare_vocab *vocab = &reading->tokenizer->vocab;
    if (reading->exact && entry->id != TARE_TOKEN_NONE)
        return entry->id;
    uint32_t id = tare_vocab_find(vocab, entry->content, entry->size);
    if (id == TARE_TOKEN_NONE)
        id = tare_map_get(&reading->tokenizer->added.ids, entry->content, entry->size);
    if (id != TARE_TOKEN_NONE)
        return id;
    const uint32_t count = (uint32_t)vocab->count;
    return reading->most != TARE_TOKEN_NONE && (reading->most >= count || !count) ? reading->most + 1 : count;
}

/* Numbers one token, remembers its content and puts it on the list it belongs to. A normalized token is stored as the
 * normalizers leave its content, because that is the text it will be looked for in. */
static enum tare_code add(struct reading *reading, const struct entry *entry)
{
    if (!entry->size)
        return TARE_OK;
    struct tare_tokenizer *tokenizer = reading->tokenizer;
    const uint32_t id = number(reading, entry);
    if (reading->most == TARE_TOKEN_NONE || id > reading->most)
        reading->most = id;
    struct tare_added_token token = {.id = id,
                                     .single_word = entry->single_word,
                                     .lstrip = entry->lstrip,
                                     .rstrip = entry->rstrip,
                                     .special = entry->special};
    const char *content = tare_arena_copy(&tokenizer->arena, entry->content, entry->size), *text = content;
    size_t size = entry->size;
    if (!content || !tare_map_put(&tokenizer->added.ids, content, size, id, NULL) ||
        (entry->special && !tare_map_put(&reading->specials, content, size, id, NULL)))
        return tare_fail_memory(reading->err);
    if (entry->normalized) {
        const enum tare_code code =
            tare_normalize(&tokenizer->normalizers, &reading->normal, content, size, &text, &size, reading->err);
        if (code)
            return code;
        text = tare_arena_copy(&tokenizer->arena, text, size);
        if (!text)
            return tare_fail_memory(reading->err);
    }
    token.content = (struct tare_slice){text, (uint32_t)size};
    if (entry->normalized)
        reading->normalized[reading->n_normalized++] = token;
    else
        reading->plain[reading->n_plain++] = token;
    return tare_vocab_show(&tokenizer->vocab, id, text, size, reading->err);
}

/* As in the reference, a token is special when the text shown for it equals the content of some special token. So an
 * id can become special through another entry with the same content. */
static void mark_specials(struct reading *reading)
{
    struct tare_vocab *vocab = &reading->tokenizer->vocab;
    for (size_t id = 0; id < vocab->n_shown; id++) {
        struct tare_token *token = &vocab->shown[id];
        token->special = token->text && tare_map_get(&reading->specials, token->text, token->size) != TARE_MAP_NONE;
    }
}

static int compare_tokens(const void *a, const void *b)
{
    const struct tare_slice *x = &((const struct tare_added_token *)a)->content,
                            *y = &((const struct tare_added_token *)b)->content;
    const int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

/* Orders tokens by content; tokens with the same content stand in the order in which they were added. */
static int compare_order(const void *a, const void *b)
{
    const struct tare_added_token *x = a, *y = b;
    const int order = compare_tokens(a, b);
    return order ? order : (x->order > y->order) - (x->order < y->order);
}

/* Sorts the tokens by content and drops empty ones and repetitions (the first one added stays). Then first[b] is the
 * place of the first token whose first byte is at least b, so that the tokens of one first byte are the range
 * first[b] .. first[b + 1]. */
static void settle(struct tare_added_set *set, struct tare_added_token *tokens, size_t n)
{
    for (size_t i = 0; i < n; i++)
        tokens[i].order = (uint32_t)i;
    if (n)
        qsort(tokens, n, sizeof *tokens, compare_order);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (tokens[i].content.size && (!kept || compare_tokens(&tokens[kept - 1], &tokens[i]) != 0))
            tokens[kept++] = tokens[i];
    set->tokens = tokens;
    set->n = kept;
    for (size_t byte = 0, i = 0; byte < 257; byte++) {
        while (i < kept && (unsigned char)tokens[i].content.text[0] < byte)
            i++;
        set->first[byte] = (uint32_t)i;
    }
}

static enum tare_code read_list(struct reading *reading, const json_t *list, struct tare_added *added)
{
    const size_t n = json_array_size(list);
    reading->plain = calloc(n + 1, sizeof *reading->plain);
    reading->normalized = calloc(n + 1, sizeof *reading->normalized);
    enum tare_code code = reading->plain && reading->normalized ? TARE_OK : tare_fail_memory(reading->err);
    for (size_t i = 0; i < n && !code; i++) {
        struct entry entry = {0};
        code = read_entry(json_array_get(list, i), &entry, reading->err);
        if (!code)
            code = add(reading, &entry);
    }
    settle(&added->plain, reading->plain, reading->plain ? reading->n_plain : 0);
    /* The set was made from a tokenizer.model already. */
    if (added->normalized.tokens)
        free(reading->normalized);
    else
        settle(&added->normalized, reading->normalized, reading->normalized ? reading->n_normalized : 0);
    return code;
}

enum tare_code tare_added_set_make(struct tare_added_set *set, const struct tare_added_token *tokens, size_t n,
                                   struct tare_error *err)
{
    struct tare_added_token *copy = malloc((n + 1) * sizeof *copy);
    if (!copy)
        return tare_fail_memory(err);
    if (n)
        memcpy(copy, tokens, n * sizeof *copy);
    settle(set, copy, n);
    return TARE_OK;
}

enum tare_code tare_added_read(struct tare_tokenizer *tokenizer, const json_t *list, bool exact, struct tare_error *err)
{
    if (list && !json_is_null(list) && !json_is_array(list))
        return tare_fail(err, TARE_E_FORMAT, "tokenizer.json: added_tokens", "found another value, expected a list");
    struct reading reading = {.tokenizer = tokenizer, .most = TARE_TOKEN_NONE, .exact = exact, .err = err};
    const enum tare_code code = read_list(&reading, list, &tokenizer->added);
    if (!code)
        mark_specials(&reading);
    tare_map_release(&reading.specials);
    tare_normal_release(&reading.normal);
    return code;
}

void tare_added_release(struct tare_added *added)
{
    free(added->plain.tokens);
    free(added->normalized.tokens);
    free(added->kept.tokens);
    tare_map_release(&added->ids);
    *added = (struct tare_added){0};
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

/* Returns the longest token that the text begins with, or NULL. tokens[low .. high) are those that agree with the
 * text in its first `depth` bytes; two binary searches over the next byte narrow that range. */
static const struct tare_added_token *longest(const struct tare_added_set *set, const char *text, size_t size)
{
    const unsigned char head = (unsigned char)text[0];
    size_t low = set->first[head], high = set->first[head + 1];
    const struct tare_added_token *best = NULL;
    for (size_t depth = 1; low < high; depth++) {
        if (set->tokens[low].content.size == depth)
            /* Within the range the shortest token comes first. */
            best = &set->tokens[low++];
        if (depth == size || low == high)
            break;
        const unsigned char c = (unsigned char)text[depth];
        size_t from = low, to = high;
        /* Find the first token whose byte is at least c. */
        while (from < to) {
            const size_t middle = (from + to) / 2;
            if ((unsigned char)set->tokens[middle].content.text[depth] < c)
                from = middle + 1;
            else
                to = middle;
        }
        low = from;
        to = high;
        /* Find the first token whose byte is greater than c. */
        while (from < to) {
            const size_t middle = (from + to) / 2;
            if ((unsigned char)set->tokens[middle].content.text[depth] <= c)
                from = middle + 1;
            else
                to = middle;
        }
        high = from;
    }
    return best;
}

size_t tare_added_longest(const struct tare_added_set *set, const char *text, size_t size)
{
    const struct tare_added_token *token = set->n ? longest(set, text, size) : NULL;
    return token ? token->content.size : 0;
}

/* Returns where the character that ends before byte `at` begins: it skips UTF-8 continuation bytes (10xxxxxx). */
static size_t before(const char *text, size_t at)
{
    do
        at--;
    while (((unsigned char)text[at] & 0xc0) == 0x80);
    return at;
}

/* Returns whether text[start .. end) stands alone as a word: no word character, by Rust's definition, touches it. */
static bool single(const char *text, size_t size, size_t start, size_t end)
{
    size_t bytes;
    if (start > 0 && tare_unicode_in(rust_word, tare_utf8_get(text + before(text, start), &bytes)))
        return false;
    return end == size || !tare_unicode_in(rust_word, tare_utf8_get(text + end, &bytes));
}

/* An lstrip token takes the white space before it too, and an rstrip token the white space after it. White space that
 * an earlier token has already taken stays with that token. */
enum tare_code tare_added_split(const struct tare_added_set *set, const char *text, size_t size, bool literal,
                                tare_added_fn each, void *user)
{
    /* Text before this place has been handed on. */
    size_t from = 0;
    enum tare_code code = TARE_OK;
    for (size_t i = 0; i < size && set->n;) {
        const unsigned char head = (unsigned char)text[i];
        const struct tare_added_token *token =
            set->first[head] < set->first[head + 1] ? longest(set, text + i, size - i) : NULL;
        if (!token) {
            i++;
            continue;
        }
        size_t start = i, end = i + token->content.size;
        i = end;
        if ((literal && token->special) || (token->single_word && !single(text, size, start, end)))
            continue;
        size_t bytes;
        while (token->lstrip && start > from &&
               tare_unicode_in(white, tare_utf8_get(text + before(text, start), &bytes)))
            start = before(text, start);
        /* These spaces went to the token before. */
        if (token->lstrip && start < from)
            start = from;
        while (token->rstrip && end < size && tare_unicode_in(white, tare_utf8_get(text + end, &bytes)))
            end += bytes;
        if (from < start)
            code = each(user, TARE_TOKEN_NONE, from, start);
        if (!code && start < end) /* else the token before has taken all of it */
            code = each(user, token->id, start, end);
        if (code)
            return code;
        from = end;
    }
    return from < size ? each(user, TARE_TOKEN_NONE, from, size) : TARE_OK;
}
