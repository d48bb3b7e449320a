/* SPDX-License-Identifier: MIT
 * token_model.c - what the models WordLevel, WordPiece and Unigram have in common: the token for unknown words,
 * and work memory for models that need none. */
#include "text/token_model.h"

#include <stdio.h>
#include <stdlib.h>

enum tare_code tare_unknown_read(struct tare_unknown *unknown, const struct tare_tokenizer_json *json,
                                 const struct tare_vocab *vocab, struct tare_error *err)
{
    const json_t *token = json_object_get(json_object_get(json->root, "model"), "unk_token");
    if (!json_is_string(token))
        return tare_fail(err, TARE_E_FORMAT, "tokenizer.json", "model.unk_token is %s, expected a token",
                         token ? "of another kind" : "missing");
    snprintf(unknown->name, sizeof unknown->name, "%s", json_string_value(token));
    unknown->id = tare_vocab_find(vocab, json_string_value(token), json_string_length(token));
    return TARE_OK;
}

enum tare_code tare_unknown_put(const struct tare_unknown *unknown, struct tare_encoder *encoder)
{
    if (unknown->id != TARE_TOKEN_NONE)
        return tare_encoder_put(encoder, unknown->id);
    return tare_fail(encoder->err, TARE_E_FORMAT, "tokenizer.json",
                     "a word is in no token, and model.unk_token \"%s\" is not in the vocabulary", unknown->name);
}

void *tare_model_no_work(const void *model, size_t text_size)
{
    (void)model, (void)text_size;
    /* Not NULL, which would mean that memory ran out. */
    return calloc(1, 1);
}

void tare_model_free_work(void *work)
{
    free(work);
}

void tare_vocab_bytes(const struct tare_vocab *vocab, uint32_t bytes[256])
{
    static const char hex[] = "0123456789ABCDEF";
    for (unsigned b = 0; b < 256; b++) {
        const char text[6] = {'<', '0', 'x', hex[b >> 4], hex[b & 15], '>'};
        bytes[b] = tare_vocab_find(vocab, text, sizeof text);
    }
}
