/* SPDX-License-Identifier: MIT
 * token_spell.c - the bytes that one id adds in the middle of a text. It applies the decoders to one token alone,
 * which a grammar needs before it is known which tokens surround it. */
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

enum tare_code tare_token_spell(const struct tare_tokenizer *tokenizer, int32_t id, struct tare_text *bytes,
                                struct tare_error *err)
{
    const struct tare_token *token = tare_vocab_token(&tokenizer->vocab, id);
    struct tare_text other = {0};
    bool done = false;
    enum tare_code code = TARE_OK;
    bytes->size = 0;
    if (!token || token->special || !token->size)
        return TARE_OK;
    if (tokenizer->no_decoder)
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
