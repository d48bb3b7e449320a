/* SPDX-License-Identifier: MIT
 * wordpiece.c - WordPiece: from the start of a word on it takes the longest token each time. A word for which this
 * does not come out even is unknown as a whole. */
#include <stdlib.h>
#include <string.h>

#include "text/token_model.h"
#include "text/trie.h"
#include "text/unicode.h"

struct word_piece {
    struct tare_trie trie;
    /* The node after the prefix ("##"), from which tokens of a word's inner part are looked up; TARE_TRIE_NONE when
     * there are no such tokens. */
    uint32_t inner;
    /* Words of more characters are unknown. */
    size_t most;
    struct tare_unknown unknown;
};

static void piece_free(void *model)
{
    struct word_piece *pieces = model;
    if (!pieces)
        return;
    tare_trie_release(&pieces->trie);
    free(pieces);
}

static enum tare_code read_fields(struct word_piece *pieces, const json_t *model, struct tare_error *err)
{
    const json_t *prefix = json_object_get(model, "continuing_subword_prefix");
    const json_t *most = json_object_get(model, "max_input_chars_per_word");
    const char *text = prefix ? json_string_value(prefix) : "##";
    if (!text)
        return tare_fail(err, TARE_E_FORMAT, "tokenizer.json", "model.continuing_subword_prefix is no text");
    if (most && (!json_is_integer(most) || json_integer_value(most) < 0))
        return tare_fail(err, TARE_E_FORMAT, "tokenizer.json", "model.max_input_chars_per_word is no number from 0 on");
    const size_t size = prefix ? json_string_length(prefix) : 2;
    pieces->most = most ? (size_t)json_integer_value(most) : 100;
    pieces->inner = TARE_TRIE_ROOT;
    for (size_t i = 0; i < size && pieces->inner != TARE_TRIE_NONE; i++)
        pieces->inner = tare_trie_step(&pieces->trie, pieces->inner, (unsigned char)text[i]);
    return TARE_OK;
}

static enum tare_code piece_open(void **model, const struct tare_tokenizer *tokenizer,
                                 const struct tare_tokenizer_json *json, struct tare_error *err)
{
    struct word_piece *pieces = calloc(1, sizeof *pieces);
    *model = pieces;
    if (!pieces)
        return tare_fail_memory(err);
    if (!json->has_vocab || json->scored)
        return tare_fail(err, TARE_E_FORMAT, "tokenizer.json", "model.vocab is %s",
                         json->has_vocab ? "a list, expected an object" : "missing");
    enum tare_code code = tare_unknown_read(&pieces->unknown, json, &tokenizer->vocab, err);
    for (size_t i = 0; i < json->n_vocab && !code; i++) {
        const struct tare_vocab_entry *entry = &json->vocab[i];
        code = tare_trie_add(&pieces->trie, entry->token.text, entry->token.size, entry->id, err);
    }
    return code ? code : read_fields(pieces, json_object_get(json->root, "model"), err);
}

/* Finds the longest token that a text begins with, starting at a node of the tree. Returns its size, or 0 for none. */
static size_t longest(const struct tare_trie *trie, uint32_t node, const char *text, size_t size, uint32_t *id)
{
    size_t best = 0;
    for (size_t i = 0; i < size && node != TARE_TRIE_NONE;) {
        node = tare_trie_step(trie, node, (unsigned char)text[i++]);
        if (node != TARE_TRIE_NONE && trie->values[node] != TARE_TRIE_NONE) {
            best = i;
            *id = trie->values[node];
        }
    }
    return best;
}

/* Ids of an unknown word that were put already are taken back. */
static enum tare_code piece_encode(const void *model, void *work, struct tare_encoder *encoder, const char *text,
                                   size_t size)
{
    const struct word_piece *pieces = model;
    const size_t before = encoder->n;
    size_t characters = 0;
    enum tare_code code = TARE_OK;
    (void)work;
    for (size_t i = 0; i < size && characters <= pieces->most; i += tare_utf8_size(text[i]))
        characters++;
    bool known = characters <= pieces->most;
    for (size_t i = 0; i < size && known && !code;) {
        uint32_t id = 0;
        const size_t n = longest(&pieces->trie, i ? pieces->inner : TARE_TRIE_ROOT, text + i, size - i, &id);
        known = n > 0;
        if (known)
            code = tare_encoder_put(encoder, id);
        i += n;
    }
    if (known || code)
        return code;
    encoder->n = before;
    return tare_unknown_put(&pieces->unknown, encoder);
}

const struct tare_model_kind tare_model_word_piece = {"WordPiece",        piece_open,           piece_free,
                                                      tare_model_no_work, tare_model_free_work, piece_encode};
