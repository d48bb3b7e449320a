/* SPDX-License-Identifier: MIT
 * tokenizer.c - opens a tokenizer and turns texts into ids; the stages are in the files that tokenizer.h names. */
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "open/checkpoint.h"
#include "text/made.h"
#include "text/unicode.h"

/* The largest tokenizer.json that is read; the largest known one has 40 MB. */
#define FILE_MOST ((uint64_t)1 << 30)

static const char file[] = "tokenizer.json";

static const struct tare_model_kind *const model_kinds[] = {&tare_model_bpe, &tare_model_unigram,
                                                            &tare_model_word_piece, &tare_model_word_level};

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static enum tare_code find_model(struct tare_tokenizer *tokenizer, const struct tare_tokenizer_json *json,
                                 struct tare_error *err)
{
    const json_t *model = json_object_get(json->root, "model");
    const char *type = json_string_value(json_object_get(model, "type"));
    if (!json_is_object(model))
        return tare_fail(err, TARE_E_FORMAT, file, "it has no model");
    /* Old files leave the type out, and the other keys of the model tell it. */
    if (!type)
        type = json->has_merges                                     ? "BPE"
               : json->scored                                       ? "Unigram"
               : json_object_get(model, "max_input_chars_per_word") ? "WordPiece"
                                                                    : "WordLevel";
    for (size_t i = 0; i < sizeof model_kinds / sizeof model_kinds[0]; i++)
        if (!strcmp(model_kinds[i]->type, type)) {
            tokenizer->model_kind = model_kinds[i];
            return TARE_OK;
        }
    return tare_fail(
        err, TARE_E_UNKNOWN, file,
        "the model type \"%.64s\" is not known to this version of tare; it knows BPE, Unigram, WordPiece and "
        "WordLevel",
        type);
}

typedef enum tare_code (*stage_fn)(struct tare_steps *steps, const struct tare_step_source *source);

static enum tare_code read_stage(struct tare_tokenizer *tokenizer, const json_t *root, const char *key, stage_fn read,
                                 struct tare_steps *steps, struct tare_error *err)
{
    struct tare_step_source source = {.json = json_object_get(root, key), .arena = &tokenizer->arena, .err = err};
    snprintf(source.where, sizeof source.where, "%s: %s", file, key);
    return read(steps, &source);
}

/* The order matters: added tokens come last, because they are normalized and take ids after the model's. */
static enum tare_code read_stages(struct tare_tokenizer *tokenizer, const struct tare_tokenizer_json *json,
                                  struct tare_error *err)
{
    const json_t *root = json->root, *decoder = json_object_get(root, "decoder");
    enum tare_code code = find_model(tokenizer, json, err);
    if (!code)
        code = tare_vocab_build(&tokenizer->vocab, json, err);
    if (!code)
        code = read_stage(tokenizer, root, "normalizer", tare_normalizers_read, &tokenizer->normalizers, err);
    if (!code)
        code = read_stage(tokenizer, root, "pre_tokenizer", tare_pre_tokenizers_read, &tokenizer->pre_tokenizers, err);
    if (!code)
        code = read_stage(tokenizer, root, "decoder", tare_decoders_read, &tokenizer->decoders, err);
    if (!code)
        code = tare_post_read(tokenizer, json_object_get(root, "post_processor"), err);
    if (!code)
        code = tokenizer->model_kind->open(&tokenizer->model, tokenizer, json, err);
    if (!code)
        code = tare_added_read(tokenizer, json_object_get(root, "added_tokens"), json->made, err);
    tokenizer->no_decoder = !decoder || json_is_null(decoder);
    return code;
}

/* The files that a vocabulary is read from; the first one that the checkpoint has is taken. */
static const struct {
    const char *file;
    /* NULL for tokenizer.json itself. */
    tare_made_read read;
} sources[] = {
    {file, NULL},
    {"tokenizer.model", tare_sentencepiece_read},
    {"tekken.json", tare_tekken_read},
};

static enum tare_code read_source(struct tare_tokenizer *tokenizer, const struct tare_checkpoint *checkpoint,
                                  size_t which, struct tare_error *err)
{
    struct tare_tokenizer_json json = {.eos = -1};
    struct tare_made_config config = {0};
    char *text = NULL;
    size_t size = 0;
    enum tare_code code = tare_checkpoint_read(checkpoint, sources[which].file, FILE_MOST, &text, &size, err);
    if (!code && !sources[which].read)
        code = tare_tokenizer_json_read(&json, file, text, size, err);
    if (!code && sources[which].read)
        code = tare_made_config_read(&config, checkpoint, err);
    if (!code && sources[which].read)
        code = sources[which].read(tokenizer, &json, &config, text, size, err);
    if (!code)
        code = read_stages(tokenizer, &json, err);
    if (!code)
        code = tare_ends_read(tokenizer, checkpoint, json.eos, err);
    tare_made_config_release(&config);
    tare_tokenizer_json_release(&json);
    free(text);
    return code;
}

static enum tare_code read_all(struct tare_tokenizer *tokenizer, const struct tare_checkpoint *checkpoint,
                               struct tare_error *err)
{
    const size_t n = sizeof sources / sizeof *sources;
    for (size_t i = 0; i < n; i++)
        if (tare_checkpoint_has(checkpoint, sources[i].file))
            return read_source(tokenizer, checkpoint, i, err);
    return tare_fail(err, TARE_E_ABSENT, file, "is not there, nor is tokenizer.model or tekken.json");
}

enum tare_code tare_tokenizer_open(tare_tokenizer **result, const char *path, const struct tare_options *options,
                                   struct tare_error *err)
{
    if (!result)
        return tare_fail_null(err, "tare_tokenizer_open");
    struct tare_checkpoint checkpoint = {0};
    *result = NULL;
    tare_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (!tokenizer)
        return tare_fail_memory(err);
    tokenizer->lazy = calloc(1, sizeof *tokenizer->lazy);
    enum tare_code code =
        tokenizer->lazy ? tare_checkpoint_locate(&checkpoint, path, options, err) : tare_fail_memory(err);
    if (!code)
        code = read_all(tokenizer, &checkpoint, err);
    tare_checkpoint_release(&checkpoint);
    if (code) {
        tare_tokenizer_free(tokenizer);
        return code;
    }
    *result = tokenizer;
    return TARE_OK;
}

void tare_tokenizer_free(tare_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    if (tokenizer->model_kind)
        tokenizer->model_kind->free(tokenizer->model);
    tare_post_release(tokenizer);
    tare_added_release(&tokenizer->added);
    tare_steps_release(&tokenizer->normalizers);
    tare_steps_release(&tokenizer->pre_tokenizers);
    tare_steps_release(&tokenizer->decoders);
    tare_vocab_release(&tokenizer->vocab);
    tare_arena_release(&tokenizer->arena);
    free(tokenizer->ends);
    if (tokenizer->lazy)
        tare_spelled_free(tokenizer->lazy->spelled);
    free(tokenizer->lazy);
    free(tokenizer);
}

uint32_t tare_tokenizer_find(const struct tare_tokenizer *tokenizer, const char *text, size_t size)
{
    const uint32_t id = tare_map_get(&tokenizer->added.ids, text, size);
    return id != TARE_MAP_NONE ? id : tare_vocab_find(&tokenizer->vocab, text, size);
}

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

enum tare_code tare_encoder_put(struct tare_encoder *encoder, uint32_t id)
{
    if (encoder->n == encoder->room && !tare_grow(&encoder->ids, &encoder->room, encoder->n + 1, sizeof *encoder->ids))
        return tare_fail_memory(encoder->err);
    encoder->ids[encoder->n++] = (int32_t)id;
    return TARE_OK;
}

/* A part of the text between added tokens; `first` is true where it begins at the beginning of the whole text. */
struct section {
    struct tare_encoder *encoder;
    const char *text;
    bool first;
};

/* Called for each part of a normalized text: an added token, or a stretch between two, which the pre-tokenizers and
 * the model turn into ids. */
static enum tare_code normalized_part(void *user, uint32_t id, size_t start, size_t end)
{
    const struct section *section = user;
    if (id != TARE_TOKEN_NONE)
        return tare_encoder_put(section->encoder, id);
    const struct tare_text_piece piece = {section->text + start, end - start, section->first && !start};
    return tare_pre_tokenize(section->encoder, 0, piece);
}

/* Called for each part of the original text: an added token, or a stretch between two. The stretch is normalized, and
 * the added tokens that want normalized text are looked for in it. */
static enum tare_code plain_part(void *user, uint32_t id, size_t start, size_t end)
{
    const struct section *section = user;
    struct tare_encoder *encoder = section->encoder;
    const struct tare_tokenizer *tokenizer = encoder->tokenizer;
    if (id != TARE_TOKEN_NONE)
        return tare_encoder_put(encoder, id);
    struct section part = {.encoder = encoder};
    size_t size;
    const enum tare_code code = tare_normalize(&tokenizer->normalizers, &encoder->normal, section->text + start,
                                               end - start, &part.text, &size, encoder->err);
    if (code)
        return code;
    part.first = !start && !encoder->normal.front_lost;
    return tare_added_split(&tokenizer->added.normalized, part.text, size, encoder->literal, normalized_part, &part);
}

static enum tare_code encoder_init(struct tare_encoder *encoder, const struct tare_tokenizer *tokenizer, size_t size)
{
    encoder->tokenizer = tokenizer;
    encoder->work = calloc(tokenizer->pre_tokenizers.n + 1, sizeof *encoder->work);
    encoder->model_work = tokenizer->model_kind->work_open(tokenizer->model, size);
    return encoder->work && encoder->model_work ? TARE_OK : tare_fail_memory(encoder->err);
}

static void encoder_release(struct tare_encoder *encoder)
{
    for (size_t i = 0; encoder->work && i < encoder->tokenizer->pre_tokenizers.n; i++) {
        tare_text_release(&encoder->work[i].text);
        tare_text_release(&encoder->work[i].out);
        tare_matcher_release(&encoder->work[i].matcher);
    }
    free(encoder->work);
    encoder->tokenizer->model_kind->work_free(encoder->model_work);
    tare_normal_release(&encoder->normal);
}

static enum tare_code encode(const tare_tokenizer *tokenizer, const char *text, size_t size, bool special, bool literal,
                             int32_t **ids, size_t *n, struct tare_error *err)
{
    *ids = NULL;
    *n = 0;
    const size_t valid = tare_utf8_check(text, size);
    if (valid != size)
        return tare_fail(err, TARE_E_ARGUMENT, "", "the text is no UTF-8: byte %zu, 0x%02x, begins no character", valid,
                         (unsigned)(unsigned char)text[valid]);
    if (size > TARE_TEXT_MOST)
        return tare_fail(err, TARE_E_ARGUMENT, "", "the text has %zu bytes; at most %zu are encoded at once", size,
                         TARE_TEXT_MOST);
    struct tare_encoder encoder = {.literal = literal, .err = err};
    struct section whole = {&encoder, text, true};
    enum tare_code code = encoder_init(&encoder, tokenizer, size);
    if (!code)
        code = tare_added_split(&tokenizer->added.plain, text, size, literal, plain_part, &whole);
    if (!code && special)
        code = tare_post_run(tokenizer, &encoder.ids, &encoder.n, err);
    if (!code && !encoder.ids && !tare_grow(&encoder.ids, &encoder.room, 1, sizeof *encoder.ids))
        code = tare_fail_memory(err);
    encoder_release(&encoder);
    if (code) {
        free(encoder.ids);
        return code;
    }
    *ids = encoder.ids;
    *n = encoder.n;
    return TARE_OK;
}

enum tare_code tare_tokenizer_encode(const tare_tokenizer *tokenizer, const char *text, size_t size, bool special,
                                     int32_t **ids, size_t *n, struct tare_error *err)
{
    if (!tokenizer || (!text && size) || !ids || !n)
        return tare_fail_null(err, "tare_tokenizer_encode");
    return encode(tokenizer, text, size, special, false, ids, n, err);
}

enum tare_code tare_tokenizer_encode_literal(const tare_tokenizer *tokenizer, const char *text, size_t size,
                                             bool special, int32_t **ids, size_t *n, struct tare_error *err)
{
    if (!tokenizer || (!text && size) || !ids || !n)
        return tare_fail_null(err, "tare_tokenizer_encode_literal");
    return encode(tokenizer, text, size, special, true, ids, n, err);
}

void tare_ids_free(int32_t *ids)
{
    free(ids);
}
