/* SPDX-License-Identifier: MIT
 * word.c - WordLevel: a word is one token, or it is unknown. */
#include <stdlib.h>
#include <string.h>

#include "text/token_model.h"

struct word_level {
    const struct tare_vocab *vocab;
    struct tare_unknown unknown;
};

static void word_free(void *model)
{
    free(model);
}

static enum tare_code word_open(void **model, const struct tare_tokenizer *tokenizer,
                                const struct tare_tokenizer_json *json, struct tare_error *err)
{
    struct word_level *words = calloc(1, sizeof *words);
    *model = words;
    if (!words)
        return tare_fail_memory(err);
    words->vocab = &tokenizer->vocab;
    if (!json->has_vocab || json->scored)
        return tare_fail(err, TARE_E_FORMAT, "tokenizer.json", "model.vocab is %s",
                         json->has_vocab ? "a list, expected an object" : "missing");
    return tare_unknown_read(&words->unknown, json, &tokenizer->vocab, err);
}

static enum tare_code word_encode(const void *model, void *work, struct tare_encoder *encoder, const char *text,
                                  size_t size)
{
    const struct word_level *words = model;
    (void)work;
    const uint32_t id = tare_vocab_find(words->vocab, text, size);
    return id != TARE_TOKEN_NONE ? tare_encoder_put(encoder, id) : tare_unknown_put(&words->unknown, encoder);
}

const struct tare_model_kind tare_model_word_level = {"WordLevel",          word_open,  word_free, tare_model_no_work,
                                                      tare_model_free_work, word_encode};
