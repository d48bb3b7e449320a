/* SPDX-License-Identifier: MIT
 * made.h - tokenizer.json's parts, made for vocabularies that come from other files. */
#ifndef TARE_TEXT_MADE_H
#define TARE_TEXT_MADE_H

#include "open/checkpoint.h"
#include "open/merges.h"
#include "text/tokenizer.h"

/* The folder's word on a vocabulary: which special tokens stand around a text, which tokens were added. */
struct tare_made_config {
    json_t *config; /* tokenizer_config.json, or NULL; owned */
    json_t *added;  /* added_tokens.json, or NULL; owned */
};
/* Zero-initialise; released also after a failure. */
enum tare_code tare_made_config_read(struct tare_made_config *config, const struct tare_checkpoint *checkpoint,
                                     struct tare_error *err);
void tare_made_config_release(struct tare_made_config *config);

/* Readers of the files whose vocabulary is taken when a model has no tokenizer.json. They fill json, whose texts may
 * point into `bytes`, and those parts of the tokenizer that no JSON can say. */
typedef enum tare_code (*tare_made_read)(struct tare_tokenizer *tokenizer, struct tare_tokenizer_json *json,
                                         const struct tare_made_config *config, const char *bytes, size_t size,
                                         struct tare_error *err);
enum tare_code tare_sentencepiece_read(struct tare_tokenizer *tokenizer, struct tare_tokenizer_json *json,
                                       const struct tare_made_config *config, const char *bytes, size_t size,
                                       struct tare_error *err); /* tokenizer.model */
enum tare_code tare_tekken_read(struct tare_tokenizer *tokenizer, struct tare_tokenizer_json *json,
                                const struct tare_made_config *config, const char *bytes, size_t size,
                                struct tare_error *err); /* tekken.json */

/* ---- for these readers. They give NULL or false when memory runs out. ----------------------------------------- */

bool tare_made_vocab(struct tare_tokenizer_json *json, size_t n); /* makes room for n entries and scores */
/* Fills json->merges and json->ranks with every cut of a piece into two pieces; cuts with equal scores share a
 * rank. */
bool tare_made_merges(struct tare_tokenizer_json *json, const struct tare_scored *pieces, size_t n);
/* Makes one entry of "added_tokens". */
json_t *tare_made_token(int64_t id, const char *text, size_t size, bool special);
/* Appends the tokens of added_tokens.json and of added_tokens_decoder to the list "added_tokens". */
enum tare_code tare_made_add(json_t *list, const struct tare_made_config *config, struct tare_error *err);
/* "post_processor": bos before and eos after a text, where config says so, else as the flags have it. -1: no such id.
 */
json_t *tare_made_ends(const struct tare_made_config *config, int64_t bos, bool begins, int64_t eos, bool ends);

#endif
