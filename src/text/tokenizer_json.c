/* SPDX-License-Identifier: MIT
 * tokenizer_json.c - reads tokenizer.json with yajl as a stream. Vocabulary and merges go straight into arrays,
 * since half a million merges would be a huge tree; all the rest becomes a jansson tree. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "base/locale.h"
#include "text/tokenizer.h"

#define DEPTH_MOST 64
/* Ids must be below this; the largest vocabularies have 2^18. */
#define ID_MOST ((uint32_t)1 << 24)

/* What the reader is inside of: the tree; model.vocab as an object; model.merges or one of its pairs; model.vocab as
 * a list of [token, score] or one of its entries. */
enum mode { MODE_TREE, MODE_VOCAB, MODE_MERGES, MODE_PAIR, MODE_SCORES, MODE_SCORE };

struct reader {
    struct tare_tokenizer_json *json;
    const char *file, *text;
    size_t size;
    struct tare_error *err;
    enum tare_code code;
    enum mode mode;
    /* The containers that are open, from the outermost on. Each is owned by the one around it. */
    json_t *open[DEPTH_MOST];
    /* For each open object the key whose value comes next; owned. */
    char *keys[DEPTH_MOST];
    size_t depth;
    /* The token of the vocabulary whose id or score comes next. */
    struct tare_slice key;
    /* How many values of the present pair or entry were read. */
    size_t in_pair;
};

static int stop(struct reader *reader, enum tare_code code, const char *text)
{
    reader->code = tare_fail(reader->err, code, reader->file, "%s", text);
    return 0;
}

static int no_memory(struct reader *reader)
{
    reader->code = tare_fail_memory(reader->err);
    return 0;
}

/* Keeps a string of the file. yajl gives a piece of the text itself where a string has no escapes; else it gives a
 * buffer of its own, which must be copied. */
static bool keep(struct reader *reader, const unsigned char *bytes, size_t size, struct tare_slice *slice)
{
    const char *text = (const char *)bytes;
    if (size > UINT32_MAX / 2)
        return false;
    if (!((uintptr_t)text >= (uintptr_t)reader->text && (uintptr_t)text <= (uintptr_t)reader->text + reader->size))
        text = tare_arena_copy(&reader->json->arena, text, size);
    *slice = (struct tare_slice){text, (uint32_t)size};
    return text != NULL;
}

/* Puts a value where the tree is being built and takes the reference over. */
static int place(struct reader *reader, json_t *value)
{
    if (!value)
        return no_memory(reader);
    if (!reader->depth) {
        reader->json->root = value;
        return 1;
    }
    json_t *parent = reader->open[reader->depth - 1];
    if (json_is_array(parent))
        return json_array_append_new(parent, value) ? no_memory(reader) : 1;
    char *key = reader->keys[reader->depth - 1];
    if (json_object_get(parent, key)) {
        json_decref(value);
        reader->code =
            tare_fail(reader->err, TARE_E_FORMAT, reader->file, "the key \"%.200s\" stands twice in one object", key);
        return 0;
    }
    return json_object_set_new(parent, key, value) ? no_memory(reader) : 1;
}

static int enter(struct reader *reader, json_t *container)
{
    if (reader->depth >= DEPTH_MOST) {
        json_decref(container);
        return stop(reader, TARE_E_FORMAT, "more than 64 arrays and objects within one another");
    }
    if (!place(reader, container))
        return 0;
    reader->keys[reader->depth] = NULL;
    reader->open[reader->depth++] = container;
    return 1;
}

static int leave(struct reader *reader)
{
    free(reader->keys[--reader->depth]);
    return 1;
}

/* Returns whether the value that begins now is that of "model": {"<name>": ..}. */
static bool at(const struct reader *reader, const char *name)
{
    return reader->depth == 2 && reader->keys[0] && !strcmp(reader->keys[0], "model") && reader->keys[1] &&
           !strcmp(reader->keys[1], name);
}

static int wrong_entry(struct reader *reader)
{
    if (reader->mode == MODE_VOCAB)
        return stop(reader, TARE_E_FORMAT,
                    "model.vocab maps each token to its id, a number from 0 to 16777215; found another value");
    if (reader->mode == MODE_SCORES || reader->mode == MODE_SCORE)
        return stop(reader, TARE_E_FORMAT, "model.vocab lists pairs, [\"token\", score]; found another value");
    return stop(reader, TARE_E_FORMAT, "model.merges lists pairs, [\"a\", \"b\"] or \"a b\"; found another value");
}

static int on_scalar(struct reader *reader, json_t *value)
{
    if (reader->mode == MODE_TREE)
        return place(reader, value);
    json_decref(value);
    return wrong_entry(reader);
}

static int on_null(void *user)
{
    return on_scalar(user, json_null());
}

static int on_boolean(void *user, int value)
{
    return on_scalar(user, json_boolean(value));
}

/* Takes the score, which ends an entry of the list. The id of a token is its place in the list. */
static int add_score(struct reader *reader, double score)
{
    struct tare_tokenizer_json *json = reader->json;
    if (++reader->in_pair != 2 || json->n_vocab >= ID_MOST || !isfinite(score))
        return wrong_entry(reader);
    if (!tare_grow(&json->vocab, &json->vocab_room, json->n_vocab + 1, sizeof *json->vocab) ||
        !tare_grow(&json->scores, &json->scores_room, json->n_vocab + 1, sizeof *json->scores))
        return no_memory(reader);
    json->scores[json->n_vocab] = score;
    json->vocab[json->n_vocab] = (struct tare_vocab_entry){reader->key, (uint32_t)json->n_vocab};
    json->n_vocab++;
    return 1;
}

/* Reads a score as the reference does: serde_json rounds the digits to a double and multiplies or divides by a power
 * of ten, which may be one off in the last place. Unigram compares sums of scores that are equal on paper, so such
 * places decide. */
static double score_of(const char *text)
{
    const bool minus = *text == '-';
    uint64_t digits = 0;
    int exponent = 0;
    bool point = false, full = false;
    for (text += minus; *text && *text != 'e' && *text != 'E'; text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        const unsigned digit = (unsigned)(*text - '0');
        full = full || digits > (UINT64_MAX - digit) / 10;
        if (!full)
            digits = digits * 10 + digit;
        exponent += full ? !point : -(int)point;
    }
    const long more = *text ? strtol(text + 1, NULL, 10) : 0;
    exponent += (int)(more < -9999 ? -9999 : more > 9999 ? 9999 : more);
    double value = (double)digits;
    for (; exponent < -308 && value != 0; exponent += 308)
        value /= 1e308;
    if (exponent < -308 || exponent > 308)
        return value == 0 ? 0 : INFINITY;
    value = exponent >= 0 ? value * pow(10, exponent) : value / pow(10, -exponent);
    return minus ? -value : value;
}

static int on_number(void *user, const char *digits, size_t size)
{
    struct reader *reader = user;
    char text[64];
    if (size >= sizeof text)
        return stop(reader, TARE_E_FORMAT, "a number of more than 63 digits");
    memcpy(text, digits, size);
    text[size] = '\0';
    if (reader->mode == MODE_SCORE)
        return add_score(reader, score_of(text));
    errno = 0;
    char *end;
    const long long whole = strtoll(text, &end, 10);
    const bool integer = !*end && !errno;
    if (reader->mode != MODE_VOCAB)
        return on_scalar(reader, integer ? json_integer(whole) : json_real(tare_number_parse(text, NULL)));
    struct tare_tokenizer_json *json = reader->json;
    if (!integer || whole < 0 || whole >= ID_MOST)
        return wrong_entry(reader);
    if (!tare_grow(&json->vocab, &json->vocab_room, json->n_vocab + 1, sizeof *json->vocab))
        return no_memory(reader);
    json->vocab[json->n_vocab++] = (struct tare_vocab_entry){reader->key, (uint32_t)whole};
    return 1;
}

/* Takes a merge written as "a b", with exactly one space. */
static int merge_text(struct reader *reader, struct tare_slice both)
{
    struct tare_tokenizer_json *json = reader->json;
    const char *space = memchr(both.text, ' ', both.size);
    const size_t left = space ? (size_t)(space - both.text) : 0;
    if (!space || memchr(space + 1, ' ', both.size - left - 1))
        return wrong_entry(reader);
    if (!tare_grow(&json->merges, &json->merges_room, json->n_merges + 2, sizeof *json->merges))
        return no_memory(reader);
    json->merges[json->n_merges++] = (struct tare_slice){both.text, (uint32_t)left};
    json->merges[json->n_merges++] = (struct tare_slice){space + 1, (uint32_t)(both.size - left - 1)};
    return 1;
}

static int on_string(void *user, const unsigned char *bytes, size_t size)
{
    struct reader *reader = user;
    struct tare_slice slice;
    if (reader->mode == MODE_TREE)
        return place(reader, json_stringn((const char *)bytes, size));
    if (reader->mode == MODE_VOCAB || reader->mode == MODE_SCORES)
        return wrong_entry(reader);
    if (reader->mode == MODE_SCORE && ++reader->in_pair != 1)
        return wrong_entry(reader);
    if (!keep(reader, bytes, size, reader->mode == MODE_SCORE ? &reader->key : &slice))
        return no_memory(reader);
    if (reader->mode == MODE_SCORE)
        return 1;
    if (reader->mode == MODE_MERGES)
        return merge_text(reader, slice);
    struct tare_tokenizer_json *json = reader->json;
    if (++reader->in_pair > 2)
        return wrong_entry(reader);
    if (!tare_grow(&json->merges, &json->merges_room, json->n_merges + 1, sizeof *json->merges))
        return no_memory(reader);
    json->merges[json->n_merges++] = slice;
    return 1;
}

static int on_key(void *user, const unsigned char *bytes, size_t size)
{
    struct reader *reader = user;
    if (reader->mode == MODE_VOCAB)
        return keep(reader, bytes, size, &reader->key) ? 1 : no_memory(reader);
    if (memchr(bytes, '\0', size))
        return stop(reader, TARE_E_FORMAT, "a key with U+0000 in it");
    char *key = malloc(size + 1);
    if (!key)
        return no_memory(reader);
    memcpy(key, bytes, size);
    key[size] = '\0';
    free(reader->keys[reader->depth - 1]);
    reader->keys[reader->depth - 1] = key;
    return 1;
}

static int on_map(void *user)
{
    struct reader *reader = user;
    if (reader->mode != MODE_TREE)
        return wrong_entry(reader);
    if (!at(reader, "vocab"))
        return enter(reader, json_object());
    if (reader->json->has_vocab)
        return stop(reader, TARE_E_FORMAT, "model.vocab stands twice");
    reader->json->has_vocab = true;
    reader->mode = MODE_VOCAB;
    return 1;
}

static int on_map_end(void *user)
{
    struct reader *reader = user;
    if (reader->mode == MODE_TREE)
        return leave(reader);
    reader->mode = MODE_TREE;
    return 1;
}

static int on_array(void *user)
{
    struct reader *reader = user;
    if (reader->mode == MODE_MERGES || reader->mode == MODE_SCORES) {
        reader->mode = reader->mode == MODE_MERGES ? MODE_PAIR : MODE_SCORE;
        reader->in_pair = 0;
        return 1;
    }
    if (reader->mode != MODE_TREE)
        return wrong_entry(reader);
    if (at(reader, "vocab")) {
        if (reader->json->has_vocab)
            return stop(reader, TARE_E_FORMAT, "model.vocab stands twice");
        reader->json->has_vocab = reader->json->scored = true;
        reader->mode = MODE_SCORES;
        return 1;
    }
    if (!at(reader, "merges"))
        return enter(reader, json_array());
    if (reader->json->has_merges)
        return stop(reader, TARE_E_FORMAT, "model.merges stands twice");
    reader->json->has_merges = true;
    reader->mode = MODE_MERGES;
    return 1;
}

static int on_array_end(void *user)
{
    struct reader *reader = user;
    if (reader->mode == MODE_TREE)
        return leave(reader);
    if (reader->mode == MODE_PAIR || reader->mode == MODE_SCORE) {
        if (reader->in_pair != 2)
            return wrong_entry(reader);
        reader->mode = reader->mode == MODE_PAIR ? MODE_MERGES : MODE_SCORES;
        return 1;
    }
    reader->mode = MODE_TREE;
    return 1;
}

static const yajl_callbacks callbacks = {.yajl_null = on_null,
                                         .yajl_boolean = on_boolean,
                                         .yajl_number = on_number,
                                         .yajl_string = on_string,
                                         .yajl_start_map = on_map,
                                         .yajl_map_key = on_key,
                                         .yajl_end_map = on_map_end,
                                         .yajl_start_array = on_array,
                                         .yajl_end_array = on_array_end};

enum tare_code tare_tokenizer_json_read(struct tare_tokenizer_json *json, const char *file, const char *text,
                                        size_t size, struct tare_error *err)
{
    json->file = file;
    struct reader reader = {.json = json, .file = file, .text = text, .size = size, .err = err};
    yajl_handle yajl = yajl_alloc(&callbacks, NULL, &reader);
    if (!yajl)
        return tare_fail_memory(err);
    yajl_status status = yajl_parse(yajl, (const unsigned char *)text, size);
    if (status == yajl_status_ok)
        status = yajl_complete_parse(yajl);
    if (status != yajl_status_ok && !reader.code) {
        unsigned char *message = yajl_get_error(yajl, 0, NULL, 0);
        reader.code = tare_fail(err, TARE_E_FORMAT, file, "no JSON: %.*s, at byte %zu",
                                message ? (int)strcspn((const char *)message, "\n") : 0,
                                message ? (const char *)message : "", yajl_get_bytes_consumed(yajl));
        yajl_free_error(yajl, message);
    }
    yajl_free(yajl);
    while (reader.depth)
        leave(&reader);
    if (!reader.code && !json_is_object(json->root))
        reader.code = tare_fail(err, TARE_E_FORMAT, file, "its top is no object");
    return reader.code;
}

void tare_tokenizer_json_release(struct tare_tokenizer_json *json)
{
    json_decref(json->root);
    free(json->vocab);
    free(json->scores);
    free(json->merges);
    free(json->ranks);
    tare_arena_release(&json->arena);
    *json = (struct tare_tokenizer_json){0};
}
