/* SPDX-License-Identifier: MIT
 * post.c - post-processors, which put special tokens around the ids of a text. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

#define NESTING_MOST 8
#define POST_MOST 64
/* The most parts of one template. */
#define ITEMS_MOST 4096
/* Stands in a template where the text's own ids go. */
#define OWN (-1)

static const char place[] = "tokenizer.json: post_processor";

static enum tare_code wrong(struct tare_error *err, const char *text)
{
    return tare_fail(err, TARE_E_FORMAT, place, "%s", text);
}

static enum tare_code item(struct tare_post *post, int32_t id, struct tare_error *err)
{
    if (post->n >= ITEMS_MOST)
        return wrong(err, "a template of more than 4096 parts");
    if (!tare_grow(&post->items, &post->room, post->n + 1, sizeof *post->items))
        return tare_fail_memory(err);
    post->items[post->n++] = id;
    return TARE_OK;
}

static enum tare_code id_item(struct tare_post *post, const json_t *id, struct tare_error *err)
{
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
        return wrong(err, "the id of a special token is no number from 0 on");
    return item(post, (int32_t)json_integer_value(id), err);
}

/* Adds the ids of a part {"SpecialToken": {"id": name}}; the object special_tokens lists them under that name. */
static enum tare_code special(struct tare_post *post, const json_t *json, const char *name, struct tare_error *err)
{
    const json_t *ids = json_object_get(json_object_get(json_object_get(json, "special_tokens"), name), "ids");
    if (!json_is_array(ids))
        return tare_fail(err, TARE_E_FORMAT, place, "the template has \"%.64s\", which special_tokens does not", name);
    enum tare_code code = TARE_OK;
    for (size_t i = 0; i < json_array_size(ids) && !code; i++)
        code = id_item(post, json_array_get(ids, i), err);
    return code;
}

/* Reads "single", the template for one text. Its part {"Sequence": {"id": "A"}} is the text and may come once. */
static enum tare_code read_template(struct tare_post *post, const json_t *json, struct tare_error *err)
{
    const json_t *parts = json_object_get(json, "single");
    if (!json_is_array(parts))
        return wrong(err, "single is no list");
    size_t own = 0;
    enum tare_code code = TARE_OK;
    for (size_t i = 0; i < json_array_size(parts) && !code; i++) {
        const json_t *part = json_array_get(parts, i);
        const char *name = json_string_value(json_object_get(json_object_get(part, "SpecialToken"), "id"));
        const char *sequence = json_string_value(json_object_get(json_object_get(part, "Sequence"), "id"));
        if (name)
            code = special(post, json, name, err);
        else if (sequence && !strcmp(sequence, "A") && !own++)
            code = item(post, OWN, err);
        else if (sequence && own)
            code = tare_fail(err, TARE_E_UNKNOWN, place, "single has the text twice, which tare does not know");
        else
            code = wrong(err, "a part of single is neither {\"SpecialToken\": ..} nor {\"Sequence\": {\"id\": \"A\"}}");
    }
    return code;
}

/* Reads RobertaProcessing and BertProcessing, which mean [cls] text [sep]; each of both is given as ["token", id]. */
static enum tare_code read_cls_sep(struct tare_post *post, const json_t *json, struct tare_error *err)
{
    enum tare_code code = id_item(post, json_array_get(json_object_get(json, "cls"), 1), err);
    if (!code)
        code = item(post, OWN, err);
    return code ? code : id_item(post, json_array_get(json_object_get(json, "sep"), 1), err);
}

static enum tare_code read_one(struct tare_tokenizer *tokenizer, const json_t *json, int depth, struct tare_error *err)
{
    const char *type = json_string_value(json_object_get(json, "type"));
    const json_t *list = json_object_get(json, "processors");
    enum tare_code code = TARE_OK;
    if (!type)
        return wrong(err, "it has no type");
    /* ByteLevel changes only offsets, which tare does not keep. */
    if (!strcmp(type, "ByteLevel"))
        return TARE_OK;
    if (!strcmp(type, "Sequence")) {
        if (!json_is_array(list) || depth >= NESTING_MOST)
            return wrong(err, "a Sequence without a list of processors, or nested more than 8 deep");
        for (size_t i = 0; i < json_array_size(list) && !code; i++)
            code = read_one(tokenizer, json_array_get(list, i), depth + 1, err);
        return code;
    }
    if (tokenizer->n_post >= POST_MOST)
        return wrong(err, "more than 64 processors");
    if (!tokenizer->post && !(tokenizer->post = calloc(POST_MOST, sizeof *tokenizer->post)))
        return tare_fail_memory(err);
    struct tare_post *post = &tokenizer->post[tokenizer->n_post++];
    if (!strcmp(type, "TemplateProcessing"))
        return read_template(post, json, err);
    if (!strcmp(type, "RobertaProcessing") || !strcmp(type, "BertProcessing"))
        return read_cls_sep(post, json, err);
    return tare_fail(err, TARE_E_UNKNOWN, place, "the type \"%.64s\" is not known to this version of tare", type);
}

enum tare_code tare_post_read(struct tare_tokenizer *tokenizer, const json_t *json, struct tare_error *err)
{
    return !json || json_is_null(json) ? TARE_OK : read_one(tokenizer, json, 0, err);
}

/* Replaces ids by the template of one processor, with each OWN replaced by the old ids. Checks first that the total
 * size does not overflow. */
static enum tare_code run_one(const struct tare_post *post, int32_t **ids, size_t *n, struct tare_error *err)
{
    size_t own = 0;
    for (size_t i = 0; i < post->n; i++)
        own += post->items[i] == OWN;
    if (own && *n > (SIZE_MAX / sizeof **ids - post->n) / own)
        return tare_fail_memory(err);
    const size_t total = own * *n + (post->n - own);
    int32_t *all = malloc((total + 1) * sizeof *all), *to = all;
    if (!all)
        return tare_fail_memory(err);
    for (size_t i = 0; i < post->n; i++) {
        if (post->items[i] != OWN) {
            *to++ = post->items[i];
            continue;
        }
        if (*n)
            memcpy(to, *ids, *n * sizeof *to);
        to += *n;
    }
    free(*ids);
    *ids = all;
    *n = total;
    return TARE_OK;
}

enum tare_code tare_post_run(const struct tare_tokenizer *tokenizer, int32_t **ids, size_t *n, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    for (size_t i = 0; i < tokenizer->n_post && !code; i++)
        code = run_one(&tokenizer->post[i], ids, n, err);
    return code;
}

void tare_post_release(struct tare_tokenizer *tokenizer)
{
    for (size_t i = 0; i < tokenizer->n_post; i++)
        free(tokenizer->post[i].items);
    free(tokenizer->post);
    tokenizer->post = NULL;
    tokenizer->n_post = 0;
}
