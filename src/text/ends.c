/* SPDX-License-Identifier: MIT
 * ends.c - the ids that end a text. They come from generation_config.json, or else from config.json; the eos_token
 * of tokenizer_config.json is always added. */
#include <stdlib.h>
#include <string.h>

#include "config/json.h"
#include "open/checkpoint.h"
#include "text/tokenizer.h"
#include "text/tokenizer_config.h"

#define CONFIG_MOST ((uint64_t)64 << 20)

/* Adds an id once, however often the files name it. */
static enum tare_code add(struct tare_tokenizer *tokenizer, int32_t id, struct tare_error *err)
{
    for (size_t i = 0; i < tokenizer->n_ends; i++)
        if (tokenizer->ends[i] == id)
            return TARE_OK;
    if (!tare_grow(&tokenizer->ends, &tokenizer->ends_room, tokenizer->n_ends + 1, sizeof *tokenizer->ends))
        return tare_fail_memory(err);
    tokenizer->ends[tokenizer->n_ends++] = id;
    return TARE_OK;
}

static enum tare_code add_number(struct tare_tokenizer *tokenizer, const char *file, const json_t *value,
                                 struct tare_error *err)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > INT32_MAX)
        return tare_fail(err, TARE_E_CONFIG, file, "eos_token_id is neither a number from 0 on nor a list of them");
    return add(tokenizer, (int32_t)json_integer_value(value), err);
}

/* Adds the ids of an object's eos_token_id, a number or a list. *found becomes true when the object has that key. */
static enum tare_code add_ids(struct tare_tokenizer *tokenizer, const char *file, const json_t *object, bool *found,
                              struct tare_error *err)
{
    const json_t *value = json_object_get(object, "eos_token_id");
    enum tare_code code = TARE_OK;
    if (!value || json_is_null(value))
        return TARE_OK;
    *found = true;
    if (!json_is_array(value))
        return add_number(tokenizer, file, value, err);
    for (size_t i = 0; i < json_array_size(value) && !code; i++)
        code = add_number(tokenizer, file, json_array_get(value, i), err);
    return code;
}

/* Reads a JSON file of the checkpoint; *json stays NULL when the file is not there. */
static enum tare_code load(const struct tare_checkpoint *checkpoint, const char *file, json_t **json,
                           struct tare_error *err)
{
    char *data = NULL;
    size_t size = 0;
    *json = NULL;
    if (!tare_checkpoint_has(checkpoint, file))
        return TARE_OK;
    enum tare_code code = tare_checkpoint_read(checkpoint, file, CONFIG_MOST, &data, &size, err);
    if (!code)
        code = tare_json_parse(json, file, data, size, err);
    free(data);
    return code;
}

static enum tare_code from_configs(struct tare_tokenizer *tokenizer, const struct tare_checkpoint *checkpoint,
                                   struct tare_error *err)
{
    json_t *json;
    bool found = false;
    enum tare_code code = load(checkpoint, "generation_config.json", &json, err);
    if (!code && json)
        code = add_ids(tokenizer, "generation_config.json", json, &found, err);
    json_decref(json);
    if (code || found)
        return code;
    code = load(checkpoint, "config.json", &json, err);
    if (!code && json)
        code = add_ids(tokenizer, "config.json", json, &found, err);
    if (!code && json && !found)
        code = add_ids(tokenizer, "config.json", json_object_get(json, "text_config"), &found, err);
    json_decref(json);
    return code;
}

/* Adds the eos_token, which the file writes as "</s>" or as {"content": "</s>"}. A text that is no token is
 * ignored. */
static enum tare_code from_tokenizer_config(struct tare_tokenizer *tokenizer, const struct tare_checkpoint *checkpoint,
                                            struct tare_error *err)
{
    json_t *config;
    enum tare_code code = tare_tokenizer_config_read(&config, checkpoint, err);
    const json_t *eos = json_object_get(config, "eos_token");
    const json_t *text = json_is_object(eos) ? json_object_get(eos, "content") : eos;
    if (!code && json_is_string(text)) {
        const uint32_t id = tare_tokenizer_find(tokenizer, json_string_value(text), json_string_length(text));
        code = id == TARE_TOKEN_NONE ? TARE_OK : add(tokenizer, (int32_t)id, err);
    }
    json_decref(config);
    return code;
}

/* `other` is the end that the vocabulary's own file names; it counts only when no other file names one. */
enum tare_code tare_ends_read(struct tare_tokenizer *tokenizer, const struct tare_checkpoint *checkpoint, int32_t other,
                              struct tare_error *err)
{
    enum tare_code code = from_configs(tokenizer, checkpoint, err);
    if (!code)
        code = from_tokenizer_config(tokenizer, checkpoint, err);
    return code || tokenizer->n_ends || other < 0 ? code : add(tokenizer, other, err);
}

bool tare_tokenizer_ends(const tare_tokenizer *tokenizer, int32_t id)
{
    if (!tokenizer)
        return false;
    for (size_t i = 0; i < tokenizer->n_ends; i++)
        if (tokenizer->ends[i] == id)
            return true;
    return false;
}
