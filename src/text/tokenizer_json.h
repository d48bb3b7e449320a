/* SPDX-License-Identifier: MIT
 * tokenizer_json.h - tokenizer.json taken apart, before any stage is made of it. */
#ifndef TARE_TEXT_TOKENIZER_JSON_H
#define TARE_TEXT_TOKENIZER_JSON_H

#include <jansson.h>

#include "base/arena.h"

struct tare_slice {
    const char *text;
    uint32_t size;
};
struct tare_vocab_entry {
    struct tare_slice token;
    uint32_t id;
};
/* tokenizer.json taken apart. Slices point into the text that was parsed, or into the arena where it had escapes. */
struct tare_tokenizer_json {
    const char *file; /* its name, for errors */
    json_t *root;     /* everything but model.vocab and model.merges */
    struct tare_vocab_entry *vocab;
    size_t n_vocab, vocab_room;
    /* The scores of the vocabulary's entries, when it is a list of [token, score]. */
    double *scores;
    size_t scores_room;
    struct tare_slice *merges; /* two a merge */
    size_t n_merges, merges_room;
    /* The ranks of the merges; NULL when the rank of each is its place. */
    uint32_t *ranks;
    bool has_vocab, has_merges;
    /* The vocabulary is a list of [token, score]. A token whose score is -INFINITY is found in no text. */
    bool scored;
    /* Made from another file: added tokens have the ids that are given, and scores are added as float32s. */
    bool made;
    /* For a made one, the id that ends a text when no config says so; -1 for none. */
    int32_t eos;
    struct tare_arena arena;
};
/* json is zeroed by the caller and released also after a failure; text must outlive it. file names it in errors. */
enum tare_code tare_tokenizer_json_read(struct tare_tokenizer_json *json, const char *file, const char *text,
                                        size_t size, struct tare_error *err);
void tare_tokenizer_json_release(struct tare_tokenizer_json *json);

#endif
