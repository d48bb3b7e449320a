/* SPDX-License-Identifier: MIT
 * tekken.c - reads tekken.json, Mistral's own file: special tokens have the first ids, and tiktoken's ranks of
 * byte strings follow them. Source: mistral-common, tokens/tokenizers/tekken.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/json.h"
#include "text/base64.h"
#include "text/made.h"

static const char file[] = "tekken.json";

/* The special tokens, in this order, of files of version 3 that do not list them yet. */
static const char *const old_specials[] = {"<unk>",
                                           "<s>",
                                           "</s>",
                                           "[INST]",
                                           "[/INST]",
                                           "[AVAILABLE_TOOLS]",
                                           "[/AVAILABLE_TOOLS]",
                                           "[TOOL_RESULTS]",
                                           "[/TOOL_RESULTS]",
                                           "[TOOL_CALLS]",
                                           "[IMG]",
                                           "<pad>",
                                           "[IMG_BREAK]",
                                           "[IMG_END]",
                                           "[PREFIX]",
                                           "[MIDDLE]",
                                           "[SUFFIX]",
                                           "[SYSTEM_PROMPT]",
                                           "[/SYSTEM_PROMPT]",
                                           "[TOOL_CONTENT]"};

struct tekken {
    const json_t *vocab, *specials;
    const char *pattern;
    /* How many tokens of the vocabulary count. Their ids begin after those of the special tokens. */
    size_t n;
    size_t n_specials;
};

static enum tare_code wrong(struct tare_error *err, const char *text)
{
    return tare_fail(err, TARE_E_FORMAT, file, "%s", text);
}

static bool whole_of(const json_t *value, size_t most, size_t *whole)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) > most)
        return false;
    *whole = (size_t)json_integer_value(value);
    return true;
}

/* Reads the sizes. default_vocab_size counts the special tokens too, and the list may hold more tokens than count. */
static enum tare_code read_head(struct tekken *tekken, const json_t *root, struct tare_error *err)
{
    const json_t *config = json_object_get(root, "config");
    const size_t most = (size_t)1 << 24;
    size_t all;
    tekken->vocab = json_object_get(root, "vocab");
    tekken->specials = json_object_get(root, "special_tokens");
    tekken->pattern = json_string_value(json_object_get(config, "pattern"));
    if (!tekken->pattern || !json_is_array(tekken->vocab))
        return wrong(err, "expected config.pattern, a text, and vocab, a list");
    if (!whole_of(json_object_get(config, "default_vocab_size"), most, &all) ||
        !whole_of(json_object_get(config, "default_num_special_tokens"), all, &tekken->n_specials))
        return wrong(err,
                     "config.default_vocab_size is no number up to 16777216, or default_num_special_tokens none up "
                     "to that");
    tekken->n = all - tekken->n_specials;
    if (tekken->n > json_array_size(tekken->vocab))
        return tare_fail(err, TARE_E_FORMAT, file, "vocab has %zu tokens; with %zu special ones %zu were announced",
                         json_array_size(tekken->vocab), tekken->n_specials, all);
    if (tekken->specials && !json_is_null(tekken->specials) && !json_is_array(tekken->specials))
        return wrong(err, "special_tokens is no list");
    return TARE_OK;
}

/* Writes the bytes of a token in ByteLevel's alphabet, in the arena of json. */
static enum tare_code letters_of(struct tare_tokenizer_json *json, const json_t *token, size_t rank,
                                 struct tare_text *work, struct tare_slice *letters, struct tare_error *err)
{
    const json_t *coded = json_object_get(token, "token_bytes");
    size_t given, size;
    if (!json_is_string(coded) || json_string_length(coded) > UINT32_MAX / 4 ||
        !whole_of(json_object_get(token, "rank"), rank, &given) || given != rank)
        return tare_fail(err, TARE_E_FORMAT, file, "vocab[%zu] has not its place as rank, or no token_bytes", rank);
    char *bytes = tare_arena_copy(&json->arena, json_string_value(coded), json_string_length(coded));
    if (!bytes)
        return tare_fail_memory(err);
    if (!tare_base64_decode(bytes, json_string_length(coded), &size) || !size)
        return tare_fail(err, TARE_E_FORMAT, file, "vocab[%zu]: token_bytes is no base64", rank);
    work->size = 0;
    tare_byte_level_add(work, bytes, size);
    *letters = (struct tare_slice){work->failed ? NULL : tare_arena_copy(&json->arena, work->data, work->size),
                                   (uint32_t)work->size};
    return letters->text ? TARE_OK : tare_fail_memory(err);
}

/* Fills the vocabulary. The score of a token is minus its rank, so that merges with a low rank come first. */
static enum tare_code fill_vocab(const struct tekken *tekken, struct tare_tokenizer_json *json, struct tare_error *err)
{
    struct tare_text work = {0};
    struct tare_scored *pieces = calloc(tekken->n + 1, sizeof *pieces);
    enum tare_code code = pieces && tare_made_vocab(json, tekken->n) ? TARE_OK : tare_fail_memory(err);
    for (size_t i = 0; i < tekken->n && !code; i++) {
        struct tare_slice letters = {0};
        code = letters_of(json, json_array_get(tekken->vocab, i), i, &work, &letters, err);
        json->vocab[i] = (struct tare_vocab_entry){letters, (uint32_t)(tekken->n_specials + i)};
        pieces[i] = (struct tare_scored){letters.text, letters.size, true, -(double)i};
    }
    json->n_vocab = tekken->n;
    json->has_vocab = true;
    if (!code && !tare_made_merges(json, pieces, tekken->n))
        code = tare_fail_memory(err);
    free(pieces);
    tare_text_release(&work);
    return code;
}

/* Returns special token number i: from the list of the file, from the old list, or else the filler "<SPECIAL_i>". */
static json_t *special_at(const struct tekken *tekken, size_t i)
{
    char filler[40];
    const json_t *listed = json_array_get(tekken->specials, i);
    const json_t *text = json_object_get(listed, "token_str");
    const bool old = !json_is_array(tekken->specials);
    if (text)
        return tare_made_token((int64_t)i, json_string_value(text), json_string_length(text),
                               !json_is_false(json_object_get(listed, "is_control")));
    snprintf(filler, sizeof filler, "<SPECIAL_%zu>", i);
    const char *word = old && i < sizeof old_specials / sizeof *old_specials ? old_specials[i] : filler;
    return tare_made_token((int64_t)i, word, strlen(word), true);
}

static enum tare_code fill_added(const struct tekken *tekken, json_t *added, const struct tare_made_config *config,
                                 struct tare_error *err)
{
    for (size_t i = 0; i < json_array_size(tekken->specials); i++) {
        const json_t *listed = json_array_get(tekken->specials, i);
        size_t rank;
        if (i >= tekken->n_specials || !json_is_string(json_object_get(listed, "token_str")) ||
            !whole_of(json_object_get(listed, "rank"), i, &rank) || rank != i)
            return tare_fail(err, TARE_E_FORMAT, file,
                             "special_tokens[%zu] is beyond the announced ones, has not its place as rank, or no "
                             "token_str",
                             i);
    }
    for (size_t i = 0; i < tekken->n_specials; i++)
        if (json_array_append_new(added, special_at(tekken, i)))
            return tare_fail_memory(err);
    return tare_made_add(added, config, err);
}

/* Returns the id of a special token, or -1 when there is none. */
static int64_t special_of(const json_t *added, const char *text)
{
    for (size_t i = 0; i < json_array_size(added); i++)
        if (!strcmp(json_string_value(json_object_get(json_array_get(added, i), "content")), text))
            return json_integer_value(json_object_get(json_array_get(added, i), "id"));
    return -1;
}

/* Makes the pre-tokenizer: cut at the pattern of the file, then write each part in ByteLevel's alphabet. */
static json_t *split_of(const struct tekken *tekken)
{
    return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, {s:s, s:b, s:b, s:b}]}", "type", "Sequence", "pretokenizers",
                     "type", "Split", "pattern", "Regex", tekken->pattern, "behavior", "Isolated", "invert", 0, "type",
                     "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 0);
}

static enum tare_code fill_tree(const struct tekken *tekken, struct tare_tokenizer_json *json,
                                const struct tare_made_config *config, struct tare_error *err)
{
    json_t *added = json_array();
    json->made = true;
    json->root = json_object();
    if (!added || !json->root || json_object_set_new(json->root, "added_tokens", added))
        return tare_fail_memory(err);
    const enum tare_code code = fill_added(tekken, added, config, err);
    if (code)
        return code;
    const int64_t bos = special_of(added, "<s>"), eos = special_of(added, "</s>");
    json->eos = (int32_t)eos;
    int failed = json_object_set_new(json->root, "pre_tokenizer", split_of(tekken));
    failed |= json_object_set_new(json->root, "decoder", json_pack("{s:s}", "type", "ByteLevel"));
    failed |= json_object_set_new(json->root, "model", json_pack("{s:s, s:b}", "type", "BPE", "ignore_merges", 1));
    failed |= json_object_set_new(json->root, "post_processor", tare_made_ends(config, bos, true, eos, false));
    return failed ? tare_fail_memory(err) : TARE_OK;
}

enum tare_code tare_tekken_read(struct tare_tokenizer *tokenizer, struct tare_tokenizer_json *json,
                                const struct tare_made_config *config, const char *bytes, size_t size,
                                struct tare_error *err)
{
    struct tare_tokenizer_json source = {0};
    struct tekken tekken = {0};
    (void)tokenizer;
    json->file = file;
    enum tare_code code = tare_tokenizer_json_read(&source, file, bytes, size, err);
    if (!code)
        code = read_head(&tekken, source.root, err);
    if (!code)
        code = fill_vocab(&tekken, json, err);
    if (!code)
        code = fill_tree(&tekken, json, config, err);
    tare_tokenizer_json_release(&source);
    return code;
}
