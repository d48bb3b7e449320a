/* SPDX-License-Identifier: MIT
 * made.c - makes the parts of a tokenizer.json for vocabularies that come from other files (tokenizer.model,
 * tekken.json), so that one reader serves them all. */
#include "text/made.h"

#include <stdlib.h>
#include <string.h>

#include "config/json.h"
#include "text/tokenizer_config.h"

#define CONFIG_MOST ((uint64_t)64 << 20)

static const char added_file[] = "added_tokens.json";

/* ---- the folder's word ------------------------------------------------------------------------------------------- */

enum tare_code tare_made_config_read(struct tare_made_config *config, const struct tare_checkpoint *checkpoint,
                                     struct tare_error *err)
{
    char *data = NULL;
    size_t size = 0;
    enum tare_code code = tare_tokenizer_config_read(&config->config, checkpoint, err);
    if (code || !tare_checkpoint_has(checkpoint, added_file))
        return code;
    code = tare_checkpoint_read(checkpoint, added_file, CONFIG_MOST, &data, &size, err);
    if (!code)
        code = tare_json_parse(&config->added, added_file, data, size, err);
    free(data);
    return code;
}

void tare_made_config_release(struct tare_made_config *config)
{
    json_decref(config->config);
    json_decref(config->added);
    *config = (struct tare_made_config){0};
}

/* ---- vocabulary -------------------------------------------------------------------------------------------------- */

bool tare_made_vocab(struct tare_tokenizer_json *json, size_t n)
{
    return tare_grow(&json->vocab, &json->vocab_room, n + 1, sizeof *json->vocab) &&
           tare_grow(&json->scores, &json->scores_room, n + 1, sizeof *json->scores);
}

/* Writes the merges, which come sorted from the best score to the worst; equal scores get the same rank, as
 * SentencePiece merges the leftmost of them first. */
static bool fill_merges(struct tare_tokenizer_json *json, const struct tare_scored *pieces,
                        const struct tare_merge *merges, size_t n)
{
    json->ranks = malloc((n + 1) * sizeof *json->ranks);
    if (!json->ranks || !tare_grow(&json->merges, &json->merges_room, 2 * n + 1, sizeof *json->merges))
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct tare_scored *piece = &pieces[merges[i].piece];
        const uint32_t left = merges[i].left;
        json->merges[2 * i] = (struct tare_slice){piece->text, left};
        json->merges[2 * i + 1] = (struct tare_slice){piece->text + left, piece->size - left};
        json->ranks[i] = !i ? 0 : json->ranks[i - 1] + (merges[i].score != merges[i - 1].score);
    }
    json->n_merges = 2 * n;
    json->has_merges = true;
    return true;
}

bool tare_made_merges(struct tare_tokenizer_json *json, const struct tare_scored *pieces, size_t n)
{
    struct tare_merge *merges = NULL;
    size_t n_merges = 0;
    const bool room = tare_merges_make(pieces, n, &merges, &n_merges) && fill_merges(json, pieces, merges, n_merges);
    free(merges);
    return room;
}

/* ---- added tokens ------------------------------------------------------------------------------------------------ */

json_t *tare_made_token(int64_t id, const char *text, size_t size, bool special)
{
    json_t *content = json_stringn(text, size);
    return content ? json_pack("{s:I, s:o, s:b}", "id", (json_int_t)id, "content", content, "special", special) : NULL;
}

static bool is_id(int64_t id)
{
    return id >= 0 && id < (int64_t)1 << 24;
}

/* Adds the tokens of added_tokens.json: {"<|im_start|>": 32000, ..}. */
static enum tare_code add_file(json_t *list, const json_t *added, struct tare_error *err)
{
    const char *text;
    json_t *id;
    json_object_foreach((json_t *)(uintptr_t)added, text, id)
    {
        if (!json_is_integer(id) || !is_id(json_integer_value(id)))
            return tare_fail(err, TARE_E_FORMAT, added_file, "\"%.64s\" has no id, a number from 0 to 16777215", text);
        if (json_array_append_new(list, tare_made_token(json_integer_value(id), text, strlen(text), false)))
            return tare_fail_memory(err);
    }
    return TARE_OK;
}

/* Adds the tokens of added_tokens_decoder: {"32000": {"content": "<|im_start|>", "special": true, ..}, ..}. They are
 * looked for in the text before it is normalized, as transformers' slow tokenizers do. */
static enum tare_code add_decoder(json_t *list, const json_t *decoder, struct tare_error *err)
{
    const char *key;
    json_t *token;
    json_object_foreach((json_t *)(uintptr_t)decoder, key, token)
    {
        char *end;
        const long long id = strtoll(key, &end, 10);
        if (!*key || *end || !is_id(id) || !json_is_object(token))
            return tare_fail(err, TARE_E_CONFIG, "tokenizer_config.json",
                             "added_tokens_decoder maps ids, numbers from 0 to 16777215, to objects; found \"%.32s\"",
                             key);
        json_t *copy = json_copy(token);
        if (!copy || json_object_set_new(copy, "normalized", json_false()) ||
            json_object_set_new(copy, "id", json_integer(id)) || json_array_append(list, copy)) {
            json_decref(copy);
            return tare_fail_memory(err);
        }
        json_decref(copy);
    }
    return TARE_OK;
}

enum tare_code tare_made_add(json_t *list, const struct tare_made_config *config, struct tare_error *err)
{
    const enum tare_code code = add_file(list, config->added, err);
    return code ? code : add_decoder(list, json_object_get(config->config, "added_tokens_decoder"), err);
}

/* ---- ends -------------------------------------------------------------------------------------------------------- */

static bool flag_of(const struct tare_made_config *config, const char *key, bool fallback)
{
    const json_t *flag = json_object_get(config->config, key);
    return json_is_boolean(flag) ? json_is_true(flag) : fallback;
}

/* Makes a TemplateProcessing that puts bos before the text and eos after it. add_bos_token and add_eos_token of
 * tokenizer_config.json come before what the vocabulary says. */
json_t *tare_made_ends(const struct tare_made_config *config, int64_t bos, bool begins, int64_t eos, bool ends)
{
    begins = bos >= 0 && flag_of(config, "add_bos_token", begins);
    ends = eos >= 0 && flag_of(config, "add_eos_token", ends);
    json_t *parts = json_array();
    int failed = !parts;
    if (begins)
        failed |= json_array_append_new(parts, json_pack("{s:{s:s}}", "SpecialToken", "id", "bos"));
    failed |= json_array_append_new(parts, json_pack("{s:{s:s}}", "Sequence", "id", "A"));
    if (ends)
        failed |= json_array_append_new(parts, json_pack("{s:{s:s}}", "SpecialToken", "id", "eos"));
    if (failed) {
        json_decref(parts);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:{s:{s:[I]}, s:{s:[I]}}}", "type", "TemplateProcessing", "single", parts,
                     "special_tokens", "bos", "ids", (json_int_t)bos, "eos", "ids", (json_int_t)eos);
}
