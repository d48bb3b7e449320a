/* SPDX-License-Identifier: MIT
 * gguf_merges.c - SentencePiece's pieces and scores in a GGUF file as the merges of tokenizer.json. */
#include "open/gguf/gguf_merges.h"

#include <stdlib.h>

#include "open/merges.h"

/* The pieces with their scores. Only ordinary pieces and the user's own may be the result of a merge. */
static struct tare_scored *scored_of(const struct tare_gguf_value *tokens, const struct tare_gguf_value *types,
                                     const struct tare_gguf_value *scores, size_t *n)
{
    struct tare_scored *pieces = calloc((size_t)tokens->n + 1, sizeof *pieces);
    const unsigned char *cursor = NULL;
    const char *text;
    uint64_t done = 0;
    size_t size;
    *n = 0;
    while (pieces && tare_gguf_next_text(tokens, &done, &cursor, &text, &size)) {
        const double type = tare_gguf_item(types, done - 1);
        pieces[(*n)++] = (struct tare_scored){text, size <= UINT32_MAX ? (uint32_t)size : 0,
                                              !types || type == TARE_GGUF_NORMAL || type == TARE_GGUF_USER_DEFINED,
                                              tare_gguf_item(scores, done - 1)};
    }
    return pieces;
}

bool tare_gguf_merges(const struct tare_gguf_value *tokens, const struct tare_gguf_value *types,
                      const struct tare_gguf_value *scores, struct tare_text *out)
{
    size_t n, n_merges = 0;
    struct tare_merge *merges = NULL;
    struct tare_scored *pieces = scored_of(tokens, types, scores, &n);
    const bool room = pieces && tare_merges_make(pieces, n, &merges, &n_merges);
    tare_text_puts(out, "\"merges\": [");
    for (size_t i = 0; i < n_merges; i++) {
        const struct tare_scored *piece = &pieces[merges[i].piece];
        tare_text_puts(out, i ? ", [" : "[");
        tare_gguf_quote(out, piece->text, merges[i].left);
        tare_text_puts(out, ", ");
        tare_gguf_quote(out, piece->text + merges[i].left, piece->size - merges[i].left);
        tare_text_puts(out, "]");
    }
    tare_text_puts(out, "]");
    free(pieces);
    free(merges);
    return room;
}
