/* SPDX-License-Identifier: MIT
 * vocab.c - maps tokens to ids and back. A slot holds the upper half of the token's hash, so that a look-up reads
 * the text of a token almost only when it is the right one. */
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "text/tokenizer.h"

struct tare_vocab_slot {
    /* A free slot has the id TARE_TOKEN_NONE. */
    uint32_t hash, id;
};

/* Returns the slot of a token, or the free slot where it belongs, with the hash written into it. */
static struct tare_vocab_slot *slot_of(const struct tare_vocab *vocab, const char *text, size_t size)
{
    const uint64_t hash = XXH3_64bits(text, size);
    size_t at = (size_t)hash & (vocab->room - 1);
    for (;; at = (at + 1) & (vocab->room - 1)) {
        struct tare_vocab_slot *slot = &vocab->slots[at];
        if (slot->id == TARE_TOKEN_NONE) {
            slot->hash = (uint32_t)(hash >> 32);
            return slot;
        }
        const struct tare_token *token = &vocab->tokens[slot->id];
        if (slot->hash == (uint32_t)(hash >> 32) && token->size == size && !memcmp(token->text, text, size))
            return slot;
    }
}

uint32_t tare_vocab_find(const struct tare_vocab *vocab, const char *text, size_t size)
{
    if (!vocab->room)
        return TARE_TOKEN_NONE;
    const uint64_t hash = XXH3_64bits(text, size);
    size_t at = (size_t)hash & (vocab->room - 1);
    for (;; at = (at + 1) & (vocab->room - 1)) {
        const struct tare_vocab_slot *slot = &vocab->slots[at];
        if (slot->id == TARE_TOKEN_NONE)
            return TARE_TOKEN_NONE;
        if (slot->hash != (uint32_t)(hash >> 32))
            continue;
        const struct tare_token *token = &vocab->tokens[slot->id];
        if (token->size == size && !memcmp(token->text, text, size))
            return slot->id;
    }
}

/* All texts lie in one block of the arena, each with a NUL after it. Tokens may come in any order of ids, with
 * gaps. */
enum tare_code tare_vocab_build(struct tare_vocab *vocab, const struct tare_tokenizer_json *json,
                                struct tare_error *err)
{
    size_t most = 0, bytes = 0;
    for (size_t i = 0; i < json->n_vocab; i++) {
        most = json->vocab[i].id > most ? json->vocab[i].id : most;
        bytes += json->vocab[i].token.size + 1;
    }
    vocab->room = 16;
    while (vocab->room / 2 < json->n_vocab)
        vocab->room *= 2;
    vocab->slots = malloc(vocab->room * sizeof *vocab->slots);
    char *texts = tare_arena_alloc(&vocab->arena, bytes + 1);
    if (!vocab->slots || !texts || !tare_grow(&vocab->tokens, &vocab->tokens_room, most + 1, sizeof *vocab->tokens))
        return tare_fail_memory(err);
    memset(vocab->slots, 0xff, vocab->room * sizeof *vocab->slots);
    vocab->n = json->n_vocab ? most + 1 : 0;
    for (size_t i = 0; i < json->n_vocab; i++) {
        const struct tare_vocab_entry *entry = &json->vocab[i];
        struct tare_token *token = &vocab->tokens[entry->id];
        if (token->text)
            return tare_fail(err, TARE_E_FORMAT, json->file, "model.vocab: \"%.64s\" and \"%.*s\" have the same id %u",
                             token->text, (int)(entry->token.size < 64 ? entry->token.size : 64), entry->token.text,
                             (unsigned)entry->id);
        memcpy(texts, entry->token.text, entry->token.size);
        *token = (struct tare_token){.text = texts, .size = entry->token.size};
        texts += entry->token.size + 1;
        struct tare_vocab_slot *slot = slot_of(vocab, token->text, token->size);
        /* In a list the later one counts, as in the reference. */
        if (slot->id != TARE_TOKEN_NONE && !json->scored)
            return tare_fail(err, TARE_E_FORMAT, json->file, "model.vocab: the token \"%.64s\" stands twice",
                             token->text);
        slot->id = entry->id;
    }
    vocab->count = json->n_vocab;
    return TARE_OK;
}

enum tare_code tare_vocab_show(struct tare_vocab *vocab, uint32_t id, const char *text, size_t size,
                               struct tare_error *err)
{
    char *copy = tare_arena_copy(&vocab->arena, text, size);
    if (!copy || !tare_grow(&vocab->shown, &vocab->shown_room, (size_t)id + 1, sizeof *vocab->shown))
        return tare_fail_memory(err);
    if (id >= vocab->n_shown)
        vocab->n_shown = (size_t)id + 1;
    vocab->shown[id] = (struct tare_token){.text = copy, .size = (uint32_t)size};
    return TARE_OK;
}

const struct tare_token *tare_vocab_token(const struct tare_vocab *vocab, int32_t id)
{
    if (id >= 0 && (size_t)id < vocab->n_shown && vocab->shown[id].text)
        return &vocab->shown[id];
    return id >= 0 && (size_t)id < vocab->n && vocab->tokens[id].text ? &vocab->tokens[id] : NULL;
}

void tare_vocab_release(struct tare_vocab *vocab)
{
    free(vocab->tokens);
    free(vocab->shown);
    free(vocab->slots);
    tare_arena_release(&vocab->arena);
    *vocab = (struct tare_vocab){0};
}
