/* SPDX-License-Identifier: MIT
 * token_spell.c - the bytes that one id adds in the middle of a text. It applies the decoders to one token alone,
 * which a grammar needs before it is known which tokens surround it. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"
#include "text/unicode.h"

static bool is(const struct tare_text_step *step, const char *type)
{
    return !strcmp(((const struct tare_step_type *)step->kind)->type, type);
}

static void byte_level(struct tare_text *text, struct tare_text *out)
{
    for (size_t i = 0, n; i < text->size; i += n) {
        const int byte = tare_byte_level_back(tare_utf8_get(text->data + i, &n));
        /* A token that is not written in the alphabet stands for itself. */
        if (byte < 0) {
            out->size = 0;
            tare_text_add(out, text->data, text->size);
            return;
        }
        tare_text_add(out, (const char[]){(char)byte}, 1);
    }
}

static void metaspace(const struct tare_text_step *step, struct tare_text *text, struct tare_text *out)
{
    for (size_t i = 0, n; i < text->size; i += n) {
        if (tare_utf8_get(text->data + i, &n) == step->character)
            tare_text_add(out, " ", 1);
        else
            tare_text_add(out, text->data + i, n);
    }
}

static void word_piece(const struct tare_text_step *step, struct tare_text *text, struct tare_text *out)
{
    const struct tare_slice *prefix = &step->content;
    const bool inside = text->size >= prefix->size && !memcmp(text->data, prefix->text, prefix->size);
    if (!inside)
        tare_text_add(out, " ", 1);
    tare_text_add(out, text->data + (inside ? prefix->size : 0), text->size - (inside ? prefix->size : 0));
}

/* Applies one decoder to the text. *bytes becomes true when the result is bytes, which no later decoder looks at. */
static enum tare_code apply(const struct tare_text_step *step, struct tare_text *text, struct tare_text *out,
                            bool *bytes, struct tare_error *err)
{
    struct tare_matcher matcher = {0};
    const struct tare_text_step space = {.literal = step->literal, .content = {" ", 1}};
    enum tare_code code = TARE_OK;
    const int byte = tare_byte_token(text->data, text->size);
    out->size = 0;
    tare_text_add(out, "", 0);
    if (is(step, "ByteLevel")) {
        byte_level(text, out);
        *bytes = true;
    } else if (is(step, "ByteFallback") && byte >= 0) {
        tare_text_add(out, (const char[]){(char)byte}, 1);
        *bytes = true;
    } else if (is(step, "Metaspace")) {
        metaspace(step, text, out);
    } else if (is(step, "WordPiece")) {
        word_piece(step, text, out);
    } else if (is(step, "Replace")) {
        code = tare_step_replace(step, &matcher, text->data, text->size, out, err);
    } else if (is(step, "BPEDecoder")) {
        code = tare_step_replace(&space, &matcher, text->data, text->size, out, err);
    } else {
        tare_text_add(out, text->data, text->size);
    }
    tare_matcher_release(&matcher);
    return code;
}

/* Stores the bytes that a token adds, special or not. */
static enum tare_code spell(const struct tare_tokenizer *tokenizer, const struct tare_token *token,
                            struct tare_text *bytes, struct tare_error *err)
{
    struct tare_text other = {0};
    bool done = false;
    enum tare_code code = TARE_OK;
    bytes->size = 0;
    if (!token->size)
        return TARE_OK;
    if (tokenizer->no_decoder && !token->special)
        tare_text_add(bytes, " ", 1);
    tare_text_add(bytes, token->text, token->size);
    for (size_t i = 0; i < tokenizer->decoders.n && !code && !done && !bytes->failed && bytes->size; i++) {
        code = apply(&tokenizer->decoders.items[i], bytes, &other, &done, err);
        const struct tare_text swap = *bytes;
        *bytes = other;
        other = swap;
    }
    const bool failed = bytes->failed || other.failed;
    tare_text_release(&other);
    return !code && failed ? tare_fail_memory(err) : code;
}

enum tare_code tare_token_spell(const struct tare_tokenizer *tokenizer, int32_t id, struct tare_text *bytes,
                                struct tare_error *err)
{
    const struct tare_token *token = tare_vocab_token(&tokenizer->vocab, id);
    bytes->size = 0;
    return token && !token->special ? spell(tokenizer, token, bytes, err) : TARE_OK;
}

/* ---- the bytes of all tokens, for hosts -------------------------------------------------------------------------- */

/* Token i has bytes [start[i], start[i + 1] - 1), and a NUL after them. */
struct tare_spelled {
    struct tare_text bytes;
    size_t start[];
};

void tare_spelled_free(struct tare_spelled *spelled)
{
    if (!spelled)
        return;
    tare_text_release(&spelled->bytes);
    free(spelled);
}

static enum tare_code spell_all(struct tare_spelled *spelled, const struct tare_tokenizer *tokenizer, int64_t n,
                                struct tare_error *err)
{
    struct tare_text one = {0};
    enum tare_code code = TARE_OK;
    for (int64_t i = 0; i < n && !code; i++) {
        const struct tare_token *token = tare_vocab_token(&tokenizer->vocab, (int32_t)i);
        one.size = 0;
        if (token)
            code = spell(tokenizer, token, &one, err);
        tare_text_add(&spelled->bytes, one.data, one.size);
        tare_text_add(&spelled->bytes, "", 1);
        spelled->start[i + 1] = spelled->bytes.size;
    }
    if (!code && (one.failed || spelled->bytes.failed))
        code = tare_fail_memory(err);
    tare_text_release(&one);
    return code;
}

/* Returns the bytes of all tokens, which the first caller works out. Of two callers at once both may; the one that
 * finishes later frees its own. */
static enum tare_code share_spelled(const struct tare_tokenizer *tokenizer, const struct tare_spelled **shared,
                                    struct tare_error *err)
{
    struct tare_spelled **place = &tokenizer->lazy->spelled, *had = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (!had) {
        const int64_t n = tare_tokenizer_size(tokenizer);
        struct tare_spelled *own = calloc(1, sizeof *own + ((size_t)n + 1) * sizeof *own->start);
        const enum tare_code code = own ? spell_all(own, tokenizer, n, err) : tare_fail_memory(err);
        if (code) {
            tare_spelled_free(own);
            return code;
        }
        if (__atomic_compare_exchange_n(place, &had, own, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            had = own;
        else
            tare_spelled_free(own);
    }
    *shared = had;
    return TARE_OK;
}

int64_t tare_tokenizer_size(const tare_tokenizer *tokenizer)
{
    if (!tokenizer)
        return 0;
    const struct tare_vocab *vocab = &tokenizer->vocab;
    return (int64_t)(vocab->n > vocab->n_shown ? vocab->n : vocab->n_shown);
}

enum tare_code tare_tokenizer_id(const tare_tokenizer *tokenizer, const char *text, size_t size, int32_t *id,
                                 struct tare_error *err)
{
    if (!tokenizer || !text || !id)
        return tare_fail(err, TARE_E_ARGUMENT, "",
                         "looking a token up needs a tokenizer, a text and a place for the id");
    const uint32_t found = tare_tokenizer_find(tokenizer, text, size);
    *id = found == TARE_TOKEN_NONE ? -1 : (int32_t)found;
    if (*id >= 0)
        return TARE_OK;
    return tare_fail(err, TARE_E_ABSENT, "text", "no token is written \"%.*s\"", (int)(size < 64 ? size : 64), text);
}

enum tare_code tare_tokenizer_token(const tare_tokenizer *tokenizer, int32_t id, const char **text, size_t *size,
                                    bool *special, struct tare_error *err)
{
    if (!tokenizer || !text || !size)
        return tare_fail(err, TARE_E_ARGUMENT, "", "looking a token up needs a tokenizer and places for text and size");
    const struct tare_token *token = tare_vocab_token(&tokenizer->vocab, id);
    const struct tare_spelled *spelled = NULL;
    *text = NULL;
    *size = 0;
    if (!token)
        return tare_fail(err, TARE_E_ABSENT, "id", "no token has the id %ld; ids are below %lld", (long)id,
                         (long long)tare_tokenizer_size(tokenizer));
    const enum tare_code code = share_spelled(tokenizer, &spelled, err);
    if (code)
        return code;
    *text = spelled->bytes.data + spelled->start[id];
    *size = spelled->start[id + 1] - spelled->start[id] - 1;
    if (special)
        *special = token->special;
    return TARE_OK;
}
