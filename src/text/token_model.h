/* SPDX-License-Identifier: MIT
 * token_model.h - what WordLevel, WordPiece and Unigram share. */
#ifndef TARE_TEXT_TOKEN_MODEL_H
#define TARE_TEXT_TOKEN_MODEL_H

#include "text/tokenizer.h"

/* What stands for a word that is in no token. */
struct tare_unknown {
    uint32_t id; /* TARE_TOKEN_NONE: its token is not in the vocabulary */
    char name[48];
};
/* model.unk_token, which must be there; that it is in the vocabulary matters only when it is needed. */
enum tare_code tare_unknown_read(struct tare_unknown *unknown, const struct tare_tokenizer_json *json,
                                 const struct tare_vocab *vocab, struct tare_error *err);
enum tare_code tare_unknown_put(const struct tare_unknown *unknown, struct tare_encoder *encoder);

/* Work memory of a model that needs none. */
void *tare_model_no_work(const void *model, size_t text_size);
void tare_model_free_work(void *work);

/* The tokens <0x00> .. <0xFF>; TARE_TOKEN_NONE where one is missing. */
void tare_vocab_bytes(const struct tare_vocab *vocab, uint32_t bytes[256]);

#endif
