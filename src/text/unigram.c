/* SPDX-License-Identifier: MIT
 * unigram.c - Unigram: of all ways to cut a text into tokens it takes the one with the greatest sum of scores,
 * which are log-probabilities. The Viterbi algorithm finds it: best[i] = max over tokens that end at i of
 * best[start] + score(token). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/token_model.h"
#include "text/trie.h"
#include "text/unicode.h"

/* The score of an unknown character is that far below the least score of a token. */
#define UNKNOWN_PENALTY 10.0

struct unigram {
    const struct tare_vocab *vocab;
    struct tare_trie trie;
    /* The score of each id. */
    double *scores;
    double unknown_score;
    /* The id of the unknown token, or TARE_TOKEN_NONE. */
    uint32_t unknown;
    uint32_t bytes[256];
    bool byte_fallback;
    /* Work as SentencePiece itself does, not as the reference for tokenizer.json: sums are rounded to float32, and a
     * run of unknown characters is never a token. */
    bool narrow;
};

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static void unigram_free(void *model)
{
    struct unigram *unigram = model;
    if (!unigram)
        return;
    tare_trie_release(&unigram->trie);
    free(unigram->scores);
    free(unigram);
}

static enum tare_code read_fields(struct unigram *unigram, const json_t *model, size_t n, struct tare_error *err)
{
    const json_t *unknown = json_object_get(model, "unk_id"), *fallback = json_object_get(model, "byte_fallback");
    unigram->unknown = TARE_TOKEN_NONE;
    if (unknown && !json_is_null(unknown)) {
        if (!json_is_integer(unknown) || json_integer_value(unknown) < 0 || (size_t)json_integer_value(unknown) >= n)
            return tare_fail(err, TARE_E_FORMAT, "tokenizer.json",
                             "model.unk_id is no id of model.vocab, which has %zu tokens", n);
        unigram->unknown = (uint32_t)json_integer_value(unknown);
    }
    if (fallback && !json_is_null(fallback) && !json_is_boolean(fallback))
        return tare_fail(err, TARE_E_FORMAT, "tokenizer.json", "model.byte_fallback is neither true nor false");
    unigram->byte_fallback = json_is_true(fallback);
    return TARE_OK;
}

static enum tare_code unigram_open(void **model, const struct tare_tokenizer *tokenizer,
                                   const struct tare_tokenizer_json *json, struct tare_error *err)
{
    struct unigram *unigram = calloc(1, sizeof *unigram);
    *model = unigram;
    if (!unigram)
        return tare_fail_memory(err);
    unigram->vocab = &tokenizer->vocab;
    unigram->narrow = json->made;
    if (!json->scored)
        return tare_fail(err, TARE_E_FORMAT, "tokenizer.json", "model.vocab is %s",
                         json->has_vocab ? "an object, expected a list of [token, score]" : "missing");
    enum tare_code code = read_fields(unigram, json_object_get(json->root, "model"), json->n_vocab, err);
    unigram->scores = malloc((json->n_vocab + 1) * sizeof *unigram->scores);
    if (!unigram->scores)
        return tare_fail_memory(err);
    double least = INFINITY;
    /* The entries stand in the order of their ids. */
    for (size_t i = 0; i < json->n_vocab && !code; i++) {
        const struct tare_slice *token = &json->vocab[i].token;
        unigram->scores[i] = json->scores[i];
        if (!isfinite(json->scores[i]))
            continue;
        least = json->scores[i] < least ? json->scores[i] : least;
        code = tare_trie_add(&unigram->trie, token->text, token->size, (uint32_t)i, err);
    }
    unigram->unknown_score = unigram->narrow ? (double)(float)(least - UNKNOWN_PENALTY) : least - UNKNOWN_PENALTY;
    tare_vocab_bytes(unigram->vocab, unigram->bytes);
    return code;
}

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

/* The best way to a place in the text: its score, and the token that ends there. */
struct node {
    double score;
    uint32_t id;
    /* Where that token begins; NOWHERE for a place that is not reached yet. */
    uint32_t from;
};
#define NOWHERE UINT32_MAX
struct work {
    struct node *nodes;
    size_t room;
    /* The tokens of the best way, from the last to the first. */
    struct token *tokens;
    size_t n, tokens_room;
};
struct token {
    uint32_t id, start, end;
};

static void work_free(void *model_work)
{
    struct work *work = model_work;
    if (!work)
        return;
    free(work->nodes);
    free(work->tokens);
    free(work);
}

static void *work_open(const void *model, size_t text_size)
{
    (void)model, (void)text_size;
    return calloc(1, sizeof(struct work));
}

static enum tare_code no_unknown(struct tare_error *err)
{
    return tare_fail(err, TARE_E_FORMAT, "tokenizer.json", "a character is in no token, and model.unk_id is null");
}

/* Offers a way to a place. On equal scores the way that was found first stays. */
static void reach(const struct unigram *unigram, struct node *node, double score, uint32_t id, size_t from)
{
    score = unigram->narrow ? (double)(float)score : score;
    if (node->from == NOWHERE || score > node->score)
        *node = (struct node){score, id, (uint32_t)from};
}

/* Tries every token that begins at a place, and the unknown token when no token is exactly the character there. */
static enum tare_code reach_from(const struct unigram *unigram, struct node *nodes, const char *text, size_t size,
                                 size_t at, size_t bytes, struct tare_error *err)
{
    const double so_far = nodes[at].score;
    bool single = false;
    uint32_t node = TARE_TRIE_ROOT;
    for (size_t i = at; i < size;) {
        node = tare_trie_step(&unigram->trie, node, (unsigned char)text[i++]);
        if (node == TARE_TRIE_NONE)
            break;
        const uint32_t id = unigram->trie.values[node];
        if (id == TARE_TRIE_NONE)
            continue;
        reach(unigram, &nodes[i], unigram->scores[id] + so_far, id, at);
        single = single || i - at == bytes;
    }
    if (single)
        return TARE_OK;
    if (unigram->unknown == TARE_TOKEN_NONE)
        return no_unknown(err);
    reach(unigram, &nodes[at + bytes], unigram->unknown_score + so_far, unigram->unknown, at);
    return TARE_OK;
}

/* Encodes a run of unknown characters: as the token of that text if there is one, else by bytes, else as one unknown
 * token. */
static enum tare_code put_unknown(const struct unigram *unigram, struct tare_encoder *encoder, const char *text,
                                  size_t size)
{
    enum tare_code code = TARE_OK;
    const uint32_t id = unigram->narrow ? TARE_TOKEN_NONE : tare_vocab_find(unigram->vocab, text, size);
    if (id != TARE_TOKEN_NONE)
        return tare_encoder_put(encoder, id);
    bool bytes = unigram->byte_fallback;
    for (size_t i = 0; i < size && bytes; i++)
        bytes = unigram->bytes[(unsigned char)text[i]] != TARE_TOKEN_NONE;
    if (!bytes)
        return tare_encoder_put(encoder, unigram->unknown);
    for (size_t i = 0; i < size && !code; i++)
        code = tare_encoder_put(encoder, unigram->bytes[(unsigned char)text[i]]);
    return code;
}

/* Follows the best way from the end of the text to its start. Neighbouring unknown characters become one run. */
static enum tare_code walk_back(const struct unigram *unigram, struct work *work, size_t size, struct tare_error *err)
{
    work->n = 0;
    for (size_t end = size; end;) {
        const struct node *node = &work->nodes[end];
        struct token *last = work->n ? &work->tokens[work->n - 1] : NULL;
        if (last && node->id == unigram->unknown && last->id == unigram->unknown) {
            last->start = node->from;
        } else {
            if (!tare_grow(&work->tokens, &work->tokens_room, work->n + 1, sizeof *work->tokens))
                return tare_fail_memory(err);
            work->tokens[work->n++] = (struct token){node->id, node->from, (uint32_t)end};
        }
        end = node->from;
    }
    return TARE_OK;
}

static enum tare_code unigram_encode(const void *model, void *model_work, struct tare_encoder *encoder,
                                     const char *text, size_t size)
{
    const struct unigram *unigram = model;
    struct work *work = model_work;
    if (!tare_grow(&work->nodes, &work->room, size + 1, sizeof *work->nodes))
        return tare_fail_memory(encoder->err);
    for (size_t i = 0; i <= size; i++)
        work->nodes[i] = (struct node){.from = NOWHERE};
    enum tare_code code = TARE_OK;
    for (size_t i = 0, bytes; i < size && !code; i += bytes) {
        bytes = tare_utf8_size(text[i]);
        code = reach_from(unigram, work->nodes, text, size, i, bytes, encoder->err);
    }
    if (!code)
        code = walk_back(unigram, work, size, encoder->err);
    for (size_t i = work->n; i-- && !code;) {
        const struct token *token = &work->tokens[i];
        code = token->id != unigram->unknown
                   ? tare_encoder_put(encoder, token->id)
                   : put_unknown(unigram, encoder, text + token->start, token->end - token->start);
    }
    return code;
}

const struct tare_model_kind tare_model_unigram = {"Unigram", unigram_open, unigram_free,
                                                   work_open, work_free,    unigram_encode};
